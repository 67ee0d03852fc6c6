"""Slow work that mmengine repeats at every start with the same result, done once a process.

* A run formats its config with yapf five times: for a file, the log, the visualiser, the message hub, the checkpoint.
* Every file inherited from mmseg or mmdet has mmengine parse the eighty-odd metafiles of that package again.
"""

from __future__ import annotations

from functools import cache

from mmengine.config import Config, utils

KEPT = 8
"""Formatted texts that are kept: those of the phases of a run."""

_format_text = Config.pretty_text.fget
_formatted: dict[str, str] = {}


def pretty_text(cfg: Config) -> str:
    """Text of a config as mmengine formats it."""
    if not cfg._format_python_code:
        return _format_text(cfg)
    object.__setattr__(cfg, '_format_python_code', False)  # Config's own __setattr__ adds a key to its content
    try:
        plain = _format_text(cfg)
    finally:
        object.__setattr__(cfg, '_format_python_code', True)
    if plain not in _formatted:
        while len(_formatted) >= KEPT:
            _formatted.pop(next(iter(_formatted)))
        _formatted[plain] = _format_text(cfg)
    return _formatted[plain]


def do_repeated_work_once() -> None:
    """Put the functions of this module in the places of mmengine's; repeating it changes nothing."""
    Config.pretty_text = property(pretty_text)
    if not hasattr(utils.load, 'cache_info'):
        utils.load = cache(utils.load)  # read only there: the metafiles of installed packages
