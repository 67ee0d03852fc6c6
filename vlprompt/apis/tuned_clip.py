"""Towers that were tuned (LoRA, layer norms, biases, all of them) as a plain CLIP, and as an adapter of peft."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor, nn

from vlprompt.clip import CLIP, build_clip, merge_lora
from vlprompt.clip.architectures import RESNET_STRIDE
from vlprompt.clip.open_clip_config import OpenClipArchitecture
from vlprompt.clip.text.hub_tokenizer import OPTIONS_FILE as TOKENIZER_OPTIONS_FILE
from vlprompt.clip.text.hub_tokenizer import TOKENIZER_FILE
from vlprompt.clip.weights import OPTIONS_FILE, WEIGHT_FILES, state_sha256, to_openai_names
from vlprompt.engine.peft_adapters import load_adapter, merge_adapter
from vlprompt.engine.writing import write_checkpoint, write_safetensors
from vlprompt.errors import CheckpointError, ConfigError
from vlprompt.files import written_whole

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
    """Merge all branches and write plain weights, fp32, for ``clip.weights`` or open_clip.

    The names are those of open_clip's model of the architecture: OpenAI's, or, where the image tower is timm's, with
    those of the text tower under ``text.``.

    Args:
        clip: is changed: its branches are merged.
        path: ``.safetensors``, or another suffix for a file of ``torch.save``.  Without a suffix: a folder in
            open_clip's form, with the architecture, the preprocessing and the tokenizer beside the weights.

    Returns:
        What is written beside the tensors: base weights, options of the branches, hash of the new weights.

    Raises:
        CheckpointError: a folder for an architecture that open_clip does not have.
    """
    path = Path(path)
    if not path.suffix:
        write_config(clip, path)
        path = path / WEIGHT_FILES[0]
    about = dict(
        arch=clip.arch.name,
        quick_gelu=clip.quick_gelu,
        base=None if clip.source is None else asdict(clip.source),
        lora=None if clip.lora is None else {k: _plain(v) for k, v in asdict(clip.lora).items()},
    )
    merge_lora(clip)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in clip.state_dict().items()}
    about['sha256'] = state_sha256(state)
    tensors = state if isinstance(clip.arch, OpenClipArchitecture) else to_openai_names(state)
    if path.suffix == '.safetensors':
        with written_whole(path) as temporary:
            write_safetensors(tensors, temporary, dict(format='pt', vlprompt=json.dumps(about)))
    else:
        write_checkpoint(dict(meta=dict(vlprompt_weights=about), state_dict=tensors), path)
    return about


def write_config(clip: CLIP, folder: str | Path) -> None:
    """Write ``open_clip_config.json`` of a CLIP, and its tokenizer if it has one of its own, into a folder.

    Raises:
        CheckpointError: open_clip does not have its architecture.
    """
    content: dict[str, Any] = dict(model_cfg=open_clip_config(clip))
    if clip.preprocessing is not None:
        content['preprocess_cfg'] = asdict(clip.preprocessing)
    with written_whole(Path(folder) / OPTIONS_FILE) as temporary:
        temporary.write_text(json.dumps(content, indent=2))
    if (source := getattr(clip.text.tokenizer, 'folder', None)) is not None:
        for name in (TOKENIZER_FILE, TOKENIZER_OPTIONS_FILE):
            with written_whole(Path(folder) / name) as temporary:
                shutil.copyfile(source / name, temporary)


def open_clip_config(clip: CLIP) -> dict[str, Any]:
    """The architecture of a CLIP in open_clip's words.

    Raises:
        CheckpointError: open_clip does not have it: a ResNet with a stride of 16 pixels.
    """
    arch = clip.arch
    if isinstance(arch, OpenClipArchitecture):
        bias = dict(init_logit_bias=-10.0) if arch.logit_bias else {}
        towers = dict(custom_text=True, vision_cfg=dict(arch.vision), text_cfg=dict(arch.text), **bias)
        return dict(embed_dim=arch.embed_dim, quick_gelu=clip.quick_gelu, **towers)
    if not arch.is_vit and arch.vision_stride != RESNET_STRIDE:
        raise CheckpointError(
            f"{arch.name}: open_clip's ResNets have a stride of {RESNET_STRIDE} pixels, not {arch.vision_stride}: "
            'write a file (.safetensors) in place of a folder'
        )
    vision = dict(
        image_size=arch.image_size,
        layers=arch.vision_layers,
        width=arch.vision_width,
        patch_size=arch.vision_patch_size,
        head_width=arch.vision_head_width,
    )
    if arch.is_vit:
        vision['mlp_ratio'] = arch.vision_mlp_width / arch.vision_width
        if int(arch.vision_width * vision['mlp_ratio']) != arch.vision_mlp_width:  # open_clip rounds down
            vision['mlp_ratio'] = (arch.vision_mlp_width + 0.5) / arch.vision_width
    text = dict(
        context_length=arch.context_length,
        vocab_size=arch.vocab_size,
        width=arch.transformer_width,
        heads=arch.transformer_heads,
        layers=arch.transformer_layers,
    )
    return dict(embed_dim=arch.embed_dim, quick_gelu=clip.quick_gelu, vision_cfg=vision, text_cfg=text)


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
        FileNotFoundError, CheckpointError: as of :func:`~vlprompt.engine.peft_adapters.load_adapter`.
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
