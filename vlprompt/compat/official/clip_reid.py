"""CLIP-ReID: the whole second phase, image tower included, and the prompts of the first."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor

from vlprompt.clip.architectures import HEAD_WIDTH
from vlprompt.clip.text.encoder import TextEncoder
from vlprompt.clip.text.packing import uniform_layout
from vlprompt.clip.text.tokens import PromptTokens
from vlprompt.compat.official.registry import State, converter, describer, refuse_unread, require

SIZES = ((256, 128), (256, 256), (384, 128), (384, 384), (224, 224))
"""Candidate heights and widths in pixels for a position embedding; the first match is used."""
STRIDES = (16, 12)
END_LENGTH = 3
"""Tokens after the learned vectors: "person" or "vehicle", the full stop and the end token."""
VERI = dict(num_ids=576, rows=160, num_cameras=20, num_views=8)
"""The only published model whose side information includes viewpoints."""

_RENAMED = (
    (r'^classifier\.', 'head.classifier.'),
    (r'^classifier_proj\.', 'head_proj.classifier.'),
    (r'^bottleneck\.', 'head.norm.'),
    (r'^bottleneck_proj\.', 'head_proj.norm.'),
    (r'^cv_embed$', 'sie.embedding'),
    (r'^image_encoder\.', 'visual.'),
)


_KNOWN = ('prompt_learner.', 'text_encoder.', 'logit_scale', 'classifier', 'bottleneck', 'image_encoder.', 'cv_embed')
"""Beginnings of the names in checkpoints of CLIP-ReID."""


def _check(state: State, method: str, *names: str) -> None:
    """Raise if a name is missing, or if there are tensors that CLIP-ReID does not have."""
    require(state, method, *names)
    refuse_unread(method, (name for name in state if not name.startswith(_KNOWN)))


@converter('clip-reid')
def convert_clip_reid(state: State) -> State:
    """Baseline or second phase -> :class:`~vlprompt.models.reid.reidentifier.ReIdentifier`.

    The text tower is not kept; if there are prompts, their text features are computed once as ``prototypes``.  The
    side information of a ResNet, which was never used, is dropped.
    """
    _check(state, 'clip-reid', 'classifier.weight', 'classifier_proj.weight', 'bottleneck.weight', *_tower(state))
    converted = {}
    for key, value in state.items():
        for pattern, name in _RENAMED:
            if re.match(pattern, key):
                converted[re.sub(pattern, name, key)] = value.float() if value.is_floating_point() else value
    if 'visual.class_embedding' not in converted:
        converted.pop('sie.embedding', None)
    if 'prompt_learner.cls_ctx' in state:
        converted['prototypes'] = _prototypes(state)
    return converted


@converter('clip-reid-prompts')
def convert_clip_reid_prompts(state: State) -> State:
    """First or second phase -> :class:`~vlprompt.models.reid.prompt_learner.IdentityPromptLearner`, with text tower."""
    keys = [f'prompt_learner.{name}' for name in ('cls_ctx', 'token_prefix', 'token_suffix')]
    _check(state, 'clip-reid-prompts', *keys)
    context, start, suffix = (state[key].float() for key in keys)
    converted = {
        'prompt.context': context,
        'prompt.start': start[0],
        'prompt.end': suffix[0, :END_LENGTH],
        'prototypes': _prototypes(state),
    }
    text = {k: v.float() for k, v in state.items() if k.startswith('text_encoder.')}
    return converted | {f'clip.text.{key.removeprefix("text_encoder.")}': value for key, value in text.items()}


@torch.no_grad()
def _prototypes(state: State) -> Tensor:
    """(K, D) text features of all identities in float32."""
    prefix = 'text_encoder.'
    require(state, 'clip-reid-prompts', *(f'{prefix}{name}' for name in ('positional_embedding', 'text_projection')))
    own = {k.removeprefix(prefix): v.float() for k, v in state.items() if k.startswith(prefix)}
    length, width = own['positional_embedding'].shape
    if width > HEAD_WIDTH and width % HEAD_WIDTH:
        raise ValueError(f'clip-reid-prompts: a text tower of width {width} has no heads of {HEAD_WIDTH} channels')
    layers = len({key.split('.')[2] for key in own if key.startswith('transformer.resblocks.')})
    text = TextEncoder(
        embed_dim=own['text_projection'].shape[1],
        context_length=length,
        vocab_size=1,  # the words are embedded already
        width=width,
        heads=max(1, width // HEAD_WIDTH),
        layers=layers,
    )
    text.load_state_dict(own | {'token_embedding.weight': torch.zeros(1, width)})
    context = state['prompt_learner.cls_ctx'].float()
    start = state['prompt_learner.token_prefix'].float()
    end = state['prompt_learner.token_suffix'][:, :END_LENGTH].float().expand(len(context), -1, -1)
    suffix = torch.cat([context, end], 1).unsqueeze(0)
    layout = uniform_layout(len(context), start.shape[1] + suffix.shape[2] - 1)
    return text(PromptTokens(start, suffix, layout))[0]


def _tower(state: State) -> tuple[str, ...]:
    """Names that the image tower needs, of a ResNet or a ViT."""
    resnet = 'image_encoder.attnpool.positional_embedding'
    vit = ('image_encoder.conv1.weight', 'image_encoder.positional_embedding')
    return (resnet,) if resnet in state else vit


@describer('clip-reid')
def describe_clip_reid(state: State, num_views: int | None = None) -> dict[str, Any]:
    """Numbers of identities, cameras and viewpoints, and the grid of patches.

    Args:
        state: the official state dict.
        num_views: viewpoints of the dataset.  The shapes only tell cameras times viewpoints; None: those of VeRi-776
            if the sizes are its own, else one.

    Raises:
        ValueError: there is no side information, or its rows are no multiple of ``num_views``.
    """
    data: dict[str, Any] = dict(num_ids=len(state['classifier.weight']))
    rows = len(state['cv_embed']) if 'cv_embed' in state else None
    if num_views is not None and (rows is None or rows % num_views):
        raise ValueError(f'clip-reid: num_views={num_views}, but cv_embed has {rows or "no"} rows')
    if num_views is None and (data['num_ids'], rows) == (VERI['num_ids'], VERI['rows']):
        data |= {key: VERI[key] for key in ('num_cameras', 'num_views')}
    elif rows is not None:
        data |= dict(num_cameras=rows // (num_views or 1), num_views=num_views or 1)
    return dict(data_arguments=data, geometry=_geometry(state))


@describer('clip-reid-prompts')
def describe_clip_reid_prompts(state: State) -> dict[str, Any]:
    """The number of identities; the noun of the prompts is not in a checkpoint, which holds it as embedded words.

    The embedding of other words, the one part of the text tower that is missing, is not needed.
    """
    num_ids = len(state['prompt_learner.cls_ctx'])
    return dict(data_arguments=dict(num_ids=num_ids), not_needed=['clip.text.token_embedding.weight'])


def _geometry(state: State) -> dict[str, Any] | None:
    """``grid`` (h, w) and ``stride`` of the image tower, or None if no known size gives that many positions."""
    resnet = 'image_encoder.attnpool.positional_embedding'
    patch = 16 if resnet in state else state['image_encoder.conv1.weight'].shape[-1]
    positions = len(state.get(resnet, state.get('image_encoder.positional_embedding'))) - 1
    for height, width in SIZES:
        for stride in STRIDES[:1] if resnet in state else STRIDES:
            grid = ((height - patch) // stride + 1, (width - patch) // stride + 1)
            if grid[0] * grid[1] == positions:
                return dict(grid=list(grid), stride=stride)
    return None
