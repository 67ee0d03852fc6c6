"""Numbers that are NaN or infinite: which tensors hold them, which losses are, and which files a batch came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.dist import all_gather
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn.utils import get_total_norm

from vlprompt.clip.tensor_files import non_finite
from vlprompt.engine.checkpoint import trained_state
from vlprompt.engine.sharded import is_sharded, let_go, own_rows
from vlprompt.messages import enumerate_names


def broken_tensors(model: nn.Module, state: Mapping[str, Tensor] | None = None) -> list[str]:
    """Names of the trained tensors of a model that hold NaN or infinity.

    Args:
        model: its ``unset_tensors`` may hold NaN until a run fills them.
        state: its trained tensors, if they are at hand.  Of a sharded model this process looks at its own rows
            otherwise, since the others may not be there.
    """
    unset = getattr(model, 'unset_tensors', ())
    if state is None and is_sharded(model):
        let_go(model)
        tensors = [*((name, p) for name, p in model.named_parameters() if p.requires_grad), *model.named_buffers()]
        state = {name: own_rows(tensor.detach()).cpu() for name, tensor in tensors}
    state = trained_state(model) if state is None else state
    return non_finite({name: tensor for name, tensor in state.items() if name not in unset})


def largest_size(tensors: Iterable[Tensor]) -> Tensor:
    """Scalar: the largest absolute value, NaN or infinite if any value is; without reading it from the device.

    Where tensors are shared out, all processes must call this.
    """
    dense = [tensor.detach() for tensor in tensors]
    shared = any(isinstance(tensor, DTensor) for tensor in dense)
    rows = [t.coalesce().values() if t.is_sparse else t for t in map(own_rows, dense)]
    filled = [tensor for tensor in rows if tensor.numel()]
    own = get_total_norm(filled, norm_type=float('inf')) if filled else rows[0].new_zeros(())
    return torch.stack(all_gather(own)).amax() if shared else own


def files_of_batch(batch: Any) -> list[str]:
    """Image files of a training batch, in its order; empty if its samples do not name any, as stored features do not.

    Args:
        batch: as the data loader returns it, ``dict(inputs, data_samples)`` or a list of such.
    """
    if isinstance(batch, Mapping):
        return files_of_batch(batch.get('data_samples', ()))
    if isinstance(batch, (list, tuple)):
        return [file for item in batch for file in files_of_batch(item)]
    file = getattr(batch, 'img_path', None)
    return [] if file is None else [str(file)]


@dataclass(frozen=True)
class BatchSource:
    """Where a batch came from; it holds neither images nor features.

    Attributes:
        files: of its images, see :func:`files_of_batch`.
        labels: (B,) of stored features, which stand in for images; else None.
        samples: number of its data samples; None if it has none.
    """

    files: tuple[str, ...] = ()
    labels: Tensor | None = None
    samples: int | None = None

    @classmethod
    def of(cls, batch: Any) -> BatchSource:
        """Of a batch as the data loader returns it; nothing is read from the device."""
        labels = batch.get('data_samples') if isinstance(batch, Mapping) else None
        return cls(
            tuple(files_of_batch(batch)),
            labels if isinstance(labels, Tensor) else None,
            len(labels) if isinstance(labels, Sequence) else None,
        )

    def describe(self, limit: int = 8) -> str:
        """The files, or the labels where features stand in for images."""
        if self.files:
            return f'files of the batch: {enumerate_names(self.files, limit)}'
        if self.labels is not None:
            labels = enumerate_names(self.labels.tolist(), limit)
            return f'a batch of {len(self.labels)} stored features with labels {labels}'
        if self.samples is not None:
            return f'a batch of {self.samples} samples, which do not name their files'
        return 'a batch that does not name its files'


def hints_of(model: nn.Module) -> list[str]:
    """What the parts of a model say if their numbers are not finite: ``non_finite_hint``, where it is set."""
    hints = (getattr(module, 'non_finite_hint', None) for module in model.modules())
    return list(dict.fromkeys(hint for hint in hints if hint))
