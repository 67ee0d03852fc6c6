"""What a config has otherwise than the one of a checkpoint, which is read and never run."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.logging import print_log

from vlprompt.engine.adapters.config_text import parse_config
from vlprompt.errors import CheckpointError
from vlprompt.messages import enumerate_names

ABSENT = '(not given)'
OF_TRAINING = {
    *('loss', 'losses', 'smoothing', 'margin', 'auxiliary', 'drop', 'dropout', 'init'),
    *('train', 'trainable', 'trained', 'frozen'),
}
"""Words in names below ``model`` that say how it is trained."""
OF_DATA = {
    *('class_names', 'templates', 'words', 'image_size', 'ignore_index'),
    *('weights', 'checkpoint', 'pretrained', 'test_cfg', 'at_test'),
}
"""Names of what follows the data of a test, of the place of files, and of what is for the test alone."""
READ_OF_SOLVERS = {'method', 'max_iters', 'eps', 'prompt_eps', 'prompt_weight'}
"""Arguments of solvers that predictions depend on; others are in the tensors of a checkpoint, or chose them."""


def changed_values(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Dotted key, value before and value after of everything that differs.

    What is not there has the value ``'(not given)'``, and is the same as None.
    """
    old, new = (dict(_leaves(_plain(values))) for values in (before, after))
    for key in [*old, *(key for key in new if key not in old)]:
        if not same(old.get(key), new.get(key)):
            yield key, old.get(key, ABSENT), new.get(key, ABSENT)


def _leaves(node: Any, path: str = '') -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of everything below a config, empty containers included."""
    items: Sequence[tuple[Any, Any]] = ()
    if isinstance(node, Mapping):
        items = list(node.items())
    elif isinstance(node, list) and any(isinstance(item, (Mapping, list)) for item in node):
        items = list(enumerate(node))
    if not items:
        yield path, node
    for key, value in items:
        yield from _leaves(value, f'{path}.{key}' if path else str(key))


def same(old: Any, new: Any) -> bool:
    """Whether two values of configs are equal, floats but for rounding, lists and tuples by their items."""
    if isinstance(old, (list, tuple)) and isinstance(new, (list, tuple)):
        return len(old) == len(new) and all(map(same, old, new))
    if isinstance(old, float) and isinstance(new, float):
        return math.isclose(old, new, rel_tol=1e-12) or (math.isnan(old) and math.isnan(new))
    return old == new


def warn_of_changed_model(cfg: Mapping[str, Any], checkpoint: Mapping[str, Any]) -> None:
    """Say in the log what a model has otherwise than in the training of its checkpoint, where its tensors do not tell.

    Args:
        cfg: config of the model, of one phase.
        checkpoint: as :func:`~vlprompt.engine.checkpoint.read_checkpoint` returns it; nothing is said if it has no
            config, as one that was published.
    """
    text = (checkpoint.get('meta') or {}).get('cfg')
    if not isinstance(text, str):
        return
    try:
        before = parse_config(text, 'the checkpoint').get('model')
    except CheckpointError:  # a foreign one, perhaps with code in it
        return
    now = cfg.get('model')
    if not isinstance(before, Mapping) or not isinstance(now, Mapping):
        return
    changed = [
        f'{key} {old} -> {new}'
        for key, old, new in changed_values(dict(model=before), dict(model=now))
        if _matters(key)
    ]
    if changed:
        print_log(
            f'The model is another one than in the training of its checkpoint: {enumerate_names(changed, 5)}. Give the '
            'options of the training again unless this is meant',
            'current',
            logging.WARNING,
        )


def _matters(key: str) -> bool:
    """Whether a value below ``model`` changes predictions, and nothing else tells that it is another one."""
    names = [name for name in key.split('.')[1:] if not name.isdecimal()]
    if 'solver' in names and names[-1] not in READ_OF_SOLVERS:
        return False
    sizes = names[-1].startswith(('num_', 'n_')) and not names[-1].endswith('heads')  # which tensors have
    return not sizes and not any(name in OF_DATA or OF_TRAINING & set(name.split('_')) for name in names)


def _plain(value: Any) -> Any:
    """With dicts and lists in place of what is like them."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value
