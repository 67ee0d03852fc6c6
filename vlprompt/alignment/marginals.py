"""How much mass each local token has: uniform, as in PLOT, or by saliency, so that background has little."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from vlprompt.arguments import check_choices
from vlprompt.clip.features import ClipFeatures

Marginals = Literal['uniform', 'class_token', 'text']


def token_marginals(
    kind: Marginals, features: ClipFeatures, similarity: Tensor, temperature: float | None = None
) -> Tensor | None:
    """Marginals mu of M local tokens: non-negative, sum 1 for every image, and constants for the gradient.

    * ``'uniform'``: ``mu_m = 1 / M``, returned as None;
    * ``'class_token'``: ``mu_m = a_m / sum_m' a_m'`` with the attention a of the global token to the tokens, mean over
      heads, in the tower's last attention;
    * ``'text'``: ``mu = softmax_m(max_kn S[m, k, n] / temperature)``, the best cosine of a token with any text.

    Args:
        kind: of the marginals, see above.
        features: with ``saliency (B, M)`` for ``'class_token'``.
        similarity: (B, K, M, N) cosines of M tokens and N prompts of K classes.
        temperature: *divides* the cosines of ``'text'``.

    Returns:
        (B, M), or None.

    Raises:
        ValueError: the features have no saliency.
    """
    if kind == 'uniform':
        return None
    if kind == 'text':
        return (similarity.detach().amax((1, 3)) / temperature).softmax(-1)
    if features.saliency is None:
        raise ValueError("marginals='class_token' need the attention of the tower: encode the image with saliency=True")
    saliency = features.saliency.detach().to(similarity.dtype)
    return saliency / saliency.sum(-1, keepdim=True)


def check_marginals(owner: Any, kind: Marginals, temperature: float | None) -> None:
    """Raise ValueError, naming the owner's class, for an unknown kind and for a temperature that is wrong or not read.

    Args:
        owner: has an argument ``marginals`` of the type :data:`Marginals`.
        kind: its value.
        temperature: as in :func:`token_marginals`.
    """
    check_choices(owner, marginals=kind)
    owner = type(owner).__name__
    if kind == 'text' and (temperature is None or not 0 < temperature < torch.inf):
        raise ValueError(f"{owner}: marginals='text' needs a marginal_temperature > 0, such as 0.1, got {temperature}")
    if kind != 'text' and temperature is not None:
        raise ValueError(f'{owner}: marginal_temperature={temperature} has no effect on marginals={kind!r}; drop it')
