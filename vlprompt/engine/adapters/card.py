"""The card of an adapter: ``README.md`` with the front matter that huggingface.co reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlprompt.clip.architectures import open_clip_name
from vlprompt.clip.builtin import BUILTIN_WEIGHTS
from vlprompt.engine.adapters.config_text import parse_config
from vlprompt.engine.adapters.folder import CARD, CONFIG, task_of
from vlprompt.files import shortened, written_whole
from vlprompt.version import __version__

PIPELINE_TAGS = {
    'ZERO_SHOT_IMAGE_CLASSIFICATION': 'zero-shot-image-classification',
    'IMAGE_CLASSIFICATION': 'image-classification',
    'IMAGE_SEGMENTATION': 'image-segmentation',
    'OBJECT_DETECTION': 'object-detection',
    'FEATURE_EXTRACTION': 'image-feature-extraction',
}
"""Task of ``adapter_config.json`` -> that of the hub."""

_SHOWN = 16
"""Number of classes that a card names."""


def hub_id(base: str | None) -> str | None:
    """The repository of base weights that open_clip has on huggingface.co; None for a file, or built-in weights.

    Args:
        base: name of the weights, such as ``'ViT-B/16:openai'``.
    """
    architecture, _, tag = (base or '').rpartition(':')
    if base is not None and base.startswith('hf-hub:'):
        return tag
    if not architecture or architecture in ('file', 'hf-hub') or tag in BUILTIN_WEIGHTS:
        return None
    from open_clip.pretrained import get_pretrained_cfg

    repository = (get_pretrained_cfg(open_clip_name(architecture), tag) or {}).get('hf_hub') or ''
    return '/'.join(repository.split('/')[:2]) or None


def write_card(
    folder: str | Path,
    config: Mapping[str, Any],
    size: int,
    name: str | None = None,
    licence: str | None = None,
    notes: str | None = None,
) -> None:
    """Write ``README.md``.

    Args:
        folder: of the adapter.
        config: what stands in its ``adapter_config.json``.
        size: bytes of its tensors.
        name: of the adapter; None: that of the folder.
        licence: identifier of the hub, such as ``'apache-2.0'``.
        notes: a paragraph on how it was trained.
    """
    folder = Path(folder)
    name = name or folder.resolve().name
    dataset = dataset_of(config)
    count = len(config['trained_keys'])
    parts = [
        _front_matter(config, name, dataset, licence),
        f'# {name}',
        f'An adapter for `{config["base_model_name_or_path"]}`, written by vlprompt '
        f'{config["run"].get("vlprompt_version", __version__)}: {count} tensor{"s" * (count > 1)} of a '
        f'{config["method"]}, {size / 1e3:.0f} kB.',
    ]
    parts += [notes] if notes else []
    parts += ['## Use', _use(name, config), *_facts(config, dataset)]
    if config.get('metrics'):
        rows = ''.join(f'\n| {key} | {value:.4g} |' for key, value in config['metrics'].items())
        parts += ['## Figures', f'Of the test of the run (`test_metrics.json`).\n\n| metric | value |\n|---|---|{rows}']
    with written_whole(folder / CARD) as temporary:
        temporary.write_text('\n\n'.join(parts) + '\n', encoding='utf-8')


def dataset_of(config: Mapping[str, Any]) -> str | None:
    """Name of the dataset that an adapter was trained on."""
    known = (config['run'].get('dataset_meta') or {}).get('dataset')
    return known or _config_of(config).get('dataset')  # datasets of mmseg and mmdet do not tell it


def _config_of(config: Mapping[str, Any]) -> dict[str, Any]:
    lines = config.get('config')
    return {} if lines is None else parse_config('\n'.join(lines), CONFIG)


def _front_matter(config: Mapping[str, Any], name: str, dataset: str | None, licence: str | None) -> str:
    """YAML between lines of dashes; its values are written as JSON, which YAML includes."""
    base = hub_id(config['base_model_name_or_path'])
    tags = ['clip', 'prompt-learning', *(part.lower() for part in _parts_of(config))]
    tags += ['lora'] if config['peft_type'] == 'LORA' else []
    entries: dict[str, Any] = dict(library_name='vlprompt', tags=tags)
    if base is not None:
        entries |= dict(base_model=base, base_model_relation='adapter')
    if (task := PIPELINE_TAGS.get(task_of(config))) is not None:
        entries['pipeline_tag'] = task
    if licence is not None:
        entries['license'] = licence
    if dataset is not None:
        entries['datasets'] = [dataset]
    if config.get('metrics') and task is not None:
        results = [dict(type=key, value=value) for key, value in config['metrics'].items()]
        about = dict(task=dict(type=task), dataset=dict(name=dataset or 'unknown', type=dataset or 'unknown'))
        entries['model-index'] = [dict(name=name, results=[dict(about, metrics=results)])]
    lines = [f'{key}: {json.dumps(value, ensure_ascii=False)}' for key, value in entries.items()]
    return '\n'.join(['---', *lines, '---'])


def _parts_of(config: Mapping[str, Any]) -> list[str]:
    """The model's class and those of its parts that a method is known by."""
    model = _config_of(config).get('model') or {}
    parts = (model.get(key) or {} for key in ('prompt', 'tuner', 'solver', 'alignment'))
    types = [part['type'] for part in parts if isinstance(part, Mapping) and isinstance(part.get('type'), str)]
    return [config['method'], *(type_.rpartition('.')[2] for type_ in types)]


def _use(name: str, config: Mapping[str, Any]) -> str:
    if config.get('config') is None:
        call = f"init_model('config.py', '{name}')"
    else:
        call = f"init_model('{name}')"
    return (
        'The first argument is this folder, or `hf-hub:ORG/NAME`, or, for adapters that the package ships, '
        f'`builtin:NAME`.\n\n```python\nfrom vlprompt.apis import init_model, predict_images\n\nmodel = {call}\n'
        "for sample in predict_images(model, 'photo.jpg'):\n    print(sample)\n```"
    )


def _facts(config: Mapping[str, Any], dataset: str | None) -> list[str]:
    names = config.get('class_names') or (config['run'].get('dataset_meta') or {}).get('classes') or []
    sha256 = config.get('base_sha256')
    facts = {
        'model': ', '.join(_parts_of(config)),
        'base weights': f'{config["base_model_name_or_path"]} (sha256 {sha256[:12]})' if sha256 else None,
        'data': dataset,
        'classes': f'{len(names)}: {shortened(", ".join(names[:_SHOWN]), 400)}' if names else None,
        'templates': ', '.join(config.get('templates') or []) or None,
        'seed': config['run'].get('seed'),
        'epochs': config['run'].get('epoch'),
        'iterations': config['run'].get('iter'),
    }
    rows = ''.join(f'\n| {key} | {value} |' for key, value in facts.items() if value is not None)
    return ['## Training', f'| | |\n|---|---|{rows}']
