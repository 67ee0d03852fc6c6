"""DenseCLIP: whole models, towers included."""

from __future__ import annotations

from .registry import State, converter


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
