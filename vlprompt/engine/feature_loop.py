"""Training on features of images that never change: computed once, kept on disk, drawn in random order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from mmengine.dataset import Compose
from mmengine.dist import all_gather, get_dist_info
from mmengine.model import is_model_wrapper
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler, Subset

from vlprompt.clip.weights import state_sha256
from vlprompt.datasets.samplers.epoch import epoch_order
from vlprompt.engine.feature_store import FeatureStore, dataset_sha256
from vlprompt.errors import ConfigError
from vlprompt.registry import LOOPS


class FeatureDataset(Dataset):
    """Features in memory; asked for many at once, as a data loader does, it gives a batch.

    Args:
        features: (N, D).
        labels: (N,) long.
        metainfo: of the images' data set.
    """

    def __init__(self, features: Tensor, labels: Tensor, metainfo: Mapping[str, Any]) -> None:
        self.features, self.labels, self.metainfo = features, labels, metainfo

    def __len__(self) -> int:
        return len(self.features)

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        """``dict(inputs (B, D), data_samples (B,))``."""
        return dict(inputs=self.features[indices], data_samples=self.labels[indices])


class EpochOrder(Sampler):
    """A random order of ``range(size)`` for each (seed, epoch), shared by the processes in turn.

    All get equally many, since they step together: where processes do not divide ``size``, the first few come again.
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
    """Train by epoch on features of the frozen image tower (CLIP-ReID's first stage).

    Before the first epoch, one pass over the training images as a test sees them (the pipeline of ``test_dataloader``)
    gives ``model.image_features(images)`` (N, D) in eval mode.  An epoch is then a random permutation of these, cut
    into batches of the loader's size, the last one shorter; no image is touched.  The order depends on (seed, epoch)
    only, and several processes share each epoch.

    Features are stored under a key of the tower's weights, its options, normalisation, list and files of the data set,
    pipeline and precision; a file that cannot be read or belongs to something else is computed again, and the log says
    so.

    Args:
        runner: the runner; its model has ``image_features`` and takes ``dict(inputs=features, data_samples=labels)``.
        dataloader: a loader of images with ``gt_label``, or its config; its sampler and pipeline are not used.
        max_epochs: epochs.
        store: folder of the stored features; None: keep them in memory only.
        half: keep features in float16, as published.
        **kwargs: of mmengine's ``EpochBasedTrainLoop``.

    Raises:
        ConfigError: the config has no ``test_dataloader``, or its data set no pipeline.
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
        super().__init__(runner, dataloader, max_epochs, **kwargs)
        test = ((runner.cfg.get('test_dataloader') or {}).get('dataset') or {}).get('pipeline')
        if test is None:
            raise ConfigError('FeatureTrainLoop takes the pipeline of test_dataloader.dataset, which has none')
        self.dataloader.dataset.pipeline = Compose(test)
        self.store = store
        self.dtype = torch.float16 if half else torch.float32

    def run(self) -> nn.Module:
        """Compute or read the features, then train."""
        dataset = self.dataloader.dataset
        labels = torch.tensor([int(dataset.get_data_info(index)['gt_label']) for index in range(len(dataset))])
        features = FeatureDataset(self._features(), labels, dataset.metainfo)
        self.dataloader = DataLoader(
            features,
            batch_size=self.dataloader.batch_size,
            sampler=EpochOrder(len(features), self.runner.seed),
            collate_fn=_identity,
        )
        self._max_iters = self._max_epochs * len(self.dataloader)
        return super().run()

    def _features(self) -> Tensor:
        """(N, D) features of the data set, in its order."""
        model = self.runner.model.module if is_model_wrapper(self.runner.model) else self.runner.model
        dataset = self.dataloader.dataset
        stored = None
        if self.store is not None:
            preprocessor = model.data_preprocessor
            stored = FeatureStore(
                self.store,
                dict(
                    weights=state_sha256(model.clip.visual.state_dict()),
                    stride=getattr(model.clip.visual, 'patch_stride', None) or model.clip.visual.total_stride,
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
        features = extract_features(model, self.dataloader).to(self.dtype)
        if stored is not None and self.runner.rank == 0:
            stored.write(features)
        return features


@torch.no_grad()
def extract_features(model: nn.Module, loader: DataLoader) -> Tensor:
    """``model.image_features`` of every image of a loader's data set, in its order.

    Processes share the work and all get all features.

    Args:
        model: in the mode it is in, but put into eval mode meanwhile.
        loader: gives data set, batch size, workers and collation; its sampler is not used.

    Returns:
        (N, D) on the CPU.
    """
    rank, processes = get_dist_info()
    dataset = loader.dataset
    own = DataLoader(
        Subset(dataset, range(rank, len(dataset), processes)),
        batch_size=loader.batch_size,
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        worker_init_fn=loader.worker_init_fn,
        pin_memory=loader.pin_memory,
    )
    training = model.training
    model.eval()
    parts = [model.image_features(model.data_preprocessor(batch)['inputs']).float() for batch in own]
    model.train(training)
    features = torch.cat(parts)
    if processes == 1:
        return features.cpu()
    most = -(-len(dataset) // processes)
    padded = features.new_zeros(most, features.shape[1])
    padded[: len(features)] = features
    return torch.stack(all_gather(padded), 1).flatten(0, 1)[: len(dataset)].cpu()


def _identity(batch: Any) -> Any:
    return batch
