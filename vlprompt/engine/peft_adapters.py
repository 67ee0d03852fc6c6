"""LoRA adapters in the files of the package peft, ``adapter_config.json`` and ``adapter_model.safetensors``.

Two layouts of a CLIP exist, that of ``open_clip`` and that of ``transformers`` (``CLIPModel``).  The latter has a pair
A (r, in), B (out, r) for each projection, as here.  In the former peft wraps an attention as a whole: it has one pair
A (R, W), B (3 W, R) for the packed projection and always one for the output.  Three pairs of rank r are packed into
R = 3 r with a block diagonal B; the scale is part of B then, and peft's own is 1.

peft itself is not needed.  Beside its files :func:`write_adapter` writes ``base.json``, name and hash of the weights
that the adapter was trained on, which :func:`read_adapter` compares.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vlprompt.clip import CLIP
from vlprompt.clip.low_rank import LINEAR_TARGETS, TARGETS, add_delta, branches
from vlprompt.clip.tensor_files import named_tensors, read_tensors, require_finite
from vlprompt.engine.writing import write_safetensors
from vlprompt.errors import CheckpointError
from vlprompt.files import read_json, written_whole
from vlprompt.messages import enumerate_names

LAYOUTS = ('open_clip', 'transformers')
CONFIG, TENSORS, BASE = 'adapter_config.json', 'adapter_model.safetensors', 'base.json'

_PREFIX = 'base_model.model.'
_TRANSFORMERS = {
    'q': 'self_attn.q_proj',
    'k': 'self_attn.k_proj',
    'v': 'self_attn.v_proj',
    'out': 'self_attn.out_proj',
    'fc': 'mlp.fc1',
    'proj': 'mlp.fc2',
}
_OPEN_CLIP = {'qkv': 'attn', 'out': 'attn.base_layer.out_proj', 'fc': 'mlp.c_fc', 'proj': 'mlp.c_proj'}
_BLOCKS = {
    'transformers': {'visual': 'vision_model.encoder.layers', 'text': 'text_model.encoder.layers'},
    'open_clip': {'visual': 'visual.transformer.resblocks', 'text': 'transformer.resblocks'},
}
_LAYERS = {'transformers': _TRANSFORMERS, 'open_clip': _OPEN_CLIP}
_NAME = re.compile(r'(?P<blocks>[\w.]+)\.(?P<block>\d+)\.(?P<layer>[\w.]+)\.lora_(?P<letter>[AB])\.weight')
_UNSUPPORTED = ('use_dora', 'lora_bias', 'rank_pattern', 'alpha_pattern', 'modules_to_save', 'fan_in_fan_out')


@dataclass(frozen=True)
class Pair:
    """A low-rank update ``scale * B A`` of one layer.

    Attributes:
        tower: ``'visual'`` or ``'text'``.
        block: its number.
        target: one of :data:`~vlprompt.clip.low_rank.TARGETS`, or ``'qkv'`` for a packed update that cannot be split.
        A: (r, in).
        B: (out, r).
        scale: factor.
    """

    tower: str
    block: int
    target: str
    A: Tensor
    B: Tensor
    scale: float

    @property
    def place(self) -> str:
        return f'{self.target} of block {self.block} of the {self.tower} tower'

    def delta(self) -> Tensor:
        """(out, in)."""
        return self.scale * (self.B.float() @ self.A.float())


# ------------------------------------------------------------------------------------------------------------ writing


def write_adapter(model: CLIP, folder: str | Path, layout: str = 'open_clip') -> None:
    """Write the low-rank branches of a CLIP as files of peft.

    peft wraps every layer of a kind that the file names, so where only some blocks or one tower have branches, it
    reports the others as missing; they start at zero and change nothing.

    Args:
        model: built with ``lora=...``.
        folder: is created.
        layout: ``'open_clip'`` or ``'transformers'``.

    Raises:
        ValueError: a CLIP without branches, or another layout.
    """
    if layout not in LAYOUTS:
        raise ValueError(f'layout={layout!r} must be one of {", ".join(LAYOUTS)}')
    if model.lora is None:
        raise ValueError('the CLIP has no low-rank branches: it was built without lora=dict(...)')
    pairs = [
        Pair(tower, block, target, branch.A.detach().float().cpu(), branch.B.detach().float().cpu(), branch.scale)
        for _, tower, target, block, branch in branches(model)
    ]
    options = model.lora
    if layout == 'transformers':
        rank, alpha, stabilised = options.rank, options.alpha, options.scaling == 'rank-stabilised'
        modules = [_TRANSFORMERS[target].rpartition('.')[2] for target in TARGETS if target in options.targets]
    else:
        rank = options.rank * (3 if {'q', 'k', 'v'} & set(options.targets) else 1)
        alpha, stabilised = rank, False  # a scale of 1
        pairs = packed(pairs, rank)
        modules = peft_modules(pairs)
    state = {}
    for pair in pairs:
        name = peft_name(pair, layout)
        state |= {f'{name}.lora_A.weight': pair.A.contiguous(), f'{name}.lora_B.weight': pair.B.contiguous()}
    config = dict(
        peft_type='LORA',
        r=rank,
        lora_alpha=alpha,
        use_rslora=stabilised,
        lora_dropout=options.dropout,
        target_modules=list(dict.fromkeys(modules)),
        bias='none',
        fan_in_fan_out=False,
        inference_mode=True,
        base_model_name_or_path=None if model.source is None else model.source.name,
    )
    base = None if model.source is None else dict(name=model.source.name, sha256=model.source.sha256)
    folder = Path(folder)
    for name, content in ((CONFIG, config), (BASE, base)):
        with written_whole(folder / name) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + '\n', encoding='utf-8')
    with written_whole(folder / TENSORS) as temporary:
        write_safetensors(state, temporary, dict(format='pt'))


def peft_name(pair: Pair, layout: str = 'open_clip') -> str:
    """What peft calls the layer of a pair; ``.lora_A.weight`` and ``.lora_B.weight`` follow."""
    return f'{_PREFIX}{_BLOCKS[layout][pair.tower]}.{pair.block}.{_LAYERS[layout][pair.target]}'


def peft_modules(pairs: Iterable[Pair]) -> list[str]:
    """``target_modules`` of packed pairs in open_clip's layout."""
    names = ('attn' if pair.target in ('qkv', 'out') else _OPEN_CLIP[pair.target][4:] for pair in pairs)
    return list(dict.fromkeys(names))


