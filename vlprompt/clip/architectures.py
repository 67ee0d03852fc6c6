"""Shapes of all named CLIP architectures, and reading them from a state dict."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import isqrt
from pathlib import Path
from typing import Any

from torch import Tensor

from vlprompt.clip.open_clip_config import (
    TEXT_FIELDS,
    OpenClipArchitecture,
    refuse_unknown_fields,
    shipped_config,
    shipped_names,
    square_side,
    text_sizes,
)
from vlprompt.messages import did_you_mean

RESNET_STRIDE = 32
"""Pixels of a cell of the last map of every published ResNet."""
HEAD_WIDTH = 64
"""Channels of an attention head in every published CLIP up to width 1024."""
WIDE_HEADS = {1280: 80, 1408: 88, 1664: 104, 1792: 112}
"""Width of a larger published ViT (H, g, bigG, E) -> channels of its heads."""
QUICK_GELU_SUFFIX = '-quickgelu'


@dataclass(frozen=True)
class Architecture:
    """Shapes of an image and a text tower.

    Args:
        embed_dim: width D of the joint image-text space.
        image_size: side in pixels of the square images the position embedding was trained for.
        vision_layers: number of transformer blocks (ViT), or the four stage depths (ResNet).
        vision_width: channels of the ViT, or of the ResNet's stem (its last stage has 32 times as many).
        vision_patch_size: patch side in pixels; ``None`` makes the image tower a ResNet.
        context_length: text positions, start and end token included.
        vocab_size: tokens, the end token being the last.
        transformer_width: text width W.
        transformer_heads: attention heads of the text tower.
        transformer_layers: blocks of the text tower.
        vision_head_width: channels of an attention head of the image tower.
        vision_mlp_width: hidden channels of the MLPs of a ViT; None: 4 times its width; unused by a ResNet.
        vision_stride: pixels of a cell of a ResNet's last map, 16 or 32; unused by a ViT.
        name: for messages; not part of the comparison.
    """

    embed_dim: int
    image_size: int
    vision_layers: int | tuple[int, int, int, int]
    vision_width: int
    vision_patch_size: int | None
    context_length: int
    vocab_size: int
    transformer_width: int
    transformer_heads: int
    transformer_layers: int
    vision_head_width: int = HEAD_WIDTH
    vision_mlp_width: int | None = None
    vision_stride: int = RESNET_STRIDE
    name: str = 'custom'

    def __post_init__(self) -> None:
        if self.is_vit != isinstance(self.vision_layers, int):
            raise ValueError(
                f'architecture {self.name!r}: vision_layers={self.vision_layers!r} does not go with vision_patch_size='
                f'{self.vision_patch_size!r}; a ViT has one depth and a patch size, a ResNet four depths and none'
            )
        if not self.is_vit and len(self.vision_layers) != 4:
            raise ValueError(f'architecture {self.name!r}: a ResNet has 4 stages, got {self.vision_layers!r}')
        if self.is_vit and self.vision_width > 1024 and self.vision_head_width == HEAD_WIDTH:
            usual = WIDE_HEADS.get(self.vision_width)
            raise ValueError(
                f'architecture {self.name!r}: no published ViT of width {self.vision_width} has heads of {HEAD_WIDTH} '
                f'channels: give vision_head_width{f", which is {usual} in published ones" if usual else ""}'
            )
        if self.is_vit and self.vision_mlp_width is None:
            object.__setattr__(self, 'vision_mlp_width', 4 * self.vision_width)
        heads, width = self.transformer_heads, self.vision_head_width
        if heads < 1 or width < 1 or self.transformer_width % heads or self.vision_attention_width % width:
            raise ValueError(
                f'architecture {self.name!r}: widths must be multiples of their heads: text {self.transformer_width} '
                f'with {heads} heads, image {self.vision_attention_width} with heads of {width} channels'
            )
        if self.vision_stride not in (16, RESNET_STRIDE):
            raise ValueError(f'architecture {self.name!r}: vision_stride must be 16 or 32, got {self.vision_stride!r}')
        unit = self.cell_size
        if self.image_size % unit:
            raise ValueError(f'architecture {self.name!r}: image_size {self.image_size} is not a multiple of {unit}')

    @property
    def is_vit(self) -> bool:
        return self.vision_patch_size is not None

    @property
    def described(self) -> str:
        """What the image tower is, for messages."""
        return 'a vision transformer' if self.is_vit else 'a ResNet'

    @property
    def vision_attention_width(self) -> int:
        """Channels of the image tower's attention: of the ViT's tokens, or of the ResNet's last stage."""
        return self.vision_width if self.is_vit else self.vision_width * 32

    @property
    def vision_heads(self) -> int:
        """Heads of the image tower's attention."""
        return self.vision_attention_width // self.vision_head_width

    @property
    def grid_size(self) -> tuple[int, int]:
        """(h, w) of the position embedding."""
        side = self.image_size // self.cell_size
        return side, side

    @property
    def cell_size(self) -> int:
        """Side in pixels of the square that one local feature stands for."""
        return self.vision_patch_size or self.vision_stride

    def first_difference(self, other: Architecture) -> str | None:
        """Name of the first field in which two architectures differ, or None."""
        for field in fields(self):
            if field.name != 'name' and getattr(self, field.name) != getattr(other, field.name):
                return field.name
        return None


