"""Tests of models with a frozen image tower on stored features: a test set is encoded once for all methods and runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from mmengine.evaluator import Evaluator
from mmengine.hooks import PrepareTTAHook
from mmengine.runner import Runner, TestLoop
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from vlprompt.clip.features import ClipFeatures
from vlprompt.datasets.samplers.epoch import batch_size_of
from vlprompt.engine.feature_loop import read_in_all_processes
from vlprompt.engine.features import FeatureStore, compute_features, feature_key
from vlprompt.engine.hooks.data import bare_model
from vlprompt.engine.sharded import gathered
from vlprompt.registry import LOOPS
from vlprompt.structures import ClassificationSample

SHAPES = 'shapes'
"""Name of the part (N, 4) int64 with the shapes of the images, :data:`SHAPE_KEYS`; 0 where a data sample has none."""
SHAPE_KEYS = ('ori_shape', 'img_shape')


@LOOPS.register_module()
class FeatureTestLoop(TestLoop):
    """mmengine's ``TestLoop``, which reads features in place of images where nothing that was learned changes them.

    A model says so by ``stored_parts``, names of parts of :class:`~vlprompt.clip.ClipFeatures`, and predicts by
    ``predict_features(features, data_samples)``.  Each part is a file, stored under a key of everything that it depends
    on, so that methods which read the global feature alone share it with those that read local ones too.  The shapes of
    the images are a file as well, so that data samples, and dumped predictions, are those of a test on images.  Other
    models (visual prompts, tuned image towers), mixed precision, test-time augmentation and hooks that draw images test
    as ever.

    Args:
        runner: the runner.
        dataloader: config of a loader of images.
        evaluator: config of the metrics.
        fp16: as in mmengine.
        store: folder of the stored features; None: never store, test as ever.
        half: store features in float16.
        max_gigabytes: parts that are larger are not stored: models that read them test as ever.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        evaluator: Evaluator | dict | list,
        fp16: bool = False,
        store: str | None = None,
        half: bool = False,
        max_gigabytes: float = 8.0,
    ) -> None:
        super().__init__(runner, dataloader, evaluator, fp16)
        self.store, self.max_gigabytes = store, max_gigabytes
        self.dtype = torch.float16 if half else torch.float32

    def run(self) -> dict[str, float]:
        """Test, and return the metrics."""
        model = bare_model(self.runner)
        found = None
        if self.store is not None and not self.fp16 and not torch.is_autocast_enabled():
            parts = getattr(model, 'stored_parts', ())
            needed = any(isinstance(h, PrepareTTAHook) or getattr(h, 'reads_images', False) for h in self.runner.hooks)
            listed = hasattr(self.dataloader.dataset, 'pipeline')  # others have no list to make a key of
            found = self._features(model, parts) if parts and listed and not needed else None
        if found is None:
            return super().run()
        with gathered(model):
            return self._run(model, found)

    @torch.no_grad()
    def _run(self, model: nn.Module, features: Mapping[str, Tensor]) -> dict[str, float]:
        runner, dataset = self.runner, self.dataloader.dataset
        features = dict(features)
        shapes = features.pop(SHAPES).tolist()
        runner.call_hook('before_test')
        runner.call_hook('before_test_epoch')
        runner.model.eval()
        device = next(model.parameters()).device
        for number, indices in enumerate(self._batches()):
            samples = [sample_of(dataset, index, shapes[index]) for index in indices]
            batch = dict(inputs=None, data_samples=samples)
            runner.call_hook('before_test_iter', batch_idx=number, data_batch=batch)
            rows = {name: part[indices].to(device).float() for name, part in features.items()}
            outputs = model.predict_features(_as_features(rows), samples)
            self.evaluator.process(data_samples=outputs, data_batch=batch)
            runner.call_hook('after_test_iter', batch_idx=number, data_batch=batch, outputs=outputs)
        metrics = self.evaluator.evaluate(len(dataset))
        runner.call_hook('after_test_epoch', metrics=metrics)
        runner.call_hook('after_test')
        return metrics

    def _batches(self) -> Iterator[list[int]]:
        """Positions of the images of each batch of this process."""
        yield from (list(indices) for indices in self.dataloader.batch_sampler)

    def _features(self, model: nn.Module, parts: Sequence[str]) -> dict[str, Tensor] | None:
        """The parts by name: ``cls`` (N, D), ``local`` (N, h, w, D), ``saliency`` (N, h, w) and :data:`SHAPES`; None if
        too large.

        Those that are not stored are computed in one pass, and stored.
        """
        dataset = self.dataloader.dataset
        key = feature_key(model, dataset, self.dtype)
        with FeatureStore(self.store, key).held(self.runner.world_size == 1):
            return self._read_or_compute(model, (*parts, SHAPES), key)

    def _read_or_compute(
        self, model: nn.Module, parts: Sequence[str], key: Mapping[str, Any]
    ) -> dict[str, Tensor] | None:
        dataset = self.dataloader.dataset
        stores = {name: FeatureStore(self.store, dict(key, part=name)) for name in parts}
        found = {name: read_in_all_processes(store, len(dataset)) for name, store in stores.items()}
        absent = [name for name, part in found.items() if part is None]
        if absent:  # in all processes, which share the pass
            if self._gigabytes(model, absent) > self.max_gigabytes:
                self.runner.logger.info(f'Features of the test set are not stored: more than {self.max_gigabytes} GB')
                return None
            workers = self.dataloader.num_workers
            computed = compute_features(
                lambda batch: _parts_of(model, batch, parts, self.dtype),
                model,
                dataset,
                batch_size_of(self.dataloader),
                workers,
            )
            for name in parts:
                if found[name] is None and self.runner.rank == 0:
                    stores[name].write(computed[name])
            found = computed
        return found

    def _gigabytes(self, model: nn.Module, parts: Sequence[str]) -> float:
        """Size of parts, of which the local features are by far the largest."""
        height, width = model.clip.visual.grid_size
        numbers = sum(dict(cls=1, local=height * width, saliency=1).get(name, 0) for name in parts)
        return 1e-9 * self.dtype.itemsize * len(self.dataloader.dataset) * numbers * model.clip.arch.embed_dim


