"""``--cfg-options`` of the command-line tools."""

from __future__ import annotations

import re
from argparse import ArgumentError, ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any

from mmengine.config import DictAction

_SPACE = '\N{SYMBOL FOR SPACE}'
"""Stands for a blank while mmengine parses, which drops blanks."""


class CfgOptions(DictAction):
    """mmengine's action for ``KEY=VALUE ...`` that keeps the blanks inside of values.

    So that ``model.class_names='[tall grass, sky]'`` and a path with a blank arrive as they were written.  Blanks
    beside commas and brackets are still dropped.
    """

    def __call__(
        self, parser: ArgumentParser, namespace: Namespace, values: Any, option_string: str | None = None
    ) -> None:
        for option in values or ():
            if '=' not in option:
                raise ArgumentError(self, f'{option!r} is not KEY=VALUE; quote values that contain blanks')
        super().__call__(parser, namespace, values, option_string)

    @staticmethod
    def _parse_iterable(val: str) -> Any:
        tight = re.sub(r'\s*([,\[\]()])\s*', r'\1', val.strip()) if re.search(r'[,\[\]]', val) else val.strip()
        return _with_blanks(DictAction._parse_iterable(tight.replace(' ', _SPACE)))


def _with_blanks(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace(_SPACE, ' ')
    return type(value)(map(_with_blanks, value)) if isinstance(value, Sequence) else value