def _architecture(
    name: str, embed_dim: int, image_size: int, vision: tuple, text: tuple[int, int, int], **options: int
) -> Architecture:
    width, heads, layers = text
    return Architecture(embed_dim, image_size, *vision, 77, 49408, width, heads, layers, **options, name=name)


ARCHITECTURES: dict[str, Architecture] = {
    a.name: a
    for a in (
        #             name            embed image  layers, width, patch             text width, heads, layers
        _architecture('RN50', 1024, 224, ((3, 4, 6, 3), 64, None), (512, 8, 12)),
        _architecture('RN101', 512, 224, ((3, 4, 23, 3), 64, None), (512, 8, 12)),
        _architecture('RN50x4', 640, 288, ((4, 6, 10, 6), 80, None), (640, 10, 12)),
        _architecture('RN50x16', 768, 384, ((6, 8, 18, 8), 96, None), (768, 12, 12)),
        _architecture('RN50x64', 1024, 448, ((3, 15, 36, 10), 128, None), (1024, 16, 12)),
        _architecture('ViT-B/32', 512, 224, (12, 768, 32), (512, 8, 12)),
        _architecture('ViT-B/16', 512, 224, (12, 768, 16), (512, 8, 12)),
        _architecture('ViT-L/14', 768, 224, (24, 1024, 14), (768, 12, 12)),
        _architecture('ViT-L/14@336px', 768, 336, (24, 1024, 14), (768, 12, 12)),
        _architecture('ViT-B/32@256px', 512, 256, (12, 768, 32), (512, 8, 12)),
        _architecture('ViT-B/16-plus-240', 640, 240, (12, 896, 16), (640, 10, 12)),
        _architecture('ViT-H/14', 1024, 224, (32, 1280, 14), (1024, 16, 24), vision_head_width=80),
        _architecture('ViT-H/14@378px', 1024, 378, (32, 1280, 14), (1024, 16, 24), vision_head_width=80),
        _architecture(
            'ViT-g/14', 1024, 224, (40, 1408, 14), (1024, 16, 24), vision_head_width=88, vision_mlp_width=6144
        ),
        _architecture(
            'ViT-bigG/14', 1280, 224, (48, 1664, 14), (1280, 20, 32), vision_head_width=104, vision_mlp_width=8192
        ),
        _architecture('micro-rn', 128, 160, ((1, 2, 2, 1), 16, None), (128, 2, 3), vision_stride=16),
        _architecture('micro-vit', 128, 160, (6, 128, 16), (128, 2, 3)),
    )
}
"""OpenAI's nine published models, larger and other ones of open_clip, and the two small ones of this package."""


def open_clip_name(name: str) -> str:
    """open_clip's spelling of an architecture name: ``ViT-L/14@336px`` -> ``ViT-L-14-336``."""
    return name.replace('/', '-').replace('@', '-').removesuffix('px')


_BY_SPELLING = {spelling.lower(): a for a in ARCHITECTURES.values() for spelling in (a.name, open_clip_name(a.name))}


def find_architecture(
    arch: str | Mapping | Architecture | OpenClipArchitecture,
) -> Architecture | OpenClipArchitecture:
    """Architecture for a name, a dict of the fields, or a config of open_clip.

    Names are those of OpenAI or open_clip; a config is ``dict(open_clip=dict(embed_dim=..., vision_cfg=...,
    text_cfg=...))``.

    open_clip's ``-quickgelu`` ending is accepted and ignored here (see
    :func:`vlprompt.clip.build_clip` for the activation).

    Raises:
        ValueError: for an unknown name, or fields that are missing, unknown or inconsistent.
    """
    if isinstance(arch, (Architecture, OpenClipArchitecture)):
        return arch
    if isinstance(arch, str):
        found = _BY_SPELLING.get(arch.lower().removesuffix(QUICK_GELU_SUFFIX))
        if found is None and (shipped := shipped_config(arch)) is not None:
            return of_open_clip(*shipped)
        if found is None:
            raise ValueError(
                f'unknown CLIP architecture {arch!r}.{did_you_mean(arch, [*ARCHITECTURES, *shipped_names()])} Known '
                f'are {", ".join(ARCHITECTURES)}, the names of open_clip (vlprompt list --towers), or a dict of sizes'
            )
        return found
    given = dict(arch)
    if 'open_clip' in given:
        return of_open_clip(given['open_clip'], given.get('name', 'custom'))
    known = {f.name for f in fields(Architecture)}
    optional = {'name', 'vision_head_width', 'vision_mlp_width', 'vision_stride'}
    unknown, missing = sorted(set(given) - known), sorted(known - optional - set(given))
    if unknown or missing:
        raise ValueError(f'CLIP architecture dict: unknown keys {unknown}, missing keys {missing}')
    if not isinstance(given['vision_layers'], int):
        given['vision_layers'] = tuple(given['vision_layers'])
    return Architecture(**given)


