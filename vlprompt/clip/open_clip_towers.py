"""Towers made of open_clip's and timm's own modules, used as this package's are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from open_clip import CustomTextCLIP
from timm.models.vision_transformer import VisionTransformer as TimmVisionTransformer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vlprompt.clip.download import hub_folder_file
from vlprompt.clip.features import ClipFeatures
from vlprompt.clip.open_clip_config import OpenClipArchitecture, text_sizes
from vlprompt.clip.text.encoder import TextEncoder
from vlprompt.clip.text.hub_tokenizer import OPTIONS_FILE, TOKENIZER_FILE, HubTokenizer
from vlprompt.clip.text.packing import SharedPart, shared_part
from vlprompt.clip.text.tokenizer import CLIP_TOKENIZER, Tokenizer
from vlprompt.clip.text.tokens import PromptTokens
from vlprompt.clip.visual_prompts import Entry, VisualTokens, check_prompts, join_prompts
from vlprompt.clip.vit import check_out_indices
from vlprompt.errors import DownloadError, ImageSizeError

TEXTS = 256
"""Texts that are encoded at a time where no gradient is needed."""

_SILENT = (nn.Identity, nn.Dropout)


class TimmImageTower(nn.Module):
    """An image tower of timm with open_clip's projection.

    The names of its tensors are open_clip's, ``trunk.*`` and ``head.*``.

    **Local features** are what the tower's pooling and projection make of one cell alone: the value path of an
    attention pool, the classifier on a token, or the projection of a cell of a map (whose mean is then the global
    feature), as of convolutions or Swin.

    Args:
        tower: open_clip's ``TimmModel``, whose trunk and head are used.
        arch: the architecture.
        image_size: pixels (side, or (H, W)) to build the position embeddings for; None: the architecture's.
        out_indices: blocks or stages whose outputs are the maps, ascending; None: the last four.

    Attributes:
        any_size: whether images of all sizes are taken, as by convolutions; else those of ``image_size`` alone.
        image_size: (H, W) in pixels.
        grid_size: (h, w) cells of such an image.
        cell_size: pixels of a cell.
        width: channels of the pooled features.
        stage_channels: channels of the maps.

    Raises:
        ValueError: an image size on a tower that has one alone, or indices that do not ascend within its blocks.
    """

    local = 'native'  # the only form of the local features

    def __init__(
        self,
        tower: nn.Module,
        arch: OpenClipArchitecture,
        image_size: int | tuple[int, int] | None = None,
        out_indices: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.trunk, self.head = tower.trunk, tower.head
        self.name, self.embed_dim = arch.described, arch.embed_dim
        self.any_size = getattr(getattr(self.trunk, 'patch_embed', None), 'img_size', None) is None
        self._channels_last = getattr(self.trunk, 'output_fmt', None) == 'NHWC'  # of the trunk's last features
        stages = self.trunk.feature_info
        self.cell_size = stages[-1]['reduction']
        self.resize(arch.image_size if image_size is None else image_size)
        self.width = getattr(self.trunk, 'head_hidden_size', self.trunk.num_features)
        indices = range(max(len(stages) - 4, 0), len(stages)) if out_indices is None else out_indices
        self.out_indices = tuple(indices)
        check_out_indices(self.out_indices, len(stages))
        self.stage_channels = tuple(stages[index]['num_chs'] for index in self.out_indices)

    def resize(self, image_size: int | tuple[int, int]) -> None:
        """Take images of another size from now on: the position embeddings are resampled once.

        Args:
            image_size: pixels, side or (H, W).

        Raises:
            ValueError: a tower that has one size alone.
        """
        self.image_size = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
        if not self.any_size and self.image_size != tuple(self.trunk.patch_embed.img_size):
            if not hasattr(self.trunk, 'set_input_size'):
                raise ValueError(f'{self.name} takes images of {self.trunk.patch_embed.img_size} pixels alone')
            self.trunk.set_input_size(self.image_size)
        self.grid_size = self._grid_of(*self.image_size)

    @property
    def options(self) -> dict[str, Any]:
        """What features depend on besides the weights, as plain values."""
        return dict(tower=self.name, stride=self.cell_size, grid=list(self.grid_size), local=self.local)

    def _grid_of(self, height: int, width: int) -> tuple[int, int]:
        """(h, w) cells of an image."""
        up = self.cell_size - 1 if self.any_size or self._channels_last else 0  # cells that are not full count
        return (height + up) // self.cell_size, (width + up) // self.cell_size

    def prompt_sizes(self) -> dict[str, int]:
        """``width``, ``layers`` and ``patch_size`` for visual prompts.

        Raises:
            ValueError: the blocks take no further tokens: convolutions, windows, or rotary positions, which cover
                patches alone.
        """
        trunk = self.trunk
        if not isinstance(trunk, TimmVisionTransformer):
            raise ValueError(f'visual prompts need a plain vision transformer, which {self.name} is not')
        return dict(width=trunk.embed_dim, layers=len(trunk.blocks), patch_size=self.cell_size)

    def forward(
        self,
        images: Tensor,
        local: bool = True,
        maps: bool = True,
        prompts: VisualTokens | None = None,
        saliency: bool = False,
    ) -> ClipFeatures:
        """Encode normalised images (B, 3, H, W).

        Args:
            images: of the size that the tower was built for, or of any size if it is convolutional.
            local: also compute the local features.
            maps: also return the outputs of ``out_indices``, not normalised, as maps.
            prompts: visual prompts, for a plain vision transformer.
            saliency: not available.

        Raises:
            ImageSizeError: images of another size.
            ValueError: visual prompts on a tower that takes none, maps of them, or saliency.
        """
        self._check_size(images)
        if saliency:
            raise ValueError(f'{self.name} has no class token whose attention could weigh the local features')
        if prompts is not None:
            if maps:
                raise ValueError(f'{self.name}: there are no feature maps with visual prompts; pass maps=False')
            return self._with_prompts(images, prompts, local)
        if maps and self.out_indices:
            last, outputs = self.trunk.forward_intermediates(images, indices=list(self.out_indices))
        else:
            last, outputs = self.trunk.forward_features(images), ()
        return self._features(last, local, tuple(outputs))

    def _check_size(self, images: Tensor) -> None:
        height, width = images.shape[-2:]
        if (height, width) != self.image_size and not self.any_size:
            raise ImageSizeError(
                f'images of {height} x {width} pixels, but {self.name} was built for {self.image_size[0]} x '
                f'{self.image_size[1]}: set image_size in the config, or model.clip.image_size'
            )

    def levels(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Global features of three levels, as re-identification compares them.

        Returns:
            (B, C) mean of the cells before the last block or stage, (B, width) pooled, and (B, D) in the joint space.
        """
        self._check_size(images)
        last, (before,) = self.trunk.forward_intermediates(images, indices=[len(self.trunk.feature_info) - 2])
        pooled = self.trunk.forward_head(last, pre_logits=True)
        return before.mean((2, 3)), pooled, self._joint(last)

    @property
    def level_channels(self) -> tuple[int, int, int]:
        """Channels of :meth:`levels`."""
        before = self.trunk.feature_info[-2]['num_chs']
        return before, self.width, self.embed_dim

    def _joint(self, last: Tensor) -> Tensor:
        """The trunk's last features, pooled and projected: (B, D)."""
        return self.head(self.trunk.forward_head(last))

    def _features(self, last: Tensor, local: bool, maps: tuple[Tensor, ...]) -> ClipFeatures:
        grid = self.grid_size
        if last.dim() == 4:
            grid = tuple(last.shape[1:3] if self._channels_last else last.shape[2:])
        return ClipFeatures(self._joint(last), self._local(last) if local else None, maps, grid)

    def _local(self, last: Tensor) -> Tensor:
        """(B, N, D): every cell as if it were alone."""
        if last.dim() == 4 and self._channels_last:
            cells = last.flatten(1, 2)
            single = cells.flatten(0, 1)[:, None, None]
        elif last.dim() == 4:
            cells = last.flatten(2).transpose(1, 2)
            single = cells.flatten(0, 1)[..., None, None]
        else:
            cells = last[:, self.trunk.num_prefix_tokens :]
            single = cells.flatten(0, 1)[:, None]
            if getattr(self.trunk, 'global_pool', '') == 'avg':  # which leaves the prefix out
                single = single.expand(-1, 1 + self.trunk.num_prefix_tokens, -1)
        return self._joint(single).unflatten(0, cells.shape[:2])

    @property
    def ln_pre(self) -> nn.Module:
        """The norm before the blocks of a plain vision transformer."""
        return self.trunk.norm_pre

    @property
    def projection(self) -> Tensor | None:
        """(width, D) matrix from pooled features into the joint space, without its bias; None: they are in it.

        Raises:
            ValueError: it is not linear.
        """
        last = [module for module in (self.trunk.get_classifier(), *self.head) if not isinstance(module, _SILENT)]
        if any(not isinstance(module, nn.Linear) for module in last) or len(last) > 1:
            raise ValueError(f'{self.name} is not projected linearly into the joint space')
        return last[0].weight.t() if last else None

    def drop_projection(self) -> None:
        """Remove the parameters after the pooled features, which then are all that the tower gives."""
        self.head = nn.Sequential()
        self.trunk.reset_classifier(0)

    def pooled(self, images: Tensor, prompts: Sequence[Entry] = ()) -> Tensor:
        """(B, width) global features before the projection into the joint space.

        Args:
            images: as for :meth:`forward`.
            prompts: additional input of each block, see :class:`~vlprompt.clip.VisualTokens`.
        """
        self._check_size(images)
        last = self._run(images, prompts) if len(prompts) else self.trunk.forward_features(images)
        return self.trunk.forward_head(last, pre_logits=True)

    def _run(self, images: Tensor, entries: Sequence[Entry], sets: int | None = None) -> Tensor:
        """Last tokens with visual prompts, which the blocks' attention alone reads."""
        sizes, trunk = self.prompt_sizes(), self.trunk
        check_prompts(entries, sizes['layers'], sizes['width'])
        x = trunk.norm_pre(trunk._pos_embed(trunk.patch_embed(images)))
        x = x if sets is None else x.repeat(sets, 1, 1)
        own = x.shape[1]
        for index, block in enumerate(trunk.blocks):
            if index < len(entries) and entries[index] is not None:
                x = join_prompts(x[:, :own], entries[index])
            x = block(x)
        return trunk.norm(x[:, :own])

    def shard_parts(self) -> Iterator[nn.Module]:
        """Parts that are gathered on their own (:mod:`vlprompt.engine.fsdp`): the blocks of a vision transformer."""
        yield from getattr(self.trunk, 'blocks', ())

    def _with_prompts(self, images: Tensor, prompts: VisualTokens, local: bool) -> ClipFeatures:
        last = self._run(images, prompts.entries(self.ln_pre, images.shape[0]), prompts.sets)
        if prompts.sets is None:
            return self._features(last, local, ())
        sets = self._joint(last).unflatten(0, (prompts.sets, -1)).transpose(0, 1)
        return ClipFeatures(sets.mean(1), sets, (), (1, prompts.sets))


