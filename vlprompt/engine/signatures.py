"""Which arguments a registered type takes, and where in a config which registry is asked."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

from mmengine.registry import FUNCTIONS, Registry

from vlprompt import registry as ours

# Keys of a config whose values are built from another registry than their surroundings.
REGISTRY_OF_KEY: dict[str, Registry] = dict(
    model=ours.MODELS,
    tta_model=ours.MODELS,
    data_preprocessor=ours.MODELS,
    dataset=ours.DATASETS,
    datasets=ours.DATASETS,
    pipeline=ours.TRANSFORMS,
    transforms=ours.TRANSFORMS,
    sampler=ours.DATA_SAMPLERS,
    batch_sampler=ours.DATA_SAMPLERS,
    collate_fn=FUNCTIONS,
    worker_init_fn=FUNCTIONS,
    optim_wrapper=ours.OPTIM_WRAPPERS,
    optimizer=ours.OPTIMIZERS,
    param_scheduler=ours.PARAM_SCHEDULERS,
    val_evaluator=ours.METRICS,
    test_evaluator=ours.METRICS,
    default_hooks=ours.HOOKS,
    custom_hooks=ours.HOOKS,
    visualizer=ours.VISUALIZERS,
    vis_backends=ours.VISBACKENDS,
    log_processor=ours.LOG_PROCESSORS,
    train_cfg=ours.LOOPS,
    val_cfg=ours.LOOPS,
    test_cfg=ours.LOOPS,
    init_cfg=ours.WEIGHT_INITIALIZERS,
)

# Keys that mmengine and mmcv take out of a typed dict before they call the constructor: by the registry, or by the name
# of the dict.
EXTRA_KEYS: dict[str, set[str]] = {
    ours.OPTIM_WRAPPERS.name: {'constructor', 'paramwise_cfg'},
    ours.PARAM_SCHEDULERS.name: {'convert_to_iter_based'},
    ours.HOOKS.name: {'priority'},
    ours.LOOPS.name: {'by_epoch'},
    'norm_cfg': {'requires_grad'},
}


def accepted_arguments(target: Callable) -> tuple[set[str], bool]:
    """Names a constructor or function takes, following ``**kwargs`` up the inheritance chain.

    Returns:
        The names, and whether any further name is accepted too (``**kwargs`` with no parent to take them).
    """
    if not inspect.isclass(target):
        return _names(target)
    names: set[str] = set()
    constructors = [cls.__init__ for cls in target.__mro__ if cls is not object and '__init__' in cls.__dict__]
    for constructor in constructors:
        own, takes_more = _names(constructor)
        names |= own - {'self'}
        if not takes_more:
            return names, False
    return names, bool(constructors)


def _names(function: Callable) -> tuple[set[str], bool]:
    parameters = inspect.signature(function).parameters.values()
    names = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return names, any(p.kind is p.VAR_KEYWORD for p in parameters)


def resolve(type_: Any, registries: Iterable[Registry], default_scope: str) -> Callable | None:
    """The class or function behind a ``type=``, asked of several registries in turn.

    Packages other than ours are never imported here: their types are resolved only where their registry is loaded
    already.  None if no registry that is loaded, and none of ours, has it.
    """
    if not isinstance(type_, str):
        return type_
    prefix = type_.split('.')[0] if '.' in type_ else default_scope
    if prefix not in ('vlprompt', 'mmengine') and f'{prefix}.registry' not in sys.modules:
        return None
    for registry in registries:
        found = _child(registry, prefix).get(type_)
        if found is not None:
            return found
    return None


def known_types(registries: Iterable[Registry]) -> list[str]:
    """Names of all loaded types, for suggestions."""
    return [name for r in registries for node in (r, r.root) for name in node.module_dict]


def _child(registry: Registry, scope: str) -> Registry:
    """The node of a registry's tree that belongs to a scope."""
    import_module(f'{scope}.registry')
    child = registry.root._search_child(scope)
    return registry if child is None else child  # an empty registry is falsy
