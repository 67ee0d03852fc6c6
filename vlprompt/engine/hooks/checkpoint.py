"""Saving: what was saved last exists at every moment, and a resumed run knows whether its validation was finished."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook as _CheckpointHook
from mmengine.runner import Runner

from vlprompt.engine.checkpoint import RESUME_FILE
from vlprompt.engine.required import require_validation
from vlprompt.engine.resume_state import OUTDATED, VALIDATED, finish_saving
from vlprompt.errors import ConfigError
from vlprompt.messages import did_you_mean, enumerate_names
from vlprompt.registry import HOOKS

_SAVED_STEP = 'saved_step'


@HOOKS.register_module()
class CheckpointHook(_CheckpointHook):
    """mmengine's ``CheckpointHook``, whose arguments it takes, with these differences:

    * a checkpoint is removed after its successor was written, not before, the best one too, so there is one at every
      moment, and ``last_checkpoint`` always names a file that exists;
    * the state to resume from is written again after a validation of a checkpoint, and whenever there is a new best
      one, which writes no other checkpoint than itself; a run that was killed before repeats the validation
      when it is resumed (:class:`~vlprompt.engine.hooks.resuming.ResumeHook`);
    * ``save_best`` without validation, or by a metric that does not exist, is an error.

    Raises:
        ConfigError: see above.
    """

    _default_greater_keys: ClassVar = [*_CheckpointHook._default_greater_keys, 'shot/', 'reid/']  # all of these metrics
    _saved_step: int | None = None
    _in_training = False

    def before_train(self, runner: Runner) -> None:
        require_validation(runner.cfg, self.save_best)
        super().before_train(runner)
        self._in_training = True
        hub = runner.message_hub
        if (last := hub.get_info('last_ckpt')) is not None:  # resumed, perhaps from a folder that was moved
            self.last_ckpt = str(Path(self.out_dir, Path(last).name))
            self._saved_step = hub.get_info(_SAVED_STEP)
            self._finish_saving(runner)  # the run may have been killed before that

    def after_train(self, runner: Runner) -> None:
        super().after_train(runner)
        self._in_training = False

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        if not self._in_training:  # a validation alone selects nothing
            return
        runner.message_hub.update_info(VALIDATED, runner.iter)
        step = runner.epoch if self.by_epoch else runner.iter
        replaced = self._save_best_checkpoint(runner, metrics or {}) if self.save_best else None
        saved = self._saved_step == step
        if saved or replaced is not None:
            self._save_state(runner, Path(self.last_ckpt).name if saved else RESUME_FILE, replaced or ())

    def _save_state(self, runner: Runner, filename: str, replaced: Iterable[str]) -> None:
        """Write the state after a validation, then remove the best checkpoints that it has replaced.

        Args:
            runner: in training.
            filename: of the checkpoint with the tensors of this step, or of the state itself.
            replaced: names of the best checkpoints.
        """
        if self._saved_step is not None and self.save_optimizer:
            runner.message_hub.update_info(OUTDATED, list(replaced))
            meta = dict(epoch=runner.epoch, iter=runner.iter)
            runner.save_state(self.out_dir, filename, meta, self.save_param_scheduler)
            self._finish_saving(runner)
        elif is_main_process():  # there is no state that names them
            for name in replaced:
                Path(self.out_dir, name).unlink(missing_ok=True)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict[str, Any]) -> None:
        """Write a checkpoint, then name it as the last one, then remove those that it makes superfluous.

        Args:
            runner: in training.
            step: epoch or iteration, for its name.
            meta: progress of the training.
        """
        runner.readings.read()  # an error about them names the checkpoint before this one
        hub = runner.message_hub
        filename = self.filename_tmpl.format(step)
        outdated: list[str] = []
        if self.max_keep_ckpts > 0:
            kept = [*(other for other in self.keep_ckpt_ids if other != step), step]
            outdated += [self.filename_tmpl.format(other) for other in kept[: -self.max_keep_ckpts]]
            self.keep_ckpt_ids.clear()
            self.keep_ckpt_ids.extend(kept[-self.max_keep_ckpts :])
            hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        self.last_ckpt, self._saved_step = str(Path(self.out_dir, filename)), step
        hub.update_info_dict({'last_ckpt': self.last_ckpt, _SAVED_STEP: step, OUTDATED: outdated})
        runner.save_checkpoint(
            self.out_dir,
            filename,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        self._finish_saving(runner)

    def _init_rule(self, rules: list[str | None], key_indicators: list[str]) -> None:
        try:
            super()._init_rule(rules, key_indicators)
        except ValueError as error:
            raise ConfigError(
                f'default_hooks.checkpoint.save_best: whether more or less of {enumerate_names(key_indicators)} is '
                'better is not known: set --cfg-options default_hooks.checkpoint.rule=greater (or less)'
            ) from error

    def _save_best_checkpoint(self, runner: Runner, metrics: dict[str, float]) -> list[str] | None:
        """Write a best checkpoint for every metric that has improved.

        Returns:
            Names of the checkpoints that they replace; None if none has improved.
        """
        for key in self.key_indicators:
            if key not in metrics and key != 'auto':
                raise ConfigError(
                    f'default_hooks.checkpoint.save_best={key!r} is none of the metrics of the validation: '
                    f'{enumerate_names(metrics) or "there are none"}.{did_you_mean(key, metrics)}'
                )
        if 'auto' in self.key_indicators:
            if not metrics:
                runner.logger.warning('The validation has no metrics, so no best checkpoint is chosen.')
                return None
            self._init_rule(self.rules, [next(iter(metrics))])
        hub, replaced, improved = runner.message_hub, [], False
        step, unit = (runner.epoch, 'epoch') if self.by_epoch else (runner.iter, 'iter')
        for key, rule in zip(self.key_indicators, self.rules, strict=True):
            suffix = '' if len(self.key_indicators) == 1 else f'_{key}'
            best = hub.get_info(f'best_score{suffix}', self.init_value_map[rule])
            if metrics[key] is None or not self.is_better_than[key](metrics[key], best):
                continue
            improved = True
            name = f'best_{key}_{self.filename_tmpl.format(step)}'.replace('/', '_')
            before = hub.get_info(f'best_ckpt{suffix}')
            if before is not None and Path(before).name != name:
                replaced.append(Path(before).name)
            path = str(Path(self.out_dir, name))
            hub.update_info_dict({f'best_score{suffix}': metrics[key], f'best_ckpt{suffix}': path})
            if suffix:
                self.best_ckpt_path_dict[key] = path
            else:
                self.best_ckpt_path = path
            runner.save_checkpoint(
                self.out_dir,
                name,
                self.file_client_args,
                save_optimizer=False,
                save_param_scheduler=False,
                meta=dict(epoch=runner.epoch, iter=runner.iter),
                by_epoch=False,
                backend_args=self.backend_args,
            )
            runner.logger.info(f'Best checkpoint: {name}, {key} {metrics[key]:.4f} at {unit} {step}')
        return replaced if improved else None

    def _finish_saving(self, runner: Runner) -> None:
        if is_main_process() and Path(self.last_ckpt).is_file():
            finish_saving(runner.work_dir, self.last_ckpt, runner.message_hub.get_info(OUTDATED) or ())
