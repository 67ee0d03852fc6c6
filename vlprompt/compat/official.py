"""Reading checkpoints of the official repositories: which tensors were learned, and what we call them.

A converter gets the official state dict and returns ours, of learned tensors only.  For prompts on frozen towers,
class-dependent buffers (``token_prefix``, ``token_suffix``) and copies of CLIP are dropped: they follow from the class
names and the base weights.  Where the towers were trained too (DenseCLIP) they are part of the result.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

State = dict[str, Tensor]
Converter = Callable[[State], State]

CONVERTERS: dict[str, Converter] = {}


def converter(method: str) -> Callable[[Converter], Converter]:
    """Register a converter under the name that ``tools/model_converters/official.py`` takes."""

    def register(function: Converter) -> Converter:
        CONVERTERS[method] = function
        return function

    return register


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


def denseclip_names(state: State, method: str) -> State:
    """DenseCLIP's names as ours: backbone, text tower, prompt, context decoder and gamma; others are kept.

    Segmentation and detection share these.  The text tower comes from the file, since the published segmentation
    runs changed it (by about 1e-4).

    Raises:
        KeyError: the state dict lacks what every DenseCLIP has.
        ValueError: ``contexts`` is not of one prompt per class.
    """
    for key in ('contexts', 'gamma', 'text_encoder.token_embedding.weight'):
        if key not in state:
            raise KeyError(
                f'{method}: the checkpoint has no {key!r}; it holds {", ".join(sorted(state)[:8]) or "no tensors"}. '
                f'Is it a checkpoint of {method}? (Of the CLIP + FPN baselines none were published.)'
            )
    if state['contexts'].dim() != 3 or len(state['contexts']) != 1:
        raise ValueError(f'{method}: contexts must be (1, n_ctx, width), got {tuple(state["contexts"].shape)}')
    names = {'contexts': 'matching.prompt.context', 'gamma': 'matching.gamma'}
    prefixes = (
        ('text_encoder.', 'matching.text.'),
        ('context_decoder.', 'matching.context_decoder.'),
        ('backbone.fpn', 'backbone.pyramid.fpn'),
        ('backbone.', 'backbone.visual.'),
    )

    def rename(key: str) -> str:
        for old, new in prefixes:
            if key.startswith(old):
                return new + key.removeprefix(old)
        return names.get(key, key)

    return {rename(key): value for key, value in state.items()}


@converter('denseclip-seg')
def convert_denseclip_seg(state: State) -> State:
    """DenseCLIP segmentation, ResNet or ViT: the whole model, towers included."""
    return denseclip_names(state, 'denseclip-seg')


def convert(method: str, checkpoint: dict) -> State:
    """Convert a loaded official checkpoint, a dict with ``state_dict`` or a bare state dict.

    Raises:
        KeyError: no converter of that name, or the learned tensor is missing.
        ValueError: the tensors have the shape of another method.
    """
    if method not in CONVERTERS:
        raise KeyError(f'no converter for {method!r}; there are {", ".join(sorted(CONVERTERS))}')
    state = checkpoint.get('state_dict', checkpoint)
    return CONVERTERS[method]({k.removeprefix('module.'): v for k, v in state.items() if isinstance(v, Tensor)})
