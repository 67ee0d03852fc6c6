"""Messages of other packages that are not true in runs of this package, and keeping them from the terminal.

mmengine, mmseg and mmdet speak through three channels: ``warnings``, their logger, and ``print``, to which mmengine's
``print_log`` falls back without a logger, whatever the level.  Everything that is not in :data:`UNTRUE` passes.
"""

from __future__ import annotations

import builtins
import logging
import re
import warnings
from typing import Any, NamedTuple

import mmengine.logging.logger as mmengine_logger


class Untrue(NamedTuple):
    """A message that would mislead.

    Attributes:
        channel: ``'warnings'``, ``'log'`` or ``'print'``.
        start: how it starts.
        source: the file that it comes from, below site-packages.
        reason: why it does not hold here.
    """

    channel: str
    start: str
    source: str
    reason: str


UNTRUE = (
    Untrue(
        'print',
        'Could not import OneDL',
        'mmdet/datasets/__init__.py',
        'a debug message, printed by every import of mmseg and mmdet: no dataset here is one of OneDL',
    ),
    Untrue(
        'warnings',
        'faster_coco_eval is not installed, metrics will not be computed',
        'mmdet/evaluation/metrics/faster_coco_metric.py',
        'CocoMetric, which all configs use, computes them with pycocotools',
    ),
    Untrue(
        'warnings',
        'Default ``avg_non_ignore`` is False',
        'mmseg/models/losses/cross_entropy_loss.py',
        'no default: the published losses average over all pixels, and the message comes with an explicit False too',
    ),
    Untrue(
        'warnings',
        'This DataLoader will create',
        'torch/utils/data/dataloader.py',
        'some workers more than cores wait for one another and for files, and nothing freezes',
    ),
    Untrue(
        'warnings',
        'For binary segmentation, we suggest using',
        'mmseg/models/decode_heads/decode_head.py',
        'two classes with a softmax are what the configs mean, and what published tables of two classes report',
    ),
    Untrue(
        'warnings',
        '`broadcast_buffers` is deprecated',
        'torch/nn/parallel/distributed.py',
        "mmengine's wrapper for distributed training passes it, no config does; it still acts as it did",
    ),
    Untrue(
        'log',
        '"FileClient" will be deprecated in future',
        'mmengine/fileio/file_client.py',
        "mmengine's own CheckpointHook makes one; no config or file of the user does",
    ),
    Untrue(
        'log',
        '"HardDiskBackend" is the alias of "LocalBackend"',
        'mmengine/fileio/file_client.py',
        'the same',
    ),
    Untrue(
        'log',
        'The prefix is not set in metric class IoUMetric',
        'mmengine/evaluator/metric.py',
        "mIoU, aAcc and mAcc are the names under which mmseg's tools and papers report them",
    ),
)
"""All of them."""


def is_untrue(message: str, channel: str) -> bool:
    """Whether a message of a channel is one of :data:`UNTRUE`."""
    return any(entry.channel == channel and message.startswith(entry.start) for entry in UNTRUE)


class UntrueFilter(logging.Filter):
    """Rejects untrue messages; for the handler of a logger."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not is_untrue(record.getMessage(), 'log')


def silence_untrue() -> None:
    """Keep untrue messages of the channels ``warnings`` and ``print`` from the terminal; repeating it changes nothing.

    The logger's are up to the handlers that carry an :class:`UntrueFilter`.
    """
    for entry in UNTRUE:
        if entry.channel == 'warnings':
            warnings.filterwarnings('ignore', re.escape(entry.start))
    mmengine_logger.print = _print_true  # the name that print_log looks up


def _print_true(*values: Any, **options: Any) -> None:
    """``print``, except of untrue messages."""
    if not is_untrue(str(values[0]) if values else '', 'print'):
        builtins.print(*values, **options)
