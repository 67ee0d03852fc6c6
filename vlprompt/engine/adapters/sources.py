"""Where adapters are: folders, ``builtin:NAME`` of this package, ``hf-hub:ORG/NAME[@REVISION]`` of huggingface.co."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from vlprompt.engine.adapters.folder import CONFIG, TENSORS, read_folder
from vlprompt.errors import CheckpointError, DownloadError
from vlprompt.messages import did_you_mean

BUILTIN, HUB = 'builtin:', 'hf-hub:'

BUILTIN_FOLDER = Path(__file__).parent / 'builtin'
"""One folder for each adapter that is shipped; ``dev/train_adapters.py`` writes them."""


def is_adapter(source: Any) -> bool:
    """Whether a text or path names an adapter: by its prefix, or as a folder with ``adapter_config.json``."""
    if not isinstance(source, (str, Path)):
        return False
    return str(source).startswith((BUILTIN, HUB)) or Path(source, CONFIG).is_file()


def builtin_adapters(pattern: str = '') -> list[str]:
    """Names of the shipped adapters that contain ``pattern``, or match it if it contains ``*`` or ``?``."""
    names = sorted(file.parent.name for file in BUILTIN_FOLDER.glob(f'*/{CONFIG}'))
    if any(sign in pattern for sign in '*?['):
        return [name for name in names if fnmatchcase(name, pattern)]
    return [name for name in names if pattern in name]


def adapter_folder(source: str | Path) -> tuple[Path, Path | None]:
    """The folder of an adapter, and the one that its files may be links into, where that is another.

    Raises:
        CheckpointError: no such shipped adapter, or a malformed name of a repository.
        DownloadError: a repository that is neither cached nor can be fetched.
    """
    text = str(source)
    if text.startswith(BUILTIN):
        name, known = text.removeprefix(BUILTIN), builtin_adapters()
        if name not in known:
            suggestion = did_you_mean(name, known, prefix=BUILTIN)
            raise CheckpointError(f'there is no {text}.{suggestion} vlprompt list --adapters lists them')
        return BUILTIN_FOLDER / name, None
    if text.startswith(HUB):
        folder = _fetched(text.removeprefix(HUB))
        return folder, folder.parent.parent  # a snapshot of the cache has links into the blobs beside it
    return Path(source), None


def read_adapter_source(source: str | Path) -> dict[str, Any]:
    """The checkpoint in an adapter, see :func:`~vlprompt.engine.adapters.folder.read_folder`."""
    folder, root = adapter_folder(source)
    return read_folder(folder, str(source), root)


def _fetched(name: str) -> Path:
    """The folder of a repository's snapshot in the cache of huggingface.co, downloaded if it is not there.

    Args:
        name: ``ORG/NAME``, or ``ORG/NAME@REVISION``: a tag, a branch or a commit.
    """
    from vlprompt.clip.download import hub_folder_file

    match = re.fullmatch(r'(\w[\w.-]*/\w[\w.-]*)(?:@(\w[\w./-]*))?', name)
    if match is None:
        raise CheckpointError(f'{HUB}{name} must name a repository: {HUB}ORG/NAME, or {HUB}ORG/NAME@REVISION')
    repository, revision = match.groups()
    try:
        return hub_folder_file(repository, CONFIG, TENSORS, revision=revision).parent
    except (OSError, RuntimeError) as error:
        raise DownloadError(
            f'the adapter {name}',
            f'{CONFIG} and {TENSORS} of https://huggingface.co/{repository} into one folder',
            dict(checkpoint='/path/to/folder'),
            f'{HUB}{name}',
            error,
        ) from error
