"""Building the model of a config."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor
from mmengine.runner.checkpoint import get_torchvision_models
from torch import nn

from vlprompt.clip.download import require_answer
from vlprompt.compat.pretrained import cached_file
from vlprompt.errors import DownloadError
from vlprompt.registry import MODELS


def build_model(model: Mapping[str, Any], build: Callable[[Any], nn.Module] = MODELS.build) -> nn.Module:
    """Build a model from its config, complete with the arguments that follow the data.

    Args:
        model: the config's ``model``.
        build: what builds it.

    Raises:
        DownloadError: weights cannot be downloaded; the message has the options of the command line to give instead.
    """
    try:
        return build(model)
    except DownloadError as error:
        keys = list(keys_of_weights(model, error.wanted))
        raise (error.in_config(keys) if keys else error) from error.__cause__


def copy_without_waiting(model: nn.Module, config: Mapping[str, Any]) -> nn.Module:
    """Let the data preprocessor of a model, which may be of another package, copy batches to the device without waiting
    for what the device has to do before; returns the model.

    Args:
        model: built.
        config: its config; what its ``data_preprocessor.non_blocking`` says stays.
    """
    preprocessor = getattr(model, 'data_preprocessor', None)
    if isinstance(preprocessor, BaseDataPreprocessor) and 'non_blocking' not in (config.get('data_preprocessor') or {}):
        preprocessor._non_blocking = True
    return model


def wants_channels_last(cfg: Mapping[str, Any], on_gpu: bool) -> bool:
    """Whether convolutions of a config's model are to have their channels last: on a GPU, unless
    ``env_cfg.channels_last`` says otherwise.
    """
    return (cfg.get('env_cfg') or {}).get('channels_last', on_gpu)


def order_channels_last(model: nn.Module) -> nn.Module:
    """Keep the weights of convolutions with the channels last, as tensor cores want them; returns the model.

    Convolutions then give activations in the same order, so that none is reordered between them.  Values, shapes and
    files stay the same.
    """
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            module.to(memory_format=torch.channels_last)
    return model


def require_initial_weights(model: Mapping[str, Any]) -> None:
    """Try the servers of ``init_cfg=dict(type='Pretrained')`` in the config of a model that is to be trained.

    mmengine downloads when training starts, after everything else, and waits for minutes.

    Raises:
        DownloadError: a file is not in torch's cache and its server does not answer.
    """
    for key, part in parts_of(model):
        checkpoint = str(part.get('checkpoint'))
        url = checkpoint
        if checkpoint.startswith('torchvision://'):
            url = get_torchvision_models().get(checkpoint.removeprefix('torchvision://'), '')
        if part.get('type') != 'Pretrained' or not url.startswith(('http://', 'https://')):
            continue
        if not cached_file(url).is_file():
            try:
                require_answer(url)
            except ConnectionError as error:
                options = dict(checkpoint='/path/to/file')
                raise DownloadError(f'the weights {checkpoint}', url, options, checkpoint, error, [key]) from error


def keys_of_weights(model: Mapping[str, Any], wanted: str) -> Iterator[str]:
    """Dotted keys of all parts of a config with ``weights=wanted``."""
    return (key for key, part in parts_of(model) if part.get('weights') == wanted)


def parts_of(node: Any, key: str = 'model') -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The config and all dicts inside of it, each with its dotted key."""
    if isinstance(node, Mapping):
        yield key, node
    inner = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, (list, tuple)) else ()
    for name, value in inner:
        yield from parts_of(value, f'{key}.{name}')
