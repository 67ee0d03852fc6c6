"""The optimizer: parameter groups by patterns of names, and mixed precision on GPUs and CPUs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import OPTIM_WRAPPERS as MMENGINE_OPTIM_WRAPPERS
from mmengine.registry import OPTIMIZERS
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from vlprompt.errors import ConfigError
from vlprompt.messages import did_you_mean, enumerate_names
from vlprompt.precision import usual_half
from vlprompt.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS

_NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm)
_RULES = ('custom_keys', 'bias_lr_mult', 'bias_decay_mult', 'norm_decay_mult', 'flat_decay_mult')


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class PatternOptimWrapperConstructor:
    """Build the optimizer over trained parameters, grouped by learning rate and weight decay.

    Takes the same config as mmengine's default constructor, but is stricter: frozen parameters are always skipped, and
    unknown rules and ``custom_keys`` entries that match no trained parameter raise.

    ``paramwise_cfg`` may hold:

    * ``custom_keys``: ``{pattern: dict(lr_mult=, decay_mult=, <any option of the optimizer>)}``.  A pattern with
      ``*``, ``?`` or ``[`` is compared with the whole parameter name, one without matches any name that contains it.
      The longest matching pattern wins and the rules below do not apply to the parameter.
    * ``bias_lr_mult``, ``bias_decay_mult``: for parameters named ``bias`` outside normalisation layers.
    * ``norm_decay_mult``: for all parameters of normalisation layers.
    * ``flat_decay_mult``: for other parameters of one dimension.

    Args:
        optim_wrapper_cfg: ``dict(type='OptimWrapper', optimizer=dict(type=..., lr=..., ...), ...)``.
        paramwise_cfg: the rules above.

    Raises:
        ValueError: unknown or unmatched rules, a multiplier without a base value, or nothing to train.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: Mapping[str, Any] | None = None) -> None:
        self.wrapper_cfg = dict(type='OptimWrapper') | dict(optim_wrapper_cfg)
        self.optimizer_cfg = self.wrapper_cfg.pop('optimizer')
        self.rules = dict(paramwise_cfg or {})
        for rule in self.rules:
            if rule not in _RULES:
                raise ValueError(f'paramwise_cfg: unknown rule {rule!r}.{did_you_mean(rule, _RULES)}')
        self.custom_keys: dict[str, Mapping] = dict(self.rules.get('custom_keys', {}))

    def __call__(self, model: nn.Module) -> OptimWrapper:
        model = model.module if is_model_wrapper(model) else model
        groups = self.param_groups(model)
        print_log(_describe(groups, model), logger='current')
        optimizer = OPTIMIZERS.build(dict(self.optimizer_cfg, params=groups))
        return MMENGINE_OPTIM_WRAPPERS.build(self.wrapper_cfg, default_args=dict(optimizer=optimizer))

    def param_groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """One group per distinct set of options, in the order the model first needs it."""
        groups: dict[tuple, dict[str, Any]] = {}
        names, seen = [], set()
        for prefix, module in model.named_modules():
            for leaf, parameter in module.named_parameters(recurse=False):
                if not parameter.requires_grad or id(parameter) in seen:
                    continue
                seen.add(id(parameter))
                names.append(f'{prefix}.{leaf}' if prefix else leaf)
                options = self._options(names[-1], leaf, parameter.ndim, isinstance(module, _NORMS))
                key = tuple(sorted((k, repr(v)) for k, v in options.items()))
                groups.setdefault(key, dict(options, params=[]))['params'].append(parameter)
        if not names:
            raise ValueError(f'{type(model).__name__} has no trained parameter: set its "trainable" patterns')
        self._check_custom_keys(names)
        return list(groups.values())

    def _options(self, name: str, leaf: str, ndim: int, in_norm: bool) -> dict[str, Any]:
        """Options of one parameter that differ from the optimizer's own."""
        matching = [pattern for pattern in self.custom_keys if _matches(name, pattern)]
        if matching:
            custom = dict(self.custom_keys[max(matching, key=len)])
            options = self._scaled(custom.pop('lr_mult', None), custom.pop('decay_mult', None))
            return options | custom
        if in_norm:
            return self._scaled(None, self.rules.get('norm_decay_mult'))
        if leaf == 'bias':
            return self._scaled(self.rules.get('bias_lr_mult'), self.rules.get('bias_decay_mult'))
        return self._scaled(None, self.rules.get('flat_decay_mult') if ndim == 1 else None)

    def _scaled(self, lr_mult: float | None, decay_mult: float | None) -> dict[str, float]:
        options = {}
        for option, factor in (('lr', lr_mult), ('weight_decay', decay_mult)):
            if factor is not None:
                if self.optimizer_cfg.get(option) is None:
                    raise ValueError(f'paramwise_cfg scales {option!r}, which the optimizer config does not set')
                options[option] = self.optimizer_cfg[option] * factor
        return options

    def _check_custom_keys(self, names: list[str]) -> None:
        for pattern in self.custom_keys:
            if not any(_matches(name, pattern) for name in names):
                raise ValueError(
                    f'paramwise_cfg.custom_keys: {pattern!r} matches no trained parameter.'
                    f'{did_you_mean(pattern, names)} Trained are {enumerate_names(names)}.'
                )


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class NothingToOptimize:
    """The optimizer of a training that has none, as mmengine's runner demands one: it holds no parameter.

    Args:
        optim_wrapper_cfg: empty; what ``--amp`` or an option puts there has no effect, and is an error.
        paramwise_cfg: the same.

    Raises:
        ConfigError: see above.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: Mapping[str, Any] | None = None) -> None:
        given = [*optim_wrapper_cfg, *(['paramwise_cfg'] if paramwise_cfg else [])]
        if given:
            raise ConfigError(
                f'optim_wrapper.{given[0]} has no effect: the solver is fitted without an optimizer of the runner. '
                'Leave out --amp and other options of the optimizer; those of the solver are below model.solver'
            )

    def __call__(self, model: nn.Module) -> OptimWrapper:
        return OptimWrapper(torch.optim.SGD([dict(params=[])], lr=0.0))


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) if any(c in pattern for c in '*?[') else pattern in name


def _describe(groups: list[dict[str, Any]], model: nn.Module) -> str:
    """One line per group: how many tensors and numbers, which options, and the first names."""
    names = {id(p): name for name, p in model.named_parameters()}
    lines = ['Optimizer groups:']
    for group in groups:
        options = ', '.join(f'{k}={v}' for k, v in group.items() if k != 'params') or 'defaults'
        count = sum(p.numel() for p in group['params'])
        members = enumerate_names([names[id(p)] for p in group['params']], limit=3)
        lines.append(f'  {count:,} numbers in {len(group["params"])} tensors ({options}): {members}')
    return '\n'.join(lines)


def wrappers_by_name(wrapper: OptimWrapper | OptimWrapperDict) -> dict[str, OptimWrapper]:
    """All optimizer wrappers of a run; a single one has the name ``''``."""
    return dict(wrapper.items()) if isinstance(wrapper, OptimWrapperDict) else {'': wrapper}


def scale_rates(optim_wrapper: OptimWrapper | OptimWrapperDict, batch_size: int, processes: int, base: int) -> None:
    """Scale all learning rates linearly to the effective batch, whose gradients are accumulated before an update.

    Args:
        optim_wrapper: of a training whose schedules are not built yet.
        batch_size: of the loader of a process.
        processes: of the training.
        base: effective batch for which the rates of the config are meant.
    """
    for wrapper in wrappers_by_name(optim_wrapper).values():
        accumulated = wrapper._accumulative_counts
        factor = batch_size * accumulated * processes / base
        print_log(
            f'Learning rate x {factor:g}: batch size {batch_size} x {accumulated} accumulated x {processes} processes, '
            f'for a rate that is meant for {base}',
            logger='current',
        )
        for group in wrapper.optimizer.param_groups:
            group['lr'] *= factor


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """Autocast in the forward pass, loss scaling if the format needs it; parameters stay in fp32.

    mmengine's ``AmpOptimWrapper`` asserts a GPU.  This one runs on the CPU too, where float16 is slow.

    Args:
        dtype: ``'float16'`` or ``'bfloat16'``; None takes float16 on a GPU and bfloat16 on the CPU.
        loss_scale: initial scale of the loss for float16, adapted afterwards, or a dict of arguments of
            :class:`torch.amp.GradScaler`, such as ``dict(init_scale=1024, growth_interval=500)``; bfloat16 needs none.
        **kwargs: of mmengine's :class:`OptimWrapper`: ``optimizer``, ``accumulative_counts``, ``clip_grad``.

    Raises:
        ValueError: another dtype.
    """

    def __init__(
        self, dtype: str | None = None, loss_scale: float | Mapping[str, Any] = 2.0**16, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.device_type = get_device()
        dtype = dtype or usual_half(self.device_type)
        if dtype not in ('float16', 'bfloat16'):
            raise ValueError(f"AutocastOptimWrapper: dtype must be 'float16' or 'bfloat16', got {dtype!r}")
        self.dtype = getattr(torch, dtype)
        options = loss_scale if isinstance(loss_scale, Mapping) else dict(init_scale=loss_scale)
        self.scaler = torch.amp.GradScaler(self.device_type, **dict(options, enabled=dtype == 'float16'))

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast, and no gradient synchronisation while gradients are accumulated."""
        with super().optim_context(model), torch.autocast(self.device_type, dtype=self.dtype):
            yield

    def backward(self, loss: Tensor, **kwargs: Any) -> None:
        """Back-propagate the scaled loss."""
        self.scaler.scale(loss).backward(**kwargs)
        self._inner_count += 1

    def step(self, **kwargs: Any) -> None:
        """Unscale, clip if configured, and update; a step with infinite gradients is skipped and the scale halved."""
        if self.clip_grad_kwargs:
            self.scaler.unscale_(self.optimizer)
            self._clip_grad()
        self.scaler.step(self.optimizer, **kwargs)
        self.scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """The optimizer's state and the loss scaler's."""
        return super().state_dict() | dict(loss_scaler=self.scaler.state_dict())

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Inverse of :meth:`state_dict`; the state of a run without mixed precision is accepted too."""
        state_dict = dict(state_dict)
        scaler = state_dict.pop('loss_scaler', None)
        if scaler and self.scaler.is_enabled():
            self.scaler.load_state_dict(scaler)
        super().load_state_dict(state_dict)
