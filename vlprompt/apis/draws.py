"""Writing files of draws, which :mod:`vlprompt.datasets.classification.draw_files` reads."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from vlprompt.datasets.classification.items import Item
from vlprompt.errors import ConfigError
from vlprompt.files import written_whole


def write_draw(file: str | Path, items: Iterable[Item], image_root: str | Path, root: str | Path) -> None:
    """Write a file of draws.

    Args:
        file: the file; its folder is made.
        items: the images.
        image_root: folder that their paths are relative to.
        root: folder that the paths in the file are relative to.

    Raises:
        ConfigError: the images are not below ``root``.
    """
    inside, outside = Path(image_root).absolute(), Path(root).absolute()
    if not inside.is_relative_to(outside):
        raise ConfigError(f'the images are in {inside}, which is not below {outside}: give another root')
    base = inside.relative_to(outside)
    lines = [
        json.dumps(
            dict(_impath=(base / item.path).as_posix(), _label=item.label, _domain=-1, _classname=item.name),
            ensure_ascii=False,
        )
        for item in items
    ]
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    with written_whole(Path(file)) as written:
        written.write_text('\n'.join(lines) + '\n', encoding='utf-8')
