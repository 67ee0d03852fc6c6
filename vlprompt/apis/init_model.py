"""Build a trained model from a config and a checkpoint, without data."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import set_random_seed
from torch import nn

from vlprompt.engine.checkpoint import load_trained, load_whole, read_checkpoint
from vlprompt.engine.class_names import agree_on_class_names
from vlprompt.engine.cli import read_config
from vlprompt.engine.config import load_config
from vlprompt.engine.data_arguments import fill_data_arguments
from vlprompt.engine.phases import phase_config, phase_of
from vlprompt.registry import MODELS


def init_model(
    config: str | Path | Config,
    checkpoint: str | Path | None = None,
    cfg_options: dict | None = None,
    device: str | torch.device = 'cpu',
    phase: str | None = None,
) -> nn.Module:
    """Build the model of a config, ready for inference.

    Args:
        config: path of a config file, name of a shipped one such as ``'plot/plot_rn50'``, or a loaded config.
        checkpoint: file written by training or by ``tools/model_converters``; None leaves the initial prompts.
        cfg_options: dotted keys to override, e.g. ``{'model.clip.weights': 'RN50.pt', 'model.class_names': [...]}``.
        device: where the model goes.
        phase: of a config with phases; None: the one that the checkpoint is of, without a checkpoint the last.

    Returns:
        The model in eval mode; ``model(images, mode='tensor')`` on normalised images (B, 3, H, W) gives what its
        task calls logits, or, in re-identification, descriptors (B, D).  Its config is ``model.cfg``;
        ``model.dataset_meta`` has ``classes``, and ``palette`` where there is one, as far as they are known.

    Raises:
        ValueError: unknown config keys, or a checkpoint that does not fit the config's base weights or classes.
        FileNotFoundError: no such config or checkpoint.

    Example:
        >>> model = init_model('configs/plot/plot_rn50_16shot_caltech101.py', 'work_dirs/plot/epoch_200.pth')
        >>> model(torch.zeros(1, 3, 224, 224), mode='tensor').shape
        torch.Size([1, 100])
    """
    cfg = load_config(config, cfg_options)
    init_default_scope(cfg.get('default_scope', 'vlprompt'))
    content = None if checkpoint is None else read_checkpoint(checkpoint)
    cfg = phase_config(cfg, phase or phase_of(cfg, content))
    fill_data_arguments(cfg, content, use_data=False)
    model = MODELS.build(cfg.model)
    if content is not None:
        other_classes = cfg.get('other_classes', False)
        names = ((content.get('meta') or {}).get('vlprompt') or {}).get('class_names')
        configured = cfg.model.get('class_names')
        if names and getattr(model, 'class_names', names) is None:
            model.set_class_names(names)
        if names and isinstance(configured, str) and len(names) == len(model.class_names) and not other_classes:
            # The model was trained on data that spelled the names of the same classes in its own way.
            agree_on_class_names(model, configured, names, f'checkpoint {checkpoint}')
        if hasattr(model, 'trained_state_dict'):
            load_trained(model, content, other_classes=other_classes)
        else:
            load_whole(model, content)
    model.cfg = cfg
    model.dataset_meta = dict((content or {}).get('meta', {}).get('dataset_meta') or {})
    if getattr(model, 'class_names', None) is not None:
        model.dataset_meta['classes'] = model.class_names
    return model.to(device).eval()


def model_from(args: Namespace, cfg: Config | None = None) -> nn.Module:
    """The model that a tool's command line asks for, as :func:`init_model` returns it.

    Args:
        args: options of :func:`vlprompt.command_line.add_model_options`.
        cfg: the config that they say, where the tool has read and changed it already.
    """
    cfg = read_config(args) if cfg is None else cfg
    if args.seed is not None:
        set_random_seed(args.seed)
    checkpoint = None if args.checkpoint == 'none' else args.checkpoint
    return init_model(cfg, checkpoint, device=args.device, phase=args.phase)
