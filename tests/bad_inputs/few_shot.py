"""The few-shot project of the cases: three classes of four images each, and a random micro CLIP."""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from pathlib import Path

from tests.tiny_project import CLASSES, TinyProject

OPTIONS = ('train_cfg.max_epochs=1',)


@cache
def _original() -> Path:
    folder = Path(tempfile.mkdtemp(prefix='vlprompt'))
    TinyProject.create(folder)
    return folder


def project(folder: Path) -> Path:
    """Write the project into a folder, and return that of its images, ``<split>/<class>/<number>.png``."""
    shutil.copytree(_original(), folder, dirs_exist_ok=True)
    config = folder / 'tiny.py'
    config.write_text(config.read_text().replace(str(_original()), str(folder)))
    return folder / 'data'


def train(folder: Path, *options: str, arguments: tuple[str, ...] = ()) -> list:
    """The command that trains the project for an epoch, with options."""
    return ['train', folder / 'tiny.py', '--work-dir', folder / 'run', *arguments, '--cfg-options', *OPTIONS, *options]


def names() -> tuple[str, ...]:
    return CLASSES
