"""The training of a classifier that is fitted at once to features of its training images."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import broadcast, is_main_process
from mmengine.runner import Runner
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from vlprompt.datasets.seeded import EpochSeeded
from vlprompt.engine.feature_loop import FeatureLoop, in_memory, read_in_all_processes
from vlprompt.engine.features import FeatureStore, labels_of_images
from vlprompt.engine.tuning_data import Level, TuningSplit, plain_images, tuning_images
from vlprompt.engine.work_dir import FIT_FILE
from vlprompt.errors import ConfigError
from vlprompt.files import written_whole
from vlprompt.registry import LOOPS
from vlprompt.solvers import describe_fit


@LOOPS.register_module()
class FitLoop(FeatureLoop):
    """One epoch of one iteration: compute features of the training images, and call the model's ``fit``.

    ``model.solver.views`` says how often every image is seen: so many epochs of the dataset's own augmentation, which
    follows from its seed; None: once, without augmentation, through the pipeline of ``test_dataloader``.  Every view is
    stored by itself, so that solvers which want one view or ten share it.

    Hyper-parameters are those of the config (``tune='none'``), or chosen by accuracy on validation images.  Images of
    the test set choose nothing: a tuning set that shares one with it is an error.  The level stands in the log, in the
    checkpoint and in ``fit.json`` of the work directory.

    Args:
        runner: the runner; its model is a :class:`~vlprompt.models.FeatureClassifier`.
        dataloader: config of a loader of images with ``gt_label``; its sampler is not used.
        tune: images that choose hyper-parameters: ``'none'``; ``'few'``, min(shots, 4) per class, as in CoOp;
            ``'shots'``, as many per class as for training; ``'full'``, all of them, which is no few-shot setting.
        tuning_split: where they come from: ``'val'``, or ``'train'``: training images that are not among the shots, for
            data without a validation split of its own, such as ImageNet.
        store: folder of the stored features; None: keep them in memory only.
        half: keep features in float16.

    Raises:
        ConfigError: the model has no solver, the config no test pipeline although it is needed, or the tuning set is
            missing or shares an image with the test set.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: dict | DataLoader,
        tune: Level = 'none',
        tuning_split: TuningSplit = 'val',
        store: str | None = None,
        half: bool = False,
    ) -> None:
        if isinstance(dataloader, Mapping):
            dataloader = runner.build_dataloader(dataloader, seed=runner.seed)
        if tuning_split != 'val' and tune == 'none':
            raise ConfigError(f"train_cfg.tuning_split={tuning_split!r} has no effect with train_cfg.tune='none'")
        images = dataloader.dataset
        super().__init__(runner, dataloader, in_memory(images, max(len(images), 1)), 1, store, half)
        if not hasattr(self.bare_model, 'solver'):
            raise ConfigError(f'FitLoop fits a FeatureClassifier, not a {type(self.bare_model).__name__}')
        if tune != 'none' and not self.bare_model.solver.grid:
            raise ConfigError(f'{type(self.bare_model.solver).__name__} has nothing to tune: set train_cfg.tune=none')
        self.tune, self.tuning_split = tune, tuning_split
        self.tuning: Dataset | None = None
        if tune != 'none':
            self.tuning = tuning_images(runner.cfg, images, tune, tuning_split)

    def compute(self) -> None:
        """Set the (N, A, [T,] D) features of the training images, unless a resumed run has nothing to fit."""
        if self.epoch or self.batches:
            return
        images, views = self.images.dataset, self.bare_model.solver.views
        if views is None:
            found = [self._plain_features(plain_images(self.runner.cfg))]
        elif not isinstance(images, EpochSeeded):
            raise ConfigError(f'FitLoop cannot augment a {type(images).__name__}: set model.solver.views=None')
        else:
            found = self._of_views(images, views)
        self.dataloader.dataset.features = torch.stack(found, 1)

    def _plain_features(self, dataset: Dataset) -> Tensor:
        """(N, D) features of the images of a dataset without augmentation."""
        return self._of_views(dataset, 1, augmented=False)[0]

    def _of_views(self, dataset: Dataset, views: int, augmented: bool = True) -> list[Tensor]:
        """(N, D) features of each of the first ``views`` epochs of a dataset; those that are not stored in one pass."""
        if self.store is None:
            return self._read_or_compute(dataset, [None] * views)
        key = self.key(dataset) | (dict(seed=dataset.seed) if augmented else {})
        if self.bare_model.solver.needs_local:
            key |= dict(tokens='global and local')
        stores = [FeatureStore(self.store, key | dict(view=view), tells=False) for view in range(views)]
        with FeatureStore(self.store, key).held(self.runner.world_size == 1):
            return self._read_or_compute(dataset, stores)

    def _read_or_compute(self, dataset: Dataset, stores: Sequence[FeatureStore | None]) -> list[Tensor]:
        """(N, D) features of one view per store, in order; None keeps a view in memory only."""
        size, views = len(dataset), len(stores)
        found = [read_in_all_processes(stored, size) for stored in stores]
        missing = [view for view, features in enumerate(found) if features is None]
        done = f'{views - len(missing)} read from {self.store}, ' if len(missing) < views else ''
        self.runner.logger.info(f'Features of {size} images, views: {done}{len(missing)} to compute')
        if missing:
            indices = [view * size + index for view in missing for index in range(size)]
            computed = self.compute_images(Subset(dataset, indices)).split(size)
            for view, features in zip(missing, computed, strict=True):
                found[view] = features
                if stores[view] is not None and self.runner.rank == 0:
                    stores[view].write(features)
        return found

    def run_iter(self, idx: int, data_batch: dict[str, Tensor]) -> None:
        """Fit the model to the features of all images."""
        self.batches = idx + 1
        self.runner.call_hook('before_train_iter', batch_idx=idx, data_batch=data_batch)
        outputs = self._fit(data_batch['inputs'], data_batch['data_samples'])
        self.runner.call_hook('after_train_iter', batch_idx=idx, data_batch=data_batch, outputs=outputs)
        self._iter += 1

    def _fit(self, features: Tensor, labels: Tensor) -> dict[str, float]:
        """Fit, report, and return numbers for the log."""
        model = self.bare_model
        device = next(model.parameters()).device
        tuning = None
        if self.tuning is not None:
            tuning = self._plain_features(self.tuning).to(device), labels_of_images(self.tuning).to(device)
        started = time.perf_counter()
        found = model.fit(features.to(device), labels.to(device), self.runner.seed, tuning)
        seconds = time.perf_counter() - started
        for tensor in model.solver.buffers():
            broadcast(tensor)
        model.fit_report = dict(
            solver=type(model.solver).__name__,
            images=len(labels),
            views=features.shape[1],
            templates=list(model.zero_shot.templates),
            tune=self.tune,
            tuning_images=0 if tuning is None else len(tuning[1]),
            tuning_split=self.tuning_split if tuning else None,
            chosen={name: value for name, value in found.items() if name != 'accuracy'},
        )
        self._report(model.fit_report, seconds)
        return dict(accuracy=found['accuracy'], fit_seconds=seconds)

    def _report(self, report: dict[str, Any], seconds: float) -> None:
        self.runner.logger.info(f'Fitted in {seconds:.1f} s: {describe_fit(report)}')
        if is_main_process():
            with written_whole(Path(self.runner.work_dir, FIT_FILE)) as file:
                file.write_text(json.dumps(report, indent=2) + '\n')