def packed(pairs: Iterable[Pair], rank: int) -> list[Pair]:
    """The pairs in open_clip's layout: of the rank ``rank``, with their scale in B."""
    attentions: dict[tuple[str, int], dict[str, Pair]] = {}
    others = []
    for pair in pairs:
        if pair.target in ('q', 'k', 'v', 'out'):
            attentions.setdefault((pair.tower, pair.block), {})[pair.target] = pair
        else:
            others.append(_padded(pair, rank))
    packed = []
    for (tower, block), own in attentions.items():
        width = next(iter(own.values())).B.shape[0]
        part = next(iter(own.values())).A.shape[0]
        A, B = torch.zeros(rank, width), torch.zeros(3 * width, rank)
        for index, role in enumerate('qkv'):
            if role in own:
                rows = slice(index * part, (index + 1) * part)
                A[rows], B[index * width : (index + 1) * width, rows] = own[role].A, own[role].scale * own[role].B
        out = own.get('out', Pair(tower, block, 'out', torch.zeros(part, width), torch.zeros(width, part), 1.0))
        packed += [Pair(tower, block, 'qkv', A, B, 1.0), _padded(out, rank)]
    return packed + others


def _padded(pair: Pair, rank: int) -> Pair:
    """The same update with rows and columns of zeros up to ``rank``."""
    A, B = pair.A.new_zeros(rank, pair.A.shape[1]), pair.B.new_zeros(pair.B.shape[0], rank)
    A[: len(pair.A)], B[:, : len(pair.A)] = pair.A, pair.scale * pair.B
    return Pair(pair.tower, pair.block, pair.target, A, B, 1.0)


# ------------------------------------------------------------------------------------------------------------ reading


