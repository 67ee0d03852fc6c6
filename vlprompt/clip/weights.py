"""Reading CLIP weights from OpenAI's, open_clip's and other files into this package's naming."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vlprompt.clip.position import Interpolation, resize_position_embedding
from vlprompt.clip.tensor_files import ScriptTensors, find_state, read_tensors, require_finite
from vlprompt.files import read_json

_logger = logging.getLogger(__name__)

TEXT_MODULES = ('token_embedding', 'positional_embedding', 'transformer', 'ln_final', 'text_projection')
"""Entries that OpenAI stores at the top level and this package (like open_clip's CustomTextCLIP) under ``text.``."""

OPTIONS_FILE = 'open_clip_config.json'
"""The file in which open_clip stores, beside the weights, what their shapes do not tell."""

WEIGHT_FILES = ('open_clip_model.safetensors', 'open_clip_pytorch_model.bin')
"""Names of the weights beside it, the best one first."""

_KNOWN_OPTIONS = dict(
    model_cfg={'embed_dim', 'quick_gelu', 'custom_text', 'init_logit_scale'},
    vision_cfg={'layers', 'width', 'head_width', 'mlp_ratio', 'patch_size', 'image_size', 'patch_dropout'},
    text_cfg={'context_length', 'vocab_size', 'width', 'heads', 'layers'},
)
"""What the towers of this package express, by part of open_clip's config."""

_USUAL = {('vision_cfg', 'pool_type'): 'tok', ('text_cfg', 'pool_type'): 'argmax'}

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

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
        vision_head_width: channels of a head of the image tower.
        transformer_heads: heads of the text tower.
    """

    source: str
    quick_gelu: bool | None = None
    vision_head_width: int | None = None
    transformer_heads: int | None = None


def read_weights(path: str | Path) -> tuple[dict[str, Tensor], WeightOptions]:
    """The tensors of a weight file and its options: from ``open_clip_config.json`` beside it, or by its kind.

    Only OpenAI's TorchScript archives are known by their kind: they were trained with QuickGELU.

    Raises:
        FileNotFoundError, CheckpointError: as for :func:`read_state_dict`.
        ValueError: the JSON file is not one of open_clip.
    """
    state, script = _read_file(path)
    return state, _read_options(path, script)


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


class _OtherTower(Exception):
    """A config of open_clip describes towers that this package does not have."""


def _refuse_other_towers(file: Path, **parts: Mapping[str, Any]) -> None:
    for part, known in _KNOWN_OPTIONS.items():
        for name in sorted(set(parts[part]) - known - set(parts)):
            value = parts[part][name]
            if value and value != _USUAL.get((part, name)):  # null, false and 0 are the usual towers
                raise _OtherTower(
                    f"{file}: {part}.{name}={value!r} is of another kind of tower than CLIP's ResNets and ViTs with a "
                    'causal text tower, which is not supported'
                )


def warn_of_preprocessing(given: Mapping[str, Any], source: str) -> None:
    """Say in the log if images were not prepared as in CLIP when weights were trained: configs do that by default.

    Args:
        given: open_clip's ``mean``, ``std``, ``interpolation`` and ``resize_mode``, or some of them.
        source: where they stand.
    """
    usual = dict(mean=CLIP_MEAN, std=CLIP_STD, interpolation='bicubic', resize_mode='shortest')
    other = {name: given[name] for name in usual if given.get(name) and not _same(given[name], usual[name])}
    if other:
        shown = ', '.join(f'{name}={value}' for name, value in other.items())
        _logger.warning(
            '%s: images were prepared with %s in training, which configs do not follow by themselves: set '
            'model.data_preprocessor.mean and .std, and the transforms of the test pipeline',
            source,
            shown,
        )


def _same(value: Any, usual: Any) -> bool:
    if isinstance(usual, str):
        return value == usual
    return len(value) == 3 and all(abs(a - b) < 1e-3 for a, b in zip(value, usual, strict=True))


def _read_options(path: str | Path, script: bool) -> WeightOptions:
    path = Path(path).expanduser()
    file = path.with_name(OPTIONS_FILE)
    if file.is_file():
        try:
            content = read_json(file)
            model = content['model_cfg']
            vision, text = dict(model['vision_cfg']), dict(model['text_cfg'])
            _refuse_other_towers(file, model_cfg=model, vision_cfg=vision, text_cfg=text)
            options = WeightOptions(
                str(file),
                bool(model.get('quick_gelu', False)),
                int(vision.get('head_width', 64)),
                int(text.get('heads', 8)),
            )
            warn_of_preprocessing(content.get('preprocess_cfg') or {}, str(file))
            return options
        except _OtherTower as error:
            raise ValueError(str(error)) from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f'{file}: not a config of open_clip ({error!r}); remove it or get it again') from error
    return WeightOptions(str(path), quick_gelu=True if script else None)


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
