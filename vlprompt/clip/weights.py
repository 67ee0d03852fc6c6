"""Reading CLIP weights from OpenAI's, open_clip's and other files into this package's naming."""

from __future__ import annotations

import argparse
import hashlib
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from vlprompt.clip.position import Interpolation, resize_position_embedding

TEXT_MODULES = ('token_embedding', 'positional_embedding', 'transformer', 'ln_final', 'text_projection')
"""Entries that OpenAI stores at the top level and this package (like open_clip's CustomTextCLIP) under ``text.``."""

NO_WEIGHTS = frozenset({'input_resolution', 'context_length', 'vocab_size', 'attn_mask', 'text.attn_mask'})
"""Redundant entries of published files: sizes, which follow from the shapes, and constants."""


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a weight file without running code from it.

    Args:
        path: ``.safetensors``, an OpenAI TorchScript archive, or a state dict saved by ``torch.save``,
            bare or under ``'state_dict'``, with or without a leading ``module.``.

    Returns:
        Tensors on the CPU, names and dtypes as stored.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is damaged or contains no state dict.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'no weight file at {path}')
    if path.suffix == '.safetensors':
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(f'{path} cannot be read as a weight file, perhaps a broken download: {error}') from error
    if _is_torchscript(path):
        with warnings.catch_warnings():
            warnings.filterwarnings('ignore', message='.*torch.jit', category=FutureWarning)
            return dict(torch.jit.load(path, map_location='cpu').state_dict())
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):  # options that a script saved beside its weights
            content = torch.load(path, map_location='cpu', weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(f'{path} cannot be read as a weight file, perhaps a broken download: {error}') from error
    if isinstance(content, Mapping) and isinstance(content.get('state_dict'), Mapping):
        content = content['state_dict']
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ValueError(
            f'{path} holds no state dict: expected a mapping of names to tensors, bare or under "state_dict"'
        )
    if content and all(key.startswith('module.') for key in content):
        content = {key.removeprefix('module.'): value for key, value in content.items()}
    return dict(content)


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith('/constants.pkl') for name in archive.namelist())


def to_internal_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename OpenAI's or open_clip's entries to this package's names and make them fp32.

    Entries without weights are dropped; integer entries keep their dtype.
    """
    renamed = {}
    for key, value in state.items():
        if key in NO_WEIGHTS:
            continue
        name = f'text.{key}' if key.split('.')[0] in TEXT_MODULES else key
        renamed[name] = value.float() if value.is_floating_point() else value
    return renamed


def to_openai_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename this package's entries to OpenAI's names, which are also those of open_clip's CLIP class."""
    return {key.removeprefix('text.'): value for key, value in state.items()}


def state_sha256(state: Mapping[str, Tensor]) -> str:
    """Hash of names, shapes and values. Counters of batch norm, which affect no output, are excluded."""
    digest = hashlib.sha256()
    for key in sorted(state):
        if key.endswith('num_batches_tracked'):
            continue
        value = state[key].detach().cpu().contiguous()
        digest.update(f'{key} {tuple(value.shape)} {value.dtype}\n'.encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def resize_image_positions(
    state: Mapping[str, Tensor], source: tuple[int, int], target: tuple[int, int], mode: Interpolation = 'bicubic'
) -> dict[str, Tensor]:
    """The state dict with the image tower's position embedding resized from one grid (h, w) to another."""
    resized = dict(state)
    for key in ('visual.positional_embedding', 'visual.attnpool.positional_embedding'):
        if key in resized:
            resized[key] = resize_position_embedding(resized[key], source, target, mode)
    return resized
