"""Where the files that come with the package are: configs and tools."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _shipped(name: str, known: str) -> Path:
    """A folder beside the package, as in a checkout, or else in it, as in a wheel.

    Args:
        name: of the folder.
        known: what lies in it, which tells it from another folder of this name.
    """
    beside = _PACKAGE.parent / name
    within = _PACKAGE / '.mim' / name
    return within if (within / known).exists() and not (beside / known).exists() else beside


CONFIGS = _shipped('configs', '_base_')
"""The folder of the shipped configs."""

TOOLS = _shipped('tools', 'analysis_tools')
"""The folder of the shipped tools."""