def read_adapter(folder: str | Path) -> tuple[list[Pair], Mapping[str, Any] | None]:
    """The pairs of an adapter in either layout, and name and sha256 of its base weights if they are known.

    Packed pairs whose B is block diagonal are split into queries, keys and values; pairs that are zero are left out.

    Raises:
        FileNotFoundError: a file is missing.
        CheckpointError: a file is damaged, or of another kind of adapter; the message names it.
    """
    folder = Path(folder)
    config = _read_object(folder / CONFIG)
    if config.get('peft_type') != 'LORA':
        raise CheckpointError(f'{folder / CONFIG}: peft_type is {config.get("peft_type")!r}; only LORA can be read')
    for option in _UNSUPPORTED:
        if config.get(option):
            raise CheckpointError(f'{folder / CONFIG}: {option}={config[option]!r} cannot be read')
    rank, alpha = config.get('r'), config.get('lora_alpha')
    if not all(isinstance(value, (int, float)) and value > 0 for value in (rank, alpha)):
        raise CheckpointError(f'{folder / CONFIG}: r={rank!r} and lora_alpha={alpha!r} must be positive numbers')
    scale = alpha / (sqrt(rank) if config.get('use_rslora') else rank)
    path = folder / TENSORS
    state = named_tensors(read_tensors(path, 'adapter'), path)
    require_finite(state, state, str(path))
    found: dict[tuple[str, int, str], dict[str, Tensor]] = {}
    for name, tensor in state.items():
        *place, letter = place_of(name, path)
        found.setdefault(tuple(place), {})[letter] = tensor
    pairs = []
    for (tower, block, target), letters in found.items():
        if set(letters) != {'A', 'B'} or letters['A'].dim() != 2 or letters['A'].shape[0] != letters['B'].shape[-1]:
            shapes = {letter: tuple(tensor.shape) for letter, tensor in letters.items()}
            raise CheckpointError(f'{path}: {target} of block {block} of the {tower} tower has {shapes}, not A and B')
        pairs += _unpacked(Pair(tower, block, target, letters['A'], letters['B'], scale))
    base = _read_object(folder / BASE) if (folder / BASE).is_file() else None
    if base is None and config.get('base_sha256') is not None:  # an adapter of this package's own form
        base = dict(name=config.get('base_model_name_or_path'), sha256=config['base_sha256'])
    return [_trimmed(pair) for pair in pairs if pair.B.any()], base


def _read_object(file: Path) -> Mapping[str, Any]:
    content = read_json(file, 'adapter')
    if not isinstance(content, Mapping):
        raise CheckpointError(f'{file} does not hold an object of JSON')
    return content


def place_of(name: str, path: str | Path) -> tuple[str, int, str, str]:
    """Tower, block, target and letter of a tensor's name.

    Raises:
        CheckpointError: a name of neither layout.
    """
    match = _NAME.fullmatch(name.removeprefix(_PREFIX))
    for layout in LAYOUTS if match else ():
        towers = {blocks: tower for tower, blocks in _BLOCKS[layout].items()}
        targets = {layer: target for target, layer in _LAYERS[layout].items()}
        if match['blocks'] in towers and match['layer'] in targets:
            return towers[match['blocks']], int(match['block']), targets[match['layer']], match['letter']
    raise CheckpointError(f'{path}: {name} is no tensor of a CLIP adapter as open_clip or transformers name it')


def _unpacked(pair: Pair) -> list[Pair]:
    """The queries', keys' and values' pairs of a packed one, or the pair itself where it is none or is dense."""
    rank, width = pair.A.shape
    if pair.target != 'qkv' or rank % 3 or pair.B.shape[0] != 3 * width:
        return [pair]
    part = rank // 3
    outside = pair.B.clone()
    for index in range(3):
        outside[index * width : (index + 1) * width, index * part : (index + 1) * part] = 0
    if outside.any():
        return [pair]
    rows = [slice(index * part, (index + 1) * part) for index in range(3)]
    blocks = pair.B.chunk(3)
    return [
        Pair(pair.tower, pair.block, role, pair.A[own], blocks[index][:, own], pair.scale)
        for index, (role, own) in enumerate(zip('qkv', rows, strict=True))
    ]


def _trimmed(pair: Pair) -> Pair:
    """The pair without the zeros that fill it up to the rank of others."""
    used = pair.A.any(1) | pair.B.any(0)
    return Pair(pair.tower, pair.block, pair.target, pair.A[used], pair.B[:, used], pair.scale)


