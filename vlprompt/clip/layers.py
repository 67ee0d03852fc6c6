"""Transformer parts that the image and the text tower share, with OpenAI's parameter names."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LayerNorm(nn.LayerNorm):
    """Layer norm computed in at least fp32 and returned in the input's dtype, as in CLIP's training."""

    def forward(self, x: Tensor) -> Tensor:
        dtype = torch.promote_types(x.dtype, torch.float32)
        out = F.layer_norm(x.to(dtype), self.normalized_shape, self.weight.to(dtype), self.bias.to(dtype), self.eps)
        return out.to(x.dtype)


class QuickGELU(nn.Module):
    """x * sigmoid(1.702 x), the activation of OpenAI's CLIP.

    Written as silu(1.702 x) / 1.702: the same function in one fused kernel that keeps one tensor for
    the backward pass instead of two.
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(x * 1.702) / 1.702


class Attention(nn.Module):
    """Multi-head self-attention with the parameter names of :class:`torch.nn.MultiheadAttention`.

    Queries, keys and values are all computed in :meth:`packed`, to which :func:`~vlprompt.clip.low_rank.add_lora` adds
    the branches ``lora``; without them it is one linear layer.

    Raises:
        ValueError: ``heads`` do not divide ``width``.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise ValueError(f'attention: {heads} heads do not divide a width of {width}')
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        self.register_module('lora', None)

    def packed(self, x: Tensor, roles: str = 'qkv') -> Tensor:
        """Queries, keys and values of x (..., W) side by side, (..., 3 W); or only ``roles='q'`` or ``roles='kv'``."""
        weight, bias = self.in_proj_weight, self.in_proj_bias
        if roles != 'qkv':
            start, width = 'qkv'.index(roles), x.shape[-1]
            rows = slice(start * width, (start + len(roles)) * width)
            weight, bias = weight[rows], bias[rows]
        out = F.linear(x, weight, bias)
        return out if self.lora is None else self.lora(x, out, roles)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values (..., H, L, W / H) of x (..., L, W)."""
        return self._split(self.packed(x), 3)

    def project_query(self, x: Tensor) -> Tensor:
        """Queries alone, (..., H, L, W / H)."""
        return self._split(self.packed(x, 'q'), 1)[0]

    def project_key_value(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values alone, (..., H, L, W / H) each."""
        return self._split(self.packed(x, 'kv'), 2)

    def _split(self, x: Tensor, parts: int) -> tuple[Tensor, ...]:
        """(..., L, parts * W) -> parts tensors (..., H, L, W / H)."""
        return x.unflatten(-1, (parts, self.heads, -1)).movedim(-3, 0).transpose(-2, -3).unbind(0)

    def merge(self, x: Tensor) -> Tensor:
        """Concatenate the heads of (..., H, L, W / H) and project: (..., L, W)."""
        return self.out_proj(x.transpose(-2, -3).flatten(-2))

    def forward(
        self, x: Tensor, queries: int | None = None, causal: bool = False, extra: Sequence[tuple[Tensor, Tensor]] = ()
    ) -> Tensor:
        """Attend from the first ``queries`` tokens (all if None) of x (B, L, W) to all of them.

        With ``causal`` a token attends to itself and those before it.  ``extra`` are further keys and values, each
        (B or 1, H, n, W / H), to which all queries attend.
        """
        if queries is None:
            q, k, v = self.project(x)
        else:
            q, (k, v) = self.project_query(x[:, :queries]), self.project_key_value(x)
        if extra:
            k = torch.cat([k, *(keys.expand(x.shape[0], -1, -1, -1) for keys, _ in extra)], dim=-2)
            v = torch.cat([v, *(values.expand(x.shape[0], -1, -1, -1) for _, values in extra)], dim=-2)
        return self.merge(F.scaled_dot_product_attention(q, k, v, is_causal=causal))


class DropPath(nn.Module):
    """Stochastic depth (Huang et al., 2016): in training, drop a residual branch for random samples.

    Args:
        rate: probability of dropping; kept branches are scaled by 1 / (1 - rate).
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f'drop path rate must be in [0, 1), got {rate}')
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        keep = x.new_empty((len(x),) + (1,) * (x.dim() - 1)).bernoulli_(1 - self.rate)
        return x * keep / (1 - self.rate)

    def extra_repr(self) -> str:
        return f'rate={self.rate:.3g}'


