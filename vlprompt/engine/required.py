"""What a config must have, beside known keys and values, for a run to begin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from vlprompt.engine.adapters import is_adapter
from vlprompt.engine.checkpoint import require_checkpoint_file
from vlprompt.errors import ConfigError

LOOP_PARTS = dict(
    train=('train_dataloader', 'optim_wrapper', 'param_scheduler'),
    val=('val_dataloader', 'val_evaluator'),
    test=('test_dataloader', 'test_evaluator'),
)
"""Config keys that have no meaning without ``<loop>_cfg``."""


def require_model(cfg: Config) -> None:
    """Raise a ConfigError if a config describes no model."""
    if not isinstance(cfg.get('model'), Mapping) or 'type' not in cfg.model:
        what = f'has model={cfg.model!r}' if 'model' in cfg else 'defines no model'
        raise ConfigError(
            f'{cfg.filename or "config"} {what}; expected model=dict(type=...), which a config usually inherits: '
            "_base_ = 'vlprompt::coop/coop_rn50.py'"
        )


def require_parts(cfg: Mapping[str, Any], *loops: str) -> None:
    """Raise a ConfigError if a part of one of these loops is missing, and the config has the loop."""
    phase = _prefix(cfg)
    for loop in loops:
        if cfg.get(f'{loop}_cfg') is None:
            continue
        for part in LOOP_PARTS[loop]:
            if cfg.get(part) is None and part != 'param_scheduler':
                raise ConfigError(
                    f'{phase}{loop}_cfg is set, but {phase}{part} is missing: write it into the config, or set '
                    f'{phase}{loop}_cfg=None'
                )


def require_all_images(cfg: Mapping[str, Any]) -> None:
    """Raise a ConfigError if a loader of a validation or test leaves images out of the figures."""
    for loop in ('val', 'test'):
        loader = cfg.get(f'{loop}_dataloader') or {}
        if cfg.get(f'{loop}_cfg') is not None and isinstance(loader, Mapping) and loader.get('drop_last'):
            key = f'{_prefix(cfg)}{loop}_dataloader.drop_last'
            raise ConfigError(f'{key}=True leaves the last images out of the metrics: remove it, or set {key}=False')


def require_validation(cfg: Mapping[str, Any], save_best: str | Sequence[str] | None) -> None:
    """Check that a run can choose its best checkpoint.

    Args:
        cfg: of the run; that of a phase names it.
        save_best: metrics to choose by, as in mmengine's ``CheckpointHook``.

    Raises:
        ConfigError: it has no validation; the message has what to type.
    """
    if not save_best or cfg.get('val_cfg') is not None:
        return
    phase = _prefix(cfg)
    metrics = save_best if isinstance(save_best, str) else ','.join(save_best)
    lacking = [phase + key for key in ('val_dataloader', 'val_evaluator') if cfg.get(key) is None]
    give = f'write {" and ".join(lacking)} into the config and ' if lacking else ''
    raise ConfigError(
        f'{phase}default_hooks.checkpoint.save_best={metrics} has no effect, since the run has no validation: {give}'
        f'set --cfg-options {phase}val_cfg.type=ValLoop, or choose none: {phase}default_hooks.checkpoint.save_best=None'
    )


def require_checkpoint(cfg: Mapping[str, Any]) -> None:
    """Raise FileNotFoundError if ``load_from`` of a config, a checkpoint or an adapter, does not exist."""
    source = cfg.get('load_from')
    if source is not None and not is_adapter(source):
        require_checkpoint_file(source)


def refuse_own_checkpoint(cfg: Mapping[str, Any]) -> None:
    """Raise ConfigError if a training that begins anew starts from a checkpoint in its own folder."""
    folder = Path(cfg['work_dir']).resolve()
    for source in (cfg.get('load_from'), (cfg.get('start_from') or {}).get('checkpoint')):
        if source is None:
            continue
        path = Path(source).resolve()
        if folder in (path, path.parent):
            raise ConfigError(
                f'{source}, which the training starts from, is in its own folder, whose files it replaces: choose '
                f'another one (--work-dir {cfg["work_dir"]}_2), or go on with --resume'
            )


def _prefix(cfg: Mapping[str, Any]) -> str:
    """What is before the keys of a phase in the whole config."""
    return f'phases.{cfg["phase"]}.' if cfg.get('phase') else ''
