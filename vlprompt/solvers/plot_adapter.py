"""PLOT-Adapter: Tip-Adapter-F whose cache is matched with local features by optimal transport, and PLOT's logits.

PLOT: Prompt Learning with Optimal Transport (Chen et al., ICLR 2023), the adapter of its published code.  An image has
a global token g and M local tokens l_m; every training image i has two keys, ``a_1i`` of its global and ``a_2i`` of its
local tokens::

    e_mni = sqrt(w_i) exp(-beta (1 - <l_m, a_ni>)), of unit norm over i        S[m, n, c] = sum_i sqrt(w_i) e_mni y_ic
    cache = s <T, S>, with T the transport plan of the cost 1 - S between M tokens and 2 sets of keys
    logits = s <g, t> + alpha cache + P / 2        P = s <T', S'> / 2 + s <g, mean prompt> / 2

An image counts ``w_i = max_c n_c / n_c(i)`` times, in the norm and in the sum, as in
:mod:`~vlprompt.solvers.tip_adapter`: 1 where all n_c, the numbers of images of the classes, are equal.

P are the logits of prompts that PLOT has learned (``T'``, ``S'``: its plan and similarities); they are absent in the
training of the keys.

Memory for N training images, A views, T = 1 + M tokens: the features take 4 N A T D bytes, 33 GB for 16 shots of 1000
classes with 10 views of RN50 (T = 50, D = 1024); ``train_cfg.half=True`` halves their files, while the fit has a
float32 copy.  All else is small beside it: affinities, B x M x 2 x N numbers, exist for so many images at a time that
they are at most :data:`AT_ONCE`, and are computed again for the gradient; similarities of V validation images, and
their plans, take 8 V K M bytes each.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from vlprompt.alignment import TransportAlignment
from vlprompt.alignment.sinkhorn import Method, unchecked_sinkhorn
from vlprompt.arguments import check_choices, check_counts, check_positive
from vlprompt.clip.features import ClipFeatures
from vlprompt.clip.tracing import is_exporting
from vlprompt.registry import MODELS
from vlprompt.solvers.base import Shots, zero_shot
from vlprompt.solvers.tip_adapter import TipAdapterF, repetitions

AT_ONCE = 2**26
"""Affinities between tokens and keys that exist at once, 256 MB of each tensor; the result does not depend on it."""


@MODELS.register_module()
class PlotAdapter(TipAdapterF):
    """Tip-Adapter-F on local features, see above; it needs the prompts of a PLOT training.

    Args:
        eps: entropy of the plan between tokens and keys.
        method: of :func:`~vlprompt.alignment.sinkhorn.sinkhorn`, for keys and for prompts: ``'fixed'`` iterations, or
            ``'legacy'``, the published stop, by which predictions depend on their batch.
        max_iters: iterations, at most so many with ``'legacy'``, where 100 is published.
        prompt_weight: weight of PLOT's logits.
        prompt_eps: entropy of PLOT's plan.
        **kwargs: those of :class:`~vlprompt.solvers.TipAdapterF`.

    Raises:
        ValueError: as :class:`~vlprompt.solvers.TipAdapterF`; an unknown ``method``; ``eps``, ``prompt_eps`` or
            ``max_iters`` out of range.
    """

    needs_local = True
    needs_prompts = True
    key_sets = 2

    def __init__(
        self,
        eps: float = 0.3,
        method: Method = 'fixed',
        max_iters: int = 20,
        prompt_weight: float = 0.5,
        prompt_eps: float = 0.1,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        check_choices(self, method=method)
        check_positive(self, eps=eps, prompt_eps=prompt_eps)
        check_counts(self, max_iters=max_iters)
        self.eps, self.method, self.max_iters, self.prompt_weight = eps, method, max_iters, prompt_weight
        self.plot = TransportAlignment(prompt_eps, method, max_iters, global_weight=1.0)

    def start_keys(self, shots: Shots) -> Tensor:
        """(2N, D): the mean views of the global tokens, then the means over positions of those of the local tokens."""
        tokens = shots.averaged(self.cache_views)
        return torch.cat([tokens[:, 0], tokens[:, 1:].mean(1)])

    def trained_numbers(self, images: int, classes: int, width: int) -> int:
        return 2 * images * width

    def zero_shot(self, features: Tensor, text: Tensor, scale: float) -> Tensor:
        return scale * zero_shot(features[:, 0], text[0])

    def prior(self, features: Tensor, text: Tensor, scale: float) -> Tensor:
        size = features.shape[1] - 1
        tokens = ClipFeatures(features[:, 0], features[:, 1:], (), (1, size))
        logits = self.plot(tokens, text[1:], torch.as_tensor(scale)).logits
        return self.prompt_weight * logits.to(features) / 2

    def cached(
        self, features: Tensor, keys: Tensor, labels: Tensor, beta: float | Tensor, like: Tensor, scale: float
    ) -> Tensor:
        similarity = key_similarity(features[:, 1:], keys, labels, beta, like.shape[1])
        cost = 1 - similarity.detach()
        plan = unchecked_sinkhorn(cost, self.eps, self.method, self.max_iters, dtype=cost.dtype).plan
        return scale * (plan * similarity).sum((2, 3))


def key_similarity(local: Tensor, keys: Tensor, labels: Tensor, beta: float | Tensor, num_classes: int) -> Tensor:
    """(B, K, M, 2) similarities S of local tokens and the two sets of keys of each class.

    Args:
        local: (B, M, D), not normalised.
        keys: (2N, D).
        labels: (N,).
        beta: sharpness.
        num_classes: K.
    """
    values = F.one_hot(labels, num_classes).to(keys)
    root = repetitions(values).sqrt()[labels]
    others = keys, values * root.unsqueeze(1), root, beta
    images = max(AT_ONCE // (local.shape[1] * len(keys)), 1)
    if is_exporting() or len(local) <= images:
        return _similarity(local, *others)
    parts = local.split(images)
    if keys.requires_grad and torch.is_grad_enabled():
        return torch.cat([checkpoint(_similarity, part, *others, use_reentrant=False) for part in parts])
    return torch.cat([_similarity(part, *others) for part in parts])


def _similarity(local: Tensor, keys: Tensor, values: Tensor, root: Tensor, beta: float | Tensor) -> Tensor:
    """(B, K, M, 2), given the roots (N,) of the weights and ``values`` (N, K), one-hot labels times these roots."""
    cosine = (F.normalize(local, dim=-1) @ keys.t()).unflatten(-1, (2, len(values)))  # (B, M, 2, N)
    affinity = F.normalize(root * torch.exp(-beta * (1 - cosine)), dim=-1)
    return (affinity @ values).permute(0, 3, 1, 2)
