"""``compile`` of a config: what a training step computes before the backward pass, by :func:`torch.compile`.

mmengine compiles the whole ``train_step`` of a model, with its data samples and the optimizer, which breaks into many
graphs.  Here it is one method, of tensors:

* ``losses`` of models that have it: everything from images and labels to the terms of the loss;
* ``loss`` of others;
* ``extract_feat`` of mmdet's detectors, whose heads assign a varying number of boxes to anchors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from vlprompt.clip.text.encoder import pack_texts_for_gpu
from vlprompt.errors import ConfigError
from vlprompt.messages import did_you_mean
from vlprompt.models.feature_cache import FeatureCache


def compile_options(cfg: Mapping[str, Any]) -> dict[str, Any] | None:
    """Arguments of :func:`torch.compile` for the ``compile`` of a config; None if nothing is to be compiled.

    Raises:
        ConfigError: an unknown backend, or a training that has no steps.
    """
    given = cfg.get('compile')
    if given in (None, False):
        return None
    if not trains_by_steps(cfg):
        raise ConfigError('compile has no effect: the solver is fitted at once, there are no training steps')
    options = {} if given is True else dict(given)
    backend = options.get('backend', 'inductor')
    known = torch.compiler.list_backends(exclude_tags=())
    if isinstance(backend, str) and backend not in known:
        raise ConfigError(f'compile.backend={backend}: there are {", ".join(known)}.{did_you_mean(backend, known)}')
    return options


def trains_by_steps(cfg: Mapping[str, Any]) -> bool:
    """Whether the training of a config, if there is one, consists of steps of an optimizer."""
    return (cfg.get('optim_wrapper') or {}).get('constructor') != 'vlprompt.NothingToOptimize'


def use_compiled(model: nn.Module, options: Mapping[str, Any]) -> str:
    """Let training steps of a model run a compiled method; validation and test are as before.

    The first step of each batch size is not compiled: what is made once, such as plans of texts, is made there.  Unless
    ``dynamic`` is set, there is one graph for each size of a batch, of which an epoch has two at most, so that a step
    does not depend on the sizes before it; features of detectors follow any size of the images.

    Args:
        model: without the wrapper for distributed training; parameters and their names stay.
        options: of :func:`torch.compile`.

    Returns:
        Name of the method.
    """
    name = compiled_method(model)
    if options.get('backend', 'inductor') == 'inductor' and next(model.parameters()).device.type == 'cpu':
        # Of the exact lengths and the attention in two products that a CPU computes otherwise, inductor of torch 2.14
        # makes wrong gradients.  Few padded buckets with fused attention also compile in a fifth of the time.
        pack_texts_for_gpu(model)
    options = dict(options) if name == 'extract_feat' else dict(dynamic=False) | dict(options)
    setattr(model, name, _in_training(model, getattr(model, name), options))
    return name


def compiled_method(model: nn.Module) -> str:
    """Name of the method that is compiled.

    Raises:
        ConfigError: the model has none.
    """
    if any(kind.__module__.startswith('mmdet.') for kind in type(model).__mro__):
        return 'extract_feat'
    for name in ('losses', 'loss'):
        if callable(getattr(model, name, None)):
            return name
    raise ConfigError(f'compile: {type(model).__name__} has neither losses() nor loss(): train it without --compile')


def _in_training(model: nn.Module, eager: Callable[..., Any], options: Mapping[str, Any]) -> Callable[..., Any]:
    compiled = torch.compile(eager, **options)
    caches = [part for module in model.modules() for part in vars(module).values() if isinstance(part, FeatureCache)]
    prepared: set[int] = set()

    def call(inputs: Tensor, *args: Any) -> Any:
        if not model.training:
            return eager(inputs, *args)
        if len(inputs) not in prepared:
            prepared.add(len(inputs))
            return eager(inputs, *args)
        for cache in caches:  # which a validation has cleared
            cache.refresh()
        return compiled(inputs, *args)

    return call
