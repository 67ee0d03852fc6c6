"""Training in phases, one after another, in one command.

A method that trains one part after another lists them in its config::

    model = dict(...)                                   # shared by all phases
    phases = dict(                                      # in this order
        prompts=dict(train_cfg=dict(max_epochs=120), ...),         # merged onto the rest of the config
        finetune=dict(start_from=dict(keys=['prototypes']), ...),  # tensors from the phase before
    )

Each phase is a separate run in the folder ``<work_dir>/<phase>``, with its own optimizer, schedules, log and
checkpoints.  Its config is the whole config with the phase's entries merged onto it, in which

* ``dict(_delete_=True, ...)`` replaces an entry instead of merging;
* ``dict(_keep_=['clip'], ...)`` replaces all of it except the named parts.

Leaf configs and ``--cfg-options phases.prompts.train_cfg.max_epochs=2`` change single values, since phases have names.

**Hand-over.**  Every phase except the first states with ``start_from.keys``, a list of name patterns, which tensors it
takes from the last checkpoint of the phase before (:func:`~vlprompt.engine.start_from.hand_over`); an empty list for
none.  ``start_from.checkpoint`` names another file, also in a config without phases.

**Resuming.**  ``tools/train.py CONFIG --resume`` skips phases that have finished, continues the one that was
interrupted and then the next ones.  ``--phase NAME`` runs a single one.  Tools that need one model build that of the
phase that wrote the checkpoint, or of the last phase if there is no checkpoint.
"""

from __future__ import annotations

import copy
import gc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import barrier, is_main_process
from mmengine.logging import print_log
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from torch import nn

from vlprompt.engine.checkpoint import RESUME_FILE, read_checkpoint, tensor_shapes
from vlprompt.engine.config_files import work_dir_of
from vlprompt.engine.resume_state import OUTDATED, VALIDATED, finish_saving
from vlprompt.engine.schedules import follow_training_length
from vlprompt.engine.trial import try_training
from vlprompt.engine.work_dir import one_run, remove_leftovers
from vlprompt.errors import ConfigError
from vlprompt.messages import did_you_mean


def phase_config(cfg: Config, name: str | None = None) -> Config:
    """The config of one phase, with its name as ``phase`` in place of ``phases``; a config without phases is copied.

    Args:
        cfg: a whole config.
        name: of the phase; None: the last one.

    Raises:
        ConfigError: no phase of that name.
    """
    phases = cfg.get('phases') or {}
    if name is not None and name not in phases:
        known = ', '.join(phases) or 'none'
        raise ConfigError(f'there is no phase {name!r}; phases of the config: {known}.{did_you_mean(name, phases)}')
    single = copy.deepcopy(cfg)
    if phases:
        name = list(phases)[-1] if name is None else name
        single.pop('phases')
        single.phase = name
        single.merge_from_dict(_with_kept(phases[name].to_dict(), single._cfg_dict.to_dict()))
        _drop_delete_marks(single._cfg_dict)
        follow_training_length(single.get('param_scheduler'), single.get('train_cfg') or {})
    return single


def phase_of(cfg: Config, checkpoint: Mapping[str, Any] | None) -> str | None:
    """Name of the phase of ``cfg`` that wrote the checkpoint, or None if unknown."""
    name = ((checkpoint or {}).get('meta') or {}).get('phase')
    return name if name in (cfg.get('phases') or {}) else None


def _with_kept(changes: dict, base: Mapping) -> dict:
    """Resolve ``_keep_`` in a dict to be merged onto ``base``: replace an entry except for its named parts."""
    resolved = {}
    for key, value in changes.items():
        below = base.get(key) if isinstance(base, Mapping) else None
        if isinstance(value, Mapping) and '_keep_' in value:
            kept = Config(dict(entry={part: below[part] for part in value['_keep_'] if part in (below or {})}))
            kept.merge_from_dict(dict(entry={k: v for k, v in value.items() if k != '_keep_'}))
            value = dict(kept.entry.to_dict(), _delete_=True)
        elif isinstance(value, Mapping):
            value = _with_kept(dict(value), below)
        resolved[key] = value
    return resolved