class ResidualAttentionBlock(nn.Module):
    """Pre-norm transformer block: x + attn(ln_1(x)), then x + mlp(ln_2(x)).

    Args:
        width: of the tokens.
        heads: of the attention.
        quick_gelu: OpenAI's activation instead of GELU.
        drop_path: probability with which each of the two branches is dropped for a sample in training.
        norm_eps: epsilon of both layer norms.
        mlp_width: hidden channels of the MLP; None: 4 times the width.
    """

    forward_methods = ('keys_values',)
    """Called besides ``forward``, see :mod:`vlprompt.engine.fsdp`."""

    def __init__(
        self,
        width: int,
        heads: int,
        quick_gelu: bool = True,
        drop_path: float = 0.0,
        norm_eps: float = 1e-5,
        mlp_width: int | None = None,
    ) -> None:
        super().__init__()
        hidden = mlp_width or 4 * width
        self.drop_path = DropPath(drop_path)
        self.ln_1 = LayerNorm(width, norm_eps)
        self.attn = Attention(width, heads)
        self.ln_2 = LayerNorm(width, norm_eps)
        self.mlp = nn.Sequential(
            OrderedDict(
                c_fc=nn.Linear(width, hidden),
                gelu=QuickGELU() if quick_gelu else nn.GELU(),
                c_proj=nn.Linear(hidden, width),
            )
        )

    def forward(
        self,
        x: Tensor,
        queries: int | None = None,
        causal: bool = False,
        extra: Sequence[tuple[Tensor, Tensor]] = (),
        adapter: nn.Module | None = None,
    ) -> Tensor:
        """(B, L, W) -> (B, L, W), or (B, queries, W): only the first ``queries`` tokens are computed.

        ``extra`` keys and values: see :class:`Attention`; ``adapter``: see :meth:`feed_forward`.
        """
        x = x[:, :queries] + self.drop_path(self.attn(self.ln_1(x), queries, causal, extra))
        return self.feed_forward(x, adapter)

    def feed_forward(self, x: Tensor, adapter: nn.Module | None = None) -> Tensor:
        """The second half of the block, position by position, with an optional branch parallel to the MLP."""
        out = x + self.drop_path(self.mlp(self.ln_2(x)))
        return out if adapter is None else out + adapter(x)

    def keys_values(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (..., H, n, W / H) of tokens (..., n, W) that only serve as such."""
        return self.attn.project_key_value(self.ln_1(tokens))


class Transformer(nn.Module):
    """A stack of blocks, ``resblocks`` as OpenAI names it; ``drop_path`` grows linearly from 0 to the given rate."""

    def __init__(
        self,
        width: int,
        layers: int,
        heads: int,
        quick_gelu: bool = True,
        drop_path: float = 0.0,
        norm_eps: float = 1e-5,
        mlp_width: int | None = None,
    ) -> None:
        super().__init__()
        rates = [drop_path * block / max(layers - 1, 1) for block in range(layers)]
        self.resblocks = nn.ModuleList(
            ResidualAttentionBlock(width, heads, quick_gelu, rate, norm_eps, mlp_width) for rate in rates
        )

    def reset_parameters(self) -> None:
        """Initialise as CLIP does: residual branches scaled down by the depth."""
        for block in self.resblocks:
            width = block.attn.out_proj.in_features
            residual_std = (2 * len(self.resblocks) * width) ** -0.5
            nn.init.normal_(block.attn.in_proj_weight, std=width**-0.5)
            nn.init.normal_(block.attn.out_proj.weight, std=residual_std)
            nn.init.normal_(block.mlp.c_fc.weight, std=(2 * width) ** -0.5)
            nn.init.normal_(block.mlp.c_proj.weight, std=residual_std)
            for bias in (block.attn.in_proj_bias, block.attn.out_proj.bias, block.mlp.c_fc.bias, block.mlp.c_proj.bias):
                nn.init.zeros_(bias)
