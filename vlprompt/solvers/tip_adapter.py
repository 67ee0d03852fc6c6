"""Tip-Adapter: a cache of key features and labels, added to the zero-shot logits.

Tip-Adapter: Training-free Adaption of CLIP for Few-shot Classification (Zhang et al., ECCV 2022).  With keys
``k_i``, the mean features of the shots, and ``y_i`` their one-hot labels::

    logits = s <x, t> + alpha sum_i w_i exp(-beta (1 - <x, k_i>)) y_i        w_i = max_c n_c / n_c(i)

Tip-Adapter-F trains the keys.  With the weights w, every class has the mass of the one with most images; otherwise
logits would grow with the number n_c of its images, and classes with few of them would hardly be predicted.  The
published code has no weights, since it draws k images of every class, with replacement where there are fewer: w is the
expectation of how often an image is drawn then.  It is 1 where all classes have equally many images.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from vlprompt.arguments import check_counts, check_positive, is_count
from vlprompt.errors import CheckpointError
from vlprompt.registry import MODELS
from vlprompt.solvers.base import Search, Setting, Shots, Solver, number_like, zero_shot


@MODELS.register_module()
class TipAdapter(Solver):
    """Tip-Adapter without training.

    An image of a class with few of them counts as often as if they were repeated to the number of the largest class.

    Args:
        alpha: weight of the cache.
        beta: sharpness of the affinities.
        search_scale: upper ends of the grids of ``beta`` and ``alpha``; both begin at .1.
        search_step: numbers of values of ``beta`` and ``alpha`` in the grids.
        cache_views: views that are averaged for a key; None: all.
        views: see :class:`~vlprompt.solvers.Solver`.

    Raises:
        ValueError: ``alpha``, ``beta``, or a scale or step of the grid that is not positive; ``cache_views`` less
            than 1.
    """

    fitted = ('keys', 'labels', 'alpha_', 'beta_')
    from_config = ('alpha_', 'beta_')
    key_sets: ClassVar[int] = 1
    """Keys of each image."""

    def __init__(
        self,
        alpha: float = 1.17,
        beta: float = 1.0,
        search_scale: tuple[float, float] = (7, 3),
        search_step: tuple[int, int] = (200, 20),
        cache_views: int | None = None,
        views: int | None = 10,
    ) -> None:
        super().__init__(views)
        check_positive(self, alpha=alpha, beta=beta)
        for name, values in dict(search_scale=search_scale, search_step=search_step).items():
            whole = name == 'search_step'
            if len(values) != 2 or min(values) <= 0 or (whole and not all(map(is_count, values))):
                kind = 'positive whole numbers' if whole else 'positive numbers'
                raise ValueError(f'{type(self).__name__}: {name} must be two {kind}, got {values}')
        if cache_views is not None and not is_count(cache_views):
            raise ValueError(
                f'{type(self).__name__}: cache_views must be a whole number, at least 1, or None for all views; got '
                f'{cache_views!r}'
            )
        self.alpha, self.beta, self.cache_views = alpha, beta, cache_views
        self.search_scale, self.search_step = tuple(search_scale), tuple(search_step)

    def fit(self, shots: Shots) -> None:
        self._hold(self.start_keys(shots), shots.labels)

    def _hold(self, keys: Tensor, labels: Tensor) -> None:
        self.hold(keys=keys, labels=labels, alpha_=number_like(self.alpha, keys), beta_=number_like(self.beta, keys))

    def make_room(self, tensors: Mapping[str, Tensor], device: torch.device) -> None:
        """As of every solver.

        Raises:
            CheckpointError: not :attr:`key_sets` keys for every label.
        """
        if len(tensors['keys']) != self.key_sets * len(tensors['labels']):
            raise CheckpointError(
                f'the checkpoint has {len(tensors["keys"])} keys for {len(tensors["labels"])} labels, '
                f'{type(self).__name__} has {self.key_sets} of each: use the config that it was trained with'
            )
        super().make_room(tensors, device)
        if absent := [name for name in self.from_config if name not in tensors]:
            keys = self.keys
            self.hold(**{name: number_like(getattr(self, name.removesuffix('_')), keys) for name in absent})

    def start_keys(self, shots: Shots) -> Tensor:
        """(N, D) keys before training: the mean views of the shots."""
        return shots.averaged(self.cache_views)

    def zero_shot(self, features: Tensor, text: Tensor, scale: float) -> Tensor:
        """(B, K) ``s <x, t>``, the part that the cache is added to, in training too."""
        return scale * zero_shot(features, text)

    def prior(self, features: Tensor, text: Tensor, scale: float) -> Tensor | float:
        """(B, K) further logits that are added after training; here none."""
        return 0.0

    def cached(
        self, features: Tensor, keys: Tensor, labels: Tensor, beta: float | Tensor, like: Tensor, scale: float
    ) -> Tensor:
        """(B, K) logits of the cache, without alpha; ``like`` are the zero-shot logits (B, K)."""
        return cache_logits(features, keys, labels, beta, like.shape[1])

    def forward(self, features: Tensor, text: Tensor, scale: float) -> Tensor:
        zero = self.zero_shot(features, text, scale)
        cached = self.cached(features, self.keys, self.labels, self.beta_, zero, scale)
        return zero + self.alpha_ * cached + self.prior(features, text, scale)

    @property
    def grid(self) -> Mapping[str, Sequence[float]]:
        betas, alphas = (
            [0.1 + i * (scale - 0.1) / step for i in range(step)]
            for scale, step in zip(self.search_scale, self.search_step, strict=True)
        )
        return dict(beta=betas, alpha=alphas)

    def search(self, shots: Shots, features: Tensor) -> Search:
        """Fits once: trained keys are those of the starting values, as published."""
        self.fit(shots)
        zero = self.zero_shot(features, shots.text, shots.scale)
        fixed = zero + self.prior(features, shots.text, shots.scale)
        for beta in self.grid['beta']:
            cached = self.cached(features, self.keys, self.labels, beta, zero, shots.scale)
            for alpha in self.grid['alpha']:
                yield Setting(beta=beta, alpha=alpha), fixed + alpha * cached

    def adopt(self, setting: Setting, shots: Shots) -> None:
        self.configure(setting)
        self._hold(self.keys, self.labels)


@MODELS.register_module()
class TipAdapterF(TipAdapter):
    """Tip-Adapter with trained keys: AdamW on the cross-entropy of the logits, half a cosine per step.

    Every epoch sees one view of each image.  The views after the first ``cache_views`` are those of the epochs, in
    turn; if there are none, the views of the cache are.  So ``views=30, cache_views=10`` is the published recipe, which
    crops anew in each of its 20 epochs (EuroSAT has 100), and ``views=10`` takes a third of the passes through the
    image tower.

    Args:
        lr: learning rate.
        epochs: of the training.
        batch_size: images of a step.
        **kwargs: those of :class:`TipAdapter`.

    Raises:
        ValueError: as :class:`TipAdapter`; ``lr`` not positive, or ``epochs`` or ``batch_size`` no positive whole
            numbers.
    """

    def __init__(self, lr: float = 1e-3, epochs: int = 20, batch_size: int = 256, **kwargs) -> None:
        super().__init__(**kwargs)
        check_positive(self, lr=lr)
        check_counts(self, epochs=epochs, batch_size=batch_size)
        self.lr, self.epochs, self.batch_size = lr, epochs, batch_size

    def fit(self, shots: Shots) -> None:
        for _ in self.descend(shots, self.start_keys(shots), self._batches(shots)):
            pass

    def trained_numbers(self, images: int, classes: int, width: int) -> int:
        return images * width

    @torch.enable_grad()
    def descend(
        self, shots: Shots, keys: Tensor, batches: Iterable[tuple[Tensor, Tensor, float]]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Logits (B, K) and gradient of the keys at each step; the fitted keys are those after it.

        Args:
            shots: as for :meth:`fit`.
            keys: from which to start.
            batches: of the steps: features as in :meth:`forward`, labels (B,), learning rate.
        """
        keys = keys.detach().clone().requires_grad_()
        optimizer = torch.optim.AdamW([keys], lr=self.lr, eps=1e-4, weight_decay=0.01)
        for features, target, lr in batches:
            zero = self.zero_shot(features, shots.text, shots.scale)
            logits = zero + self.alpha * self.cached(features, keys, shots.labels, self.beta, zero, shots.scale)
            (keys.grad,) = torch.autograd.grad(F.cross_entropy(logits, target), keys)
            optimizer.param_groups[0]['lr'] = lr
            optimizer.step()
            self._hold(keys, shots.labels)
            yield logits.detach(), keys.grad

    def _batches(self, shots: Shots) -> Iterator[tuple[Tensor, Tensor, float]]:
        views, images = shots.features, len(shots.labels)
        if self.cache_views is not None and self.cache_views < views.shape[1]:
            views = views[:, self.cache_views :]
        generator = torch.Generator().manual_seed(shots.seed)
        steps, done = self.epochs * math.ceil(images / self.batch_size), 0
        for epoch in range(self.epochs):
            order = torch.randperm(images, generator=generator).to(shots.labels.device)
            for batch in order.split(self.batch_size):
                lr = self.lr * (1 + math.cos(math.pi * done / steps)) / 2
                yield views[batch, epoch % views.shape[1]], shots.labels[batch], lr
                done += 1


def cache_logits(features: Tensor, keys: Tensor, labels: Tensor, beta: float | Tensor, num_classes: int) -> Tensor:
    """(B, K) ``sum_i w_i exp(-beta (1 - <x, k_i>)) y_i``, see :func:`repetitions` for w.

    Args:
        features: (B, D), not normalised.
        keys: (N, D).
        labels: (N,) of the keys.
        beta: sharpness.
        num_classes: K.
    """
    affinity = torch.exp(-beta * (1 - F.normalize(features, dim=-1) @ keys.t()))  # (B, N)
    values = F.one_hot(labels, num_classes).to(affinity)
    return affinity @ values * repetitions(values)


def repetitions(values: Tensor) -> Tensor:
    """(K,) ``max_c n_c / n_c``: how often an image of a class counts, so that all classes have equal mass.

    Exactly 1 for classes with equally many images.

    Args:
        values: (N, K) one-hot labels.
    """
    counts = values.sum(0)
    return counts.max() / counts.clamp(min=1)
