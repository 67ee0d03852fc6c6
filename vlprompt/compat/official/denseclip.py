"""DenseCLIP: whole models, towers included."""

from __future__ import annotations

from math import isqrt

from vlprompt.compat.official.registry import State, converter

DETECTION_HEADS = ('bbox_head.', 'rpn_head.')


def denseclip_names(state: State, method: str) -> State:
    """Rename DenseCLIP's trunk, text tower, prompt, context decoder and gamma; other names are kept.

    Segmentation and detection share these.  The text tower comes from the file, since the published segmentation
    runs changed it (by about 1e-4).

    Raises:
        KeyError: the state dict lacks a tensor that every DenseCLIP has.
        ValueError: ``contexts`` does not have one prompt per class.
    """
    for key in ('contexts', 'gamma', 'text_encoder.token_embedding.weight'):
        if key not in state:
            raise KeyError(
                f'{method}: the checkpoint has no {key!r}; it holds {", ".join(sorted(state)[:8]) or "no tensors"}. '
                f'Is it a checkpoint of {method}? (Of the CLIP + FPN baselines none were published.)'
            )
    if state['contexts'].dim() != 3 or len(state['contexts']) != 1:
        raise ValueError(f'{method}: contexts must be (1, n_ctx, width), got {tuple(state["contexts"].shape)}')
    names = {'contexts': 'backbone.matching.prompt.context', 'gamma': 'backbone.matching.gamma'}
    prefixes = (
        ('text_encoder.', 'backbone.matching.text.'),
        ('context_decoder.', 'backbone.matching.context_decoder.'),
        ('backbone.fpn', 'backbone.trunk.pyramid.fpn'),
        ('backbone.', 'backbone.trunk.visual.'),
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
    if any(key.startswith(DETECTION_HEADS) for key in state):
        raise ValueError('denseclip-seg: the checkpoint holds a detector: convert it as "denseclip-det"')
    return denseclip_names(state, 'denseclip-seg')


@converter('denseclip-det')
def convert_denseclip_det(state: State) -> State:
    """DenseCLIP detection, RetinaNet or Mask R-CNN: the whole model, towers included; heads keep mmdet's names."""
    if any(key.startswith('decode_head.') for key in state):
        raise ValueError('denseclip-det: the checkpoint holds a segmentor: convert it as "denseclip-seg"')
    names = denseclip_names(state, 'denseclip-det')
    if not any(key.startswith(DETECTION_HEADS) for key in state):
        raise KeyError(
            f'denseclip-det: the checkpoint has no {" or ".join(DETECTION_HEADS)} keys: is it of a detector?'
        )
    positions = state.get('backbone.attnpool.positional_embedding')
    if positions is None:
        raise KeyError('denseclip-det: the checkpoint has no "backbone.attnpool.positional_embedding"')
    if isqrt(len(positions) - 1) ** 2 != len(positions) - 1:
        raise ValueError(
            f'denseclip-det: backbone.attnpool.positional_embedding has {len(positions)} rows; expected are one and a '
            'square of a grid, 1765 in published detectors'
        )
    return names
