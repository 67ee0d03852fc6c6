"""Every architecture with the tags of its weights, as open_clip lists them, and what a tag wants of the images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch

from vlprompt.clip.architectures import (
    ARCHITECTURES,
    QUICK_GELU_SUFFIX,
    Architecture,
    find_architecture,
    open_clip_name,
)
from vlprompt.clip.build import preprocessing_of
from vlprompt.clip.builtin import builtin_tags
from vlprompt.clip.open_clip_config import OpenClipArchitecture, OtherTower
from vlprompt.clip.preprocessing import Preprocessing


@dataclass(frozen=True)
class KnownWeights:
    """Weights that ``model.clip.arch`` and ``model.clip.weights`` can name.

    Attributes:
        arch: the architecture.
        weights: tags that want images to be prepared alike.
        preprocessing: how.
    """

    arch: Architecture | OpenClipArchitecture
    weights: tuple[str, ...]
    preprocessing: Preprocessing

    @property
    def image_tower(self) -> str:
        """``'ResNet'``, ``'ViT'``, or the name that timm has for it."""
        if isinstance(self.arch, OpenClipArchitecture):
            return self.arch.vision['timm_model_name']
        return 'ViT' if self.arch.is_vit else 'ResNet'

    @property
    def text_tower(self) -> str:
        """``'CLIP'``, or in what it differs."""
        if isinstance(self.arch, Architecture) or self.arch.plain_text:
            return 'CLIP'
        tokens = self.arch.text.get('hf_tokenizer_name')
        return 'bidirectional' + (f', tokenizer of {tokens}' if tokens else '')


def known_weights(words: Sequence[str] = ('',)) -> Iterator[KnownWeights]:
    """All weights of architectures with one of the words, or patterns, in their name."""
    from open_clip import pretrained

    tags: dict[str, list[str]] = {name: builtin_tags(name) for name in ('micro-rn', 'micro-vit')}
    for name, tag in pretrained.list_pretrained():
        tags.setdefault(name.removesuffix(QUICK_GELU_SUFFIX), []).append(tag)
    spelled = {open_clip_name(name): name for name in ARCHITECTURES}
    for name, own in tags.items():
        spellings = [name.lower(), (name := spelled.get(name, name)).lower()]
        if not any(word.lower() in known or fnmatch(known, word.lower()) for word in words for known in spellings):
            continue
        try:
            arch = find_architecture(name)
        except OtherTower:
            continue
        kinds: dict[Preprocessing, list[str]] = {}
        for tag in dict.fromkeys(own):
            kinds.setdefault(preprocessing_of(name, tag), []).append(tag)
        for preprocessing, alike in kinds.items():
            yield KnownWeights(arch, tuple(alike), preprocessing)


def towers_table(words: Sequence[str] = ('',)) -> str:
    """A Markdown table of :func:`known_weights`; '' if there are none."""
    rows = [
        f'| {known.arch.name} | {", ".join(known.weights)} | {known.arch.image_size} | {known.arch.embed_dim} | '
        f'{known.image_tower} | {known.text_tower} | {known.preprocessing} |'
        for known in known_weights(words)
    ]
    if not rows:
        return ''
    head = ['arch', 'weights', 'pixels', 'joint space', 'image tower', 'text tower', 'images']
    return '\n'.join([f'| {" | ".join(head)} |', '|---' * len(head) + '|', *rows])
