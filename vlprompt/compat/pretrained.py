"""mmengine's loading of ``init_cfg=dict(type='Pretrained')``, which executes pickles, replaced by our own reader.

mmengine reads a file with ``weights_only=True`` and, if that refuses it, again without, which runs whatever code the
file names; the same with files that it downloads.  All of its schemes (paths, ``http://``, ``torchvision://``) call two
functions, in whose places stand those of this module.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from mmengine.runner import checkpoint
from torch import hub

from vlprompt.clip.tensor_files import read_stream, read_tensors


def load_file(file: str | os.PathLike | io.BufferedIOBase, map_location: Any = None, weights_only: Any = None) -> Any:
    """Tensors of a file, or of one that was opened, on the CPU; nothing in it is executed."""
    if hasattr(file, 'read'):
        content = file.read()
        return read_stream(io.BytesIO(content), len(content), 'the downloaded file')
    return read_tensors(file)


def cached_file(url: str, model_dir: str | None = None, file_name: str | None = None) -> Path:
    """Where torch's cache has, or would have, the file of a URL, as ``torch.hub`` names it."""
    folder = model_dir or os.path.join(hub.get_dir(), 'checkpoints')
    return Path(folder, file_name or os.path.basename(urlparse(url).path))


def load_url(
    url: str,
    model_dir: str | None = None,
    map_location: Any = None,
    progress: bool = True,
    check_hash: bool = False,
    file_name: str | None = None,
) -> Any:
    """Tensors of a file that is downloaded into torch's cache, unless it is there, as ``torch.hub`` does."""
    file = cached_file(url, model_dir, file_name)
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        match = hub.HASH_REGEX.search(file.name) if check_hash else None
        hub.download_url_to_file(url, str(file), match[1] if match else None, progress=progress)
    return read_tensors(file)


def read_pretrained_safely() -> None:
    """Let mmengine use these functions.

    Raises:
        AttributeError: mmengine has changed, and no longer calls functions of these names.
    """
    for name, own in (('_safe_torch_load', load_file), ('load_url', load_url)):
        getattr(checkpoint, name)
        setattr(checkpoint, name, own)
