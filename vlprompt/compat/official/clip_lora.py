"""CLIP-LoRA: low-rank matrices of queries, keys and values, and of the output projection."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import sqrt
from typing import Any

from torch import Tensor

from vlprompt.compat.official.registry import State, converter, describer, reader, refuse_unread, require

_NAME = re.compile(r'layer_(\d+)\.(q_proj|k_proj|v_proj|proj)\.w_lora_([AB])')
_PLACES = {'q_proj': 'lora.q', 'k_proj': 'lora.k', 'v_proj': 'lora.v', 'proj': 'out_proj.lora'}


@reader('clip-lora')
def flat_state(checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    """``weights: {layer_i: {q_proj: {w_lora_A: ...}}}`` as tensors named ``layer_i.q_proj.w_lora_A``."""
    state = {
        f'{layer}.{projection}.{name}': tensor
        for layer, projections in _items(checkpoint.get('weights'))
        for projection, matrices in _items(projections)
        for name, tensor in _items(matrices)
        if isinstance(tensor, Tensor)
    }
    return state or checkpoint


def _items(node: Any) -> list[tuple[Any, Any]]:
    return list(node.items()) if isinstance(node, Mapping) else []


@describer('clip-lora')
def describe_clip_lora(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """``lora_scale``, alpha / sqrt(r), from the metadata of the file.

    Raises:
        ValueError: only some blocks of the towers were trained, which their numbers do not tell.
    """
    about = checkpoint.get('metadata')
    if not isinstance(about, Mapping):
        return {}
    position = about.get('position', 'all')
    if position != 'all':
        raise ValueError(f'clip-lora: branches in the blocks position={position!r}; only "all" can be converted')
    rank, alpha = about.get('r'), about.get('alpha')
    return dict(lora_scale=float(alpha) / sqrt(rank)) if rank and alpha is not None else {}


@converter('clip-lora')
def convert_clip_lora(state: State) -> State:
    """``layer_i.<projection>.w_lora_{A,B}`` -> ``clip.{text,visual}...attn.lora.{q,k,v}.{A,B}``.

    Layers are numbered through the text tower first, then the image tower; the towers have different widths.
    """
    found = {name: _NAME.fullmatch(name) for name in state}
    refuse_unread('clip-lora', [name for name, match in found.items() if match is None])
    layers = sorted({int(match[1]) for match in found.values()})
    if layers != list(range(len(layers))):
        raise ValueError(f'clip-lora: layers are numbered {layers}, not 0 to {len(layers) - 1}')
    widths = [_width(state, layer) for layer in layers]
    groups = sorted(set(widths), key=widths.index)
    if len(groups) > 2 or widths != sorted(widths, key=groups.index):
        raise ValueError(f'clip-lora: layers of the widths {groups} are no text tower followed by an image tower')
    if len(groups) == 1:
        raise ValueError(
            f'clip-lora: all {len(layers)} layers have the width {groups[0]}, so only one tower was trained and '
            'nothing tells which; only branches in both towers can be converted'
        )
    first = widths.index(groups[1])
    converted = {}
    for name, match in found.items():
        layer, projection, letter = int(match[1]), match[2], match[3]
        tower, block = ('text', layer) if layer < first else ('visual', layer - first)
        place = f'clip.{tower}.transformer.resblocks.{block}.attn.{_PLACES[projection]}.{letter}'
        converted[place] = state[name].float()
    return converted


def _width(state: State, layer: int) -> int:
    names = [f'layer_{layer}.{projection}.w_lora_A' for projection in _PLACES]
    present = [name for name in names if name in state]
    require(state, 'clip-lora', *(present or names[:1]))
    return state[present[0]].shape[1]