def check_hand_over(configs: Mapping[str, Config]) -> None:
    """Raise ConfigError for a phase after the first that does not say what it starts from.

    Args:
        configs: of all phases by name, in order, as :func:`phase_config` returns them.
    """
    for name, single in list(configs.items())[1:]:
        if single.get('start_from') is None:
            others = [other for other in configs if other != name]
            raise ConfigError(
                f'phases.{name} does not say what it takes over from the phase before: set '
                f"phases.{name}.start_from=dict(keys=['<pattern of tensor names>', ...]), or keys=[] for nothing."
                f'{did_you_mean(name, others)}'
            )


def phase_configs(cfg: Config) -> dict[str, Config]:
    """Configs of all phases by name, in order, each with its folder and its starting point.

    Raises:
        ConfigError: a phase after the first without ``start_from``.
    """
    configs = {name: phase_config(cfg, name) for name in cfg.phases}
    check_hand_over(configs)
    before = None
    folder = Path(work_dir_of(cfg))
    for name, single in configs.items():
        single.work_dir = str(folder / name)
        single.experiment_name = f'{Path(cfg.filename or "config").stem}_{name}'
        if before is not None and single.start_from.get('checkpoint') is None:
            single.start_from.checkpoint = configs[before].work_dir
        before = name
    return configs


class PhasedRunner:
    """All phases of a config, one after another; ``RUNNERS.build`` returns it for a config with ``phases``.

    Args:
        cfg: a composed config with ``phases``.

    Attributes:
        cfg: the config.
        configs: the config of every phase by name, in order.
        work_dir: the folder that holds a folder for each phase.
        runner: of the last phase; None until :meth:`train` or :meth:`test`.
    """

    def __init__(self, cfg: Config) -> None:
        self.cfg, self.configs = cfg, phase_configs(cfg)
        self.work_dir = work_dir_of(cfg)
        self.runner: Runner | None = None

    def train(self) -> nn.Module:
        """Train all phases and return the model of the last."""
        self.runner = train_phases(self.configs)
        return self.runner.model

    def test(self) -> dict[str, float]:
        """Metrics of the last phase's model: the trained one, or that of ``load_from``."""
        if self.runner is None:
            last = copy.deepcopy(list(self.configs.values())[-1])
            last.start_from = None  # a test takes nothing over from the phase before
            self.runner = RUNNERS.build(last)
        return self.runner.test()


def finished_checkpoint(cfg: Config) -> Path | None:
    """The last checkpoint of a run that has reached ``max_epochs`` or ``max_iters`` in its folder, or None.

    A run that was cut off in its last validation has not finished.
    """
    path = Path(cfg.work_dir, RESUME_FILE)
    if not path.is_file():
        return None
    content = read_checkpoint(path)
    goals = [('epoch', cfg.train_cfg.get('max_epochs')), ('iter', cfg.train_cfg.get('max_iters'))]
    reached = [content['meta'][unit] >= goal for unit, goal in goals if goal is not None]
    info = content['message_hub']['runtime_info']
    validates = cfg.get('val_cfg') is not None and all(
        goal >= cfg.train_cfg.get('val_begin', 1) for _, goal in goals if goal is not None
    )
    missed = validates and info.get(VALIDATED) != content['meta']['iter']
    checkpoint = path.with_name(content['checkpoint'])
    return checkpoint if reached and all(reached) and not missed and checkpoint.is_file() else None


