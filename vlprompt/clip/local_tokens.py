"""Local features of a ViT that say *what is where*: other ways to run its last block for the patch tokens.

CLIP trains only the class token against text.  Patch tokens leave the last block with a residual stream that carries
global directions, so their cosines with text are about the image, not the place.  Training-free methods for
segmentation change the last block for the patches alone.  With y = ln_1(x), the block's own projections q, k, v of y
(with bias, M heads of width e), s = e^-1/2, and o = out_proj(A v)::

    full      x' = x + o,  then x' + mlp(ln_2(x'))          reduced   x' = o
    local     ln_post(x') @ proj

===================  =======================================  ========  =====================================
name                 attention A                              block     paper
===================  =======================================  ========  =====================================
``native``           softmax(s q k')                          full      CLIP (Radford et al., 2021)
``maskclip``         identity                                 reduced   MaskCLIP as later papers run it
``maskclip_full``    identity                                 full      MaskCLIP (Zhou et al., ECCV 2022)
``sclip``            softmax(s q q') + softmax(s k k')        full      SCLIP (Wang et al., ECCV 2024)
``clearclip``        softmax(s q q')                          reduced   ClearCLIP (Lan et al., ECCV 2024)
``kk``               softmax(s k k')                          reduced   an ablation of NACLIP
``naclip``           softmax(s k k' + G), sigma 5             reduced   NACLIP (Hajimiri et al., WACV 2025)
===================  =======================================  ========  =====================================

``G_ij = exp(-|p_i - p_j|^2 / (2 sigma^2))`` between patches at the places p (in patches), 0 for the class token and for
visual prompts, which are keys, but never queries.  SCLIP adds its two softmaxes, so rows of A sum to 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlprompt.clip.layers import ResidualAttentionBlock
from vlprompt.clip.tracing import is_exporting

ATTENTIONS = {'qk': ('qk',), 'value': (), 'qq': ('qq',), 'kk': ('kk',), 'csa': ('qq', 'kk')}
"""Name of an attention -> its softmaxes, each given by the roles of its rows and its columns."""


@dataclass(frozen=True)
class LocalForm:
    """How the last block is run for patch tokens.

    Attributes:
        attention: one of :data:`ATTENTIONS`; ``'value'`` is the identity.
        reduced: the attention's output alone, instead of the whole block with residuals and MLP.
        sigma: width in patches of the Gaussian G that is added to the logits; None: no G.

    Raises:
        ValueError: an unknown attention, a ``sigma`` that is not positive, or one for ``'value'``, which has no logits.
    """

    attention: str = 'qk'
    reduced: bool = False
    sigma: float | None = None

    def __post_init__(self) -> None:
        if self.attention not in ATTENTIONS:
            raise ValueError(f'local: attention must be one of {", ".join(ATTENTIONS)}, got {self.attention!r}')
        if not isinstance(self.reduced, bool):
            raise ValueError(f'local: reduced must be True or False, got {self.reduced!r}')
        number = isinstance(self.sigma, (int, float)) and not isinstance(self.sigma, bool)
        if self.sigma is not None and not (number and 0 < self.sigma < float('inf')):
            raise ValueError(f'local: sigma must be a positive number of patches or None, got {self.sigma!r}')
        if self.sigma is not None and self.attention == 'value':
            raise ValueError("local: attention='value' has no logits that a Gaussian could be added to; drop sigma")

    @property
    def native(self) -> bool:
        """Whether the patches go through CLIP's block as it is."""
        return self == PUBLISHED['native']

    @property
    def spelled(self) -> str | dict[str, Any]:
        """The published name, or the fields."""
        return next((name for name, form in PUBLISHED.items() if form == self), asdict(self))


PUBLISHED = {
    'native': LocalForm('qk'),
    'maskclip': LocalForm('value', reduced=True),
    'maskclip_full': LocalForm('value'),
    'sclip': LocalForm('csa'),
    'clearclip': LocalForm('qq', reduced=True),
    'kk': LocalForm('kk', reduced=True),
    'naclip': LocalForm('kk', reduced=True, sigma=5.0),
}


def find_local_form(local: str | Mapping[str, Any]) -> LocalForm:
    """The form of a published name, or of a dict of the fields of :class:`LocalForm`.

    Raises:
        ValueError: an unknown name or field, or values that do not go together.
    """
    if isinstance(local, Mapping):
        known = [field.name for field in fields(LocalForm)]
        if unknown := sorted(set(local) - set(known)):
            raise ValueError(f'local: unknown keys {unknown} for a ViT; there are {", ".join(known)}')
        return LocalForm(**local)
    if not isinstance(local, str) or local not in PUBLISHED:
        raise ValueError(
            f'local={local!r}: a ViT has {", ".join(PUBLISHED)}, or a dict(attention=..., reduced=..., sigma=...); '
            "'value' alone is an option of a ResNet"
        )
    return PUBLISHED[local]


def refuse_unread_local(tower: nn.Module, reason: str) -> None:
    """Raise ValueError if an image tower has another form of local features than the native one, which nothing reads.

    Args:
        tower: the image tower of a CLIP.
        reason: why nothing reads it.
    """
    if tower.local != 'native':
        raise ValueError(f'clip.vision.local={tower.local!r} has no effect: {reason}. Leave it out')


