"""Towers that were tuned (LoRA, layer norms, biases, all of them) as a plain CLIP, and as an adapter of peft."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from safetensors.torch import save_file
from torch import Tensor, nn

from vlprompt.apis.peft_adapters import load_adapter, merge_adapter
from vlprompt.clip import CLIP, build_clip, merge_lora
from vlprompt.clip.weights import state_sha256, to_openai_names
from vlprompt.engine.work_dir import written_whole
from vlprompt.engine.writing import write_checkpoint
from vlprompt.errors import CheckpointError, ConfigError

OF_WEIGHTS = ('arch', 'weights', 'quick_gelu', 'lora')
"""Arguments of :func:`~vlprompt.clip.build_clip` without those that change what weights are used for."""


def clip_of(cfg: Config, lora: bool = True) -> CLIP:
    """The CLIP of a config's model at the size of its weights, as it is before training.

    Args:
        cfg: of one phase.
        lora: with the low-rank branches of the config.

    Raises:
        ConfigError: the model has no CLIP.
    """
    options = cfg.model.get('clip') or (cfg.model.get('backbone') or {}).get('clip')
    if options is None:
        raise ConfigError(f'{cfg.filename}: the model has no clip=dict(...), so there is no CLIP to write')
    return build_clip(**{k: v for k, v in options.items() if k in OF_WEIGHTS and (lora or k != 'lora')})


def tuned_clip(model: nn.Module) -> tuple[CLIP, list[str]]:
    """A CLIP with what the towers of a trained model have learned, branches not merged.

    Args:
        model: as :func:`~vlprompt.apis.init_model` returns it.

    Returns:
        The CLIP, and the names of learned tensors that are not part of it: prompts, heads.

    Raises:
        CheckpointError: nothing in the towers was trained, or a tensor was trained in another shape.
    """
    clip = clip_of(model.cfg)
    own, learned, others = clip.state_dict(), {}, []
    for name, tensor in model.trained_state_dict().items():
        inside = _name_in_clip(name, model.base_prefixes)
        if inside is None:
            others.append(name)
        elif inside not in own or own[inside].shape != tensor.shape:
            shape = tuple(own[inside].shape) if inside in own else 'no such tensor'
            raise CheckpointError(
                f'{name} was trained with the shape {tuple(tensor.shape)}, the weights have {shape}: a model at '
                'another image size cannot be written as plain weights'
            )
        else:
            learned[inside] = tensor
    if not learned:
        raise CheckpointError(f'nothing in the towers was trained, only {", ".join(others)}: they are the base weights')
    clip.load_state_dict(learned, strict=False)
    return clip, others


def _name_in_clip(name: str, prefixes: tuple[str, ...]) -> str | None:
    """Name of a tower's tensor in a CLIP: of ``backbone.trunk.visual.proj``, ``visual.proj``; None for another one."""
    for prefix in prefixes:
        if name.startswith(prefix):
            tower = prefix.rstrip('.').rpartition('.')[2]
            return name.removeprefix(prefix) if tower == 'clip' else f'{tower}.{name.removeprefix(prefix)}'
    return None


def write_clip(clip: CLIP, path: str | Path) -> dict[str, Any]:
    """Merge all branches and write plain weights with OpenAI's names, fp32, for ``clip.weights`` or open_clip.

    Args:
        clip: is changed: its branches are merged.
        path: ``.safetensors``, else a file of ``torch.save``.

    Returns:
        What is written beside the tensors: base weights, options of the branches, hash of the new weights.
    """
    about = dict(
        arch=clip.arch.name,
        quick_gelu=clip.quick_gelu,
        base=None if clip.source is None else asdict(clip.source),
        lora=None if clip.lora is None else {k: _plain(v) for k, v in asdict(clip.lora).items()},
    )
    merge_lora(clip)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in clip.state_dict().items()}
    about['sha256'] = state_sha256(state)
    tensors = to_openai_names(state)
    if Path(path).suffix == '.safetensors':
        with written_whole(path) as temporary:
            save_file(tensors, temporary, metadata=dict(format='pt', vlprompt=json.dumps(about)))
    else:
        write_checkpoint(dict(meta=dict(vlprompt_weights=about), state_dict=tensors), path)
    return about


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple)) else value


def merged_adapter(cfg: Config, folder: str | Path) -> CLIP:
    """The CLIP of a config with an adapter of peft added to its weights."""
    clip = clip_of(cfg, lora=False)
    merge_adapter(clip, folder)
    return clip


def adapter_checkpoint(cfg: Config, folder: str | Path) -> dict[str, Any]:
    """A checkpoint, for a config whose model is a :class:`~vlprompt.models.TextClassifier`, with the branches of an
    adapter of peft.

    Raises:
        ConfigError: the model has no branches, or is another one.
        FileNotFoundError, CheckpointError: as of :func:`~vlprompt.apis.peft_adapters.load_adapter`.
    """
    if not (cfg.model.get('clip') or {}).get('lora'):
        raise ConfigError(f'{cfg.filename}: model.clip.lora is missing, so there are no branches for the adapter')
    clip = clip_of(cfg)
    load_adapter(clip, folder)
    state: Mapping[str, Tensor] = {f'clip.{name}': t for name, t in clip.state_dict().items() if '.lora.' in name}
    base = None if clip.source is None else asdict(clip.source)
    about = dict(
        base=base, class_names=None, trained_keys=list(state), converted_from='peft', lora_scale=clip.lora.scale
    )
    return dict(meta=dict(vlprompt=about), state_dict={name: torch.clone(tensor) for name, tensor in state.items()})
