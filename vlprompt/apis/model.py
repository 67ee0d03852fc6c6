"""Build a trained model from a config and a checkpoint, without data."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import set_random_seed
from torch import nn

from vlprompt.apis.runs import read_config
from vlprompt.clip.classnames import resolve_class_names
from vlprompt.engine.adapters import is_adapter
from vlprompt.engine.build import build_model, order_channels_last, wants_channels_last
from vlprompt.engine.checkpoint import load_trained, load_whole, naming_checkpoint, read_checkpoint
from vlprompt.engine.config import config_for
from vlprompt.engine.config_changes import warn_of_changed_model
from vlprompt.engine.data_arguments import (
    arguments_of_checkpoint,
    arguments_of_data,
    completed,
    missing_arguments,
    names_of_config,
)
from vlprompt.engine.phases import phase_config, phase_of
from vlprompt.engine.required import require_model
from vlprompt.errors import ConfigError
from vlprompt.models.agreement import agree_on_class_names, warn_of_unseen_words
from vlprompt.models.freezing import without_report
from vlprompt.registry import MODELS


def init_model(
    config: str | Path | Config,
    checkpoint: str | Path | None = None,
    cfg_options: dict | None = None,
    device: str | torch.device = 'cpu',
    phase: str | None = None,
    class_names: str | Sequence[str] | None = None,
) -> nn.Module:
    """Build the model of a config, ready for inference.

    Args:
        config: path of a config file, name of a shipped one such as ``'plot/plot_rn50'``, or a loaded config; or an
            adapter, which holds its config: a folder, ``'builtin:NAME'`` or ``'hf-hub:ORG/NAME'``.
        checkpoint: file written by training or by ``tools/model_converters``, or an adapter; None keeps the initial
            prompts, or loads the adapter given as ``config``.
        cfg_options: dotted keys to override, e.g. ``{'model.clip.weights': 'RN50.pt', 'model.class_names': [...]}``.
        device: device of the model.
        phase: of a config with phases; None: the one that wrote the checkpoint, or the last without a checkpoint.
        class_names: K names, or the name of a dataset, for a model whose classes are text; None: those of the config,
            else of the checkpoint, else of the dataset that the config tests on.

    Returns:
        The model in eval mode, on a GPU with the channels of convolutions last, unless ``env_cfg.channels_last`` of the
        config is False; ``model(images, mode='tensor')`` on normalised images (B, 3, H, W) gives the
        logits of its task, or, in re-identification, descriptors (B, D).  Its config is ``model.cfg``;
        ``model.dataset_meta`` has ``classes`` and ``palette``, if they are known.

    Raises:
        ConfigError: unknown config keys, class names that are neither in config nor checkpoint nor data, or a device
            that is not there.
        ValueError: a checkpoint that does not fit the config's base weights or classes.
        FileNotFoundError: no such config or checkpoint.

    Example:
        >>> model = init_model('configs/plot/plot_rn50.py', 'work_dirs/plot/epoch_200.pth')
        >>> model(torch.zeros(1, 3, 224, 224), mode='tensor').shape
        torch.Size([1, 100])
    """
    device = _usable_device(device)
    if checkpoint is None and is_adapter(config):
        checkpoint = config
    content = None if checkpoint is None else read_checkpoint(checkpoint)
    cfg = config_for(None if content is None else lambda: content, config, cfg_options)
    require_model(cfg)
    init_default_scope(cfg.get('default_scope', 'vlprompt'))
    cfg = phase_config(cfg, phase or phase_of(cfg, content))
    about = ((content or {}).get('meta') or {}).get('vlprompt') or {}
    if class_names is not None and content is None:
        cfg.model = _config_of_classes(cfg.model, class_names)
    model = _build(cfg, about.get('class_names') or class_names, arguments_of_checkpoint(content))
    if content is not None:
        with naming_checkpoint(checkpoint):
            warn_of_changed_model(cfg, content)
            _load(model, content, about.get('class_names'), cfg.get('other_classes', False), f'checkpoint {checkpoint}')
        if class_names is not None:
            model.set_class_names(class_names)
    if wants_channels_last(cfg, on_gpu=device.type == 'cuda'):
        order_channels_last(model)
    model.cfg = cfg
    model.dataset_meta = dict((content or {}).get('meta', {}).get('dataset_meta') or {})
    if getattr(model, 'class_names', None) is not None:
        model.dataset_meta['classes'] = model.class_names
    warn_of_unseen_words(model)
    return model.to(device).eval()


def _usable_device(device: str | torch.device) -> torch.device:
    """A device on which tensors can be made.

    Raises:
        ConfigError: there is none of that name.
    """
    try:
        device = torch.device(device)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # torch's ways to say so
        reason = str(error).splitlines()[0]
        raise ConfigError(f'device {str(device)!r} cannot be used ({reason}): give cpu (--device cpu)') from error
    return device


def model_from(args: Namespace, cfg: Config | None = None, class_names: str | Sequence[str] | None = None) -> nn.Module:
    """The model requested on a tool's command line, as :func:`init_model` returns it.

    Args:
        args: options of :func:`vlprompt.apis.command_line.add_model_options`.
        cfg: their config, if the tool has read it already.
        class_names: see :func:`init_model`.
    """
    cfg = read_config(args) if cfg is None else cfg
    if args.seed is not None:
        set_random_seed(args.seed)
    checkpoint = None if args.checkpoint == 'none' else args.checkpoint
    return init_model(cfg, checkpoint, device=args.device, phase=args.phase, class_names=class_names)


def _config_of_classes(config: Mapping[str, Any], class_names: str | Sequence[str]) -> dict[str, Any]:
    kind = MODELS.get(config['type'])
    if not hasattr(kind, 'config_of_classes'):  # of mmseg or mmdet itself
        raise ConfigError(
            f'class_names: {config["type"]} has a head for the classes of its data, and takes no others: leave them out'
        )
    return kind.config_of_classes(config, class_names)


def _build(cfg: Config, names: str | Sequence[str] | None, known: dict[str, Any]) -> nn.Module:
    """The model, with the arguments that the config leaves out.

    Args:
        cfg: the config.
        names: class names if the config has none; None: those of its dataset, for a model that needs them.
        known: other arguments that follow the data.
    """
    described = cfg.model
    if missing := missing_arguments(cfg.model, cfg.get('default_scope')):
        if {'class_names', 'num_classes'} & (set(missing) - set(known)):
            names = resolve_class_names(names or names_of_config(cfg))
            known = known | arguments_of_data(dict(classes=names))
        described = completed(cfg.model, missing, known)
    with without_report():
        model = build_model(described)
    if names and getattr(model, 'class_names', names) is None:
        model.set_class_names(names)
    return model


def _load(model: nn.Module, content: dict, names: Sequence[str] | None, other_classes: bool, what: str) -> None:
    """Load a checkpoint; if the config only names a dataset, class names are spelled as in the training data."""
    same_number = names and len(names) == len(getattr(model, 'class_names', ()))
    if same_number and getattr(model, 'names_follow_data', False) and not other_classes:
        agree_on_class_names(model, names, what)
    if hasattr(model, 'trained_state_dict'):
        load_trained(model, content, other_classes=other_classes)
    else:
        load_whole(model, content)
