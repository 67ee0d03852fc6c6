"""CLIP-ReID: the whole second phase, image tower included, and the prompts of the first."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor

from vlprompt.clip.text.encoder import TextEncoder
from vlprompt.clip.text.tokens import PromptTokens
from vlprompt.compat.official.registry import State, converter, describer

SIZES = ((256, 128), (256, 256), (384, 128), (384, 384), (224, 224))
"""Heights and widths in pixels that position embeddings are looked up among; the first match counts."""
STRIDES = (16, 12)
END_LENGTH = 3
"""Tokens after the learned vectors: "person" or "vehicle", the full stop and the end token."""
VERI = dict(num_ids=576, rows=160, num_cameras=20, num_views=8)
"""The one published model whose side information has viewpoints too."""

_RENAMED = (
    (r'^classifier\.', 'head.classifier.'),
    (r'^classifier_proj\.', 'head_proj.classifier.'),
    (r'^bottleneck\.', 'head.norm.'),
    (r'^bottleneck_proj\.', 'head_proj.norm.'),
    (r'^cv_embed$', 'sie.embedding'),
    (r'^image_encoder\.', 'visual.'),
)


def _require(state: State, method: str, *keys: str) -> None:
    for key in keys:
        if key not in state:
            raise KeyError(
                f'{method}: the checkpoint has no {key!r}; it holds {", ".join(sorted(state)[:8]) or "no tensors"}. '
                'Is it a checkpoint of CLIP-ReID?'
            )


@converter('clip-reid')
def convert_clip_reid(state: State) -> State:
    """Baseline or second phase -> :class:`~vlprompt.models.reid.reidentifier.ReIdentifier`.

    The text tower is not kept; where there are prompts, their text features are computed once as ``prototypes``.  The
    side information of a ResNet, which was never used, is left out.
    """
    _require(state, 'clip-reid', 'classifier.weight', 'classifier_proj.weight', 'bottleneck.weight')
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
    _require(state, 'clip-reid-prompts', *keys, 'text_encoder.positional_embedding')
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
    own = {k.removeprefix(prefix): v.float() for k, v in state.items() if k.startswith(prefix)}
    length, width = own['positional_embedding'].shape
    layers = len({key.split('.')[2] for key in own if key.startswith('transformer.resblocks.')})
    text = TextEncoder(
        embed_dim=own['text_projection'].shape[1],
        context_length=length,
        vocab_size=1,  # the words are embedded already
        width=width,
        heads=max(1, width // 64),
        layers=layers,
    )
    text.load_state_dict(own | {'token_embedding.weight': torch.zeros(1, width)})
    context = state['prompt_learner.cls_ctx'].float()
    start = state['prompt_learner.token_prefix'].float()
    end = state['prompt_learner.token_suffix'][:, :END_LENGTH].float().expand(len(context), -1, -1)
    suffix = torch.cat([context, end], 1).unsqueeze(0)
    eot = torch.full((1, len(context)), start.shape[1] + suffix.shape[2] - 1)
    return text(PromptTokens(start, suffix, eot))[0]


@describer('clip-reid')
def describe_clip_reid(state: State) -> dict[str, Any]:
    """Numbers of identities, cameras and viewpoints, and the grid of patches, as the shapes tell them."""
    data: dict[str, Any] = dict(num_ids=len(state['classifier.weight']))
    rows = len(state['cv_embed']) if 'cv_embed' in state else None
    if (data['num_ids'], rows) == (VERI['num_ids'], VERI['rows']):
        data |= {key: VERI[key] for key in ('num_cameras', 'num_views')}
    elif rows is not None:
        data |= dict(num_cameras=rows, num_views=1)
    return dict(data_arguments=data, geometry=_geometry(state))


@describer('clip-reid-prompts')
def describe_clip_reid_prompts(state: State) -> dict[str, Any]:
    """The number of identities; which noun the prompts name cannot be told from a checkpoint."""
    return dict(data_arguments=dict(num_ids=len(state['prompt_learner.cls_ctx'])))


def _geometry(state: State) -> dict[str, Any] | None:
    """``grid`` (h, w) and ``stride`` of the image tower, or None where no known size gives that many positions."""
    resnet = 'image_encoder.attnpool.positional_embedding'
    patch = 16 if resnet in state else state['image_encoder.conv1.weight'].shape[-1]
    positions = len(state.get(resnet, state.get('image_encoder.positional_embedding'))) - 1
    for height, width in SIZES:
        for stride in STRIDES[:1] if resnet in state else STRIDES:
            grid = ((height - patch) // stride + 1, (width - patch) // stride + 1)
            if grid[0] * grid[1] == positions:
                return dict(grid=list(grid), stride=stride)
    return None
