"""Low-rank adaptation of the towers' linear layers (LoRA): https://arxiv.org/abs/2106.09685.

A layer W (out, in) that is adapted computes ``W x + b + s B A d(x)`` with A (r, in), B (out, r) and dropout d on the
input of the low-rank branch.  Queries, keys and values, which share the packed ``in_proj_weight``, have branches of
their own, and each draws its own dropout mask.  B starts at zero, so an adapted tower starts as the tower itself; A is
uniform in +-1 / sqrt(in).

The branches are modules named ``lora`` inside the layers, so ``trainable=['clip.*.lora.*']`` trains them alone::

    visual.transformer.resblocks.0.attn.lora.q.A        (r, width)
    visual.transformer.resblocks.0.attn.out_proj.lora.A
    visual.transformer.resblocks.0.mlp.c_fc.lora.A

:func:`merge_lora` adds ``s B A`` to the weights and removes them.  Where classes share a prefix of their texts
(:mod:`~vlprompt.clip.text.shared_prefix`), a dropout mask on a shared position is shared by them, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from math import inf, sqrt
from numbers import Real
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlprompt.arguments import is_count
from vlprompt.clip.layers import Attention, ResidualAttentionBlock, Transformer
from vlprompt.messages import did_you_mean

LINEAR_TARGETS = {'out': 'attn.out_proj', 'fc': 'mlp.c_fc', 'proj': 'mlp.c_proj'}
"""Targets beside ``'q'``, ``'k'`` and ``'v'``, and where they are in a block."""
TARGETS = ('q', 'k', 'v', *LINEAR_TARGETS)
TOWERS = ('visual', 'text')
SCALINGS = {'rank-stabilised': sqrt, 'classic': float}
"""Divisor of alpha by rank: sqrt(r) (https://arxiv.org/abs/2312.03732), or r (the LoRA paper)."""


class LowRank(nn.Module):
    """The branch ``scale * B A d(x)``: (..., inputs) -> (..., outputs).

    Args:
        inputs: channels of x.
        outputs: channels of the layer.
        rank: r.
        scale: s, which multiplies.
        dropout: probability with which d drops a channel of x in training.
    """

    def __init__(self, inputs: int, outputs: int, rank: int, scale: float, dropout: float = 0.0) -> None:
        super().__init__()
        self.rank, self.scale, self.dropout = rank, scale, dropout
        self.A = nn.Parameter(torch.empty(rank, inputs).uniform_(-(inputs**-0.5), inputs**-0.5))
        self.B = nn.Parameter(torch.zeros(outputs, rank))

    def forward(self, x: Tensor) -> Tensor:
        x = F.dropout(x, self.dropout, self.training)
        return F.linear(F.linear(x, self.A) * self.scale, self.B)

    def delta(self) -> Tensor:
        """(outputs, inputs): what the branch adds to the weight."""
        return self.scale * (self.B @ self.A)

    def extra_repr(self) -> str:
        return f'rank={self.rank}, scale={self.scale:.4g}, dropout={self.dropout}'


class PackedLowRank(nn.ModuleDict):
    """Branches of the roles ``'q'``, ``'k'`` and ``'v'`` of an attention's packed projection, or of some of them."""

    def forward(self, x: Tensor, out: Tensor, roles: str) -> Tensor:
        """``out`` (..., len(roles) * W), the projections of x (..., W) to the ``roles``, plus their branches."""
        if not any(role in self for role in roles):
            return out
        parts = zip(roles, out.chunk(len(roles), dim=-1), strict=True)
        return torch.cat([part + self[role](x) if role in self else part for role, part in parts], dim=-1)


class AdaptedLinear(nn.Linear):
    """A linear layer plus the branch ``lora``; weight and bias are those of the ``linear`` layer it replaces."""

    def __init__(self, linear: nn.Linear, lora: LowRank) -> None:
        super().__init__(linear.in_features, linear.out_features, device='meta')
        self.weight, self.bias = linear.weight, linear.bias
        self.lora = lora

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + self.lora(x)


@dataclass(frozen=True)
class LoraOptions:
    """Where the branches are and how they are scaled; the defaults are CLIP-LoRA's.

    Args:
        rank: r.
        alpha: numerator of the scale.
        scaling: ``'rank-stabilised'``, s = alpha / sqrt(r), or ``'classic'``, s = alpha / r.
        targets: of ``'q'``, ``'k'``, ``'v'``, ``'out'`` (the attention's output projection), ``'fc'`` and ``'proj'``
            (the two layers of the MLP).
        towers: of ``'visual'`` and ``'text'``.
        blocks: indices of the adapted blocks in each of these towers; None: all.
        dropout: on the input of each branch.

    Raises:
        ValueError: a value that none of these allows.
    """

    rank: int = 2
    alpha: float = 1.0
    scaling: str = 'rank-stabilised'
    targets: Sequence[str] = ('q', 'k', 'v')
    towers: Sequence[str] = TOWERS
    blocks: Sequence[int] | None = None
    dropout: float = 0.25

    def __post_init__(self) -> None:
        if isinstance(self.rank, bool) or not isinstance(self.rank, int) or self.rank < 1:
            raise ValueError(f'clip.lora: rank={self.rank!r} must be a positive whole number')
        if self.scaling not in SCALINGS:
            raise ValueError(f'clip.lora: scaling={self.scaling!r} must be one of {", ".join(SCALINGS)}')
        if not isinstance(self.alpha, Real) or not 0 < self.alpha < inf:
            raise ValueError(
                f'clip.lora: alpha={self.alpha!r} must be a finite number above 0; it multiplies the branches'
            )
        if not isinstance(self.dropout, Real) or not 0 <= self.dropout < 1:
            raise ValueError(f'clip.lora: dropout={self.dropout!r} must be in [0, 1)')
        for name, known in (('targets', TARGETS), ('towers', TOWERS)):
            chosen = getattr(self, name)
            if isinstance(chosen, str) or not chosen:
                raise ValueError(f'clip.lora: {name}={chosen!r} must be a list of {", ".join(known)}')
            if wrong := [value for value in chosen if value not in known]:
                raise ValueError(f'clip.lora: {name} has {wrong[0]!r}; there are {", ".join(known)}')
        blocks = self.blocks
        if blocks is not None:
            listed = isinstance(blocks, Sequence) and not isinstance(blocks, str)
            if not listed or not blocks or not all(is_count(index, 0) for index in blocks):
                raise ValueError(
                    f'clip.lora: blocks={blocks!r} must be a list of indices of blocks, such as [0, 1], or None for all'
                )

    @property
    def scale(self) -> float:
        """s, which multiplies B A."""
        return self.alpha / SCALINGS[self.scaling](self.rank)

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> LoraOptions:
        """The options of a config.

        Raises:
            ValueError: an unknown key, or a wrong value.
        """
        known = [field.name for field in fields(cls)]
        for key in options:
            if key not in known:
                hint = did_you_mean(key, known)
                raise ValueError(f'clip.lora has {key!r}.{hint} Its options are {", ".join(known)}')
        return cls(**options)


def add_lora(model: nn.Module, options: LoraOptions) -> None:
    """Add branches to the towers of a :class:`~vlprompt.clip.CLIP`, in place; its outputs stay the same.

    Raises:
        ValueError: a tower without transformer blocks, a block that does not exist, or a rank above the width.
    """
    for name in options.towers:
        transformer = _transformer(model, name)
        count = len(transformer.resblocks)
        chosen = range(count) if options.blocks is None else options.blocks
        if outside := [index for index in chosen if not 0 <= index < count]:
            raise ValueError(
                f'clip.lora: blocks has {outside[0]}, but the {name} tower has the blocks 0 to {count - 1}; to adapt '
                "other blocks in each tower, or one tower alone, set towers=['visual'] or ['text']"
            )
        width = transformer.resblocks[0].attn.out_proj.in_features
        if options.rank > width:
            raise ValueError(f'clip.lora: rank={options.rank} exceeds the width {width} of the {name} tower')
        for index in chosen:
            _adapt_block(transformer.resblocks[index], options)


def _transformer(model: nn.Module, tower: str) -> Transformer:
    found = getattr(getattr(model, tower), 'transformer', None)
    if found is None:
        raise ValueError(
            f'clip.lora: {model.arch.name} is a ResNet, whose image tower has no transformer blocks; set '
            "towers=['text']"
        )
    return found


def _adapt_block(block: ResidualAttentionBlock, options: LoraOptions) -> None:
    def branch(inputs: int, outputs: int) -> LowRank:
        return LowRank(inputs, outputs, options.rank, options.scale, options.dropout)

    width = block.attn.out_proj.in_features
    roles = [role for role in 'qkv' if role in options.targets]
    if roles:
        block.attn.lora = PackedLowRank({role: branch(width, width) for role in roles})
    for target, path in LINEAR_TARGETS.items():
        if target in options.targets:
            linear = block.get_submodule(path)
            block.set_submodule(path, AdaptedLinear(linear, branch(linear.in_features, linear.out_features)))


def refuse_text_lora(model: nn.Module, user: str) -> None:
    """Raise ValueError if the text tower of a CLIP has branches although ``user``, a model, does not train it."""
    if model.lora is not None and 'text' in model.lora.towers:
        raise ValueError(f"clip.lora.towers has 'text', but {user} has no text tower to train: set towers=['visual']")


def branches(model: nn.Module) -> Iterator[tuple[str, str, str, int, LowRank]]:
    """Every branch of a CLIP: its name, tower, target, number of the block, and the module; visual tower first."""
    for tower in TOWERS:
        transformer = getattr(getattr(model, tower), 'transformer', None)
        for index, block in enumerate(() if transformer is None else transformer.resblocks):
            for name, module in block.named_modules():
                if isinstance(module, LowRank):
                    layer = name.removesuffix('.lora')
                    found = [target for target, path in LINEAR_TARGETS.items() if path == layer]
                    target = found[0] if found else name.rpartition('.')[2]
                    yield f'{tower}.transformer.resblocks.{index}.{name}', tower, target, index, module


@torch.no_grad()
def merge_lora(model: nn.Module) -> None:
    """Add all branches below ``model`` to their weights, in at least fp32, and remove them, in place.

    Outputs in eval mode stay the same up to rounding.
    """
    for block in [module for module in model.modules() if isinstance(module, ResidualAttentionBlock)]:
        _merge_attention(block.attn)
        for path in LINEAR_TARGETS.values():
            layer = block.get_submodule(path)
            if isinstance(layer, AdaptedLinear):
                add_delta(layer.weight, layer.lora.delta())
                plain = nn.Linear(layer.in_features, layer.out_features, device='meta')
                plain.weight, plain.bias = layer.weight, layer.bias
                block.set_submodule(path, plain)
    for module in model.modules():
        if isinstance(getattr(module, 'lora', None), LoraOptions):
            module.lora = None


def _merge_attention(attention: Attention) -> None:
    if attention.lora is None:
        return
    for role, rows in zip('qkv', attention.in_proj_weight.chunk(3), strict=True):
        if role in attention.lora:
            add_delta(rows, attention.lora[role].delta())
    attention.lora = None


@torch.no_grad()
def add_delta(weight: Tensor, delta: Tensor) -> None:
    """Add ``delta`` to a weight in place, in at least fp32."""
    dtype = torch.promote_types(torch.promote_types(weight.dtype, delta.dtype), torch.float32)
    weight.copy_(weight.to(dtype) + delta.to(dtype))
