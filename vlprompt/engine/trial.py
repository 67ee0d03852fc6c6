"""A training that is tried before another one trains: everything that its config names is built, and discarded."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from vlprompt.engine.build import build_model, require_initial_weights
from vlprompt.engine.checkpoint import tensor_shapes
from vlprompt.engine.compiling import compile_options
from vlprompt.engine.data_arguments import arguments_of_data, completed, missing_arguments
from vlprompt.engine.data_checks import check_loaders
from vlprompt.engine.fsdp import check_strategy
from vlprompt.engine.required import (
    refuse_own_checkpoint,
    require_all_images,
    require_checkpoint,
    require_parts,
    require_validation,
)
from vlprompt.engine.start_from import chosen_tensors, hand_over
from vlprompt.errors import CheckpointError, ConfigError

Shapes = Mapping[str, torch.Size]
"""Shapes of tensors by name."""


def try_training(runner: Runner, cfg: Config, states: Mapping[str, Shapes]) -> Shapes:
    """Build everything that a later training needs, so that mistakes in its config show.

    Args:
        runner: a :class:`~vlprompt.engine.runner.PromptRunner`; data arguments of the other's model come from its data.
        cfg: of the later training, a phase.
        states: what checkpoints of the phases before it will hold, by work directory.

    Returns:
        What its own checkpoints will hold.

    Raises:
        ConfigError: a value is wrong, or contradicts the data; the message names the phase.
        CheckpointError: it starts from tensors that the phase before does not have.
        OSError: files of its data or the checkpoint that it loads cannot be read.
    """
    level = runner.logger.level
    runner.logger.setLevel(logging.WARNING)  # the phase says the rest itself
    scope = cfg.get('default_scope') or 'mmengine'
    try:
        with DefaultScope.overwrite_default_scope(scope), torch.random.fork_rng(devices=[]):
            return _try(runner, copy.deepcopy(cfg), scope, states)
    except (CheckpointError, OSError) as error:
        raise type(error)(f'phase {cfg.phase!r}: {error}') from error
    except (ValueError, TypeError, LookupError, AssertionError) as error:
        text = error.args[0] if isinstance(error, KeyError) else error
        raise ConfigError(f'phase {cfg.phase!r}: {text}') from error
    finally:
        runner.logger.setLevel(level)


def _try(runner: Runner, cfg: Config, scope: str, states: Mapping[str, Shapes]) -> Shapes:
    require_parts(cfg, 'train', 'val')
    require_all_images(cfg)
    check_strategy(cfg)
    if cfg.get('train_cfg') is None:
        raise ConfigError('it has no train_cfg, so it trains nothing')
    compile_options(cfg)
    refuse_own_checkpoint(cfg)
    require_checkpoint(cfg)
    require_validation(cfg, ((cfg.get('default_hooks') or {}).get('checkpoint') or {}).get('save_best'))
    trial = copy.copy(runner)  # whose methods build the parts
    trial.cfg, trial._hooks = cfg, []
    loaders = {}
    for loop in ('train', 'val'):
        present = cfg.get(f'{loop}_cfg') is not None
        setattr(trial, f'_{loop}_loop', cfg.get(f'{loop}_cfg'))
        setattr(trial, f'_{loop}_dataloader', cfg.get(f'{loop}_dataloader') if present else None)
        if present:
            loaders[loop] = trial.data_loader(loop)
    check_loaders(cfg, loaders, runner.world_size)
    model = cfg.model
    require_initial_weights(model)
    if missing := missing_arguments(model, scope):
        model = completed(model, missing, arguments_of_data(trial.metainfo))
    trial.model = build_model(model)
    start = dict(cfg.get('start_from') or {})
    if (source := start.get('checkpoint')) in states:
        chosen_tensors(trial.model, start['keys'], states[source], f'a checkpoint of {source}')
    elif start:
        hand_over(trial.model, **start)
    trial._train_loop = trial.build_train_loop(trial._train_loop)
    trial.optim_wrapper = trial.build_optim_wrapper(cfg.optim_wrapper)
    if cfg.get('param_scheduler') is not None:
        trial.build_param_scheduler(cfg.param_scheduler)
    if trial._val_loop is not None:
        trial._val_evaluator = cfg.val_evaluator
        trial.build_val_loop(trial._val_loop)
    trial.register_hooks(cfg.get('default_hooks'), cfg.get('custom_hooks'))
    return tensor_shapes(trial.model)
