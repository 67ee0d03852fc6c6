"""Training on features of images that never change: computed once, kept on disk, drawn in random order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from signal import Signals
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_gather, get_dist_info
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from vlprompt.datasets.samplers.epoch import batch_size_of, epoch_order
from vlprompt.engine.features import FeatureStore, compute_features, feature_key, labels_of_images
from vlprompt.engine.hooks.data import bare_model
from vlprompt.engine.loops import EpochTrainLoop
from vlprompt.errors import Stopped
from vlprompt.registry import LOOPS


class FeatureDataset(Dataset):
    """Features in memory; indexed with many positions at once, as by a data loader, it returns a batch.

    Position ``i + N`` is sample i once more, as a filling of :class:`EpochOrder`: its label is -1.

    Attributes:
        features: (N, D), or (N, A, D) of A views of each image; None until they are computed.

    Args:
        labels: (N,) long.
        metainfo: of the images' dataset.
    """

    def __init__(self, labels: Tensor, metainfo: Mapping[str, Any]) -> None:
        self.labels, self.metainfo = labels, metainfo
        self.features: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        """``dict(inputs (B, D), data_samples (B,))``."""
        positions = torch.tensor(indices)
        chosen = positions % len(self)
        labels = self.labels[chosen].masked_fill(positions >= len(self), -1)
        return dict(inputs=self.features[chosen], data_samples=labels)


class EpochOrder(Sampler):
    """A random order of ``range(size)`` for each (seed, epoch), shared by the processes in turn.

    All get equally many, since they step together: if ``size`` is not divisible, the last of some processes is a
    filling, one of the first few once more; fillings are ``size`` too large, so that nobody takes them for samples.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed, self.epoch = size, seed, 0
        self.rank, self.processes = get_dist_info()

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        order = epoch_order(self.size, self.epoch, self.seed)
        filling = np.resize(order, len(self) * self.processes - self.size) + self.size
        order = np.concatenate([order, filling])
        return iter(order[self.rank :: self.processes].tolist())

    def __len__(self) -> int:
        return -(-self.size // self.processes)


class FeatureLoop(EpochTrainLoop):
    """Base of trainings on features of the frozen image tower, which are computed before the first iteration.

    Features are stored under a key of the tower's weights, its options, normalisation, list and files of the dataset,
    pipeline and precision; a file that cannot be read or has another key is computed again, with a line in the log.

    Args:
        runner: the runner; its model has ``image_features``.
        images: the loader of the images.
        features: the loader of their features, of a :class:`FeatureDataset`.
        max_epochs: epochs.
        store: folder of the stored features; None: keep them in memory only.
        half: keep features in float16, as published.
        **kwargs: of :class:`~vlprompt.engine.loops.EpochTrainLoop`.
    """

    def __init__(
        self,
        runner: Runner,
        images: DataLoader,
        features: DataLoader,
        max_epochs: int,
        store: str | None,
        half: bool,
        **kwargs: Any,
    ) -> None:
        super().__init__(runner, features, max_epochs, **kwargs)
        self.images, self.store = images, store
        self.dtype = torch.float16 if half else torch.float32

    def compute(self) -> None:
        """Set the features of the dataset.

        Raises:
            Stopped: a signal asked the training to end before its first iteration.  There is no state to save.
        """
        raise NotImplementedError(f'{type(self).__name__} must define compute()')

    def run(self) -> nn.Module:
        """Compute or read the features, then train.

        Raises:
            Stopped: see :meth:`compute`.
        """
        self.compute()
        asked = max(int(number) for number in all_gather(torch.tensor(self._signal())))
        if asked:
            self._stop(asked)
        return super().run()

    @property
    def bare_model(self) -> nn.Module:
        """The model without the wrapper for distributed training."""
        return bare_model(self.runner)

    def _signal(self) -> int:
        """Number of the signal that has asked this process to end; 0 for none."""
        request = self.runner.stop_request
        return (request.signal or 0) if request is not None else 0

    def _stop(self, number: int) -> None:
        message = (
            f'Interrupted by {Signals(number).name} before the first iteration, while features were computed. What was '
            f'saved in {self.runner.work_dir} before stays; --resume continues the training.'
        )
        self.runner.logger.warning(message)
        raise Stopped(message if self.runner.rank == 0 else '', number)

    def _image_features(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """``dict(image (B, D))`` of a batch.  One process ends between two batches; several do after the pass, since
        they may have different numbers of batches.
        """
        if self.runner.world_size == 1 and (asked := self._signal()):
            self._stop(asked)
        return dict(image=self.bare_model.image_features(batch['inputs']).float())

    def compute_images(self, dataset: Dataset) -> Tensor:
        """(N, D) features of the images of a dataset, in its order, computed in one pass."""
        batch_size = batch_size_of(self.images)
        found = compute_features(self._image_features, self.bare_model, dataset, batch_size, self.images.num_workers)
        return found['image'].to(self.dtype)

    def key(self, dataset: Dataset) -> dict[str, Any]:
        """What features of the images of a dataset depend on: the key of a store."""
        return feature_key(self.bare_model, dataset, self.dtype)


def in_memory(images: Dataset, batch_size: int, sampler: Sampler | None = None) -> DataLoader:
    """A loader of the features of images, in their order without a sampler; they are set later."""
    features = FeatureDataset(labels_of_images(images), images.metainfo)
    return DataLoader(features, batch_size, sampler=sampler, collate_fn=_identity)


def read_in_all_processes(stored: FeatureStore | None, size: int) -> Tensor | None:
    """(``size``, D) stored features; None unless all processes have read them, since a pass over images is shared."""
    if stored is None:
        return None
    found = stored.read(size)
    return found if all(all_gather(torch.tensor(int(found is not None)))) else None


@LOOPS.register_module()
class FeatureTrainLoop(FeatureLoop):
    """Train by epoch on features of the frozen image tower (CLIP-ReID's first phase).

    Before the first epoch, one pass over the images of ``dataloader`` gives ``model.image_features(images)`` (N, D) in
    eval mode.  An epoch is then a random permutation of these, cut into batches of the loader's size, the last one
    shorter; no image is read again.  The order depends on (seed, epoch) only, and several processes share each epoch.

    Features are stored as :class:`FeatureLoop` says.

    Attributes:
        images: the loader of the images.
        dataloader: the loader of their features.

    Args:
        runner: the runner; its model has ``image_features`` and takes ``dict(inputs=features, data_samples=labels)``.
        dataloader: config of a loader of images with ``gt_label``.  Images are read once, so its pipeline should be
            that of a test; its sampler is not used.
        max_epochs: epochs.
        store: folder of the stored features; None: keep them in memory only.
        half: keep features in float16, as published.
        **kwargs: of :class:`~vlprompt.engine.loops.EpochTrainLoop`.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: dict | DataLoader,
        max_epochs: int,
        store: str | None = None,
        half: bool = False,
        **kwargs: Any,
    ) -> None:
        if isinstance(dataloader, Mapping):
            dataloader = runner.build_dataloader(dataloader, seed=runner.seed)
        order = EpochOrder(len(dataloader.dataset), runner.seed)
        features = in_memory(dataloader.dataset, batch_size_of(dataloader), order)
        super().__init__(runner, dataloader, features, max_epochs, store, half, **kwargs)

    def compute(self) -> None:
        """Set the (N, D) features of the images, in the order of their dataset."""
        dataset = self.images.dataset
        stored = None if self.store is None else FeatureStore(self.store, self.key(dataset))
        with nullcontext() if stored is None else stored.held(self.runner.world_size == 1):
            found = read_in_all_processes(stored, len(dataset))
            if found is None:
                found = self.compute_images(dataset)
                if stored is not None and self.runner.rank == 0:
                    stored.write(found)
        self.dataloader.dataset.features = found


def _identity(batch: Any) -> Any:
    return batch
