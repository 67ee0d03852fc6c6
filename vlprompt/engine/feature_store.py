"""Features of a whole data set on disk, under a key of everything they depend on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.logging import print_log
from torch import Tensor
from torch.utils.data import Dataset

from vlprompt.engine.checkpoint import read_checkpoint, write_checkpoint
from vlprompt.errors import CheckpointError


class FeatureStore:
    """One file per key in a folder.

    Args:
        folder: created when something is written.
        key: what the features depend on, made of plain values.  It is stored in the file and compared as a whole, so a
            file that was renamed or written by something else is never taken for another's.
    """

    def __init__(self, folder: str | Path, key: Mapping[str, Any]) -> None:
        self.key = json.dumps(key, sort_keys=True)
        self.path = Path(folder) / f'{hashlib.sha256(self.key.encode()).hexdigest()[:16]}.pth'

    def read(self, size: int) -> Tensor | None:
        """(``size``, D) features, or None, with a logged note where a file exists but cannot be used."""
        if not self.path.is_file():
            return None
        try:
            content = read_checkpoint(self.path)
        except CheckpointError as error:
            print_log(f'Stored features are computed again: {error}', logger='current')
            return None
        features = content.get('features')
        if content.get('key') != self.key or not isinstance(features, Tensor) or len(features) != size:
            print_log(f'Stored features are computed again: {self.path} holds something else.', logger='current')
            return None
        print_log(f'Features of {size} images read from {self.path}', logger='current')
        return features

    def write(self, features: Tensor) -> None:
        """Store (N, D) features."""
        write_checkpoint(dict(key=self.key, features=features.cpu()), self.path)
        print_log(f'Features of {len(features)} images written to {self.path}', logger='current')


def dataset_sha256(dataset: Dataset) -> str:
    """Hash of a data set's list and pipeline, and of size and time of its files.

    Args:
        dataset: an :class:`mmengine.dataset.BaseDataset`.
    """
    steps = [f'{type(step).__qualname__} {sorted(vars(step).items())!r}' for step in dataset.pipeline.transforms]
    digest = hashlib.sha256('\n'.join(steps).encode())  # not their repr, which may tell where they are in memory
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        digest.update(repr(sorted((k, v) for k, v in info.items() if k != 'sample_idx')).encode())
        path = Path(str(info.get('img_path', '')))
        if path.is_file():
            status = path.stat()
            digest.update(f'{status.st_size} {status.st_mtime_ns}'.encode())
    return digest.hexdigest()