def train_phases(configs: Mapping[str, Config], only: str | None = None) -> Runner:
    """Run phases one after another, all in this process (and process group), which claim the folder of them all.

    Args:
        configs: of :func:`phase_configs`.  With ``resume``, a finished phase is not run again.
        only: name of the one phase to run; those before it must have finished, unless it names its own checkpoint.

    Returns:
        The runner of the last phase, trained or, if it had finished before, ready to load its checkpoint for a test.

    Raises:
        ConfigError: ``only`` is unknown, or follows a phase that has not finished; or the model of a later phase
            cannot be built, which is tried before the first phase trains.
        RunError: another process trains in the folder.
    """
    if only is not None and only not in configs:
        raise ConfigError(f'there is no phase {only!r}; phases of the config: {", ".join(configs)}')
    with one_run(Path(next(iter(configs.values())).work_dir).parent):
        return _train_phases(configs, only)


def _train_phases(configs: Mapping[str, Config], only: str | None) -> Runner:
    done_before = {name: finished_checkpoint(cfg) if cfg.get('resume') else None for name, cfg in configs.items()}
    waiting = [] if only else [name for name in configs if done_before[name] is None][1:]
    runner = None
    for number, (name, cfg) in enumerate(configs.items(), 1):
        if only not in (None, name):
            continue
        done = done_before[name]
        if done is None:
            _check_source(name, configs)
            print_log(f'Phase {number} of {len(configs)}: {name}, in {cfg.work_dir}', logger='current')
        else:
            print_log(f'Phase {number} of {len(configs)}: {name} has finished before ({done})', logger='current')
            _tidy(cfg.work_dir, done)
            cfg.merge_from_dict(dict(resume=False, load_from=str(done), start_from=None))
        if done is None or name == (only or list(configs)[-1]):
            del runner  # its model and optimizer, before the next are built
            gc.collect()
            runner = RUNNERS.build(cfg)
            _try_phases(waiting, configs, runner)
            gc.collect()  # what was tried, and refers to itself
            waiting = []
            later = list(configs)[number:]
            runner.later_phases = tuple(Path(configs[other].work_dir).name for other in later if not done_before[other])
        if done is None:
            runner.train()
            barrier()  # the checkpoint is written by one process and read by all
    return runner


def _tidy(folder: str, checkpoint: Path) -> None:
    """Make up for what a finished phase has not done if it was killed in its last moments."""
    if is_main_process():
        info = read_checkpoint(Path(folder, RESUME_FILE))['message_hub']['runtime_info']
        last = checkpoint.with_name(Path(info.get('last_ckpt') or checkpoint).name)
        finish_saving(folder, last, info.get(OUTDATED) or ())
        remove_leftovers(folder)


def _try_phases(names: Sequence[str], configs: Mapping[str, Config], runner: Runner) -> None:
    """Let the runner try what the phases after its own need, so that mistakes show before training.

    Args:
        names: the phases that begin anew after that of ``runner``.
        configs: of all phases.
        runner: a :class:`~vlprompt.engine.runner.PromptRunner` that has not trained; others try nothing.

    Raises:
        ConfigError: a value of a phase is wrong, with the name of the phase.
        ValueError, OSError: its data cannot be read, or its batches cannot be drawn.
    """
    if not names or not hasattr(runner, 'bare_model'):
        return
    states = {configs[runner.cfg.phase].work_dir: tensor_shapes(runner.bare_model)}
    for name in names:
        states[configs[name].work_dir] = try_training(runner, configs[name], states)


def _check_source(name: str, configs: Mapping[str, Config]) -> None:
    """Raise if a phase starts from one that has not finished."""
    source = (configs[name].get('start_from') or {}).get('checkpoint')
    for other, cfg in configs.items():
        if source == cfg.work_dir and finished_checkpoint(cfg) is None:
            raise ConfigError(
                f'phase {name!r} starts from phase {other!r}, which has not finished in {cfg.work_dir}: run without '
                f'--phase (and with --resume), or set phases.{name}.start_from.checkpoint to a saved checkpoint'
            )


def _drop_delete_marks(node: Any) -> None:
    """Remove ``_delete_`` marks that had nothing to replace."""
    if isinstance(node, Mapping):
        node.pop('_delete_', None)
        for value in node.values():
            _drop_delete_marks(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            _drop_delete_marks(value)
