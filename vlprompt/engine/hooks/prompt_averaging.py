"""Average what is trained over the epochs: PromptSRC's Gaussian weighted prompt aggregation (ICCV 2023, Eq. 9)."""

from __future__ import annotations

import math

import torch
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from vlprompt.engine.hooks.data import bare_model
from vlprompt.engine.sharded import assign, let_go, whole
from vlprompt.errors import CheckpointError, ConfigError
from vlprompt.registry import HOOKS

_AVERAGE, _SETTING = 'prompt_average', 'prompt_average_of'


def gaussian_weights(epochs: int, mean: float, std: float) -> list[float]:
    """Weights of the epochs 1 .. ``epochs``, in proportion to the normal density N(mean, std); their sum is 1."""
    exponents = [-((epoch - mean) ** 2) / (2 * std**2) for epoch in range(1, epochs + 1)]
    largest = max(exponents)  # so that not all of them vanish
    weights = [math.exp(exponent - largest) for exponent in exponents]
    return [weight / sum(weights) for weight in weights]


@HOOKS.register_module()
class GaussianAveragingHook(Hook):
    """After the last epoch, trained parameters become their weighted mean over the ends of all epochs.

    The mean is what is validated, saved and tested last.  It is part of the state to resume from, so a run that was
    interrupted ends with the same one.  Frozen parameters take no part.

    Args:
        mean: epoch with the largest weight, from 1 on.
        std: width of the weights in epochs, above 0.

    Raises:
        ConfigError: a training that does not run by epochs, or ``std`` not above 0.
        CheckpointError: the run to be resumed was begun without a mean, or with another number of epochs or weights.
    """

    priority = 'NORMAL'  # before the validation and the checkpoint of the epoch

    def __init__(self, mean: float, std: float) -> None:
        if std <= 0:
            raise ConfigError(f'GaussianAveragingHook: std={std} must be above 0')
        self.mean, self.std = mean, std

    def before_train(self, runner: Runner) -> None:
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise ConfigError('GaussianAveragingHook: the mean is over epochs; train with by_epoch=True')
        self._weights = gaussian_weights(runner.max_epochs, self.mean, self.std)
        setting = dict(epochs=runner.max_epochs, mean=self.mean, std=self.std)
        begun = runner.message_hub.get_info(_SETTING)
        if runner.epoch > 0 and begun != setting:
            first = 'without a mean' if begun is None else f'for a mean with {begun}'
            raise CheckpointError(
                f'the run in {runner.work_dir} was begun {first}, and cannot go on with {setting}: its first '
                f'{runner.epoch} epochs would have other weights. Resume it with the same options, or start anew'
            )
        runner.message_hub.update_info(_SETTING, setting)

    @torch.no_grad()
    def after_train_epoch(self, runner: Runner) -> None:
        hub, weight = runner.message_hub, self._weights[runner.epoch]
        before = hub.get_info(_AVERAGE) or {}
        let_go(bare_model(runner))
        trained = {name: p for name, p in bare_model(runner).named_parameters() if p.requires_grad}
        ends = {name: whole(parameter.detach()).cpu() for name, parameter in trained.items()}
        average = {name: before.get(name, 0.0) + weight * end for name, end in ends.items()}
        hub.update_info(_AVERAGE, average)
        if runner.epoch + 1 == runner.max_epochs:
            for name, parameter in trained.items():
                assign(parameter, average[name])