class NeighbourBias:
    """The Gaussian G as a mask for the patches' rows of an attention; the last one is kept, but none of an export."""

    def __init__(self) -> None:
        self._key: tuple | None = None
        self._mask: Tensor | None = None

    def __call__(self, grid: tuple[int, int], sigma: float, keys: int, like: Tensor) -> Tensor:
        """(N, ``keys``) for a grid (h, w) of N patches, in dtype and on the device of ``like``.

        The columns are the class token, the N patches, and other tokens; only those of patches are not 0.
        """
        if is_exporting():
            return _neighbour_mask(grid, sigma, keys, like)
        key = (grid, sigma, keys, like.dtype, like.device)
        if self._key != key:
            with torch.inference_mode(False), torch.no_grad():
                self._mask = _neighbour_mask(grid, sigma, keys, like)
            self._key = key
        return self._mask


def _neighbour_mask(grid: tuple[int, int], sigma: float, keys: int, like: Tensor) -> Tensor:
    rows, columns = (_gaussian(side, sigma, like.device) for side in grid)
    gaussian = torch.einsum('ij,kl->ikjl', rows, columns).flatten(2).flatten(0, 1)
    return F.pad(gaussian, (1, keys - 1 - gaussian.shape[0])).to(like.dtype)


def _gaussian(side: int, sigma: float, device: torch.device) -> Tensor:
    """(side, side): exp(-(i - j)^2 / (2 sigma^2))."""
    place = torch.arange(side, dtype=torch.float32, device=device)
    return torch.exp((place[:, None] - place).square() / (-2 * sigma**2))


@dataclass
class LastTokens:
    """Tokens after the last block.

    Attributes:
        native: (B, R, W) the first R tokens as CLIP computes them: all 1 + N, or the class token alone (R = 1).
        patches: (B, N, W) patch tokens of the form.
        saliency: (B, N) native attention of the class token to the patches, mean over heads, sum 1; or None.
    """

    native: Tensor
    patches: Tensor
    saliency: Tensor | None = None


def run_last_block(
    block: ResidualAttentionBlock,
    x: Tensor,
    grid: tuple[int, int],
    form: LocalForm,
    bias: NeighbourBias,
    whole: bool = False,
    saliency: bool = False,
) -> LastTokens:
    """Run the last block natively for the class token, and in another form for the N patches.

    Both share the projections.  The class token is one row of queries more than the published methods need; forms
    without q compute q for this row alone.  Softmaxes are computed in at least fp32.

    Args:
        block: the last block.
        x: (B, 1 + N + p, W) class token, patches, and p visual prompts.
        grid: (h, w) of the patches.
        form: of the patch tokens.
        bias: makes and keeps G.
        whole: also compute the patches natively, as a feature map needs them.
        saliency: also return the class token's attention.
    """
    count = grid[0] * grid[1]
    natives = 1 + count if whole or form.native else 1
    pairs = ATTENTIONS[form.attention]
    y = block.ln_1(x)
    if natives > 1 or any('q' in pair for pair in pairs):
        q, k, v = block.attn.project(y)
    else:
        q, (k, v) = block.attn.project_query(y[:, :1]), block.attn.project_key_value(y)
    rows = [F.scaled_dot_product_attention(q[..., :natives, :], k, v)]
    patches = slice(1, 1 + count)
    if not form.native:
        roles = dict(q=q, k=k)
        mask = None if form.sigma is None else bias(grid, form.sigma, x.shape[1], k)
        softmaxes = [
            F.scaled_dot_product_attention(roles[row][..., patches, :], roles[column], v, attn_mask=mask)
            for row, column in pairs
        ]
        rows.append(sum(softmaxes) if softmaxes else v[..., patches, :])
    attended = block.attn.merge(torch.cat(rows, dim=-2))
    # One pass for both, so that stochastic depth drops the branches of an image for all of its tokens.
    if form.reduced:
        native, local = _finish(block, x[:, :natives], attended[:, :natives]), attended[:, natives:]
    else:
        residual = x[:, :natives] if form.native else torch.cat([x[:, :natives], x[:, patches]], dim=1)
        out = _finish(block, residual, attended)
        native, local = out[:, :natives], out[:, 1:] if form.native else out[:, natives:]
    return LastTokens(native, local, class_attention(q, k, count) if saliency else None)


def _finish(block: ResidualAttentionBlock, x: Tensor, attended: Tensor) -> Tensor:
    """The rest of a block after its attention."""
    return block.feed_forward(x + block.drop_path(attended))


def class_attention(q: Tensor, k: Tensor, count: int) -> Tensor:
    """Attention of the first token to the ``count`` tokens after it, mean over heads, scaled to sum 1.

    Args:
        q: (B, H, R, e) queries, R >= 1.
        k: (B, H, L, e) keys, L > ``count``.
        count: N.

    Returns:
        (B, N) in at least fp32.
    """
    with torch.autocast(q.device.type, enabled=False):
        dtype = torch.promote_types(q.dtype, torch.float32)
        logits = (q[..., :1, :].to(dtype) * q.shape[-1] ** -0.5) @ k.to(dtype).transpose(-2, -1)
        weights = logits.softmax(-1).mean(1)[:, 0, 1 : 1 + count]
        return weights / weights.sum(-1, keepdim=True)