# ----------------------------------------------------------------------------------------------------- use in a model


def _check_base(model: CLIP, base: Mapping[str, Any] | None, folder: str | Path) -> None:
    ours = None if model.source is None else model.source.sha256
    if base is not None and ours is not None and base.get('sha256') != ours:
        raise CheckpointError(
            f'{folder}: the adapter was trained on {base.get("name")} (sha256 {str(base.get("sha256"))[:12]}), but the '
            f'CLIP was built on {model.source.name} (sha256 {ours[:12]}): set clip.weights to the former'
        )


def _check_place(model: CLIP, pair: Pair, folder: str | Path) -> tuple[Tensor, slice]:
    """The weight that a pair changes, and its rows.

    Raises:
        CheckpointError: there is none, or it has another shape.
    """
    transformer = getattr(getattr(model, pair.tower), 'transformer', None)
    count = 0 if transformer is None else len(transformer.resblocks)
    if pair.block >= count:
        raise CheckpointError(
            f'{folder}: the adapter has {pair.place}, but the {pair.tower} tower of {model.arch.name} has {count} '
            'blocks: it belongs to another architecture'
        )
    block = transformer.resblocks[pair.block]
    width = block.attn.out_proj.in_features
    if pair.target in ('q', 'k', 'v', 'qkv'):
        weight, start = block.attn.in_proj_weight, 'qkv'.index(pair.target[0]) * width
        rows = slice(0, 3 * width) if pair.target == 'qkv' else slice(start, start + width)
    else:
        weight = block.get_submodule(LINEAR_TARGETS[pair.target]).weight
        rows = slice(0, len(weight))
    expected, found = tuple(weight[rows].shape), (pair.B.shape[0], pair.A.shape[1])
    if expected != found:
        raise CheckpointError(
            f'{folder}: the adapter changes a weight {found} at {pair.place}, but the CLIP {model.arch.name} has '
            f'{expected}: it belongs to another architecture'
        )
    return weight, rows


@torch.no_grad()
def merge_adapter(model: CLIP, folder: str | Path) -> None:
    """Add an adapter to the weights of a CLIP, in place.

    Raises:
        FileNotFoundError, CheckpointError: as of :func:`read_adapter`, or the adapter is one of other weights.
    """
    pairs, base = read_adapter(folder)
    _check_base(model, base, folder)
    for weight, rows, pair in [(*_check_place(model, pair, folder), pair) for pair in pairs]:
        add_delta(weight[rows], pair.delta().to(weight.device))


@torch.no_grad()
def load_adapter(model: CLIP, folder: str | Path) -> None:
    """Set the low-rank branches of a CLIP to those of an adapter, to go on training them; others become zero.

    Raises:
        FileNotFoundError, CheckpointError: as of :func:`read_adapter`, or the branches are not those of the adapter.
    """
    pairs, base = read_adapter(folder)
    _check_base(model, base, folder)
    own = {(tower, block, target): branch for _, tower, target, block, branch in branches(model)}
    for pair in pairs:
        _check_place(model, pair, folder)
        if pair.target == 'qkv':
            raise CheckpointError(
                f'{folder}: the packed {pair.place} is not made of updates of queries, keys and values; it can only be '
                'merged into the weights (merge_adapter)'
            )
    without = [pair.place for pair in pairs if (pair.tower, pair.block, pair.target) not in own]
    if without:
        raise CheckpointError(
            f'{folder}: the CLIP has no branch for {enumerate_names(without, 3)}: set clip.lora to the towers, blocks '
            'and targets of the adapter'
        )
    given = {(pair.tower, pair.block, pair.target): pair for pair in pairs}
    for place, branch in own.items():
        pair = given.get(place)
        if pair is None:
            branch.B.zero_()
            continue
        if pair.A.shape != branch.A.shape:
            raise CheckpointError(
                f'{folder}: the adapter has rank {len(pair.A)} at {pair.place}, the CLIP rank {branch.rank}: set '
                f'clip.lora.rank={len(pair.A)}'
            )
        branch.A.copy_(pair.A)
        branch.B.copy_(pair.B * (pair.scale / branch.scale))
