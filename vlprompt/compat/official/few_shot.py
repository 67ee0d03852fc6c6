"""CoOp and PLOT: the context vectors."""

from __future__ import annotations

from torch import Tensor

from vlprompt.compat.official.registry import State, converter


def _context(state: State, method: str) -> Tensor:
    """The learned ``ctx``, wherever the checkpoint keeps it, in full precision."""
    for key in ('ctx', 'prompt_learner.ctx'):
        if key in state:
            return state[key].float()
    raise KeyError(
        f'{method}: the checkpoint has no "ctx"; it holds {", ".join(sorted(state)[:8]) or "no tensors"}. '
        f'Is it a checkpoint of {method}?'
    )


@converter('coop')
def convert_coop(state: State) -> State:
    """CoOp: ``ctx`` (n_ctx, W) shared or (K, n_ctx, W) class-specific -> ``prompt.context`` with P = 1."""
    context = _context(state, 'coop')
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
    context = _context(state, 'plot')
    if context.dim() != 3:
        raise ValueError(
            f'plot: ctx must be (prompts, n_ctx, width), got {tuple(context.shape)}; '
            'a 2-D ctx is a CoOp checkpoint: convert it as "coop"'
        )
    return {'prompt.context': context}
