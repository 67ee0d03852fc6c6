"""Trainings that diverge at a given iteration."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from tests.tiny_project import TinyProject
from vlprompt.registry import HOOKS


@HOOKS.register_module()
class PoisonHook(Hook):
    """Break something at an iteration: the weights before it, its gradient, its loss, or a loss that is new there."""

    def __init__(self, iteration: int, what: str, last: int | None = None) -> None:
        self.iterations, self.what = range(iteration, (iteration if last is None else last) + 1), what

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        if runner.iter not in self.iterations:
            return
        context = runner.model.prompt.context
        if self.what == 'weights':
            context.data[0, 0, 0] = math.nan
        elif self.what == 'gradient':
            handle = context.register_hook(lambda gradient: (handle.remove(), gradient * math.inf)[1])
        elif self.what in ('loss', 'new loss'):
            normal = runner.model.parse_losses
            name = 'loss_extra' if self.what == 'new loss' else 'loss_cls'

            def parse_losses(losses):
                runner.model.parse_losses = normal
                return normal(losses | {name: losses['loss_cls'] * math.nan})

            runner.model.parse_losses = parse_losses


def poisoned(
    project: TinyProject, work_dir: Path, iteration: int, what: str, last: int | None = None, **options: Any
) -> Runner:
    """The runner of a project with a :class:`PoisonHook`."""
    poison = dict(type='vlprompt.PoisonHook', iteration=iteration, what=what, last=last)
    return project.run(work_dir, custom_hooks=[poison], **options)
