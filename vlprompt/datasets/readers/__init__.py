"""Readers: from files on disk to lists of (path, label, class name)."""

from vlprompt.datasets.readers.base import SplitReader
from vlprompt.datasets.readers.build import build_reader
from vlprompt.datasets.readers.folder import FolderReader
from vlprompt.datasets.readers.long_tailed import LONG_TAILED, build_long_tailed_reader
from vlprompt.datasets.readers.presets import PRESETS
from vlprompt.datasets.readers.split_json import JsonReader
from vlprompt.datasets.readers.text_list import ListReader

__all__ = [
    'LONG_TAILED',
    'PRESETS',
    'FolderReader',
    'JsonReader',
    'ListReader',
    'SplitReader',
    'build_long_tailed_reader',
    'build_reader',
]
