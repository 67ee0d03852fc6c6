"""DenseCLIP's transformer decoder, in which text features attend to the image (Rao et al., CVPR 2022)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from vlprompt.registry import MODELS


class Attention(nn.Module):
    """Multi-head attention of queries to a memory; projections without bias, output with bias and dropout."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width, bias=False)
        self.proj = nn.Linear(width, width)
        self.proj_drop = nn.Dropout(dropout)

    def forward(self, queries: Tensor, memory: Tensor) -> Tensor:
        """(B, Q, width), (B, M, width) -> (B, Q, width)."""
        q, k, v = (
            project(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for project, x in ((self.q_proj, queries), (self.k_proj, memory), (self.v_proj, memory))
        )
        return self.proj_drop(self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)))


class DecoderLayer(nn.Module):
    """Pre-norm: self-attention of the queries, cross-attention to the memory, MLP.  The memory is not normed again."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = Attention(width, heads, dropout)
        self.cross_attn = Attention(width, heads, dropout)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.norm3 = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        """(B, Q, width), (B, M, width) -> (B, Q, width)."""
        normed = self.norm1(x)
        x = x + self.self_attn(normed, normed)
        x = x + self.cross_attn(self.norm2(x), memory)
        return x + self.dropout(self.mlp(self.norm3(x)))


@MODELS.register_module()
class ContextDecoder(nn.Module):
    """Queries attend to an image: text features in post-model, learned context vectors in pre-model prompting.

    Queries attend to each other without mask or position, and to the memory.  Parameter names are the official
    ones.

    Args:
        query_dim: channels of the queries and of the result.
        memory_dim: channels of the memory; None: ``query_dim``.
        width: channels inside.
        heads: attention heads.
        layers: decoder layers.
        dropout: after each attention and MLP, and inside the MLP.

    Raises:
        ValueError: ``width`` is not a multiple of ``heads``, or there is no layer.
    """

    def __init__(
        self,
        query_dim: int,
        memory_dim: int | None = None,
        width: int = 256,
        heads: int = 4,
        layers: int = 3,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if width % heads or layers < 1:
            raise ValueError(
                f'ContextDecoder: width={width} must be a multiple of heads={heads}, and layers={layers} at least 1'
            )
        memory_dim = query_dim if memory_dim is None else memory_dim
        self.memory_proj = nn.Sequential(nn.LayerNorm(memory_dim), nn.Linear(memory_dim, width), nn.LayerNorm(width))
        self.text_proj = nn.Sequential(nn.LayerNorm(query_dim), nn.Linear(query_dim, width))
        self.decoder = nn.ModuleList(DecoderLayer(width, heads, dropout) for _ in range(layers))
        self.out_proj = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, query_dim))
        self.apply(_initialise)

    def forward(self, queries: Tensor, memory: Tensor) -> Tensor:
        """
        Args:
            queries: (B, Q, query_dim), not normalised.
            memory: (B, M, memory_dim), not normalised: global and dense image embedding.

        Returns:
            (B, Q, query_dim).
        """
        x, memory = self.text_proj(queries), self.memory_proj(memory)
        for layer in self.decoder:
            x = layer(x, memory)
        return self.out_proj(x)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
