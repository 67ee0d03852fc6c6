"""Features of a whole dataset: computed in one pass and stored under a key of everything that they depend on."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from mmcv.transforms import BaseTransform
from mmengine.dataset import pseudo_collate
from mmengine.dist import all_gather, get_dist_info
from mmengine.logging import print_log
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

from vlprompt.clip.tensor_files import read_tensors
from vlprompt.clip.weights import state_sha256
from vlprompt.engine.sharded import gathered
from vlprompt.engine.workers import guard_workers
from vlprompt.engine.writing import write_checkpoint
from vlprompt.errors import CheckpointError
from vlprompt.precision import uses_tf32

REPORT_EVERY = 10
"""Seconds between two lines of the log about the progress of a pass."""


def image_loader(dataset: Dataset, batch_size: int, num_workers: int = 0) -> DataLoader:
    """Batches of a dataset in its order, the last one shorter, as ``model.data_preprocessor`` takes them."""
    if hasattr(dataset, 'full_init'):
        dataset.full_init()
    loader = DataLoader(
        dataset,
        batch_size=batch_size,
        num_workers=num_workers,
        collate_fn=pseudo_collate,
        pin_memory=torch.cuda.is_available(),
    )
    return guard_workers(loader)


@torch.no_grad()
def compute_features(
    function: Callable[[dict[str, Any]], Mapping[str, Tensor]],
    model: nn.Module,
    dataset: Dataset,
    batch_size: int = 64,
    num_workers: int = 0,
) -> dict[str, Tensor]:
    """Apply ``function`` to every sample of a dataset, in its order; no gradients, model in eval mode.

    Processes of a distributed run share the work, and each gets all features.

    Args:
        function: takes a batch from the model's data preprocessor, ``dict(inputs (B, 3, H, W) normalised,
            data_samples)``, and returns tensors by name, (B, ...) each.
        model: has the ``data_preprocessor``; its mode is restored afterwards.
        dataset: its items are inputs of the preprocessor: ``inputs`` and ``data_samples`` of one image.
        batch_size: images at a time.
        num_workers: processes that load images.

    Returns:
        The tensors by name, (N, ...) each, on the CPU, in the dtype that ``function`` returns.

    Raises:
        ValueError: the dataset is empty.

    Example:
        >>> found = compute_features(lambda batch: dict(image=model.image_features(batch['inputs'])), model, dataset)
        >>> found['image'].shape
        torch.Size([1000, 512])
    """
    if not len(dataset):
        raise ValueError('the dataset is empty: there is no image to compute features of')
    rank, processes = get_dist_info()
    # Every process has an image, even with more processes than images, since their sizes must agree.
    own = Subset(dataset, range(rank, len(dataset), processes) or [0])
    parts: dict[str, list[Tensor]] = {}
    seen, due = 0, time.monotonic() + REPORT_EVERY
    training = model.training
    model.eval()
    try:
        with gathered(model):
            for batch in image_loader(own, batch_size, num_workers):
                for name, values in function(model.data_preprocessor(batch)).items():
                    parts.setdefault(name, []).append(values.cpu())
                seen += len(batch['inputs'])
                if time.monotonic() > due:
                    print_log(f'Features of {seen} of {len(own)} images computed', logger='current')
                    due += REPORT_EVERY
    finally:
        model.train(training)
    return {name: _of_all_processes(torch.cat(values), len(dataset)) for name, values in parts.items()}


def _of_all_processes(own: Tensor, size: int) -> Tensor:
    """(``size``, ...) on the CPU, row i from process i modulo their number; ``own`` are the rows of this process."""
    _, processes = get_dist_info()
    if processes == 1:
        return own
    padded = own.new_zeros(-(-size // processes), *own.shape[1:])
    padded[: len(own)] = own
    return torch.stack(all_gather(padded), 1).flatten(0, 1)[:size].cpu()


def labels_of_images(images: Dataset) -> Tensor:
    """(N,) ``gt_label`` of the images of a dataset."""
    return torch.tensor([int(images.get_data_info(index)['gt_label']) for index in range(len(images))])


class FeatureStore:
    """One file per key in a folder.

    Args:
        folder: created when something is written.
        key: everything that the features depend on, as plain values.  It is stored in the file and compared as a whole,
            so a renamed or foreign file is never mistaken for the right one.
        tells: log what is read and written; False where the caller does so for many files at once.
    """

    def __init__(self, folder: str | Path, key: Mapping[str, Any], tells: bool = True) -> None:
        self.tells = tells
        self.key = json.dumps(key, sort_keys=True)
        self.path = Path(folder) / f'{hashlib.sha256(self.key.encode()).hexdigest()[:16]}.pth'

    def read(self, size: int) -> Tensor | None:
        """(``size``, D) features, or None; logs if a file exists but cannot be used.

        They are mapped from the file, whose sums are compared: processes that read the same ones share their memory.
        """
        if not self.path.is_file():
            return None
        try:
            content = read_tensors(self.path, mapped=True)
        except CheckpointError as error:
            print_log(f'Stored features are computed again: {error}', logger='current')
            return None
        content = content if isinstance(content, Mapping) else {}
        features = content.get('features')
        if content.get('key') != self.key or not isinstance(features, Tensor) or len(features) != size:
            print_log(f'Stored features are computed again: {self.path} has another key.', logger='current')
            return None
        if self.tells:
            print_log(f'Features of {size} images read from {self.path}', logger='current')
        return features

    @contextmanager
    def held(self, alone: bool = True) -> Iterator[None]:
        """Until the block ends, other processes wait that hold the same key, so that one computes for all of them.

        Where no lock can be had, as in a folder that may only be read, nobody waits; all features should be there.

        Args:
            alone: False: do nothing, in a run of several processes, which would wait for one another.
        """
        if not alone:
            yield
            return
        with ExitStack() as stack:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                lock = _open_lock(self.path.with_suffix('.lock'))
                stack.callback(os.close, lock)
                _wait_for(lock, self.path)
            except OSError as error:
                print_log(f'{self.path.parent} cannot be locked ({error.strerror}): nobody waits for it.', 'current')
            yield

    def write(self, features: Tensor) -> None:
        """Store (N, D) features."""
        write_checkpoint(dict(key=self.key, features=features.cpu()), self.path)
        if self.tells:
            print_log(f'Features of {len(features)} images written to {self.path}', logger='current')


def _open_lock(file: Path) -> int:
    """Open a file to lock it: for writing, as network file systems want it; that of another user for reading."""
    try:
        return os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError:
        return os.open(file, os.O_RDONLY)


def _wait_for(lock: int, path: Path) -> None:
    """Lock an open file; a line in the log says so if another process has it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print_log(f'Another process computes features for {path.parent}: waiting for it', 'current')
        fcntl.flock(lock, fcntl.LOCK_EX)


