"""Low-rank branches under the names of peft, in open_clip's layout, without loss.

peft has one pair A (R, W), B (3 W, R) for an attention's packed projection and one for its output.  Three branches of
rank r are packed into R = 3 r with a block diagonal B (:mod:`vlprompt.engine.peft_adapters`).  Here B is not
multiplied: the scale of the branches is peft's ``lora_alpha / r``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from math import isclose
from typing import Any

import torch
from torch import Tensor

from vlprompt.clip.low_rank import LINEAR_TARGETS
from vlprompt.engine.peft_adapters import Pair, packed, peft_modules, peft_name, place_of
from vlprompt.errors import CheckpointError
from vlprompt.messages import enumerate_names

_BRANCH = re.compile(
    r'clip\.(?P<tower>visual|text)\.transformer\.resblocks\.(?P<block>\d+)\.'
    r'(attn\.lora\.(?P<role>[qkv])|(?P<layer>[\w.]+)\.lora)\.(?P<letter>[AB])'
)
_TARGETS = {path: target for target, path in LINEAR_TARGETS.items()}


def is_low_rank(keys: Iterable[str]) -> bool:
    """Whether these tensors are branches of a CLIP and nothing else, so that peft has a form for them."""
    keys = list(keys)
    return bool(keys) and all(_place(key) is not None for key in keys)


def _place(key: str) -> tuple[str, int, str, str] | None:
    """Tower, block, target and letter of a tensor of a branch; None of another tensor."""
    match = _BRANCH.fullmatch(key)
    target = match and (match['role'] or _TARGETS.get(match['layer']))
    return (match['tower'], int(match['block']), target, match['letter']) if target else None


def to_peft(state: Mapping[str, Tensor], scale: float) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and options of peft for branches that are multiplied by ``scale``.

    Args:
        state: A (r, in) and B (out, r) of branches, all of one rank, by their names in a model.
        scale: of them all.
    """
    found: dict[tuple[str, int, str], dict[str, Tensor]] = {}
    for key, tensor in state.items():
        tower, block, target, letter = _place(key)
        found.setdefault((tower, block, target), {})[letter] = tensor
    pairs = [Pair(*place, letters['A'], letters['B'], 1.0) for place, letters in found.items()]
    rank = len(pairs[0].A) * (3 if any(pair.target in 'qkv' for pair in pairs) else 1)
    pairs = packed(pairs, rank)
    tensors = {}
    for pair in pairs:
        name = peft_name(pair)
        tensors |= {f'{name}.lora_A.weight': pair.A.contiguous(), f'{name}.lora_B.weight': pair.B.contiguous()}
    options = dict(
        r=rank,
        lora_alpha=scale * rank,
        lora_dropout=0.0,
        target_modules=peft_modules(pairs),
        bias='none',
        fan_in_fan_out=False,
        use_rslora=False,
    )
    return tensors, options


def from_peft(
    tensors: Mapping[str, Tensor], options: Mapping[str, Any], keys: Sequence[str], scale: float, source: str
) -> dict[str, Tensor]:
    """Inverse of :func:`to_peft`.

    Args:
        tensors: of the file.
        options: of ``adapter_config.json``.
        keys: names of the branches' tensors.
        scale: of the branches.
        source: the folder, for messages.

    Raises:
        CheckpointError: the tensors are not those of these branches, or the options are of another scale.
    """
    by_place = {place_of(name, source): tensor for name, tensor in tensors.items()}
    thirds = any(_place(key)[2] in 'qkv' for key in keys)
    state = {}
    for key in keys:
        tower, block, target, letter = _place(key)
        in_file = 'qkv' if target in 'qkv' else target
        tensor = by_place.get((tower, block, in_file, letter))
        if tensor is None:
            raise CheckpointError(f'{source}: there are no tensors of {key}, which trained_keys has')
        rank = tensor.shape[0 if letter == 'A' else -1] // (3 if thirds else 1)
        part = 'qkv'.index(target) if in_file == 'qkv' else 0
        columns = slice(part * rank, (part + 1) * rank)
        if letter == 'A':
            state[key] = tensor[columns].clone()
        else:
            state[key] = (tensor.chunk(3)[part] if in_file == 'qkv' else tensor)[:, columns].clone()
    try:
        written, expected = to_peft(state, scale)
    except (RuntimeError, KeyError) as error:
        raise CheckpointError(f'{source}: the tensors of the branches do not fit together ({error})') from error
    if foreign := sorted(set(tensors) - set(written)):
        raise CheckpointError(f'{source}: tensors of no branch in trained_keys: {enumerate_names(foreign, 5)}')
    if differing := [name for name, tensor in written.items() if not torch.equal(tensor, tensors[name])]:
        raise CheckpointError(
            f'{source}: {differing[0]} is not made of branches of queries, keys and values: it was changed by others, '
            'and can only be merged into the weights (vlprompt export-clip)'
        )
    given = (options.get('lora_alpha') or 0) / (options.get('r') or 1)
    if not isclose(given, expected['lora_alpha'] / expected['r'], rel_tol=1e-6):
        raise CheckpointError(
            f'{source}: lora_alpha / r is {given:.6g}, but the branches were trained with {scale:.6g}'
        )
    return state