def sample_of(dataset: Dataset, index: int, shapes: Sequence[int]) -> ClassificationSample:
    """The data sample of an image that is not read: its label, position, path and stored shapes (4 numbers)."""
    info = dataset.get_data_info(index)
    sample = ClassificationSample(metainfo={name: info[name] for name in ('sample_idx', 'img_path') if name in info})
    stored = zip(SHAPE_KEYS, (tuple(shapes[:2]), tuple(shapes[2:])), strict=True)
    sample.set_metainfo({name: shape for name, shape in stored if any(shape)})
    if 'gt_label' in info:
        sample.set_gt_label(info['gt_label'])
    return sample


def _parts_of(
    model: nn.Module, batch: Mapping[str, Any], parts: Sequence[str], dtype: torch.dtype
) -> dict[str, Tensor]:
    inputs = batch['inputs']
    model.warn_of_other_size(inputs, model.clip.visual)
    features = model.clip.encode_image(inputs, 'local' in parts, maps=False, saliency='saliency' in parts)
    found = dict(cls=features.cls, local=features.local, saliency=features.saliency)
    found = {
        name: part.to(dtype) if name == 'cls' else part.to(dtype).unflatten(1, features.grid)
        for name, part in found.items()
        if name in parts
    }
    shapes = [[n for key in SHAPE_KEYS for n in sample.get(key, (0, 0))] for sample in batch['data_samples']]
    return found | {SHAPES: torch.tensor(shapes)}


def _as_features(parts: Mapping[str, Tensor]) -> ClipFeatures:
    local, saliency = parts.get('local'), parts.get('saliency')
    grid = (1, 1) if local is None else tuple(local.shape[1:3])
    return ClipFeatures(
        cls=parts['cls'],
        local=None if local is None else local.flatten(1, 2),
        maps=(),
        grid=grid,
        saliency=None if saliency is None else saliency.flatten(1, 2),
    )
