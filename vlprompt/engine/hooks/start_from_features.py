"""Initialisation from frozen features of the training images: keys of a prompt pool, class means, caches."""

from __future__ import annotations

import copy

import numpy as np
import torch
from mmengine.dist import broadcast
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset

from vlprompt.engine.features import compute_features
from vlprompt.engine.hooks.data import bare_model
from vlprompt.engine.sharded import gathered
from vlprompt.errors import ConfigError
from vlprompt.registry import DATASETS, HOOKS


@HOOKS.register_module()
class StartFromFeaturesHook(Hook):
    """Before training, one pass over training images without augmentation, for a model that starts from their features.

    The model requests it with ``needs_features(loaded)``, given the names of the tensors that were loaded
    (``load_from``) or handed over (``start_from``).  The hook computes ``frozen_features(images)`` (B, D);
    ``start_from_features(features, labels, generator, loaded)`` initialises tensors and returns them.
    Other models are left alone, and a resumed run computes nothing.

    Images go through the test pipeline (that of ``test_dataloader``).

    Args:
        images_per_class: at most; drawn with the run's seed.
        batch_size: of the pass.

    Raises:
        ConfigError: the config has no test pipeline.
    """

    def __init__(self, images_per_class: int = 100, batch_size: int = 64) -> None:
        self.images_per_class, self.batch_size = images_per_class, batch_size

    def before_train(self, runner: Runner) -> None:
        model = bare_model(runner)
        loaded = getattr(runner, 'loaded_names', frozenset())
        if runner.iter > 0 or not hasattr(model, 'needs_features') or not model.needs_features(loaded):
            return
        features, labels = self._features(runner, model)
        runner.logger.info(f'Starting from frozen features of {len(labels)} training images')
        generator = torch.Generator().manual_seed(runner.seed)
        with gathered(model, keep=True):
            for tensor in model.start_from_features(features, labels, generator, loaded):
                broadcast(tensor.data)

    def _features(self, runner: Runner, model: nn.Module) -> tuple[Tensor, Tensor]:
        """(N, D) features and (N,) labels, on the model's device."""
        dataset = images_as_in_a_test(runner)
        chosen = choose_per_class(dataset.labels, self.images_per_class, runner.seed)
        workers = runner.cfg.train_dataloader.get('num_workers', 0)
        found = compute_features(
            lambda batch: dict(image=model.frozen_features(batch['inputs']).float()),
            model,
            Subset(dataset, chosen),
            self.batch_size,
            workers,
        )
        device = next(model.parameters()).device
        return found['image'].to(device), torch.from_numpy(dataset.labels[chosen]).to(device)


def images_as_in_a_test(runner: Runner) -> Dataset:
    """The training images of a run through the pipeline of its test.

    Raises:
        ConfigError: the config has no test pipeline.
    """
    if runner.cfg.get('test_dataloader') is None:
        raise ConfigError(
            'features of training images are computed with the pipeline of test_dataloader, which the config lacks'
        )
    cfg = copy.deepcopy(runner.cfg.train_dataloader.dataset)
    cfg.pipeline = copy.deepcopy(runner.cfg.test_dataloader.dataset.pipeline)
    dataset = DATASETS.build(cfg)
    dataset.full_init()
    return dataset


def choose_per_class(labels: np.ndarray, limit: int, seed: int) -> list[int]:
    """Indices of at most ``limit`` images of every class, ascending."""
    order = np.random.default_rng(seed).permutation(len(labels))
    chosen = [order[labels[order] == label][:limit] for label in np.unique(labels)]
    return sorted(int(index) for index in np.concatenate(chosen))