VISION_FIELDS = {'layers', 'width', 'head_width', 'mlp_ratio', 'patch_size', 'image_size', 'patch_dropout'}


def of_open_clip(
    config: Mapping[str, Any], name: str, folder: Path | None = None
) -> Architecture | OpenClipArchitecture:
    """The architecture that a config of open_clip describes.

    Args:
        config: with ``embed_dim``, ``vision_cfg`` and ``text_cfg``.
        name: of the architecture, for messages.
        folder: where a tokenizer may be that is not CLIP's.

    Raises:
        OtherTower: a field of a kind of tower that is not supported.
        KeyError, TypeError: not a config of open_clip.
    """
    vision, text = dict(config['vision_cfg']), dict(config['text_cfg'])
    if vision.get('timm_model_name'):
        return OpenClipArchitecture.from_config(config, name, folder)
    known = dict(
        model_cfg={'embed_dim', 'quick_gelu', 'custom_text', 'init_logit_scale'},
        vision_cfg=VISION_FIELDS,
        text_cfg=TEXT_FIELDS,
    )
    refuse_unknown_fields(known, {}, name, model_cfg=config, vision_cfg=vision, text_cfg=text)
    layers, width = vision.get('layers', 12), vision.get('width', 768)
    resnet, sizes = not isinstance(layers, int), text_sizes(text)
    return Architecture(
        embed_dim=config['embed_dim'],
        image_size=square_side(vision, name),
        vision_layers=tuple(layers) if resnet else layers,
        vision_width=width,
        vision_patch_size=None if resnet else vision.get('patch_size', 16),
        context_length=sizes['context_length'],
        vocab_size=sizes['vocab_size'],
        transformer_width=sizes['width'],
        transformer_heads=sizes['heads'],
        transformer_layers=sizes['layers'],
        vision_head_width=vision.get('head_width', HEAD_WIDTH),
        vision_mlp_width=None if resnet else int(width * vision.get('mlp_ratio', 4.0)),
        name=name,
    )


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    """Number of distinct values of the pattern's group among the keys."""
    return len({match[1] for key in state if (match := re.match(pattern, key))})


