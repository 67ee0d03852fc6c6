"""Reading CLIP weights from OpenAI's, open_clip's and other files into this package's naming."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vlprompt.clip.architectures import Architecture, of_open_clip
from vlprompt.clip.open_clip_config import OpenClipArchitecture, OtherTower
from vlprompt.clip.position import Interpolation, resize_position_embedding
from vlprompt.clip.preprocessing import Preprocessing
from vlprompt.clip.tensor_files import ScriptTensors, find_state, read_tensors, require_finite
from vlprompt.clip.text.hub_tokenizer import TOKENIZER_FILE
from vlprompt.files import read_json

TEXT_MODULES = ('token_embedding', 'positional_embedding', 'transformer', 'ln_final', 'text_projection')
"""Entries that OpenAI stores at the top level and this package (like open_clip's CustomTextCLIP) under ``text.``."""

OPTIONS_FILE = 'open_clip_config.json'
"""The file in which open_clip stores, beside the weights, what their shapes do not tell."""

WEIGHT_FILES = ('open_clip_model.safetensors', 'open_clip_pytorch_model.bin')
"""Names of the weights beside it, the best one first."""

NO_WEIGHTS = frozenset({'input_resolution', 'context_length', 'vocab_size', 'attn_mask', 'text.attn_mask'})
"""Redundant entries of published files: sizes, which follow from the shapes, and constants."""


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a weight file without running code from it.

    Args:
        path: ``.safetensors``, an OpenAI TorchScript archive, or a state dict saved by ``torch.save``, bare or under
            ``'state_dict'`` or ``'model'``, with or without a leading ``module.``.

    Returns:
        Tensors on the CPU, names and dtypes as stored.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: it is damaged, contains no state dict, or holds NaN or infinity.
    """
    return _read_file(path)[0]


def _read_file(path: str | Path) -> tuple[dict[str, Tensor], bool]:
    """The tensors of a weight file, and whether it is a TorchScript archive."""
    path = Path(path).expanduser()
    if not path.exists():
        raise FileNotFoundError(f'no weight file at {path}')
    content = read_tensors(path)
    state = find_state(content, path)
    require_finite(state, (name for name in state if name.rpartition('.')[2] != 'attn_mask'), str(path))
    return state, isinstance(content, ScriptTensors)


@dataclass(frozen=True)
class WeightOptions:
    """What the shapes in a weight file do not tell; None where it is unknown.

    Args:
        source: where it stands, for messages.
        quick_gelu: OpenAI's activation instead of GELU.
        arch: the architecture.
        preprocessing: how images were prepared in training.
        tokenizer: folder with a tokenizer of the Hugging Face hub.
    """

    source: str
    quick_gelu: bool | None = None
    arch: Architecture | OpenClipArchitecture | None = None
    preprocessing: Preprocessing | None = None
    tokenizer: Path | None = None


def read_weights(path: str | Path) -> tuple[dict[str, Tensor], WeightOptions]:
    """The tensors of a weight file and its options: from ``open_clip_config.json`` beside it, or by its kind.

    Only OpenAI's TorchScript archives are known by their kind: they were trained with QuickGELU.

    Raises:
        FileNotFoundError, CheckpointError: as for :func:`read_state_dict`.
        ValueError: the JSON file is not one of open_clip.
    """
    state, script = _read_file(path)
    return state, read_options(path, script)


def file_in_folder(folder: Path) -> Path:
    """The weights in a folder of open_clip, which has their options in :data:`OPTIONS_FILE`.

    Raises:
        FileNotFoundError: it lacks one of the two.
    """
    found = next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None)
    if found is None or not (folder / OPTIONS_FILE).is_file():
        lacking = OPTIONS_FILE if found else ' or '.join(WEIGHT_FILES)
        raise FileNotFoundError(
            f'{folder} has no {lacking}: a folder of a model of open_clip holds its weights and {OPTIONS_FILE}'
        )
    return found


def read_options(path: str | Path, script: bool = False) -> WeightOptions:
    """What ``open_clip_config.json`` and a tokenizer beside a weight file tell; the tensors are not read.

    Args:
        path: the weight file.
        script: whether it is a TorchScript archive, as OpenAI's are.

    Raises:
        ValueError: the JSON file is not one of open_clip, or describes towers that are not supported.
    """
    path = Path(path).expanduser()
    file = path.with_name(OPTIONS_FILE)
    tokenizer = file.parent if (file.parent / TOKENIZER_FILE).is_file() else None
    if not file.is_file():
        return WeightOptions(str(path), quick_gelu=True if script else None, tokenizer=tokenizer)
    try:
        content = read_json(file)
        model = content['model_cfg']
        arch = of_open_clip(model, str(file.parent.name), tokenizer)
        gelu = bool(model.get('quick_gelu', False))
        given = content.get('preprocess_cfg') or {}
    except OtherTower as error:
        raise ValueError(f'{file}: {str(error).partition(": ")[2]}') from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f'{file}: not a config of open_clip ({error!r}); remove it or get it again') from error
    try:
        return WeightOptions(str(file), gelu, arch, Preprocessing.read(given), tokenizer)
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f'{file}: preprocess_cfg: {error}') from error


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
