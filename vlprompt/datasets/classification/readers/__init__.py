"""Readers: from files on disk to lists of (path, label, class name)."""

from vlprompt.datasets.classification.readers.base import SplitReader
from vlprompt.datasets.classification.readers.build import build_reader
from vlprompt.datasets.classification.readers.folder import FolderReader
from vlprompt.datasets.classification.readers.long_tailed import LONG_TAILED, build_long_tailed_reader
from vlprompt.datasets.classification.readers.presets import PRESETS
from vlprompt.datasets.classification.readers.split_json import JsonReader
from vlprompt.datasets.classification.readers.text_list import ListReader

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
