"""CoOp, CoCoOp, PLOT and MaPLe: context vectors and their additional layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from vlprompt.compat.official.registry import State, converter
from vlprompt.messages import enumerate_names

_CLIP = ('image_encoder.', 'text_encoder.', 'logit_scale')
_OF_CLASSES = ('token_prefix', 'token_suffix')
_LEARNED_IN_CLIP = 'VPT'  # deep prompts of VPT, IVLP and language prompting are parameters of the towers' blocks


def _learner(state: State, method: str) -> State:
    """The prompt learner's tensors, in full precision, without those that follow from the class names.

    Dassl saves the prompt learner alone, or the whole model with it under ``prompt_learner.``.
    """
    learner = {k.removeprefix('prompt_learner.'): v for k, v in state.items() if k.startswith('prompt_learner.')}
    learner = learner or {k: v for k, v in state.items() if not k.startswith(_CLIP)}
    if 'ctx' not in learner:
        raise KeyError(
            f'{method}: the checkpoint has no "ctx"; it holds {", ".join(sorted(state)[:8]) or "no tensors"}. '
            f'Is it a checkpoint of {method}?'
        )
    learner |= {k: v for k, v in state.items() if k.startswith(_CLIP) and _LEARNED_IN_CLIP in k}
    return {k: v.float() for k, v in learner.items() if k not in _OF_CLASSES}


def _whose(names: Sequence[str]) -> str:
    """The method that learns tensors of these names, as a hint."""
    for part, method in (
        ('meta_net.', '"cocoop"'),
        ('compound_prompt', '"maple"'),
        ('ctx_vision', 'PLOT++'),
        (_LEARNED_IN_CLIP, 'VPT or IVLP'),
    ):
        if any(part in name for name in names):
            return f'; this is a checkpoint of {method}'
    return ''


def _rename(state: State, method: str, names: dict[str, str]) -> State:
    """The learner's tensors under our names.

    Raises:
        KeyError: one of them is missing.
        ValueError: the checkpoint holds learned tensors that the method does not have.
    """
    learner = _learner(state, method)
    unread = sorted(learner.keys() - names)
    if unread:
        raise ValueError(
            f'{method}: {len(unread)} learned tensors of the checkpoint would not be read: '
            f'{enumerate_names(unread)}{_whose(unread)}'
        )
    missing = sorted(names.keys() - learner)
    if missing:
        raise KeyError(
            f'{method}: the checkpoint has no {enumerate_names(missing)}; it holds {enumerate_names(sorted(learner))}. '
            f'Is it a checkpoint of {method}?'
        )
    return {ours: learner[theirs] for theirs, ours in names.items()}


@converter('coop')
def convert_coop(state: State) -> State:
    """CoOp: ``ctx`` (n_ctx, W) shared or (K, n_ctx, W) class-specific -> ``prompt.context`` with P = 1."""
    context = _rename(state, 'coop', {'ctx': 'prompt.context'})['prompt.context']
    prefix = state.get('token_prefix', state.get('prompt_learner.token_prefix'))
    if context.dim() == 3 and prefix is not None and prefix.shape[0] != context.shape[0]:
        raise ValueError(
            f'coop: ctx {tuple(context.shape)} is 3-D but token_prefix has {prefix.shape[0]} rows, not one per '
            'class; this is a PLOT checkpoint: convert it as "plot"'
        )
    return {'prompt.context': context.unsqueeze(0)}


@converter('plot')
def convert_plot(state: State) -> State:
    """PLOT: ``ctx`` (P, n_ctx, W) -> ``prompt.context``."""
    converted = _rename(state, 'plot', {'ctx': 'prompt.context'})
    shape = tuple(converted['prompt.context'].shape)
    if len(shape) != 3:
        raise ValueError(
            f'plot: ctx must be (prompts, n_ctx, width), got {shape}; '
            'a 2-D ctx is a CoOp checkpoint: convert it as "coop"'
        )
    return converted


@converter('cocoop')
def convert_cocoop(state: State) -> State:
    """CoCoOp: ``ctx`` (n_ctx, W) -> ``prompt.context`` with P = 1, and the meta net."""
    layers = [f'meta_net.linear{layer}.{part}' for layer in (1, 2) for part in ('weight', 'bias')]
    converted = _rename(state, 'cocoop', {'ctx': 'prompt.context'} | {name: f'prompt.{name}' for name in layers})
    return converted | {'prompt.context': converted['prompt.context'].unsqueeze(0)}


@converter('maple')
def convert_maple(state: State) -> State:
    """MaPLe of depth J: ``ctx`` (n_ctx, W) -> ``prompt.context``, J - 1 compound text prompts (n_ctx, W) ->
    ``prompt.deep`` (J - 1, 1, n_ctx, W), and J projections (width, W) -> ``visual.projections``.
    """
    depth = 1 + sum('compound_prompts_text.' in name for name in state)
    names = {'ctx': 'prompt.context'} | {f'compound_prompts_text.{i}': f'deep.{i}' for i in range(depth - 1)}
    for part in ('weight', 'bias'):
        names[f'proj.{part}'] = f'visual.projections.0.{part}'
        for i in range(depth - 1):
            names[f'compound_prompt_projections.{i}.{part}'] = f'visual.projections.{i + 1}.{part}'
    converted = _rename(state, 'maple', names)
    deep = [converted.pop(f'deep.{i}') for i in range(depth - 1)]
    converted['prompt.context'] = converted['prompt.context'].unsqueeze(0)
    return converted | ({'prompt.deep': torch.stack(deep).unsqueeze(1)} if deep else {})
