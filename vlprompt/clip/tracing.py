"""Whether the code that runs is recorded as the graph of an exported model."""

from __future__ import annotations

import torch


def _never() -> bool:
    return False


is_exporting = getattr(torch.compiler, 'is_exporting', _never)
"""``is_exporting()``: whether ``torch.export`` is recording.  Tensors are then symbols, which nothing may keep for
later, and whose sizes nothing may compare.  Torch 2.6 does not tell, and so cannot export."""
