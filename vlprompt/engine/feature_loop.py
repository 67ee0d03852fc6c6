"""Training on features of images that never change: computed once, kept on disk, drawn in random order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_gather, get_dist_info
from mmengine.model import is_model_wrapper
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from vlprompt.clip.weights import state_sha256
from vlprompt.datasets.samplers.epoch import epoch_order
from vlprompt.engine.features import FeatureStore, compute_features, dataset_sha256
from vlprompt.registry import LOOPS


class FeatureDataset(Dataset):
    """Features in memory; indexed with many positions at once, as by a data loader, it returns a batch.

    Attributes:
        features: (N, D), None until they are computed.

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
        return dict(inputs=self.features[indices], data_samples=self.labels[indices])


class EpochOrder(Sampler):
    """A random order of ``range(size)`` for each (seed, epoch), shared by the processes in turn.

    All get equally many, since they step together: if ``size`` is not divisible, the first few are repeated.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed, self.epoch = size, seed, 0
        self.rank, self.processes = get_dist_info()

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        order = epoch_order(self.size, self.epoch, self.seed)
        order = np.resize(order, len(self) * self.processes)  # repeats from the start
        return iter(order[self.rank :: self.processes].tolist())

    def __len__(self) -> int:
        return -(-self.size // self.processes)


@LOOPS.register_module()
class FeatureTrainLoop(EpochBasedTrainLoop):
    """Train by epoch on features of the frozen image tower (CLIP-ReID's first phase).

    Before the first epoch, one pass over the images of ``dataloader`` gives ``model.image_features(images)`` (N, D) in
    eval mode.  An epoch is then a random permutation of these, cut into batches of the loader's size, the last one
    shorter; no image is read again.  The order depends on (seed, epoch) only, and several processes share each epoch.

    Features are stored under a key of the tower's weights, its options, normalisation, list and files of the dataset,
    pipeline and precision; a file that cannot be read or has another key is computed again, with a line in the log.

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
        **kwargs: of mmengine's ``EpochBasedTrainLoop``.
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
        self.images = dataloader
        images = dataloader.dataset
        labels = torch.tensor([int(images.get_data_info(index)['gt_label']) for index in range(len(images))])
        features = DataLoader(
            FeatureDataset(labels, images.metainfo),
            batch_size=dataloader.batch_size,
            sampler=EpochOrder(len(images), runner.seed),
            collate_fn=_identity,
        )
        super().__init__(runner, features, max_epochs, **kwargs)
        self.store = store
        self.dtype = torch.float16 if half else torch.float32

    def run(self) -> nn.Module:
        """Compute or read the features, then train."""
        self.dataloader.dataset.features = self._features()
        return super().run()

    def _features(self) -> Tensor:
        """(N, D) features of the images, in the order of their dataset."""
        model = self.runner.model.module if is_model_wrapper(self.runner.model) else self.runner.model
        dataset = self.images.dataset
        stored = None
        if self.store is not None:
            preprocessor = model.data_preprocessor
            stored = FeatureStore(
                self.store,
                dict(
                    weights=state_sha256(model.clip.visual.state_dict()),
                    tower=model.clip.visual.options,
                    quick_gelu=model.clip.quick_gelu,
                    mean=preprocessor.mean.flatten().tolist(),
                    std=preprocessor.std.flatten().tolist(),
                    dataset=dataset_sha256(dataset),
                    dtype=str(self.dtype),
                ),
            )
            found = stored.read(len(dataset))
            if all(all_gather(torch.tensor(int(found is not None)))):  # all processes or none: the pass is shared
                return found
        found = compute_features(
            lambda batch: dict(image=model.image_features(batch['inputs']).float()),
            model,
            dataset,
            self.images.batch_size,
            self.images.num_workers,
        )
        features = found['image'].to(self.dtype)
        if stored is not None and self.runner.rank == 0:
            stored.write(features)
        return features


def _identity(batch: Any) -> Any:
    return batch
