"""The shipped weights and their compact files.

Almost all rows of the token embedding belong to tokens that never occurred in the training of the built-in models.
Those rows keep their random initial values, which :func:`seeded_token_embedding` regenerates exactly, so a file
stores only the trained rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vlprompt.clip.architectures import ARCHITECTURES
from vlprompt.clip.tensor_files import read_tensors
from vlprompt.clip.text.tokenizer import CLIP_TOKENIZER

BUILTIN_WEIGHTS = dict(scenes='{}.pth', labels='{}_labels.pth')
"""Name of shipped weights -> file of an architecture, see the model card in ``vlprompt/clip/pretrained``."""

PRETRAINED_FOLDER = Path(__file__).parent / 'pretrained'
TOKEN_EMBEDDING = 'text.token_embedding.weight'


def seeded_token_embedding(vocab_size: int, width: int, seed: int) -> Tensor:
    """(vocab_size, width) fp32 values N(0, 0.02^2), the same with every version of numpy.

    ``RandomState`` is frozen by numpy's compatibility policy (NEP 19).
    """
    values = np.random.RandomState(seed).standard_normal((vocab_size, width)) * 0.02
    return torch.from_numpy(values.astype(np.float32))


def pack(state: Mapping[str, Tensor], token_ids: Tensor, seed: int) -> dict[str, object]:
    """Content of a shipped file: fp16 tensors, with only the trained rows of the token embedding.

    Args:
        state: state dict of a :class:`~vlprompt.clip.CLIP`.
        token_ids: (n,) ids of the rows that training changed.
        seed: of :func:`seeded_token_embedding`, the source of all other rows.

    Raises:
        ValueError: an omitted row differs from the seeded one.
    """
    table = state[TOKEN_EMBEDDING].detach().float().cpu()
    token_ids = token_ids.unique()
    rest = torch.ones(len(table), dtype=torch.bool)
    rest[token_ids] = False
    if not torch.equal(table[rest], seeded_token_embedding(*table.shape, seed)[rest]):
        raise ValueError(f'token embedding rows outside of token_ids are not those of seed {seed}')
    tensors = {
        key: value.detach().cpu().half() if value.is_floating_point() else value.detach().cpu()
        for key, value in state.items()
        if key != TOKEN_EMBEDDING
    }
    return dict(
        state_dict=tensors,
        token_ids=token_ids.to(torch.int32),
        token_rows=table[token_ids].half(),
        token_seed=seed,
        vocab_size=len(table),
    )


def unpack(content: Mapping[str, object]) -> dict[str, Tensor]:
    """Inverse of :func:`pack`: rebuild the full fp32 state dict."""
    rows = content['token_rows'].float()
    table = seeded_token_embedding(content['vocab_size'], rows.shape[1], content['token_seed'])
    table[content['token_ids'].long()] = rows
    state = {key: v.float() if v.is_floating_point() else v for key, v in content['state_dict'].items()}
    state[TOKEN_EMBEDDING] = table
    return state


def builtin_file(arch_name: str, weights: str) -> Path:
    """Where shipped weights would lie."""
    return PRETRAINED_FOLDER / BUILTIN_WEIGHTS[weights].format(arch_name)


def builtin_tags(arch_name: str) -> list[str]:
    """Names of the weights that are shipped for an architecture."""
    return [weights for weights in BUILTIN_WEIGHTS if builtin_file(arch_name, weights).is_file()]


def read_builtin(arch_name: str, weights: str) -> dict[str, Tensor]:
    """State dict of shipped weights.

    Raises:
        ValueError: none are shipped for this architecture; the message lists those that are.
    """
    shipped = [name for name in ARCHITECTURES if weights in builtin_tags(name)]
    if arch_name not in shipped:
        raise ValueError(f'weights={weights!r} are not shipped for arch {arch_name!r}, only for {shipped}')
    return unpack(read_tensors(builtin_file(arch_name, weights)))


def unseen_names(weights: str, names: Iterable[str]) -> list[str]:
    """Those of some names with a word that no caption had in the training of shipped weights.

    Args:
        weights: such as ``'micro-rn:scenes'``; others than these, which were trained without the words of the built-in
            world or are not shipped, give an empty list.
        names: in English.

    Example:
        >>> unseen_names('micro-rn:scenes', ['cup', 'tiger', 'red_boat'])
        ['tiger']
    """
    arch_name, _, tag = weights.partition(':')
    if tag != 'scenes' or tag not in builtin_tags(arch_name):
        return []
    seen = set(read_tensors(builtin_file(arch_name, tag))['token_ids'].tolist())
    return [name for name in names if not seen.issuperset(CLIP_TOKENIZER.encode(name.replace('_', ' ')))]
