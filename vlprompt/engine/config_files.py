"""Finding configs: by path or name, in lists, and in an installed package."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path

from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE

from vlprompt.errors import ConfigError
from vlprompt.messages import did_you_mean, enumerate_names
from vlprompt.shipped import CONFIGS

MODULE2PACKAGE.setdefault('vlprompt', 'vlprompt')  # mmengine resolves _base_ = 'vlprompt::...' through this table


def config_names(folder: str | Path) -> list[str]:
    """Sorted names of the configs below ``folder``, without ``.py``; ``_base_`` folders below it are skipped."""
    names = (path.relative_to(folder).with_suffix('') for path in Path(folder).rglob('*.py'))
    return sorted(name.as_posix() for name in names if '_base_' not in name.parts)


def list_configs(pattern: str = '') -> list[str]:
    """Names of the shipped configs such as ``'plot/plot_rn50'``, as :func:`find_config` takes them.

    Args:
        pattern: keep names that contain it, or that match it if it contains ``*`` or ``?``.

    Example:
        >>> list_configs('plot_rn50')[0]
        'plot/plot_rn50'
    """
    names = config_names(CONFIGS)
    if any(sign in pattern for sign in '*?['):
        return [name for name in names if fnmatchcase(name, pattern) or fnmatchcase(Path(name).name, pattern)]
    return [name for name in names if pattern in name]


def find_config(config: str | Path) -> Path:
    """The file of a config, given as a path or as the name of a shipped one, with or without its folder and ``.py``.

    ``'configs/plot/plot_rn50.py'``, ``'plot/plot_rn50'``, ``'plot_rn50'`` and ``'vlprompt::plot/plot_rn50.py'`` are the
    same file.

    Raises:
        FileNotFoundError: no such config; the message names the closest ones.
        ConfigError: a folder, or a name that several configs have.
    """
    if Path(config).is_file():
        return Path(config)
    if Path(config).is_dir():
        known = config_names(config)
        raise ConfigError(f'config {config} is a folder; it holds {enumerate_names(known) or "no config"}')
    name = str(config).removeprefix('vlprompt::').removesuffix('.py').removeprefix('./').removeprefix('configs/')
    names = config_names(CONFIGS)
    found = [known for known in names if known == name or known.rpartition('/')[2] == name]
    if len(found) == 1:
        return CONFIGS / f'{found[0]}.py'
    if found:
        raise ConfigError(f'config {config} is ambiguous: {", ".join(found)}')
    close = did_you_mean(name, [*names, *(known.rpartition('/')[2] for known in names)])
    raise FileNotFoundError(
        f'config {config} does not exist.{close} vlprompt list lists the shipped ones, with a word to search for.'
    )


def work_dir_of(cfg: Config) -> str:
    """The folder that a composed config writes to: its ``work_dir``, or one in ``work_dirs/`` by :func:`run_name`."""
    return cfg.get('work_dir') or str(Path('work_dirs') / run_name(cfg))


def run_name(cfg: Config, shots: bool = True) -> str:
    """Name of a run: config, dataset and shots where known, e.g. ``plot_rn50_dtd_4shot``.

    A dataset that is named by the config's own name is not repeated; ``scenes_seg`` and ``scenes_det`` count as
    ``scenes``.

    Args:
        cfg: a composed config.
        shots: add the number of shots.
    """
    parts = [Path(cfg.filename or 'config').stem]
    if cfg.get('dataset') is not None:
        dataset = Path(cfg.dataset).stem
        words = re.escape(re.sub('^(scenes)_.*', r'\1', dataset))
        if not re.search(rf'(?<![^_-]){words}(?![^_-])', parts[0]):
            parts.append(dataset)
    if shots and cfg.get('shots') is not None and cfg.get('train_cfg') is not None:
        parts.append(f'{cfg.shots}shot')
    return '_'.join(parts)
