"""LPT and VPT: prompts, keys and head.

The published LPT file holds the whole model; its frozen trunk is read from the same file by
``model.timm.weights=LPT_places.pth``, and has layer norms with an epsilon of 1e-5 (``*_official_*`` configs).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vlprompt.clip.timm_vit import from_timm_names
from vlprompt.clip.weights import state_sha256
from vlprompt.compat.official.registry import State, converter, describer, refuse_unread, require
from vlprompt.messages import enumerate_names

_LPT = {
    'Prompt_Tokens': 'tuner.prompt.tokens',
    'Prompt_Tokens_pool': 'tuner.pool.tokens',
    'Prompt_Keys': 'tuner.pool.keys',
    'head.weight': 'head.weight',
}
_TRUNK = 'enc.'
"""The frozen trunk in a whole model of VPT."""
_FIRST, _DEEPER = ('shallow_prompt', 'prompt_embeddings'), ('deep_prompt', 'deep_prompt_embeddings')


@converter('lpt')
def convert_lpt(state: State) -> State:
    """LPT: shared prompts (L, P, D), group prompts (m, L - K, P, D), keys (m, D), and the cosine head, transposed.

    A phase-1 file has no group prompts.
    """
    names = {f'prompt_learner.{theirs}': ours for theirs, ours in _LPT.items()}
    require(state, 'lpt', 'prompt_learner.Prompt_Tokens', 'prompt_learner.head.weight')
    refuse_unread('lpt', (name for name in state if name.startswith('prompt_learner.') and name not in names))
    found = {ours: state.get(theirs) for theirs, ours in names.items()}
    if (found['tuner.pool.tokens'] is None) != (found['tuner.pool.keys'] is None):
        raise KeyError('lpt: the checkpoint has group prompts without keys, or keys without group prompts')
    width = found['tuner.prompt.tokens'].shape[-1]
    if found['head.weight'].shape[0] != width:
        raise ValueError(
            f'lpt: head.weight is {tuple(found["head.weight"].shape)}, expected ({width}, classes), ours transposed'
        )
    found['head.weight'] = found['head.weight'].t().contiguous()
    return {name: tensor.float() for name, tensor in found.items() if tensor is not None}


@describer('lpt')
def describe_lpt(state: State) -> dict[str, Any]:
    """Name and hash of the trunk in the file, as when it is read from there; empty if it has none."""
    if 'cls_token' not in state:
        return {}
    return dict(base=dict(name='the trunk in the official file', sha256=state_sha256(from_timm_names(state))))


@converter('vpt')
def convert_vpt(state: State) -> State:
    """VPT: ``shallow_prompt`` (1, P, D) and ``deep_prompt`` (L - 1, P, D) as (L, P, D), and the head if any.

    Takes the saved prompts (``prompt_ep*.pth``) or a whole model, whose names end in ``prompt_embeddings`` and, for
    projected prompts, in ``prompt_proj.weight`` and ``.bias``.
    """
    first, deeper = _ending(state, _FIRST), _ending(state, _DEEPER)
    if first is None:
        raise KeyError(
            f'vpt: the checkpoint has none of {", ".join(_FIRST)}; it holds {enumerate_names(sorted(state))}. '
            'Is it a checkpoint of VPT?'
        )
    unread = [name for name in state if not name.startswith(_TRUNK) and not _is_read(name)]
    heads = [name for name in state if name.startswith('head.')]
    if len(heads) > 2:
        unread += heads
    refuse_unread('vpt', unread, '; a head of several layers has no place here' if len(heads) > 2 else '')
    if first.dim() != 3 or (deeper is not None and deeper.shape[1:] != first.shape[1:]):
        shapes = tuple(first.shape), None if deeper is None else tuple(deeper.shape)
        raise ValueError(f'vpt: expected prompts (1, P, D) and (L - 1, P, D), got {shapes[0]} and {shapes[1]}')
    converted = {'tuner.prompt.tokens': (first if deeper is None else torch.cat([first, deeper])).float()}
    for part in ('weight', 'bias'):
        for name, tensor in state.items():
            if name.startswith('head.') and name.endswith(f'.{part}'):
                converted[f'head.{part}'] = tensor.float()
            if name.endswith(f'prompt_proj.{part}'):
                converted[f'tuner.prompt.projection.{part}'] = tensor.float()
    return converted


def _is_read(name: str) -> bool:
    parts = name.split('.')
    return parts[-1] in _FIRST + _DEEPER or parts[0] == 'head' or 'prompt_proj' in parts


def _ending(state: State, names: tuple[str, ...]) -> Tensor | None:
    """The tensor whose name, or its part after a dot, is one of ``names``."""
    for name, tensor in state.items():
        if name.rsplit('.', 1)[-1] in names:
            return tensor
    return None
