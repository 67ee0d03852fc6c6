"""A table of the adapters that the package ships."""

from __future__ import annotations

from collections.abc import Sequence

from vlprompt.engine.adapters import BUILTIN, builtin_adapters
from vlprompt.engine.adapters.card import dataset_of
from vlprompt.engine.adapters.folder import TENSORS, read_config, task_of
from vlprompt.engine.adapters.sources import BUILTIN_FOLDER

_FIGURES = ('accuracy/top1', 'shot/overall', 'mIoU', 'coco/bbox_mAP', 'reid/mAP')
"""The figure of each task that the table shows."""


def adapters_table(words: Sequence[str] = ('',)) -> str:
    """Name, model, data, a figure and size of the adapters whose names have one of the words; '' if none has."""
    names = [name for name in builtin_adapters() if any(name in builtin_adapters(word) for word in words)]
    rows = [_row(name) for name in names]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return '\n'.join('  '.join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _row(name: str) -> tuple[str, ...]:
    config = read_config(BUILTIN_FOLDER / name, BUILTIN + name)
    metrics = config.get('metrics') or {}
    figure = next((f'{key} {metrics[key]:.3g}' for key in _FIGURES if key in metrics), '')
    size = (BUILTIN_FOLDER / name / TENSORS).stat().st_size
    data = dataset_of(config) or ''
    task = str(task_of(config)).lower().replace('_', '-')
    return f'{BUILTIN}{name}', config['method'], task, data, figure, f'{size / 1e3:.0f} kB'
