"""Starts computed from frozen features of the training images: keys of a prompt pool, class means of a head."""

from __future__ import annotations

import copy

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.dist import broadcast
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from vlprompt.errors import ConfigError
from vlprompt.registry import DATASETS, HOOKS


@HOOKS.register_module()
class FrozenFeatureHook(Hook):
    """Before training, one pass over training images without augmentation, where the model asks for it:

    * ``pool.key_init='kmeans'`` or ``pool.center``: :meth:`~vlprompt.prompts.PromptPool.fit` on the queries;
    * ``head.start='class_mean'``: the head starts from the mean feature of every class.

    The images are seen as in a test (the pipeline of ``test_dataloader``), under the shared prompts.  Nothing is done
    when a run is resumed, nor to keys and heads that were loaded (``load_from``) or handed over (``start_from``).

    Args:
        images_per_class: at most; drawn with the run's seed.
        batch_size: of the pass.

    Raises:
        ConfigError: the config has no test pipeline.
    """

    def __init__(self, images_per_class: int = 100, batch_size: int = 64) -> None:
        self.images_per_class, self.batch_size = images_per_class, batch_size

    def before_train(self, runner: Runner) -> None:
        model = runner.bare_model
        fit_pool = model.pool is not None and model.pool.needs_queries and 'pool.keys' not in runner.loaded_names
        fit_head = model.head.start == 'class_mean' and 'head.weight' not in runner.loaded_names
        if runner.iter > 0 or not (fit_pool or fit_head):
            return
        features, labels = self._features(runner)
        runner.logger.info(f'Starting from frozen features of {len(labels)} training images')
        started = []
        if fit_pool:
            model.pool.fit(features, torch.Generator().manual_seed(runner.seed))
            started += [model.pool.keys, model.pool.mean_query]
        if fit_head:
            means = [features[labels == label].mean(0) for label in range(model.num_classes)]
            model.head.set_directions(torch.stack(means))
            started.append(model.head.weight)
        for tensor in started:
            broadcast(tensor.data)

    @torch.no_grad()
    def _features(self, runner: Runner) -> tuple[Tensor, Tensor]:
        """(N, width) queries and (N,) labels, on the model's device."""
        if runner.cfg.get('test_dataloader') is None:
            raise ConfigError('FrozenFeatureHook takes the pipeline of test_dataloader, which the config lacks')
        cfg = copy.deepcopy(runner.cfg.train_dataloader.dataset)
        cfg.pipeline = copy.deepcopy(runner.cfg.test_dataloader.dataset.pipeline)
        dataset = DATASETS.build(cfg)
        dataset.full_init()
        chosen = choose_per_class(dataset.labels, self.images_per_class, runner.seed)
        workers = runner.cfg.train_dataloader.get('num_workers', 0)
        loader = DataLoader(Subset(dataset, chosen), self.batch_size, collate_fn=pseudo_collate, num_workers=workers)
        model = runner.bare_model
        model.eval()
        features = [model.query(model.data_preprocessor(batch)['inputs']).float() for batch in loader]
        model.train()
        features = torch.cat(features)
        return features, torch.from_numpy(dataset.labels[chosen]).to(features.device)


def choose_per_class(labels: np.ndarray, limit: int, seed: int) -> list[int]:
    """Indices of at most ``limit`` images of every class, ascending."""
    order = np.random.default_rng(seed).permutation(len(labels))
    chosen = [order[labels[order] == label][:limit] for label in np.unique(labels)]
    return sorted(int(index) for index in np.concatenate(chosen))
