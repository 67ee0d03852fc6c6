"""CLIP's vision transformer, with slots for visual prompts: https://arxiv.org/abs/2103.00020."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vlprompt.clip.features import ClipFeatures
from vlprompt.clip.layers import LayerNorm, Transformer
from vlprompt.clip.local_tokens import LastTokens, NeighbourBias, find_local_form, run_last_block
from vlprompt.clip.position import Interpolation, resize_position_embedding
from vlprompt.clip.visual_prompts import Entry, VisualTokens, check_prompts, join_prompts, run_blocks
from vlprompt.errors import ImageSizeError


def default_out_indices(layers: int) -> tuple[int, ...]:
    """Blocks at 1/3, 1/2, 2/3 and the end of the depth: (3, 5, 7, 11) of 12, (7, 11, 15, 23) of 24."""
    return tuple(sorted({max(0, round(layers * part) - 1) for part in (1 / 3, 1 / 2, 2 / 3, 1)}))


def check_out_indices(indices: tuple[int, ...], count: int) -> None:
    """Raise ValueError unless indices ascend within the ``count`` blocks or stages of a tower."""
    if any(not 0 <= index < count for index in indices) or list(indices) != sorted(set(indices)):
        raise ValueError(f'out_indices {indices} must ascend within 0..{count - 1}')


class VisionTransformer(nn.Module):
    """Vision transformer of CLIP, and, with other options, of timm.

    The forward pass is three public steps, so that methods can work between them:

    * :meth:`embed`: image -> class token and patch tokens with positions;
    * :meth:`encode`: tokens (and prompts) -> tokens after the last block, and after chosen blocks;
    * :meth:`project`: tokens -> joint space.

    **Where visual prompts go.** Entry i of :class:`~vlprompt.clip.VisualTokens` holds tokens that stand behind the
    patch tokens in the input of block i (their order does not matter: they have no position embedding, and attention is
    permutation-equivariant). One entry is a shallow prompt (VPT-shallow, PLOT++), whose outputs flow
    on through all blocks; further entries are deep prompts (VPT-deep, MaPLe, LPT), which *replace* the
    prompt tokens of the previous block's output. None, or the end of the sequence, lets the prompt
    tokens flow on; an entry of zero tokens removes them. Prompts never reach the output.
    Entries are (n, width), the same for all images, or (B, n, width); n may differ between blocks.
    :mod:`vlprompt.clip.visual_prompts` explains which computations are skipped.

    **Sets.** With M sets the patches are embedded once and the blocks run M times, in one batch. The class features of
    the M passes are then the local features, and their mean is the global one (PLOT++).

    **Local features.** With ``local`` other than ``'native'`` the last block is run in another form for the patch
    tokens (MaskCLIP, SCLIP, ClearCLIP, NACLIP, see :mod:`vlprompt.clip.local_tokens`).  Only ``ClipFeatures.local``
    changes: the class feature and all maps stay CLIP's own.

    Args:
        patch_size: side of a patch in pixels.
        width: token width.
        layers: number of blocks.
        embed_dim: D of the joint space; None: there is none (timm), and :meth:`project` is missing.
        image_size: (H, W) in pixels that determines the size of the position embedding. Images of any
            other size are accepted too.
        heads: attention heads; None: one per 64 channels, as in every published model.
        quick_gelu: OpenAI's activation instead of GELU.
        patch_stride: step between patches; None: ``patch_size``. Smaller: overlapping patches.
        out_indices: blocks after which a feature map is taken; None: :func:`default_out_indices`.
        interpolation: how to resize the position embedding to another grid.
        drop_path: rate of stochastic depth in the last block, growing linearly from 0 in the first; for fine-tuning.
        pre_norm: layer norm before the first block (CLIP).
        norm_eps: epsilon of all layer norms (CLIP 1e-5, timm 1e-6).
        patch_bias: bias of the patch embedding (timm).
        mlp_width: hidden channels of the blocks' MLPs; None: 4 times the width.
        local: form of the local features: a published name or a dict of the fields of
            :class:`~vlprompt.clip.local_tokens.LocalForm`.

    Raises:
        ValueError: ``out_indices`` that do not ascend within the blocks, or a form of local features that does not
            exist or is given without a joint space.
    """

    def __init__(
        self,
        patch_size: int,
        width: int,
        layers: int,
        embed_dim: int | None,
        image_size: tuple[int, int] = (224, 224),
        heads: int | None = None,
        quick_gelu: bool = True,
        patch_stride: int | None = None,
        out_indices: Sequence[int] | None = None,
        interpolation: Interpolation = 'bicubic',
        drop_path: float = 0.0,
        pre_norm: bool = True,
        norm_eps: float = 1e-5,
        patch_bias: bool = False,
        mlp_width: int | None = None,
        local: str | Mapping[str, Any] = 'native',
    ) -> None:
        super().__init__()
        self.embed_dim = embed_dim
        self.width = width
        self.patch_size = patch_size
        self.patch_stride = patch_stride or patch_size
        self.interpolation = interpolation
        self.out_indices = default_out_indices(layers) if out_indices is None else tuple(out_indices)
        check_out_indices(self.out_indices, layers)
        self.stage_channels = (width,) * len(self.out_indices)
        self.use_local(local)
        self._bias = NeighbourBias()
        self.image_size = tuple(image_size)
        self.grid_size = self.grid_of(*image_size)
        self.conv1 = nn.Conv2d(3, width, patch_size, stride=self.patch_stride, bias=patch_bias)
        self.class_embedding = nn.Parameter(torch.empty(width))
        self.positional_embedding = nn.Parameter(torch.empty(1 + self.grid_size[0] * self.grid_size[1], width))
        self.ln_pre = LayerNorm(width, norm_eps) if pre_norm else nn.Identity()
        self.transformer = Transformer(width, layers, heads or width // 64, quick_gelu, drop_path, norm_eps, mlp_width)
        self.ln_post = LayerNorm(width, norm_eps)
        self.proj = None if embed_dim is None else nn.Parameter(torch.empty(width, embed_dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for parameter in (self.class_embedding, self.positional_embedding, self.proj):
            if parameter is not None:
                nn.init.normal_(parameter, std=self.width**-0.5)
        self.transformer.reset_parameters()

    def shard_parts(self) -> Iterator[nn.Module]:
        """Parts that are gathered on their own (:mod:`vlprompt.engine.fsdp`): the blocks, but for the last, whose
        layers :func:`~vlprompt.clip.local_tokens.run_last_block` reads.
        """
        yield from self.transformer.resblocks[:-1]

    def require_cells(self) -> None:
        """Raise ValueError if the patches overlap: the map of their features is none of cells of the image."""
        if self.patch_stride != self.patch_size:
            raise ValueError(
                f'patches of {self.patch_size} pixels with stride {self.patch_stride} overlap: they are no cells; '
                'leave clip.vision.patch_stride out'
            )

    def use_local(self, local: str | Mapping[str, Any]) -> None:
        """Compute local features in another form from now on: a name or a dict, as in the constructor."""
        form = find_local_form(local)
        if self.embed_dim is None and not form.native:
            raise ValueError(f'local={local!r}: this ViT has no joint space, and so no local features in it')
        self._form = form

    @property
    def local(self) -> str | dict[str, Any]:
        """The form of the local features: its published name, or its fields."""
        return self._form.spelled

    @property
    def options(self) -> dict[str, Any]:
        """What features depend on besides the weights, as plain values."""
        block = self.transformer.resblocks[0]
        return dict(
            stride=self.patch_stride,
            grid=list(self.grid_size),
            heads=block.attn.heads,
            interpolation=self.interpolation,
            local=self.local,
        )

    def prompt_sizes(self) -> dict[str, int]:
        """``width``, ``layers`` and ``patch_size`` for visual prompts."""
        return dict(width=self.width, layers=len(self.transformer.resblocks), patch_size=self.patch_size)

    def grid_of(self, height: int, width: int) -> tuple[int, int]:
        """(h, w) patches of an image of that size; pixels that do not fill a patch are dropped."""
        if min(height, width) < self.patch_size:
            raise ImageSizeError(f'images of {height}x{width} pixels are smaller than one patch of {self.patch_size}')
        return tuple((side - self.patch_size) // self.patch_stride + 1 for side in (height, width))

    def embed(self, images: Tensor, class_offset: Tensor | None = None) -> tuple[Tensor, tuple[int, int]]:
        """Tokens with position embeddings, before ``ln_pre``.

        Args:
            images: (B, 3, H, W) normalised.
            class_offset: (B, width) or (width,), added to the class token only, such as the camera
                embedding of CLIP-ReID.

        Returns:
            (B, 1 + h * w, width) class token first, and the grid (h, w).
        """
        grid = self.grid_of(*images.shape[-2:])
        patches = self.conv1(images.to(self.conv1.weight.dtype)).flatten(2).transpose(1, 2)
        cls = self.class_embedding if class_offset is None else self.class_embedding + class_offset
        cls = cls.to(patches.dtype).expand(patches.shape[0], -1).unsqueeze(1)
        positions = resize_position_embedding(self.positional_embedding, self.grid_size, grid, self.interpolation)
        return torch.cat([cls, patches], dim=1) + positions.to(patches.dtype), grid

    def encode(
        self,
        tokens: Tensor,
        prompts: VisualTokens | None = None,
        out_indices: Sequence[int] = (),
        queries: int | None = None,
        reference: bool = False,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run ``ln_pre`` and all blocks.

        Args:
            tokens: (B, L, width) from :meth:`embed`.
            prompts: visual prompts, see the class.
            out_indices: blocks whose output tokens are returned too.
            queries: compute only that many first tokens in the last block (1: the class token alone).
            reference: run deep prompts through all computations too, see :func:`run_blocks`.

        Returns:
            (B, L or queries, width) after the last block, and (B, L, width) after each block of
            ``out_indices``. Residual stream, prompts removed, no ``ln_post``. With M sets M * B instead of B, the first
            set's images first.
        """
        blocks = self.transformer.resblocks
        x, entries = self._enter(tokens, prompts)
        if queries is not None and len(blocks) - 1 in out_indices:
            raise ValueError('the output of the last block is requested, so all of its tokens must be computed')
        return run_blocks(blocks, x, entries, out_indices, queries, reference=reference)

    def encode_local(
        self,
        tokens: Tensor,
        grid: tuple[int, int],
        prompts: VisualTokens | None = None,
        out_indices: Sequence[int] = (),
        saliency: bool = False,
        reference: bool = False,
    ) -> tuple[LastTokens, tuple[Tensor, ...]]:
        """As :meth:`encode`, the last block natively for the class token and in the form ``local`` for the patches.

        If the last block's output is asked for by ``out_indices``, the patches are computed natively too.

        Args:
            tokens: (B, 1 + h * w, width) from :meth:`embed`.
            grid: (h, w).
            prompts: visual prompts; in the last block they are keys and values alone.
            out_indices: blocks whose (native) output tokens are returned too.
            saliency: also return the class token's attention to the patches.
            reference: see :meth:`encode`.
        """
        *blocks, block = self.transformer.resblocks
        last = len(blocks)
        x, entries = self._enter(tokens, prompts)
        entry = entries[last] if len(entries) > last else None
        before = [index for index in out_indices if index < last]
        x, outputs = run_blocks(blocks, x, entries[:last], before, reference=reference, keep_prompts=entry is None)
        x = x if entry is None else join_prompts(x, entry)
        whole = last in out_indices
        after = run_last_block(block, x, grid, self._form, self._bias, whole, saliency)
        return after, (*outputs, after.native) if whole else outputs

    def _enter(self, tokens: Tensor, prompts: VisualTokens | None) -> tuple[Tensor, list[Entry]]:
        """Tokens after ``ln_pre``, once for each set, and the checked prompts of the blocks."""
        x = self.ln_pre(tokens)
        entries = [] if prompts is None else prompts.entries(self.ln_pre, tokens.shape[0])
        check_prompts(entries, len(self.transformer.resblocks), self.width)
        if prompts is not None and prompts.sets is not None:
            x = x.repeat(prompts.sets, 1, 1)
        return x, entries

    def project(self, tokens: Tensor) -> Tensor:
        """(..., width) -> (..., D): ``ln_post``, then the projection into the joint space."""
        return self.ln_post(tokens) @ self.proj

    def to_map(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """Tokens (B, 1 + h * w, width), class token first, as a feature map (B, width, h, w)."""
        return tokens[:, 1:].transpose(1, 2).unflatten(2, grid)

    def stages(self, images: Tensor, class_offset: Tensor | None = None) -> tuple[Tensor, ...]:
        """Patch tokens after each block of ``out_indices`` as maps (B, width, h, w); nothing is projected."""
        tokens, grid = self.embed(images, class_offset)
        _, outputs = self.encode(tokens, out_indices=self.out_indices)
        return tuple(self.to_map(output, grid) for output in outputs)

    def forward(
        self,
        images: Tensor,
        local: bool = True,
        maps: bool = True,
        prompts: VisualTokens | None = None,
        class_offset: Tensor | None = None,
        saliency: bool = False,
    ) -> ClipFeatures:
        """Encode normalised images (B, 3, H, W) of any size from one patch up.

        Args:
            images: normalised images.
            local: also compute the N = h * w local features (``ln_post`` and projection of the patch
                tokens, in the tower's form). With neither ``local`` nor ``maps`` the last block computes the class
                token only.
            maps: also return the patch tokens after the blocks of ``out_indices`` as maps.
            prompts: visual prompts, see the class.
            class_offset: see :meth:`embed`.
            saliency: also return the class token's attention to the patches in the last block.

        Returns:
            ClipFeatures, nothing normalised. With M sets ``cls`` is the mean of the M class features, which are the
            local features, ``local (B, M, D)`` with the grid (1, M).

        Raises:
            ValueError: maps or saliency of several sets are requested.
        """
        tokens, grid = self.embed(images, class_offset)
        out_indices = self.out_indices if maps else ()
        if prompts is not None and prompts.sets is not None:
            if out_indices:
                raise ValueError('there are no feature maps of several sets of visual prompts; pass maps=False')
            if saliency:
                raise ValueError(
                    'local features of several sets of visual prompts have no saliency: they are no places'
                )
            return self._of_sets(self.encode(tokens, prompts, queries=1)[0], prompts.sets)
        attention = None
        if saliency or (local and not self._form.native):  # class token and patches apart in the last block
            last, outputs = self.encode_local(tokens, grid, prompts, out_indices, saliency)
            x = torch.cat([last.native[:, :1], last.patches], dim=1) if local else last.native
            attention = last.saliency
        else:
            queries = None if local or len(self.transformer.resblocks) - 1 in out_indices else 1
            x, outputs = self.encode(tokens, prompts, out_indices, queries)
        projected = self.project(x if local else x[:, :1])
        return ClipFeatures(
            cls=projected[:, 0],
            local=projected[:, 1:] if local else None,
            maps=tuple(self.to_map(output, grid) for output in outputs),
            grid=grid,
            saliency=attention,
        )

    def _of_sets(self, cls: Tensor, sets: int) -> ClipFeatures:
        """Class tokens (M * B, 1, width) of M sets as features."""
        local = self.project(cls[:, 0]).unflatten(0, (sets, -1)).transpose(0, 1)
        return ClipFeatures(cls=local.mean(1), local=local, maps=(), grid=(1, sets))
