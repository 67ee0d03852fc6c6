"""Training on features of images that never change: computed once, kept on disk, drawn in random order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from signal import Signals
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_gather, get_dist_info
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from vlprompt.clip.weights import state_sha256
from vlprompt.datasets.samplers.epoch import epoch_order
from vlprompt.engine.features import FeatureStore, compute_features, dataset_sha256
from vlprompt.engine.loops import EpochTrainLoop
from vlprompt.errors import Stopped
from vlprompt.registry import LOOPS


class FeatureDataset(Dataset):
    """Features in memory; indexed with many positions at once, as by a data loader, it returns a batch.

    Position ``i + N`` is sample i once more, as a filling of :class:`EpochOrder`: its label is -1.

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


@LOOPS.register_module()
class FeatureTrainLoop(EpochTrainLoop):
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
        """Compute or read the features, then train.

        Raises:
            Stopped: a signal asked the training to end before its first iteration.  There is no state to save.
        """
        self.dataloader.dataset.features = self._features()
        asked = max(int(number) for number in all_gather(torch.tensor(self._signal())))
        if asked:
            self._stop(asked)
        return super().run()

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

    def _image_features(self, model: nn.Module, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """``dict(image (B, D))`` of a batch.  One process ends between two batches; several do after the pass, since
        they may have different numbers of batches.
        """
        if self.runner.world_size == 1 and (asked := self._signal()):
            self._stop(asked)
        return dict(image=model.image_features(batch['inputs']).float())

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
            partial(self._image_features, model),
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
