"""Writing files of tensors: whole or not at all, and of plain values only."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from vlprompt.files import written_whole


def write_checkpoint(content: dict[str, Any], path: str | Path) -> None:
    """Write atomically: a process killed half-way leaves the old file, or none, never a broken one.

    Raises:
        OSError: with the file's name, for example on a full disk, of which torch says nothing.
    """
    stream = None
    with written_whole(path) as temporary:
        try:
            with open(temporary, 'wb') as file:
                stream = _Stream(file)
                torch.save(content, stream)
                file.flush()
                os.fsync(file.fileno())
        except (OSError, RuntimeError) as error:
            cause = (stream and stream.error) or error
            if not isinstance(cause, OSError):
                raise
            raise OSError(cause.errno, cause.strerror, str(path)) from error


class _Stream:
    """A file that remembers the error of a write, since torch replaces it by one of its own."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.flush = file.flush
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self.file.write(data)
        except OSError as error:
            self.error = error
            raise


def write_safetensors(tensors: Mapping[str, Tensor], path: str | Path, metadata: Mapping[str, str]) -> None:
    """Write tensors as a file of safetensors that others may read, as the rights of new files are set.

    ``safetensors.torch.save_file`` would make it readable for its owner alone.
    """
    Path(path).write_bytes(save(dict(tensors), metadata=dict(metadata)))


def to_plain_values(value: Any) -> Any:
    """A copy made of tensors, numbers, strings and containers only, which ``weights_only`` loading accepts.

    Arrays become tensors; objects without a plain form become their ``str``.
    """
    if isinstance(value, np.generic):  # before float and str, which some of them derive from
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if isinstance(value, np.ndarray):
        return (
            torch.from_numpy(value.copy())
            if value.dtype.kind in 'biuf'
            else [to_plain_values(v) for v in value.tolist()]
        )
    if isinstance(value, Mapping):
        return {to_plain_values(k): to_plain_values(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return (
            type(value)(to_plain_values(v) for v in value)
            if type(value) in (list, tuple)
            else [to_plain_values(v) for v in value]
        )
    return str(value)