def architecture_of(
    state: Mapping[str, Tensor],
    name: str = 'weights',
    vision_head_width: int | None = None,
    transformer_heads: int | None = None,
    vision_stride: int = RESNET_STRIDE,
) -> Architecture:
    """Read the architecture from a state dict in this package's naming.

    Everything is in the shapes except the number of heads, the stride of a ResNet, and the grid, which is assumed to be
    square.

    Args:
        state: the state dict.
        name: of the weights, for messages.
        vision_head_width: channels of a head of the image tower; None: those of published models, 64 up to a width of
            1024, see :data:`WIDE_HEADS` for larger ones.
        transformer_heads: heads of the text tower; None: those of published models, one per 64 channels.
        vision_stride: pixels of a cell of a ResNet's last map.

    Raises:
        ValueError: not the state dict of a CLIP with a ModifiedResNet or a ViT, or one whose heads are unknown.
    """
    required = ('text.token_embedding.weight', 'text.positional_embedding', 'text.text_projection')
    absent = [key for key in required if key not in state]
    is_vit = 'visual.proj' in state
    if not is_vit and 'visual.attnpool.positional_embedding' not in state:
        absent.append('visual.proj (ViT) or visual.attnpool.positional_embedding (ResNet)')
    if absent:
        raise ValueError(
            f'{name}: not the weights of a CLIP with a ModifiedResNet or a ViT, since it lacks {", ".join(absent)}; '
            f'it has {len(state)} keys such as {sorted(state)[:3]}.{_hint_of_names(state)}'
        )
    try:
        shapes = _vit_shapes(state) if is_vit else _resnet_shapes(state)
        vocab_size, width = state['text.token_embedding.weight'].shape
        context_length = state['text.positional_embedding'].shape[0]
    except (KeyError, ValueError, IndexError) as error:
        raise ValueError(f'{name}: not the weights of a CLIP, {error} is missing or has an unknown shape') from error
    positions, unit = shapes.pop('positions'), shapes['vision_patch_size'] or vision_stride
    if isqrt(positions) ** 2 != positions:
        raise ValueError(f'{name}: {positions} image positions do not form a square grid')
    channels = shapes['vision_width'] * (1 if is_vit else 32)
    if vision_head_width is None:
        vision_head_width = WIDE_HEADS.get(channels, HEAD_WIDTH) if is_vit else HEAD_WIDTH
    if transformer_heads is None:
        transformer_heads = max(1, width // HEAD_WIDTH)
    return Architecture(
        **shapes,
        image_size=isqrt(positions) * unit,
        context_length=context_length,
        vocab_size=vocab_size,
        transformer_width=width,
        transformer_heads=transformer_heads,
        transformer_layers=_count(state, r'text\.transformer\.resblocks\.(\d+)\.'),
        vision_head_width=min(vision_head_width, channels),
        vision_stride=RESNET_STRIDE if is_vit else vision_stride,
        name=name,
    )


def _vit_shapes(state: Mapping[str, Tensor]) -> dict[str, Any]:
    width, _, patch, _ = state['visual.conv1.weight'].shape
    return dict(
        embed_dim=state['visual.proj'].shape[1],
        vision_layers=_count(state, r'visual\.transformer\.resblocks\.(\d+)\.'),
        vision_width=width,
        vision_patch_size=patch,
        vision_mlp_width=state['visual.transformer.resblocks.0.mlp.c_fc.weight'].shape[0],
        positions=state['visual.positional_embedding'].shape[0] - 1,
    )


def _resnet_shapes(state: Mapping[str, Tensor]) -> dict[str, Any]:
    return dict(
        embed_dim=state['visual.attnpool.c_proj.weight'].shape[0],
        vision_layers=tuple(_count(state, rf'visual\.layer{stage}\.(\d+)\.') for stage in (1, 2, 3, 4)),
        vision_width=state['visual.layer1.0.conv1.weight'].shape[0],
        vision_patch_size=None,
        positions=state['visual.attnpool.positional_embedding'].shape[0] - 1,
    )


def _hint_of_names(state: Mapping[str, Tensor]) -> str:
    """What a file with other names may be."""
    if any(key.startswith(('vision_model.', 'text_model.')) for key in state):
        return (
            ' These are the names of the transformers library: take the file open_clip_model.safetensors or '
            "open_clip_pytorch_model.bin of the same model, or OpenAI's archive"
        )
    if any(key.startswith('visual.trunk.') for key in state):
        return ' Its image tower is one of timm, which is not supported as a CLIP'
    if any(key.startswith('text.transformer.embeddings.') for key in state):
        return ' Its text tower is one of the transformers library, which is not supported'
    return ''


_STAGE = re.compile(r'(.*\b)layer1\.0\.conv1\.weight$')
_BLOCK = re.compile(r'(.*\b)transformer\.resblocks\.0\.attn\.in_proj_weight$')


def describe_image_tower(state: Mapping[str, Tensor]) -> str | None:
    """``'a ResNet-101'`` or ``'a ViT-B/16'``: the image tower in a state dict, whatever its prefix; None without one.

    Towers of another size than published ones are described by their sizes.
    """
    for key in state:
        if match := _STAGE.match(key):
            start = re.escape(match[1])
            depths = tuple(_count(state, rf'{start}layer{stage}\.(\d+)\.') for stage in (1, 2, 3, 4))
            return _spell_resnet(depths, state[key].shape[0])
        if (match := _BLOCK.match(key)) and getattr(state.get(f'{match[1]}conv1.weight'), 'ndim', 0) == 4:
            width, _, patch, _ = state[f'{match[1]}conv1.weight'].shape
            layers = _count(state, rf'{re.escape(match[1])}transformer\.resblocks\.(\d+)\.')
            return _spell_vit(layers, width, patch)
    return None


def _spell_resnet(depths: tuple[int, ...], width: int) -> str:
    for name, arch in ARCHITECTURES.items():
        if (arch.vision_layers, arch.vision_width) == (depths, width) and name.startswith('RN'):
            return f'a ResNet-{name.removeprefix("RN")}'
    return f'a ResNet with {depths} blocks, {width} wide'


def _spell_vit(layers: int, width: int, patch: int) -> str:
    for name, arch in ARCHITECTURES.items():
        same = (arch.vision_layers, arch.vision_width, arch.vision_patch_size) == (layers, width, patch)
        if same and name.startswith('ViT'):
            return f'a {name}'
    return f'a ViT with {layers} blocks of width {width} and patches of {patch} pixels'
