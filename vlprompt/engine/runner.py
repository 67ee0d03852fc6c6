"""mmengine's runner with checkpoints of prompt models, exact resuming, and processes on machines without a GPU."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import barrier, is_distributed, is_main_process
from mmengine.logging import MMLogger
from mmengine.model import is_model_wrapper, revert_sync_batchnorm
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import BaseLoop, Runner
from mmengine.visualization import Visualizer
from torch import nn
from torch.utils.data import DataLoader

from vlprompt.compat.environment import environment_report
from vlprompt.datasets.samplers.epoch import batch_size_of
from vlprompt.engine.build import (
    build_model,
    copy_without_waiting,
    order_channels_last,
    require_initial_weights,
    wants_channels_last,
)
from vlprompt.engine.checkpoint import (
    RESUME_FILE,
    load_trained,
    load_whole,
    naming_checkpoint,
    read_checkpoint,
)
from vlprompt.engine.compiling import compile_options, use_compiled
from vlprompt.engine.config import load_config
from vlprompt.engine.config_changes import warn_of_changed_model
from vlprompt.engine.config_files import work_dir_of
from vlprompt.engine.data_arguments import (
    arguments_of_checkpoint,
    arguments_of_data,
    completed,
    missing_arguments,
)
from vlprompt.engine.data_checks import check_data
from vlprompt.engine.fsdp import check_strategy, place, unwrapped, uses_fsdp
from vlprompt.engine.hooks.finite import explain_failure, explaining_failures, failure_before
from vlprompt.engine.logs import shorten_terminal, take_package_log
from vlprompt.engine.optimizer import scale_rates
from vlprompt.engine.phases import PhasedRunner
from vlprompt.engine.processes import cpu_only, init_cpu_process_group, leave_cores_to_workers, meeting_point
from vlprompt.engine.readings import Readings
from vlprompt.engine.required import (
    LOOP_PARTS,
    refuse_own_checkpoint,
    require_all_images,
    require_checkpoint,
    require_model,
    require_parts,
    require_validation,
)
from vlprompt.engine.resume_state import restore_state, resume_file
from vlprompt.engine.saving import save_checkpoint, save_state, stop_training
from vlprompt.engine.start_from import hand_over
from vlprompt.engine.stop import StopRequest, stop_on_signals
from vlprompt.engine.vis_backends import check_backends, start_backends
from vlprompt.engine.work_dir import claim, release, remove_leftovers, set_run_aside
from vlprompt.engine.workers import guard_workers, naming_loader
from vlprompt.errors import NonFiniteError, Stopped
from vlprompt.precision import allow_tf32
from vlprompt.registry import RUNNERS


@RUNNERS.register_module()
class PromptRunner(Runner):
    """Train, validate and test as mmengine's :class:`Runner` does, with these differences:

    * unknown config keys are errors (:func:`~vlprompt.engine.config_check.check_config`);
    * ``train_cfg``, ``val_cfg`` and ``test_cfg`` decide which loops run; loaders and evaluators of other loops are not
      used, so zero-shot and training configs inherit the same dataset config;
    * ``epoch_N.pth``, ``iter_N.pth`` and ``best_*.pth`` hold only what the model's ``trained_state_dict()`` returns
      and a description of the model (:mod:`~vlprompt.engine.checkpoint`).  Loading checks base weights,
      classes and every tensor.  A model without that method is stored whole; for a test it must fit the
      checkpoint, for training it loads the tensors that fit, as in mmengine;
    * the data loaders are built and the data checked first of all (:mod:`~vlprompt.engine.data_checks`), so that
      mistakes in them show at once, above any other output;
    * model arguments that follow the data (:mod:`~vlprompt.engine.data_arguments`) come from the dataset of the run's
      own first data loader;
    * the terminal shows neither the environment nor the whole config, which are in the log file
      (:mod:`~vlprompt.engine.logs`);
    * everything else that resuming needs is in one file, ``resume.pth``, replaced with every checkpoint.  Files are
      written atomically;
    * a training claims its work directory (:mod:`~vlprompt.engine.work_dir`), sets aside what an earlier one has left
      there, unless it goes on from that, saves its state when a signal asks it to end (:mod:`~vlprompt.engine.stop`),
      and ends with an error when it has diverged (:class:`~vlprompt.engine.hooks.NonFiniteHook`): tensors that are not
      finite are never saved;
    * numbers of training steps, for the log and the check for NaN, are read together, on a GPU once in an interval of
      the log (:class:`~vlprompt.engine.hooks.RuntimeInfoHook`);
    * several processes without a GPU communicate through gloo, whatever ``env_cfg.dist_cfg.backend`` says.

    Use ``runner_type='vlprompt.PromptRunner'`` in the config.
    """

    loaded_names: frozenset[str] = frozenset()
    """Names of the tensors that came from ``load_from`` and ``start_from``."""
    holds_loaded_weights: bool = False
    """Whether weights came from a checkpoint, so that a training does not initialise them."""
    later_phases: tuple[str, ...] = ()
    """Folders of the phases, beside that of this run, that begin anew after it."""
    _resumed_from: Path | None = None
    stop_request: StopRequest | None = None
    """Whether the training was asked to end; None outside of a training."""

    @classmethod
    def from_cfg(cls, cfg: Config) -> PromptRunner | PhasedRunner:
        """Build the runner of a config, composed or not; for one with ``phases``, a runner of all phases."""
        cfg = load_config(cfg)
        require_model(cfg)
        if cfg.get('phases'):
            return PhasedRunner(cfg)
        require_parts(cfg, *LOOP_PARTS)
        require_all_images(cfg)
        check_strategy(cfg)
        cfg.work_dir = work_dir_of(cfg)
        if cfg.get('train_cfg') is not None:
            require_validation(cfg, ((cfg.get('default_hooks') or {}).get('checkpoint') or {}).get('save_best'))
            compile_options(cfg)
        for loop, parts in LOOP_PARTS.items():
            if cfg.get(f'{loop}_cfg') is None:
                cfg.update(dict.fromkeys(parts))
        return super().from_cfg(cfg)

    # ---------------------------------------------------------------------------------------------- environment

    def setup_env(self, env_cfg: dict) -> None:
        """Prepare processes and arithmetic; ``env_cfg.tf32``, True by default, allows TF32 for products of float32 on a
        GPU (:func:`~vlprompt.precision.allow_tf32`).
        """
        allow_tf32(env_cfg.get('tf32', True))
        if self.distributed and not is_distributed():
            dist_cfg = env_cfg.get('dist_cfg', {})
            timeout = dist_cfg.get('timeout', 1800)
            if cpu_only():
                init_cpu_process_group(self.launcher, timeout)
            elif self.launcher == 'pytorch':
                env_cfg = dict(env_cfg, dist_cfg=dist_cfg | meeting_point(timeout))
        super().setup_env(env_cfg)
        if self._train_loop is not None and is_main_process():
            claim(self.work_dir)
            remove_leftovers(self.work_dir)
        leave_cores_to_workers(self.cfg)

    def build_model(self, model: nn.Module | dict) -> nn.Module:
        """Build the model; arguments that its config leaves out come from the data, or from the checkpoint to test.

        Class names always come from the data; they are compared with the checkpoint when it is loaded.  On a GPU
        convolutions have their channels last, unless ``env_cfg.channels_last`` is False.
        """
        if isinstance(model, nn.Module):
            return model
        if self._train_loop is not None:
            require_initial_weights(model)
        built = copy_without_waiting(build_model(self._complete(model), super().build_model), model)
        if wants_channels_last(self.cfg, on_gpu=not cpu_only()):
            order_channels_last(built)
        return built

    def _complete(self, model: dict) -> dict:
        """The config of a model with the arguments that follow the data, or the checkpoint."""
        missing = missing_arguments(model, self.default_scope.scope_name)
        if not missing:
            return model
        known = {}
        if self._train_loop is None and self._load_from is not None:
            known = arguments_of_checkpoint(read_checkpoint(self._load_from))
        if not known or 'class_names' in missing:
            known = arguments_of_data(self.metainfo) | known
        shown = ', '.join(f'{name}={known.get(name)!r}' for name in missing if name != 'class_names')
        if shown:
            self.logger.info(f'Following the data: {shown}')
        return completed(model, missing, known)

    @property
    def metainfo(self) -> dict[str, Any]:
        """``metainfo`` of the dataset of this run: the training set, else the validation set, else the test set."""
        loaders = (self.data_loader(loop) for loop in LOOP_PARTS)
        return next((dict(getattr(own.dataset, 'metainfo', {})) for own in loaders if own is not None), {})

    def data_loader(self, loop: str) -> DataLoader | None:
        """The data loader of ``'train'``, ``'val'`` or ``'test'``, built on first use and kept for the loop."""
        loader = getattr(self, f'_{loop}_dataloader')
        if loader is not None and not isinstance(loader, DataLoader):
            different = self._randomness_cfg.get('diff_rank_seed', False)
            with naming_loader(f'{loop}_dataloader'):
                loader = self.build_dataloader(loader, seed=self.seed, diff_rank_seed=different)
            setattr(self, f'_{loop}_dataloader', loader)
        return loader

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Wrap for distributed training, unless nothing is trained; on CPUs without device ids and with plain batch
        norm, since only GPUs synchronise statistics.  A model to be sharded waits, see :mod:`~vlprompt.engine.fsdp`.
        """
        if uses_fsdp(self.cfg) and self._train_loop is not None:
            return unwrapped(model, self.cfg)
        alone = not self.distributed and not any(type(m).__name__ == 'SyncBatchNorm' for m in model.modules())
        if alone or (self.distributed and not any(p.requires_grad for p in model.parameters())):
            return model.to(get_device())  # without mmengine's message about batch norms that are not there
        if self.distributed and cpu_only():
            model = revert_sync_batchnorm(model)
            self.cfg.sync_bn = None
            find_unused = self.cfg.get('find_unused_parameters', False)
            defaults = dict(broadcast_buffers=False, find_unused_parameters=find_unused)
            model_wrapper_cfg = defaults | (model_wrapper_cfg or {}) | dict(device_ids=None)
        return super().wrap_model(model_wrapper_cfg, model)

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Mmengine's logger, whose terminal shows less than its file; and the data, before anything is logged or built.

        The file takes messages with any characters, such as odd bytes of file names.
        """
        self.logger = super().build_logger(*args, **kwargs)
        shorten_terminal(self.logger)
        take_package_log(self.logger)
        for handler in self.logger.handlers:
            if isinstance(handler, logging.FileHandler):
                handler.stream.reconfigure(encoding='utf-8', errors='backslashreplace')
        require_checkpoint(self.cfg)
        check_data(self, self.cfg.pop('test_after_training', False))  # no setting of the training itself
        return self.logger

    def build_visualizer(self, visualizer: Visualizer | dict | None = None) -> Visualizer:
        """The visualizer of mmengine, with backends that have been tried."""
        check_backends(visualizer)
        built = super().build_visualizer(visualizer)
        if is_main_process():  # the others write nothing
            start_backends(built)
        return built

    def _log_env(self, env_cfg: dict) -> None:
        """Log environment, packages and config."""
        super()._log_env(env_cfg)
        self.logger.info('Packages:\n' + '\n'.join(f'    {k}: {v}' for k, v in environment_report().items()))

    # ---------------------------------------------------------------------------------------------- checkpoints

    @property
    def bare_model(self) -> nn.Module:
        """The model without the wrapper for distributed training."""
        return self.model.module if is_model_wrapper(self.model) else self.model

    @cached_property
    def _config_text(self) -> str:
        """The config as Python code, cached since formatting takes half a second."""
        return self.cfg.pretty_text

    def save_checkpoint(
        self,
        out_dir: str,
        filename: str,
        file_client_args: dict | None = None,
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
        meta: dict | None = None,
        by_epoch: bool = True,
        backend_args: dict | None = None,
    ) -> None:
        """Write the checkpoint and, unless ``save_optimizer`` is off, the file to resume from beside it.

        Called by :class:`~vlprompt.engine.hooks.CheckpointHook`, in all processes; mmengine defines the arguments.

        Raises:
            ValueError: a remote ``out_dir``.
            NonFiniteError: a tensor is NaN or infinite; nothing is written.
        """
        if file_client_args or backend_args or '://' in str(out_dir):
            raise ValueError(f'checkpoints are written to local folders only, got out_dir={out_dir}')
        progress = dict(epoch=self.epoch + by_epoch, iter=self.iter + (not by_epoch)) | (meta or {})
        save_checkpoint(self, out_dir, filename, self._config_text, progress, save_optimizer, save_param_scheduler)

    def save_state(self, out_dir: str, filename: str, meta: dict[str, Any], schedules: bool) -> None:
        """Write the file to resume from alone, see :func:`~vlprompt.engine.saving.save_state`; in all processes."""
        save_state(self, out_dir, filename, self._config_text, meta, schedules)

    # ------------------------------------------------------------------------------------------------- training

    def train(self) -> nn.Module:
        """Train, see mmengine's ``Runner.train``.

        Raises:
            ConfigError: it begins anew from a checkpoint in its own folder.
            NonFiniteError: the training has diverged.
            Stopped: a signal asked it to end; its state is saved.
        """
        if not self._resume:
            refuse_own_checkpoint(self.cfg)
        try:
            with stop_on_signals() as self.stop_request:
                return super().train()
        except (NonFiniteError, Stopped):
            raise
        except Exception as error:
            if (failure := failure_before(self)) is not None:
                raise failure from error
            if isinstance(error, FloatingPointError):
                raise explain_failure(self, error) from error
            ended_worker = isinstance(error, RuntimeError) and 'DataLoader worker' in str(error)
            if self.stop_request.signal and ended_worker:  # the signal ended it, too
                raise Stopped(
                    f'Stopped by a signal, which ended a data worker too. What was saved in {self.work_dir} stays; '
                    '--resume continues from there.',
                    self.stop_request.signal,
                ) from error
            raise
        finally:
            self.stop_request = None
            release(self.work_dir)

    def val(self) -> dict[str, float]:
        """Validate, see mmengine's ``Runner.val``.

        Raises:
            NonFiniteError: a metric, or an operation, met NaN or infinity.
        """
        with explaining_failures(self):
            return super().val()

    def test(self) -> dict[str, float]:
        """Test, see mmengine's ``Runner.test``.

        Raises:
            NonFiniteError: a metric, or an operation, met NaN or infinity.
        """
        with explaining_failures(self):
            return super().test()

    def _maybe_compile(self, target: str) -> None:
        """Compile what a training step computes, not mmengine's ``target``: :mod:`~vlprompt.engine.compiling`."""
        if (options := compile_options(self.cfg)) is not None:
            name = use_compiled(self.bare_model, options)
            shown = ''.join(f', {key}={value}' for key, value in options.items())
            self.logger.info(f'{type(self.bare_model).__name__}.{name} of training steps is compiled{shown}')

    @cached_property
    def readings(self) -> Readings:
        """Numbers of training steps that wait to be read."""
        return Readings()

    def stop(self, signal: int, in_training: bool) -> None:
        """Save the state between two iterations and end the training.

        Args:
            signal: number of the signal that asked for it.
            in_training: whether an iteration of training has just ended, whose number is not counted yet.

        Raises:
            Stopped: always.
        """
        stop_training(self, self._config_text, signal, self.iter + in_training)

    def build_train_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Build the loop; by epochs, one that can begin in the middle of an epoch."""
        if isinstance(loop, Mapping):
            loop = dict(loop)
            by_epoch = loop.pop('by_epoch', True) if 'type' not in loop else False
            if by_epoch or loop.get('type') == 'EpochBasedTrainLoop':
                loop['type'] = 'vlprompt.EpochTrainLoop'
            elif 'type' not in loop:
                loop['by_epoch'] = False
        return super().build_train_loop(loop)

    @staticmethod
    def build_dataloader(
        dataloader: DataLoader | dict, seed: int | None = None, diff_rank_seed: bool = False
    ) -> DataLoader:
        """Build a loader, with workers as :func:`~vlprompt.engine.workers.guard_workers` makes them.  Without workers,
        options of workers have no effect.

        With a GPU, batches come in pinned memory and workers live on from epoch to epoch, unless ``pin_memory`` or
        ``persistent_workers`` say otherwise.
        """
        if isinstance(dataloader, DataLoader):
            return dataloader
        dataloader = copy.deepcopy(dataloader)
        if not dataloader.get('num_workers'):
            for option in ('persistent_workers', 'prefetch_factor', 'timeout'):
                dataloader.pop(option, None)
        if torch.cuda.is_available():
            dataloader.setdefault('pin_memory', True)
            dataloader.setdefault('persistent_workers', bool(dataloader.get('num_workers')))
        return guard_workers(Runner.build_dataloader(dataloader, seed, diff_rank_seed))

    def register_default_hooks(self, hooks: dict[str, Any] | None = None) -> None:
        """Add the hooks that this runner needs, also where a config of mmseg or mmdet does not name them."""
        own = dict(
            runtime_info=dict(type='vlprompt.RuntimeInfoHook'),
            memory=dict(type='vlprompt.MemoryHook'),
            non_finite=dict(type='vlprompt.NonFiniteHook'),
            resuming=dict(type='vlprompt.ResumeHook'),
            checkpoint=dict(type='vlprompt.CheckpointHook', interval=1),
        )
        hooks = own | dict(hooks or {})
        for name, hook in hooks.items():
            if isinstance(hook, Mapping) and hook.get('type') in ('RuntimeInfoHook', 'CheckpointHook'):
                hooks[name] = dict(hook, type=f'vlprompt.{hook["type"]}')
        of_mmengine = ('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint')
        # mmengine removes its own where a config has None.
        super().register_default_hooks({k: v for k, v in hooks.items() if v is not None or k in of_mmengine})

    def scale_lr(self, optim_wrapper: OptimWrapper | OptimWrapperDict, auto_scale_lr: dict | None = None) -> None:
        """Scale the learning rates to the batch size, see :func:`~vlprompt.engine.optimizer.scale_rates`."""
        if (auto_scale_lr or {}).get('enable'):
            size = batch_size_of(self.data_loader('train'))
            scale_rates(optim_wrapper, size, self.world_size, auto_scale_lr['base_batch_size'])

    def load_checkpoint(
        self,
        filename: str,
        map_location: str | Callable = 'cpu',
        strict: bool = False,
        revise_keys: list = [(r'^module\.', '')],  # noqa: B006  (mmengine's signature)
    ) -> dict[str, Any]:
        """Load a checkpoint into the model and return it.

        Raises:
            CheckpointError: unreadable, or of another model.
        """
        checkpoint = read_checkpoint(filename)
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        if self._train_loop is None:
            warn_of_changed_model(self.cfg, checkpoint)
        with naming_checkpoint(filename):
            if hasattr(self.bare_model, 'trained_state_dict'):
                load_trained(self.bare_model, checkpoint, other_classes=self.cfg.get('other_classes', False))
            else:
                load_whole(self.bare_model, checkpoint, strict or not isinstance(self._train_loop, BaseLoop))
        self._has_loaded = self.holds_loaded_weights = True
        self.logger.info(f'Loaded checkpoint {filename}')
        return checkpoint

    def _init_model_weights(self) -> None:
        """Initialise the weights at the start of a training, unless some were loaded, which stay.

        mmengine's runner forgets them where ``test``, ``val`` or ``load_checkpoint`` came before ``train``.
        """
        if not self.holds_loaded_weights:
            super()._init_model_weights()

    # ------------------------------------------------------------------------------------------------- resuming

    def load_or_resume(self) -> None:
        """Resume or load according to ``resume``, ``load_from`` and ``start_from`` of the config; at most once.

        Results of an earlier run in the work directory are then set aside, unless the training goes on from them.
        """
        if not self._has_loaded:
            self._load_or_resume()
        if uses_fsdp(self.cfg):
            place(self, training=self.stop_request is not None)
        if self.stop_request is not None and self._resumed_from != Path(self.work_dir).resolve():
            self._set_earlier_run_aside()

    def _load_or_resume(self) -> None:
        if self._resume and (self._load_from is not None or Path(self.work_dir, RESUME_FILE).is_file()):
            self.resume(self._load_from or self.work_dir)
        else:
            if self._resume:
                self.logger.warning(f'Nothing to resume in {self.work_dir}: training starts from the beginning.')
            if self._load_from is not None:
                checkpoint = self.load_checkpoint(self._load_from)
                self.loaded_names |= frozenset(checkpoint.get('state_dict', checkpoint))
            if self.cfg.get('start_from') is not None:
                self.loaded_names |= frozenset(hand_over(self.bare_model, **self.cfg.start_from))
                self.holds_loaded_weights = True
        self._has_loaded = True

    def _set_earlier_run_aside(self) -> None:
        barrier()  # all have loaded what they load, perhaps from there
        if not is_main_process():
            return
        folder = Path(self.work_dir)
        if self.cfg.get('phase') != folder.name:
            set_run_aside(folder, keep=[self._log_dir])
        else:
            set_run_aside(folder.parent, [folder.name, *self.later_phases], [self._log_dir])

    def resume(
        self,
        filename: str,
        resume_optimizer: bool = True,
        resume_param_scheduler: bool = True,
        map_location: str | Callable = 'default',
    ) -> None:
        """Continue a training run exactly where a checkpoint left it.

        Args:
            filename: a work directory, its newest checkpoint, its ``resume.pth``, or a checkpoint of mmengine's own
                runner with the optimizer inside.
            resume_optimizer: restore the optimizer.
            resume_param_scheduler: restore the schedules.
            map_location: unused; tensors move to the model's device.

        Raises:
            FileNotFoundError: nothing to resume.
            CheckpointError: an older checkpoint, or one that was trained with another seed.
        """
        filename = resume_file(filename)
        checkpoint = self.load_checkpoint(filename)
        restore_state(self, checkpoint, filename, self._config_text, resume_optimizer, resume_param_scheduler)
        self._resumed_from = Path(filename).parent.resolve()  # resume.pth itself may be a link
        self.logger.info(f'Resumed from {filename} at epoch {self.epoch}, iteration {self.iter}')
