"""CoOp, CoCoOp, PLOT, PLOT++, MaPLe, IVLP, VPT and PromptSRC: context vectors, visual tokens and additional layers."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from vlprompt.compat.official.registry import State, converter, refuse_unread, require

_CLIP = ('image_encoder.', 'text_encoder.', 'logit_scale')
_OF_CLASSES = ('token_prefix', 'token_suffix')
_TEACHER = 'ZS_image_encoder.'  # PromptSRC's second, frozen image tower
_LEARNED_IN_CLIP = 'VPT'  # deep prompts of VPT, IVLP and language prompting are parameters of the towers' blocks


def _learner(state: State) -> State:
    """The prompt learner's tensors, in full precision, without those that follow from the class names.

    Dassl saves the prompt learner alone, or the whole model with it under ``prompt_learner.``.
    """
    learner = {k.removeprefix('prompt_learner.'): v for k, v in state.items() if k.startswith('prompt_learner.')}
    learner = learner or {k: v for k, v in state.items() if not k.startswith(_CLIP)}
    learner |= {k: v for k, v in state.items() if k.startswith(_CLIP) and _LEARNED_IN_CLIP in k}
    return {k: v.float() for k, v in learner.items() if k not in _OF_CLASSES and not k.startswith(_TEACHER)}


def _whose(names: Iterable[str]) -> str:
    """The method that learns tensors of these names, as a hint."""
    for part, method in (
        ('meta_net.', '"cocoop"'),
        ('compound_prompt', '"maple"'),
        ('ctx_vision', '"plotpp"'),
        (_LEARNED_IN_CLIP, '"ivlp", "promptsrc" or "vpt-clip"'),
    ):
        if any(part in name for name in names):
            return f'; this is a checkpoint of {method}'
    return ''


def _rename(state: State, method: str, names: dict[str, str]) -> State:
    """The learner's tensors under our names; without the first, it is no checkpoint of such a method at all.

    Raises:
        KeyError: one of them is missing.
        ValueError: the checkpoint holds learned tensors that the method does not have.
    """
    learner = _learner(state)
    require(learner, method, next(iter(names)))
    unread = learner.keys() - names
    refuse_unread(method, unread, _whose(unread))
    require(learner, method, *names)
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
    prefix = state.get('token_prefix', state.get('prompt_learner.token_prefix'))
    if prefix is not None and len(prefix) == shape[0]:  # of PLOT one row for each prompt of each class
        raise ValueError(
            f'plot: ctx {shape} has one context for each of {len(prefix)} classes; this is a CoOp checkpoint with '
            'class-specific contexts: convert it as "coop"'
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


@converter('plotpp')
def convert_plotpp(state: State) -> State:
    """PLOT++: ``ctx`` (P, n_ctx, W) -> ``prompt.context``, ``ctx_vision`` (M, n, width) -> ``visual.tokens`` with one
    block.
    """
    converted = _rename(state, 'plotpp', {'ctx': 'prompt.context', 'ctx_vision': 'visual.tokens'})
    return converted | {'visual.tokens': converted['visual.tokens'].unsqueeze(0)}


@converter('vpt-clip')
def convert_vpt(state: State) -> State:
    """VPT on CLIP of depth J: a tensor (n, width) for each block -> ``visual.tokens`` (J, n, width)."""
    names = {'image_encoder.VPT': 'image_encoder.0'} | _of_blocks(state, 'image_encoder')
    converted = _rename(state, 'vpt-clip', names)
    return {'visual.tokens': torch.stack(list(converted.values()))}


@converter('promptsrc')
def convert_promptsrc(state: State) -> State:
    """PromptSRC: as of IVLP."""
    return convert_ivlp(state, 'promptsrc')


@converter('ivlp')
def convert_ivlp(state: State, method: str = 'ivlp') -> State:
    """IVLP: ``ctx`` (n_ctx, W) -> ``prompt.context``; a tensor (n_ctx, W) for each further block of the
    text tower -> ``prompt.deep`` (J - 1, 1, n_ctx, W); one (n, width) for each block of the image tower, which language
    prompting does not have, -> ``visual.tokens`` (J, n, width).
    """
    deep, tokens = (_of_blocks(state, tower) for tower in ('text_encoder', 'image_encoder'))
    learned = _rename(state, method, {'ctx': 'prompt.context'} | deep | tokens)
    if not deep and not tokens:
        raise ValueError(
            f'{method}: no block of a tower has prompts; a checkpoint with ctx alone is of "coop" or "plot"'
        )
    converted = {'prompt.context': learned['prompt.context'].unsqueeze(0)}
    if deep:
        converted['prompt.deep'] = torch.stack([learned[name] for name in deep.values()]).unsqueeze(1)
    if tokens:
        converted['visual.tokens'] = torch.stack([learned[name] for name in tokens.values()])
    return converted


def _of_blocks(state: State, tower: str) -> dict[str, str]:
    """Their names of a tower's deep prompts, by block, with names of our own."""
    names = [name for name in state if name.startswith(f'{tower}.') and _LEARNED_IN_CLIP in name]
    return {name: f'{tower}.{block}' for block, name in enumerate(sorted(names, key=_block))}


def _block(name: str) -> int:
    """``'....resblocks.8.VPT_shallow'`` -> 8; 0 for the tokens of the first block, ``'....VPT'``."""
    return int(name.split('.resblocks.')[1].split('.')[0]) if '.resblocks.' in name else 0
