"""What a result depends on beside its command: the config and the built-in models."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from mmengine.config import Config

from vlprompt.clip.builtin import BUILTIN_WEIGHTS, builtin_file


def version_of(cfg: Config) -> str:
    """Digest of a composed config."""
    content = json.dumps(cfg.to_dict(), sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def inputs_of(cfg: Config) -> dict[str, str]:
    """Name -> version of all that a result depends on beside its command: ``config`` and the built-in models."""
    return dict(config=version_of(cfg), **models_of(cfg))


def models_of(cfg: Mapping[str, Any]) -> dict[str, str]:
    """``'<arch>:<weights>'`` -> digest of the file, for all built-in models that are named anywhere in a config."""
    found: dict[str, str] = {}
    pending: list[Any] = [dict(cfg.items())]  # mmengine's Config is no Mapping
    while pending:
        part = pending.pop()
        if isinstance(part, Mapping):
            arch, weights = part.get('arch'), part.get('weights')
            if isinstance(arch, str) and isinstance(weights, str) and weights in BUILTIN_WEIGHTS:
                name = f'{arch}:{weights}'
                found[name] = digest(name)
            pending += part.values()
        elif isinstance(part, list | tuple):
            pending += part
    return dict(sorted(found.items()))


def are_current(models: Mapping[str, str]) -> bool:
    """Whether the files of these models are still the same."""
    return all(digest(name) == value for name, value in models.items())


@cache
def digest(name: str) -> str:
    """Of the file of ``'<arch>:<weights>'``; empty if none is shipped."""
    path = builtin_file(*name.split(':'))
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else ''
