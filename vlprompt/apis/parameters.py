"""How many numbers a config trains, phase by phase."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from torch import nn

from vlprompt.apis.model import init_model
from vlprompt.engine.config import load_config
from vlprompt.models import FeatureClassifier


def without_weights(cfg: Config) -> Config:
    """The config, changed so that its towers and trunks get random weights: nothing is downloaded."""

    def clear(node: object) -> None:
        if isinstance(node, Mapping):
            for key, value in node.items():
                if key in ('clip', 'timm') and isinstance(value, Mapping):
                    value['weights'] = None
                elif key == 'init_cfg' and isinstance(value, Mapping) and value.get('type') == 'Pretrained':
                    node[key] = None
                else:
                    clear(value)
        elif isinstance(node, (list, tuple)):
            for value in node:
                clear(value)

    clear(cfg.model)
    return cfg


def parameter_count(module: nn.Module, trained: bool = False) -> int:
    """Numbers in the parameters of a module, or only in those that are trained."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trained)


def trained_counts(config: str, options: Mapping[str, Any] | None = None) -> dict[str, int]:
    """Numbers that each phase of a config trains; ``''`` is the name of the only one of a config without phases.

    A solver in feature space counts with what it trains by steps for the config's classes and shots
    (:meth:`~vlprompt.solvers.Solver.trained_numbers`).

    Args:
        config: file or name of a config.
        options: of :func:`~vlprompt.engine.config.load_config`, such as ``dataset`` and ``shots``.

    Raises:
        ConfigError: an unknown config or option, or one whose classes follow from data that are not there.
    """
    phases = load_config(config, options).get('phases') or {'': None}
    return {name: _trained(without_weights(load_config(config, options)), name or None) for name in phases}


def _trained(cfg: Config, phase: str | None) -> int:
    model = init_model(cfg, phase=phase)
    if isinstance(model, FeatureClassifier):
        classes = len(model.class_names)
        images = classes * model.cfg.get('shots', 0)  # long-tailed data say how many when they are read
        return model.solver.trained_numbers(images, classes, model.clip.embed_dim)
    return parameter_count(model, trained=True)


def parameter_table(counts: Mapping[str, Mapping[str, int]]) -> str:
    """A Markdown table of :func:`trained_counts` by config; thousands with one decimal beside them, as papers print."""
    lines = ['| config | trained numbers | |', '|---|---|---|']
    for config, phases in counts.items():
        for phase, number in phases.items():
            name = f'`{config}`, phase `{phase}`' if phase else f'`{config}`'
            lines.append(f'| {name} | {number:,} | {number / 1e3:,.1f}k |')
    return '\n'.join(lines)