class OpenClipTextTower(nn.Module):
    """A text tower of open_clip that is not CLIP's: bidirectional, or read at the last position.

    Every text depends on all of its positions, padding included, so that nothing is shared among classes, and all
    ``context_length`` positions are computed, of :data:`TEXTS` texts at a time; with gradients, those of more texts are
    recomputed in the backward pass, which costs one more forward pass and keeps the memory of one part.  The names of
    its tensors are open_clip's.

    Args:
        tower: open_clip's ``TextTransformer``, whose modules are used.
        embed_dim: D of the joint space.
        tokenizer: of the words.

    Attributes:
        tokenizer: turns words into ids of the token embedding.
        takes_deep_prompts: whether prompts may have vectors for further blocks.
        causal: whether a position sees those before it alone.
    """

    takes_deep_prompts = False
    causal = False

    def __init__(self, tower: nn.Module, embed_dim: int, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.embed_dim, self.context_length, self.width = embed_dim, tower.context_length, tower.width
        self.tokenizer, self.pool = tokenizer, tower.pool_type
        self.token_embedding, self.positional_embedding = tower.token_embedding, tower.positional_embedding
        self.transformer, self.ln_final, self.text_projection = tower.transformer, tower.ln_final, tower.text_projection
        self.register_buffer('attn_mask', tower.attn_mask, persistent=False)

    def from_ids(self, ids: Tensor, known: SharedPart | None = None) -> PromptTokens:
        """Embed token ids (P, K, L) of texts with an end token; nothing is shared.

        Args:
            ids: the ids.
            known: of :func:`~vlprompt.clip.text.packing.shared_part`, for ids that are embedded again and again; None:
                the ids are read.

        Raises:
            ValueError: a text without end token.
        """
        if known is None and not (ids == self.tokenizer.end).any(-1).all():
            raise ValueError(f'every text must have the end token {self.tokenizer.end}, after which padding begins')
        embedding = self.token_embedding(ids)
        layout = (known or shared_part(ids, self.tokenizer.ends(ids), self.causal)).layout
        return PromptTokens(embedding.new_zeros(len(ids), 0, self.width), embedding, layout)

    def encode_ids(self, ids: Tensor) -> Tensor:
        """Encode plain texts: ids (N, L) of the tokenizer -> (N, D), not normalised."""
        return self(self.from_ids(ids.unsqueeze(0)))[0]

    def forward(self, tokens: PromptTokens, reference: bool = False) -> Tensor:
        """Encode P prompts for K classes.

        Args:
            tokens: prompts as embeddings, no position embedding added.
            reference: no difference; all positions are always computed.

        Returns:
            (P, K, D) text features in the joint space, not normalised.

        Raises:
            ValueError: an end token outside of the tower's positions, or deep prompts.
        """
        if tokens.deep:
            raise ValueError("deep prompts need CLIP's text tower")
        size = max(TEXTS // tokens.layout.num_prompts, 1)
        if size >= tokens.num_classes:
            return self._encode(tokens)
        learned = (tokens.prefix, tokens.suffix, *self.parameters())
        needs_grad = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in learned)
        parts = [tokens.select_classes(slice(k, k + size)) for k in range(0, tokens.num_classes, size)]
        features = [
            checkpoint(self._encode, part, use_reentrant=False) if needs_grad else self._encode(part) for part in parts
        ]
        return torch.cat(features, dim=1)

    def _encode(self, tokens: PromptTokens) -> Tensor:
        length = self.context_length
        x = tokens.embeddings(length)
        places = torch.arange(length, device=x.device)
        padding = self.token_embedding.weight[self.tokenizer.pad].to(x.dtype)
        ends = tokens.layout.tensor(x.device)
        x = torch.where((places > ends[..., None])[..., None], padding, x)
        x = (x + self.positional_embedding.to(x.dtype)).flatten(0, 1)
        x = self.ln_final(self.transformer(x, attn_mask=self.attn_mask))
        last = x[:, -1] if self.pool == 'last' else x[torch.arange(len(x), device=x.device), ends.flatten()]
        return self._project(last).unflatten(0, ends.shape)

    def _project(self, x: Tensor) -> Tensor:
        projection = self.text_projection
        if projection is None:
            return x
        return projection(x) if isinstance(projection, nn.Linear) else x @ projection


_NO_TEXT = dict(context_length=1, vocab_size=1, width=1, heads=1, layers=1)


def build_towers(
    arch: OpenClipArchitecture,
    image_size: int | tuple[int, int] | None = None,
    out_indices: Sequence[int] | None = None,
) -> tuple[TimmImageTower, TextEncoder | OpenClipTextTower]:
    """Image and text tower of an architecture, with random weights.

    The text tower is this package's own where it is CLIP's, with all its savings, else open_clip's.

    Args:
        arch: the architecture.
        image_size: see :class:`TimmImageTower`.
        out_indices: likewise.

    Raises:
        ValueError: options that the tower does not take.
        DownloadError, EnvironmentProblem: see :func:`find_tokenizer`.
    """
    tokenizer, text = find_tokenizer(arch), arch.text
    if arch.quick_gelu and text.get('act_kwargs'):
        raise ValueError(f'{arch.name}: quick_gelu and text_cfg.act_kwargs={text["act_kwargs"]} exclude each other')
    vision = dict(arch.vision, timm_model_pretrained=False)
    theirs = CustomTextCLIP(arch.embed_dim, vision, _NO_TEXT if arch.plain_text else dict(text), arch.quick_gelu)
    visual = TimmImageTower(theirs.visual, arch, image_size, out_indices)
    if not arch.plain_text:
        return visual, OpenClipTextTower(theirs.text, arch.embed_dim, tokenizer)
    return visual, TextEncoder(arch.embed_dim, quick_gelu=arch.quick_gelu, **text_sizes(text))


def find_tokenizer(arch: OpenClipArchitecture) -> Tokenizer:
    """The tokenizer of an architecture: CLIP's, or one in the format of the Hugging Face hub, from a folder or the hub.

    Raises:
        DownloadError: it is neither beside the weights nor cached, and cannot be fetched.
        EnvironmentProblem: the library that reads it is not installed.
    """
    repository = arch.text.get('hf_tokenizer_name')
    if not repository:
        return CLIP_TOKENIZER
    clean = _cleaning(arch)
    if arch.tokenizer is not None:
        return HubTokenizer(arch.tokenizer, clean)
    try:
        file = hub_folder_file(repository, OPTIONS_FILE, TOKENIZER_FILE)
    except (OSError, RuntimeError) as error:
        places = f'{TOKENIZER_FILE} and {OPTIONS_FILE} of https://huggingface.co/{repository} with the weights'
        options = dict(weights='/path/to/folder')
        raise DownloadError(f'the tokenizer of {arch.name}', places, options, repository, error) from error
    return HubTokenizer(file.parent, clean)


def _cleaning(arch: OpenClipArchitecture) -> str:
    """What is done to a text before it is split into tokens."""
    options: Mapping[str, Any] = arch.text.get('tokenizer_kwargs') or {}
    if unknown := sorted(set(options) - {'clean'}):
        raise ValueError(f'{arch.name}: text_cfg.tokenizer_kwargs has {", ".join(unknown)}, which is not supported')
    return options.get('clean', 'whitespace')
