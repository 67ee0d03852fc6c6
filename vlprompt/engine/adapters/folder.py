"""The files of an adapter folder: what they hold, writing and reading them.

``adapter_config.json`` has the entries that every folder of peft has, and those of a checkpoint's ``meta``::

    format, format_version       'vlprompt-adapter', 1
    peft_type, task_type         'LORA' if peft can load it, else a name of ours; what it is for, None in files for peft
    task                         what it is for, in files for peft, which refuses names of tasks that are not its own
    base_model_name_or_path      name of the base weights, None if they were random
    base_sha256                  their hash, which is compared when the adapter is loaded
    method                       class of the model
    class_names, templates       of classes; None where there are none
    preprocess                   mean and std of the pixels, and the steps that prepare an image
    trained_keys                 names of the tensors
    metrics                      of the run's test, where they were given
    description                  the further entries of meta['vlprompt']
    run                          the further entries of meta
    config                       lines of the run's config, which are never executed
    r, lora_alpha, ...           of peft, for low-rank branches alone

A checkpoint that was converted has no ``base``, and then no ``base_sha256``.  Other keys are refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from vlprompt.clip.tensor_files import describe_content, named_tensors, read_safetensors
from vlprompt.engine.adapters.json_values import from_json, to_json
from vlprompt.engine.adapters.peft_form import from_peft, is_low_rank, to_peft
from vlprompt.engine.writing import write_safetensors
from vlprompt.errors import CheckpointError
from vlprompt.files import read_json, written_whole
from vlprompt.messages import did_you_mean, enumerate_names

CONFIG, TENSORS, CARD = 'adapter_config.json', 'adapter_model.safetensors', 'README.md'
FORMAT, VERSION = 'vlprompt-adapter', 1

_PEFT = {
    'auto_mapping': type(None),
    'inference_mode': bool,
    'revision': (str, type(None)),
}
_LORA = {
    'bias': str,
    'fan_in_fan_out': bool,
    'lora_alpha': (int, float),
    'lora_dropout': (int, float),
    'r': int,
    'target_modules': list,
    'use_rslora': bool,
}
_REQUIRED = {
    'format': str,
    'format_version': int,
    'peft_type': str,
    'base_model_name_or_path': (str, type(None)),
    'method': str,
    'trained_keys': list,
    'description': Mapping,
    'run': Mapping,
}
_OPTIONAL = {
    'base_sha256': (str, type(None)),
    'class_names': (list, type(None)),
    'config': (list, type(None)),
    'metrics': (Mapping, type(None)),
    'preprocess': (Mapping, type(None)),
    'task': (str, type(None)),
    'task_type': (str, type(None)),
    'templates': (list, type(None)),
}
KEYS = _REQUIRED | _OPTIONAL | _PEFT | _LORA
"""Entries of ``adapter_config.json`` and the types of their values."""


def task_of(config: Mapping[str, Any]) -> str | None:
    """What an adapter is for, by its ``adapter_config.json``."""
    return config.get('task_type') or config.get('task')


def is_own_folder(path: str | Path) -> bool:
    """Whether a folder holds an adapter in this form, not one of peft alone."""
    file = Path(path) / CONFIG
    if not file.is_file():
        return False
    content = read_json(file, 'adapter')
    return isinstance(content, Mapping) and content.get('format') == FORMAT


# ------------------------------------------------------------------------------------------------------------ writing


def write_folder(
    content: Mapping[str, Any], folder: str | Path, half: bool = False, **about: Any
) -> tuple[dict[str, Any], int]:
    """Write the tensors and the description of a checkpoint into a folder.

    Args:
        content: a checkpoint with ``meta['vlprompt']``, as :func:`~vlprompt.engine.checkpoint.read_checkpoint` returns
            it.
        folder: is created; the two files in it are replaced.
        half: store numbers of 32 bits as fp16, which loses digits; low-rank branches too.
        **about: entries that a checkpoint has not: ``task``, ``templates``, ``preprocess``, ``metrics``.

    Returns:
        What was written to ``adapter_config.json``, and the bytes of the tensors.

    Raises:
        CheckpointError: a checkpoint without description.
    """
    meta = dict(content.get('meta') or {})
    described = dict(meta.pop('vlprompt', None) or {})
    state: dict[str, Tensor] = {name: t.detach().cpu().contiguous() for name, t in content['state_dict'].items()}
    if not described:
        raise CheckpointError(
            'the checkpoint does not say what it was trained on: load it with its config (init_model) and save that'
        )
    method, base = str(described.pop('model', None)), described.pop('base', None)
    has_base = 'base' in ((content.get('meta') or {}).get('vlprompt') or {})
    named = {'class_names': described.pop('class_names')} if 'class_names' in described else {}
    described.pop('trained_keys', None)
    text = meta.pop('cfg', None)
    if half:
        state = {name: t.half() if t.is_floating_point() else t for name, t in state.items()}
    tensors, lora = state, {}
    scale, task = described.get('lora_scale'), about.pop('task', None)
    if scale is not None and is_low_rank(state):
        tensors, lora = to_peft(state, scale)
    config = dict(
        format=FORMAT,
        format_version=VERSION,
        peft_type='LORA' if lora else f'VLPROMPT_{method.upper()}',
        **(dict(task_type=None, task=task) if lora else dict(task_type=task)),
        base_model_name_or_path=None if base is None else base['name'],
        **({'base_sha256': None if base is None else base['sha256']} if has_base else {}),
        revision=None,
        auto_mapping=None,
        inference_mode=True,
        **lora,
        method=method,
        **named,
        **about,
        trained_keys=list(state),
        description=to_json(described),
        run=to_json(meta),
        config=None if text is None else text.split('\n'),
    )
    folder = Path(folder)
    with written_whole(folder / TENSORS) as temporary:
        write_safetensors({name: t.clone() for name, t in tensors.items()}, temporary, dict(format='pt'))
    with written_whole(folder / CONFIG) as temporary:
        temporary.write_text(json.dumps(config, indent=2, ensure_ascii=False) + '\n', encoding='utf-8')
    return config, (folder / TENSORS).stat().st_size


# ------------------------------------------------------------------------------------------------------------ reading


def read_config(folder: Path, source: str, root: Path | None = None) -> dict[str, Any]:
    """``adapter_config.json``, checked.

    Args:
        folder: of the adapter.
        source: what the user called it, for messages.
        root: folder in which the files must lie, where links lead to; None: ``folder``.

    Raises:
        FileNotFoundError: there is none.
        CheckpointError: it is of another form, of a later version, or has unknown keys or values of other types.
    """
    file = _inside(folder, CONFIG, source, root)
    try:
        config = read_json(file, f'adapter {source}:')
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    if not isinstance(config, Mapping):
        raise CheckpointError(f'{file} holds {describe_content(config)}, not an object of JSON')
    if config.get('format') != FORMAT:
        hint = ': vlprompt import-adapter makes a checkpoint of it' if 'peft_type' in config else ''
        raise CheckpointError(f'{file} is not that of an adapter of vlprompt (format {config.get("format")!r}){hint}')
    if config.get('format_version') != VERSION:
        raise CheckpointError(
            f'{file} has format_version {config.get("format_version")!r}, this package reads {VERSION}: update it'
        )
    if unknown := [key for key in config if key not in KEYS]:
        raise CheckpointError(f'{file} has the unknown key {unknown[0]!r}.{did_you_mean(unknown[0], KEYS)}')
    if missing := [key for key in _REQUIRED if key not in config]:
        raise CheckpointError(f'{file} lacks {enumerate_names(missing)}')
    for key, value in config.items():
        if not isinstance(value, KEYS[key]):
            raise CheckpointError(f'{file}: {key} is {describe_content(value)}, which it cannot be')
    for key in ('trained_keys', 'class_names', 'templates', 'config'):
        if not all(isinstance(item, str) for item in config.get(key) or ()):
            raise CheckpointError(f'{file}: an entry of {key} is no text')
    return dict(config)


def read_folder(folder: str | Path, source: str | None = None, root: str | Path | None = None) -> dict[str, Any]:
    """The checkpoint that a folder was written from.

    Args:
        folder: of the adapter.
        source: what the user called it, for messages.
        root: folder in which the files must lie, where links lead to; None: ``folder``.

    Returns:
        ``meta`` and ``state_dict``, as :func:`~vlprompt.engine.checkpoint.read_checkpoint` returns them.

    Raises:
        FileNotFoundError: a file is missing.
        CheckpointError: a file leads out of the folder, is damaged or of another form, or the tensors are not those of
            ``trained_keys``.
    """
    folder, root = Path(folder), None if root is None else Path(root)
    source = source or str(folder)
    config = read_config(folder, source, root)
    file = _inside(folder, TENSORS, source, root)
    tensors = named_tensors(read_safetensors(file, f'adapter {source}:'), file)
    keys = config['trained_keys']
    try:
        described, run = from_json(config['description']), from_json(config['run'])
    except ValueError as error:
        raise CheckpointError(f'{folder / CONFIG}: {error}') from error
    if config['peft_type'] == 'LORA':
        if not is_low_rank(keys) or not isinstance(described.get('lora_scale'), (int, float)):
            raise CheckpointError(f'{folder / CONFIG}: peft_type is LORA, but trained_keys or lora_scale say otherwise')
        tensors = from_peft(tensors, config, keys, described['lora_scale'], str(file))
    _check_names(tensors, keys, file)
    about = {'model': config['method'], 'trained_keys': list(keys)} | dict(described)
    if 'class_names' in config:
        about['class_names'] = config['class_names']
    if 'base_sha256' in config:
        name, sha256 = config['base_model_name_or_path'], config['base_sha256']
        about['base'] = None if sha256 is None else dict(name=name, sha256=sha256)
    meta = dict(run, vlprompt=about)
    if config.get('config') is not None:
        meta['cfg'] = '\n'.join(config['config'])
    return dict(meta=meta, state_dict={key: tensors[key] for key in keys})


def _inside(folder: Path, name: str, source: str, root: Path | None) -> Path:
    """A file of a folder that does not lead out of it.

    Raises:
        CheckpointError: it is a link to elsewhere.
    """
    file, root = folder / name, (root or folder).resolve()
    if not file.resolve().is_relative_to(root):
        raise CheckpointError(f'adapter {source}: {name} leads out of the folder, to {file.resolve()}; copy it there')
    return file


def _check_names(tensors: Mapping[str, Tensor], keys: list[str], file: Path) -> None:
    foreign, missing = sorted(set(tensors) - set(keys)), [key for key in keys if key not in tensors]
    if foreign or missing:
        found = ', '.join(
            f'{what} {enumerate_names(names, 5)}'
            for what, names in (('foreign:', foreign), ('missing:', missing))
            if names
        )
        raise CheckpointError(f'{file} does not hold exactly the trained_keys of {CONFIG} ({found})')
