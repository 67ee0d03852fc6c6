"""Folders of adapters: what was trained as safetensors, what it belongs to as JSON, and a card.

A folder holds what a checkpoint (:mod:`vlprompt.engine.checkpoint`) holds, without pickle, so that it can be shared::

    adapter_model.safetensors   the trained tensors, by the names of the state dict
    adapter_config.json         base weights, method, classes, config of the run (vlprompt.engine.adapters.folder)
    README.md                   a card with the front matter of huggingface.co

:func:`~vlprompt.engine.checkpoint.read_checkpoint` takes a folder wherever it takes a file, also
``hf-hub:ORG/NAME`` and ``builtin:NAME`` (:mod:`vlprompt.engine.adapters.sources`).
"""

from vlprompt.engine.adapters.config_text import config_of_adapter
from vlprompt.engine.adapters.folder import is_own_folder, read_folder, write_folder
from vlprompt.engine.adapters.sources import BUILTIN, HUB, builtin_adapters, is_adapter, read_adapter_source

__all__ = [
    'BUILTIN',
    'HUB',
    'builtin_adapters',
    'config_of_adapter',
    'is_adapter',
    'is_own_folder',
    'read_adapter_source',
    'read_folder',
    'write_folder',
]