def dataset_sha256(dataset: Dataset) -> str:
    """Hash of a dataset's list and pipeline, and of size and time of its files.

    Args:
        dataset: an :class:`mmengine.dataset.BaseDataset`.
    """
    digest = hashlib.sha256('\n'.join(map(_describe, dataset.pipeline.transforms)).encode())
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        digest.update(repr(sorted((k, v) for k, v in info.items() if k != 'sample_idx')).encode())
        path = Path(str(info.get('img_path', '')))
        if path.is_file():
            status = path.stat()
            digest.update(f'{status.st_size} {status.st_mtime_ns}'.encode())
    return digest.hexdigest()


def _spelled(value: Any) -> str:
    if isinstance(value, BaseTransform):
        return _describe(value)
    if isinstance(value, (list, tuple)):
        return repr([_spelled(item) for item in value])
    return repr(value)


def _describe(step: Any) -> str:
    """Class and options of a transform, not its repr, which may contain memory addresses."""
    caches = getattr(step, 'caches', ())
    options = {name: _spelled(value) for name, value in sorted(vars(step).items()) if name not in caches}
    return f'{type(step).__module__}.{type(step).__qualname__} {options}'


def feature_key(model: nn.Module, dataset: Dataset, dtype: torch.dtype) -> dict[str, Any]:
    """What features of the images of a dataset depend on: the key of a store.  Those that are computed in TF32 are kept
    apart.

    Args:
        model: with ``clip`` and ``data_preprocessor``.
        dataset: with its pipeline.
        dtype: of the stored features.
    """
    preprocessor = model.data_preprocessor
    key = dict(
        weights=state_sha256(model.clip.visual.state_dict()),
        tower=model.clip.visual.options,
        quick_gelu=model.clip.quick_gelu,
        lora_scale=getattr(model, 'lora_scale', None),
        mean=preprocessor.mean.flatten().tolist(),
        std=preprocessor.std.flatten().tolist(),
        dataset=dataset_sha256(dataset),
        dtype=str(dtype),
    )
    return key | (dict(tf32=True) if uses_tf32() else {})
