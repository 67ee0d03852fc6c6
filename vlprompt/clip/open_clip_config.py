"""Architectures of open_clip whose image tower is timm's: SigLIP, PE-Core, EVA, MobileCLIP, ConvNeXt, ViTamin.

They are described by open_clip's own configs, in its words: ``embed_dim``, ``vision_cfg`` and ``text_cfg``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

_KNOWN = dict(
    model_cfg={'embed_dim', 'quick_gelu', 'custom_text', 'init_logit_scale', 'init_logit_bias'},
    vision_cfg={
        'image_size',
        'timm_model_name',
        'timm_model_pretrained',
        'timm_pool',
        'timm_proj',
        'timm_proj_bias',
        'timm_drop',
        'timm_drop_path',
        'patch_dropout',
    },
    text_cfg={
        'context_length',
        'vocab_size',
        'hf_tokenizer_name',
        'tokenizer_kwargs',
        'width',
        'heads',
        'layers',
        'mlp_ratio',
        'pad_id',
        'no_causal_mask',
        'pool_type',
        'proj_bias',
        'proj_type',
        'act_kwargs',
        'norm_kwargs',
    },
)
"""What the adapter expresses, by part of open_clip's config."""
_ALLOWED = {('text_cfg', 'pool_type'): ('last',), ('text_cfg', 'proj_type'): ('none',)}
_TEXT_SIZES = dict(context_length=77, vocab_size=49408, width=512, heads=8, layers=12)
"""The fields of CLIP's text tower, and open_clip's defaults of them."""
TEXT_FIELDS = set(_TEXT_SIZES)


class OtherTower(ValueError):
    """A config of open_clip describes towers that this package does not have."""


@dataclass(frozen=True)
class OpenClipArchitecture:
    """An image tower of timm and a text tower, as a config of open_clip describes them.

    Args:
        name: open_clip's name, or that of the folder with the config.
        embed_dim: width D of the joint space.
        vision: open_clip's ``vision_cfg``.
        text: open_clip's ``text_cfg``.
        quick_gelu: whether the text tower has OpenAI's activation.
        logit_bias: whether the model has a bias of its logits (SigLIP).
        tokenizer: folder with ``tokenizer.json``, for a text tower whose tokenizer is not CLIP's; None: the repository
            of huggingface.co that the config names.

    Raises:
        OtherTower: a field of another kind of tower.
    """

    name: str
    embed_dim: int
    vision: Mapping[str, Any]
    text: Mapping[str, Any]
    quick_gelu: bool = False
    logit_bias: bool = False
    tokenizer: Path | None = None

    is_vit = False  # whether the image tower is this package's VisionTransformer

    @classmethod
    def from_config(cls, config: Mapping[str, Any], name: str, tokenizer: Path | None = None) -> OpenClipArchitecture:
        """The architecture of a config of open_clip whose ``vision_cfg`` has a ``timm_model_name``.

        Raises:
            OtherTower: see the class.
        """
        vision, text = dict(config['vision_cfg']), dict(config['text_cfg'])
        refuse_unknown_fields(_KNOWN, _ALLOWED, name, model_cfg=config, vision_cfg=vision, text_cfg=text)
        vision['image_size'] = square_side(vision, name)
        return cls(
            name,
            int(config['embed_dim']),
            vision,
            text,
            bool(config.get('quick_gelu', False)),
            config.get('init_logit_bias') is not None,
            tokenizer,
        )

    @property
    def image_size(self) -> int:
        """Side in pixels of the square images that the tower was trained with."""
        return self.vision['image_size']

    @property
    def plain_text(self) -> bool:
        """Whether the text tower is CLIP's: causal, read at the end token, with CLIP's tokenizer."""
        others = {name: value for name, value in self.text.items() if name not in TEXT_FIELDS}
        return all(_is_usual('text_cfg', name, value) for name, value in others.items())

    def first_difference(self, other: OpenClipArchitecture) -> str | None:
        """Name of the first field in which two architectures differ, or None.

        A field that one of them leaves out has open_clip's default there.  Two repositories of a tokenizer are no
        difference, nor is what timm would load before the weights.
        """
        if self.embed_dim != other.embed_dim:
            return 'embed_dim'
        for part, ours, theirs in (('vision_cfg', self.vision, other.vision), ('text_cfg', self.text, other.text)):
            for name in sorted({*ours, *theirs} - {'timm_model_pretrained'}):
                a, b = (_plain(given.get(name, _usual(part).get(name))) for given in (ours, theirs))
                if a != b and not (name == 'hf_tokenizer_name' and a and b):
                    return f'{part}.{name}'
        return None

    @property
    def described(self) -> str:
        """What the image tower is, for messages."""
        return f'a tower of timm ({self.vision["timm_model_name"]})'


def text_sizes(text: Mapping[str, Any]) -> dict[str, int]:
    """``context_length``, ``vocab_size``, ``width``, ``heads`` and ``layers`` of a ``text_cfg``."""
    return {field: text.get(field, usual) for field, usual in _TEXT_SIZES.items()}


@cache
def _usual(part: str) -> dict[str, Any]:
    """open_clip's defaults of the fields of ``vision_cfg`` or ``text_cfg``; none for another part."""
    from open_clip import CLIPTextCfg, CLIPVisionCfg

    kinds = dict(vision_cfg=CLIPVisionCfg, text_cfg=CLIPTextCfg)
    return {field.name: field.default for field in fields(kinds[part])} if part in kinds else {}


def _plain(value: Any) -> Any:
    """A value in the one form in which values of configs are compared: tuples for lists, None for all that is off."""
    return tuple(value) if isinstance(value, list) else value or None


def _is_usual(part: str, name: str, value: Any) -> bool:
    """Whether a field has open_clip's default, or is off where there is none."""
    return _plain(value) == _plain(_usual(part).get(name))


def square_side(vision: Mapping[str, Any], name: str) -> int:
    """Side in pixels of the square images of a ``vision_cfg``.

    Raises:
        OtherTower: they are rectangles.
    """
    size = vision.get('image_size', 224)
    sides = {size} if isinstance(size, int) else set(size)
    if len(sides) != 1:
        raise OtherTower(f'{name}: vision_cfg.image_size={size} is no square, which is not supported')
    return sides.pop()


def refuse_unknown_fields(
    known: Mapping[str, set[str]],
    allowed: Mapping[tuple[str, str], tuple[Any, ...]],
    source: object,
    **parts: Mapping[str, Any],
) -> None:
    """Raise OtherTower for the first field of a config of open_clip that is not known, off or open_clip's default.

    Args:
        known: fields by part of the config.
        allowed: the values of (part, field) where not all are known, besides the default.
        source: where the config is from.
        **parts: the config.
    """
    for part, known_fields in known.items():
        for name in sorted(set(parts[part]) - set(parts)):
            value, values = parts[part][name], allowed.get((part, name))
            expressed = value in values if values is not None else name in known_fields
            if value and not expressed and not _is_usual(part, name, value):  # null, false and 0 are the usual towers
                raise OtherTower(
                    f'{source}: {part}.{name}={value!r} is of another kind of tower, which is not supported'
                )


def shipped_names() -> list[str]:
    """Names of the configs that open_clip has."""
    import open_clip

    return open_clip.list_models()


def shipped_config(name: str) -> tuple[Mapping[str, Any], str] | None:
    """The config that open_clip has under a name, in any case, and its own spelling of it; None if it has none."""
    import open_clip

    found = {known.lower(): known for known in shipped_names()}.get(name.lower())
    return None if found is None else (open_clip.get_model_config(found), found)
