"""A trained model for others: a checkpoint with what a prediction needs, and a card that tells where it comes from."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from vlprompt.clip.tensor_files import named_tensors
from vlprompt.engine.checkpoint import read_checkpoint
from vlprompt.engine.work_dir import TESTED_FILE
from vlprompt.engine.writing import write_checkpoint
from vlprompt.errors import CheckpointError
from vlprompt.files import METRICS_FILE, checked_metrics, read_json, read_metrics, written_whole
from vlprompt.messages import enumerate_names

KEPT = ('vlprompt', 'dataset_meta', 'vlprompt_version', 'phase', 'epoch', 'iter', 'seed')
"""What is kept of ``meta``; the config stays behind, which names folders of the machine of the training."""

HASH_LENGTH = 8
"""Digits of the hash in the name of a file, as torch.hub and the mm packages write it: of the SHA-256 of the file."""


@dataclass(frozen=True)
class Published:
    """Files of a published model.

    Attributes:
        checkpoint: ``NAME-HASH.pth``.
        card: ``NAME-HASH.md``.
        dropped: what the checkpoint held besides.
    """

    checkpoint: Path
    card: Path
    dropped: tuple[str, ...]


def publish(
    checkpoint: str | Path, folder: str | Path, name: str, config: str, metrics: Mapping[str, float] | None = None
) -> Published:
    """Write a checkpoint without the state of its training, and a card in Markdown, into a folder.

    Args:
        checkpoint: of a training.
        folder: of the results.
        name: of the model, the beginning of the names of the files.
        config: with which it is used, for the card.
        metrics: of its test, in the card; None: it says that there was none.

    Raises:
        CheckpointError: no checkpoint.
    """
    content = read_checkpoint(checkpoint)
    state = content.get('state_dict')
    if not isinstance(state, Mapping):
        raise CheckpointError(f'{checkpoint} has no state_dict, but {enumerate_names(content) or "nothing"}')
    tensors = {key: tensor.clone() for key, tensor in named_tensors(state, str(checkpoint)).items()}
    meta = content.get('meta') or {}
    kept = {key: meta[key] for key in KEPT if meta.get(key) is not None}
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='.', dir=folder) as place:
        nameless = Path(place, 'model.pth')
        write_checkpoint(dict(meta=kept, state_dict=tensors), nameless)
        digest = hashlib.sha256(nameless.read_bytes()).hexdigest()[:HASH_LENGTH]
        target = nameless.replace(folder / f'{name}-{digest}.pth')
    with written_whole(target.with_suffix('.md')) as temporary:
        temporary.write_text(model_card(name, config, target.name, kept, tensors, metrics))
    dropped = [key for key in content if key not in ('meta', 'state_dict')]
    dropped += [f'meta.{key}' for key in meta if key not in kept]
    return Published(target, target.with_suffix('.md'), tuple(dropped))


def metrics_beside(checkpoint: str | Path) -> dict[str, float] | None:
    """The metrics of the last test in the folder of a checkpoint, or in the one above, where runs of several phases are
    tested; None if neither was a test of this checkpoint, or it was one with test-time augmentation or other classes.

    Raises:
        ValueError: a file of metrics that holds none.
    """
    checkpoint = Path(checkpoint)
    folder = checkpoint.parent
    tests = [file for file in (folder / TESTED_FILE, folder.resolve().parent / TESTED_FILE) if file.is_file()]
    for file in tests:
        tested = read_json(file, 'a test')
        if tested['checkpoint'] and Path(file.parent, tested['checkpoint']).resolve() == checkpoint.resolve():
            return None if tested.get('options') else checked_metrics(tested['metrics'], file)
    plain = folder / METRICS_FILE
    return read_metrics(plain) if plain.is_file() and folder / TESTED_FILE not in tests else None


def no_figures(config: str, checkpoint: str | Path) -> str:
    """A line that says that a card has no figures, and how to get them."""
    return (
        f'the card has no figures, since no plain test of {checkpoint} was the last one in its folder or the one '
        f'above: test it on its dataset, vlprompt test {config} {checkpoint} --work-dir DIR, and give '
        f'--metrics DIR/{METRICS_FILE}'
    )


def model_card(
    name: str,
    config: str,
    file: str,
    meta: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    metrics: Mapping[str, float] | None,
) -> str:
    """The card of a model: front matter as hubs read it, what is in the file, how to use it, figures.

    Args:
        name: of the model.
        config: with which it is used.
        file: name of the checkpoint.
        meta: of the checkpoint.
        tensors: of the checkpoint.
        metrics: of its test, or None.
    """
    about = meta.get('vlprompt') or {}
    base, names = about.get('base') or {}, about.get('class_names')
    length = {'epoch': meta.get('epoch'), 'iteration': meta.get('iter')}
    weights = f'`{base["name"]}`, sha256 of the tensors `{base["sha256"]}`' if base else 'none: all are in the file'
    rows = {
        'model': about.get('model'),
        'config': f'`{config}`',
        'base weights': weights,
        'numbers in the file': f'{sum(t.numel() for t in tensors.values()):,} in {len(tensors)} tensors',
        'classes': f'{len(names)}: {enumerate_names(names, 10)}' if names else None,
        'training': ', '.join(f'{what} {value}' for what, value in length.items() if value),
        'seed': meta.get('seed'),
        'vlprompt': meta.get('vlprompt_version'),
    }
    table = ''.join(f'| {key} | {value} |\n' for key, value in rows.items() if value not in (None, ''))
    figures = 'The model was not tested.\n'
    if metrics:
        figures = '| metric | |\n|---|---|\n' + ''.join(f'| {key} | {value:.4g} |\n' for key, value in metrics.items())
    front = dict(library_name='vlprompt', tags=['clip', 'prompt-learning'])
    return (
        '---\n'
        + ''.join(f'{key}: {json.dumps(value)}\n' for key, value in front.items())
        + f'---\n\n# {name}\n\n| | |\n|---|---|\n{table}\n'
        + f'```bash\nvlprompt test {config} {file}\n```\n\n## Figures\n\n{figures}'
    )
