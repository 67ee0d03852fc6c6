"""One quick look whether a server answers, before a download that would try again for minutes."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

CONNECT_SECONDS = 5.0
"""How long a server may take to answer."""


def require_answer(url: str, seconds: float = CONNECT_SECONDS) -> None:
    """Return if the server of ``url`` answers, whatever it says; one try, through proxies of the environment.

    Raises:
        ConnectionError: no answer within ``seconds``, the look-up of the name included.
    """
    found: list[BaseException | None] = []

    def ask() -> None:
        try:
            urlopen(Request(url, method='HEAD'), timeout=seconds).close()
            found.append(None)
        except HTTPError:
            found.append(None)
        except OSError as error:
            found.append(error)

    thread = threading.Thread(target=ask, daemon=True)  # the look-up of a name knows no time limit
    thread.start()
    thread.join(seconds)
    if not found:
        raise ConnectionError(f'{url} did not answer within {seconds:g} seconds')
    if found[0] is not None:
        raise ConnectionError(f'{url} cannot be reached: {getattr(found[0], "reason", found[0])}')


def hub_file(repository: str, *names: str, revision: str | None = None) -> Path | None:
    """The first of these files of a repository that the cache of huggingface.co holds, or None.

    Args:
        repository: ``'org/name'``.
        *names: of the files, the best one first.
        revision: a tag, a branch or a commit; None: the main branch.
    """
    from huggingface_hub import try_to_load_from_cache

    found = (try_to_load_from_cache(repository, name, revision=revision) for name in names)
    return next((Path(path) for path in found if isinstance(path, str)), None)


def require_hub() -> None:
    """:func:`require_answer` of huggingface.co, or of the mirror that the environment names."""
    from huggingface_hub import constants

    require_answer(constants.ENDPOINT)


def hub_folder_file(repository: str, options: str, *names: str, revision: str | None = None) -> Path:
    """The first of the files ``names`` that a repository of huggingface.co has, with ``options`` in the same folder.

    Args:
        repository: ``'org/name'``.
        options: a file that must lie beside it.
        names: files, the best one first.
        revision: a tag, a branch or a commit; None: the main branch.

    Raises:
        OSError, RuntimeError: neither cached, nor can they be downloaded.
    """
    from huggingface_hub import hf_hub_download, list_repo_files

    cached, beside = (hub_file(repository, *files, revision=revision) for files in (names, (options,)))
    if cached is not None and beside is not None and cached.parent == beside.parent:
        return cached
    require_hub()
    held = list_repo_files(repository, revision=revision)
    name = next((name for name in names if name in held), None)
    if name is None or options not in held:
        raise OSError(f'it has no {options if name else " or ".join(names)}')
    hf_hub_download(repository, options, revision=revision)
    return Path(hf_hub_download(repository, name, revision=revision))


def open_clip_file(config: Mapping[str, Any]) -> Path:
    """The weight file of an entry of open_clip's table: from a cache, or downloaded if the server answers.

    Raises:
        OSError, RuntimeError: it cannot be downloaded.
    """
    from open_clip import pretrained

    if config.get('hf_hub'):
        repository, _, name = config['hf_hub'].rpartition('/')
        name = name or 'open_clip_pytorch_model.bin'
        safe = name.replace('_pytorch_model', '_model').rpartition('.')[0] + '.safetensors'
        if (cached := hub_file(repository, safe, name)) is not None:
            return cached
        require_hub()
    elif not Path('~/.cache/clip', config['url'].rpartition('/')[2]).expanduser().is_file():
        require_answer(config['url'])
    return Path(pretrained.download_pretrained(config))
