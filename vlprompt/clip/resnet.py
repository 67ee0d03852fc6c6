"""CLIP's ModifiedResNet: https://arxiv.org/abs/2103.00020, section 2.4."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from itertools import chain
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlprompt.clip.features import ClipFeatures
from vlprompt.clip.local_tokens import class_attention
from vlprompt.clip.position import Interpolation, resize_position_embedding
from vlprompt.errors import ImageSizeError

PoolForm = Literal['native', 'value']


class Bottleneck(nn.Module):
    """ResNet bottleneck whose strides are average pools, in the branch and in the shortcut."""

    expansion = 4

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        out_channels = channels * self.expansion
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.avgpool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.conv3 = nn.Conv2d(channels, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride > 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                OrderedDict(
                    [
                        ('-1', nn.AvgPool2d(stride)),
                        ('0', nn.Conv2d(in_channels, out_channels, 1, bias=False)),
                        ('1', nn.BatchNorm2d(out_channels)),
                    ]
                )
            )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(self.avgpool(out)))
        return self.relu(out + shortcut)


class AttentionPool2d(nn.Module):
    """Attention over a feature map's cells and their mean, projected into the joint space.

    CLIP uses the mean token as the only query. With all tokens as queries, the same layer also computes
    a feature in the joint space for every cell (PLOT, DenseCLIP).

    Args:
        grid_size: (h, w) of the position embedding.
        channels: C of the incoming map.
        heads: attention heads.
        embed_dim: D.
        interpolation: how to resize the position embedding to another grid, see
            :func:`~vlprompt.clip.position.resize_position_embedding`.
    """

    def __init__(
        self,
        grid_size: tuple[int, int],
        channels: int,
        heads: int,
        embed_dim: int,
        interpolation: Interpolation = 'bicubic',
    ) -> None:
        super().__init__()
        self.grid_size = grid_size
        self.heads = heads
        self.interpolation = interpolation
        self.positional_embedding = nn.Parameter(torch.empty(1 + grid_size[0] * grid_size[1], channels))
        self.k_proj = nn.Linear(channels, channels)
        self.q_proj = nn.Linear(channels, channels)
        self.v_proj = nn.Linear(channels, channels)
        self.c_proj = nn.Linear(channels, embed_dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        channels = self.q_proj.in_features
        nn.init.normal_(self.positional_embedding, std=channels**-0.5)
        for linear in (self.q_proj, self.k_proj, self.v_proj, self.c_proj):
            nn.init.normal_(linear.weight, std=channels**-0.5)
            nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor, local: bool = True) -> Tensor:
        """Pool x (B, C, h, w).

        Returns:
            (B, 1 + h * w, D), the global feature first, then the cells in row-major order; with
            ``local=False`` the global feature alone, (B, 1, D).
        """
        return self._attend(*self._project(x, local))

    def with_saliency(self, x: Tensor, local: bool = True) -> tuple[Tensor, Tensor]:
        """Pooled features as from :meth:`forward`, and (B, h * w) the attention of the mean token to the cells.

        The attention is the mean over heads, without the part to the mean token itself, scaled to sum 1.
        """
        q, k, v = self._project(x, local)
        return self._attend(q, k, v), class_attention(q, k, x.shape[-2] * x.shape[-1])

    def values(self, x: Tensor) -> Tensor:
        """(B, h * w, D) the cells of x (B, C, h, w) on the value path: ``c_proj(v_proj(x))``, without attention.

        Positions, queries and keys are left out (MaskCLIP, Zhou et al., ECCV 2022, Eq. 2).
        """
        return self.c_proj(self.v_proj(x.flatten(2).transpose(1, 2)))

    def _project(self, x: Tensor, local: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, of the mean token alone unless ``local``, keys and values (B, heads, tokens, C / heads)."""
        grid = x.shape[-2:]
        tokens = x.flatten(2).transpose(1, 2)
        tokens = torch.cat([tokens.mean(dim=1, keepdim=True), tokens], dim=1)
        positions = resize_position_embedding(
            self.positional_embedding, self.grid_size, (grid[0], grid[1]), self.interpolation
        )
        tokens = tokens + positions.to(tokens.dtype)
        queries = tokens if local else tokens[:, :1]
        q, k, v = (
            proj(t).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for proj, t in ((self.q_proj, queries), (self.k_proj, tokens), (self.v_proj, tokens))
        )
        return q, k, v

    def _attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return self.c_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class ModifiedResNet(nn.Module):
    """ResNet with a three-convolution stem, average-pooled strides and an attention pool.

    Args:
        layers: blocks in each of the 4 stages.
        width: channels of the stem; the stages have 4, 8, 16 and 32 times as many.
        embed_dim: D of the joint space.
        image_size: (H, W) in pixels that determines the size of the position embedding. Images of any
            other size are accepted too.
        heads: heads of the attention pool; None: one per 64 channels, as in every published model.
        last_stride: stride of the fourth stage: 2, or 1 for the finer last map used in
            re-identification (same weights, since the stride is a pool).
        interpolation: how to resize the position embedding to another grid.
        local: form of the local features: ``'native'``, every cell a query of the attention pool (PLOT, DenseCLIP);
            ``'value'``, the pool without its attention, :meth:`AttentionPool2d.values` (MaskCLIP).
    """

    def __init__(
        self,
        layers: tuple[int, int, int, int],
        width: int,
        embed_dim: int,
        image_size: tuple[int, int] = (224, 224),
        heads: int | None = None,
        last_stride: int = 2,
        interpolation: Interpolation = 'bicubic',
        local: PoolForm = 'native',
    ) -> None:
        super().__init__()
        self.use_local(local)
        if last_stride not in (1, 2):
            raise ValueError(f'last_stride must be 1 or 2, got {last_stride}')
        self.embed_dim = embed_dim
        self.stage_channels = tuple(width * 4 * 2**stage for stage in range(4))
        self.total_stride = 16 * last_stride
        self.conv1 = nn.Conv2d(3, width // 2, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width // 2)
        self.conv2 = nn.Conv2d(width // 2, width // 2, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width // 2)
        self.conv3 = nn.Conv2d(width // 2, width, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.avgpool = nn.AvgPool2d(2)
        self.relu = nn.ReLU(inplace=True)

        channels = width
        for stage, (blocks, stride) in enumerate(zip(layers, (1, 2, 2, last_stride), strict=True)):
            planes = width * 2**stage
            stack = [Bottleneck(channels, planes, stride)]
            channels = planes * Bottleneck.expansion
            stack += [Bottleneck(channels, planes) for _ in range(blocks - 1)]
            setattr(self, f'layer{stage + 1}', nn.Sequential(*stack))

        self.image_size = tuple(image_size)
        grid_size = (image_size[0] // self.total_stride, image_size[1] // self.total_stride)
        self.attnpool = AttentionPool2d(grid_size, channels, heads or channels // 64, embed_dim, interpolation)
        self._silence_branches()

    @property
    def grid_size(self) -> tuple[int, int]:
        """(h, w) of the position embedding."""
        return self.attnpool.grid_size

    def use_local(self, local: PoolForm) -> None:
        """Compute local features in another form from now on.

        Raises:
            ValueError: a form that a ResNet does not have.
        """
        if local not in get_args(PoolForm):
            raise ValueError(
                f"local={local!r}: the attention pool of a ResNet has 'native' and 'value' (its value path, MaskCLIP); "
                'other forms need the queries, keys and blocks of a ViT'
            )
        self.local: PoolForm = local

    @property
    def options(self) -> dict[str, Any]:
        """What features depend on besides the weights, as plain values."""
        pool = self.attnpool
        return dict(
            stride=self.total_stride,
            grid=list(pool.grid_size),
            heads=pool.heads,
            interpolation=pool.interpolation,
            local=self.local,
        )

    def shard_parts(self) -> Iterator[nn.Module]:
        """Parts that are gathered on their own (:mod:`vlprompt.engine.fsdp`): the blocks."""
        yield from chain(self.layer1, self.layer2, self.layer3, self.layer4)

    def prompt_sizes(self) -> dict[str, int]:
        """Raise ValueError: a ResNet takes no visual prompts."""
        raise ValueError('visual prompts need a vision transformer, not a ResNet: take a ViT as model.clip.arch')

    def _silence_branches(self) -> None:
        """Start every residual branch at zero, as CLIP does."""
        for module in self.modules():
            if isinstance(module, Bottleneck):
                nn.init.zeros_(module.bn3.weight)

    def stem(self, x: Tensor) -> Tensor:
        """Images (B, 3, H, W) -> (B, width, H / 4, W / 4)."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        x = self.relu(self.bn3(self.conv3(x)))
        return self.avgpool(x)

    def stages(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Outputs of the 4 stages for normalised images (B, 3, H, W): (B, C_i, H / s_i, W / s_i), s = 4, 8, 16, 32."""
        x1 = self.layer1(self.stem(images))
        x2 = self.layer2(x1)
        x3 = self.layer3(x2)
        return x1, x2, x3, self.layer4(x3)

    def forward(self, images: Tensor, local: bool = True, maps: bool = True, saliency: bool = False) -> ClipFeatures:
        """Encode normalised images (B, 3, H, W) of any size from 32 pixels up.

        Args:
            images: normalised images.
            local: also compute the N = h * w local features; otherwise attention pooling runs for the
                global query only.
            maps: also return the outputs of the 4 stages.
            saliency: also return the attention of the pool's mean token to the cells.

        Returns:
            ClipFeatures, nothing normalised.
        """
        if min(images.shape[-2:]) < self.total_stride:
            height, width = images.shape[-2:]
            raise ImageSizeError(f'images of {height}x{width} pixels are smaller than one cell of {self.total_stride}')
        stages = self.stages(images.to(self.conv1.weight.dtype))
        pool, last, attention = self.attnpool, stages[-1], None
        queries = local and self.local == 'native'
        if saliency:
            pooled, attention = pool.with_saliency(last, local=queries)
        else:
            pooled = pool(last, local=queries)
        cells = pooled[:, 1:] if queries else pool.values(last) if local else None
        return ClipFeatures(
            cls=pooled[:, 0],
            local=cells,
            maps=stages if maps else (),
            grid=tuple(last.shape[-2:]),
            saliency=attention,
        )
