"""``strategy='fsdp'``: trained parameters, gradients and optimizer states are shared out over the processes.

Each of R processes holds 1 / R of every trained parameter, of its gradient and of the optimizer's state
(``torch.distributed.fsdp.fully_shard``); the forward and backward pass gather the parameters of one part of the model
at a time.  The numbers are those of plain data-parallel training, ``'ddp'``, and so are the files: checkpoints hold
whole tensors, and a run goes on under the other strategy.

A module says by ``shard_parts()`` which of its parts are gathered on their own: those whose parameters nothing reads
but their own forward pass, and methods that they name in ``forward_methods``.  Everything else is gathered with the
model, for the length of a step.  Frozen parameters stay whole, as do scalars and parameters that a module names in
``kept_whole`` since it writes them in its forward pass.

A model is built, loaded and handed over whole, on the CPU, and shared out immediately before it trains.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from mmengine.device import get_device
from mmengine.dist import all_reduce, broadcast
from mmengine.model import convert_sync_batchnorm, revert_sync_batchnorm
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor
from torch.nn.utils import clip_grad_norm_, clip_grads_with_norm_, get_total_norm
from torch.optim import Optimizer

from vlprompt.engine.optimizer import wrappers_by_name
from vlprompt.engine.processes import cpu_only
from vlprompt.engine.sharded import as_shard, is_sharded
from vlprompt.errors import ConfigError
from vlprompt.messages import did_you_mean, enumerate_names

STRATEGIES = ('ddp', 'fsdp')
"""Values of ``strategy`` in a config; the first is the default."""

WORTHWHILE = 20_000_000
"""Trained numbers from which on sharing them out saves memory that matters: 16 bytes each with Adam."""


def uses_fsdp(cfg: Mapping[str, Any]) -> bool:
    """Whether a training shares its parameters out."""
    return cfg.get('strategy') == 'fsdp'


def check_strategy(cfg: Mapping[str, Any]) -> None:
    """Raise ConfigError for an unknown ``strategy``, or for what a training under ``'fsdp'`` cannot do."""
    strategy = cfg.get('strategy') or STRATEGIES[0]
    if strategy not in STRATEGIES:
        raise ConfigError(
            f'strategy={strategy!r} must be one of {", ".join(STRATEGIES)}.{did_you_mean(strategy, STRATEGIES)}'
        )
    if strategy == 'ddp' or cfg.get('train_cfg') is None:
        return
    if cfg.get('launcher', 'none') == 'none':
        raise ConfigError(
            '--strategy fsdp shares parameters out over several processes, but the training has no launcher: start it '
            'with tools/dist_train.sh CONFIG PROCESSES --strategy fsdp, or leave out --strategy'
        )
    if cfg.get('model_wrapper_cfg'):
        raise ConfigError(
            '--strategy fsdp: model_wrapper_cfg cannot be used, since no wrapper is put around the model; leave one out'
        )
    hooks = [*(cfg.get('custom_hooks') or ()), *(cfg.get('default_hooks') or {}).values()]
    if any(isinstance(hook, Mapping) and hook.get('type') == 'EMAHook' for hook in hooks):
        raise ConfigError('--strategy fsdp: EMAHook averages whole parameters, not shards; use --strategy ddp')


def unwrapped(model: nn.Module, cfg: Mapping[str, Any]) -> nn.Module:
    """The model as the runner keeps it until :func:`place`: on the CPU, with batch norms for several processes."""
    if cpu_only():
        return revert_sync_batchnorm(model)
    return model if cfg.get('sync_bn') is None else convert_sync_batchnorm(model, cfg['sync_bn'])


def place(runner: Runner, training: bool) -> None:
    """Share a runner's model and optimizers out if they are about to train; else move the whole model to the device."""
    if is_sharded(runner.model):
        return
    if training:
        shard(runner)
    else:
        runner.model.to(get_device())


def shard(runner: Runner) -> None:
    """Share out the parameters of a runner's model, in place, with what its optimizers hold.

    Values of the first process are those of all, as at the start of plain data-parallel training.

    Args:
        runner: has loaded what it begins with, and built its optimizers.

    Raises:
        ConfigError: nothing is trained by gradients, or a state of an optimizer that is resumed cannot be shared out.
    """
    model = runner.model
    before = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    if not before:
        raise ConfigError('--strategy fsdp: the model trains no parameter by gradients; leave out --strategy')
    total = sum(parameter.numel() for parameter in before.values())
    runner.logger.info(f'{total:,} trained numbers are shared out over {runner.world_size} processes')
    if total < WORTHWHILE:
        runner.logger.warning(
            f'--strategy fsdp shares out {total:,} trained numbers, which need {16e-6 * total:.3g} MB with Adam: '
            'training is as exact and faster without it'
        )
    kept = set(_kept_whole(model))
    _refuse_mixture([name for name, parameter in before.items() if parameter in kept], runner)
    _shard_model(model, kept, runner.world_size)
    after = dict(model.named_parameters())
    replaced = {id(parameter): after[name] for name, parameter in before.items()}
    attributes = chain(*(vars(module).values() for module in model.modules()))
    caches = [value for value in attributes if hasattr(value, 'forget_trained')]
    for wrapper in wrappers_by_name(runner.optim_wrapper).values():
        share_optimizer(wrapper.optimizer, replaced)
        wrapper.optimizer.register_step_post_hook(lambda *_: [cache.forget_trained() for cache in caches])
        if wrapper.clip_grad_kwargs and wrapper.clip_func is clip_grad_norm_:
            wrapper.clip_func = clip_norm


def _refuse_mixture(whole: Sequence[str], runner: Runner) -> None:
    """Raise ConfigError for optimizers that cannot update parameters which stay whole beside those that do not."""
    for wrapper in wrappers_by_name(runner.optim_wrapper).values():
        fused = any(group.get('foreach') or group.get('fused') for group in wrapper.optimizer.param_groups)
        scaled = getattr(getattr(wrapper, 'scaler', None), 'is_enabled', bool)()
        if whole and (fused or scaled):
            reason = 'foreach and fused of the optimizer' if fused else "a loss scaler (optim_wrapper.dtype='float16')"
            raise ConfigError(
                f'--strategy fsdp: {enumerate_names(whole)} cannot be shared out, and {reason} cannot deal with both '
                f'kinds: {"leave them out" if fused else "use bfloat16"}, or freeze these parameters'
            )


def _shard_model(model: nn.Module, kept: set[nn.Parameter], processes: int) -> None:
    mesh = init_device_mesh(get_device(), (processes,))
    parts = [part for part in _parts(model) if any(parameter not in kept for parameter in part.parameters())]
    for part in (*parts, model):
        part.to(get_device())
        for tensor in chain(part.parameters(), part.buffers()):
            if not isinstance(tensor, DTensor):
                broadcast(tensor.data)
        for parameter in part.parameters():
            if parameter not in kept and not isinstance(parameter, DTensor):
                parameter.data = parameter.data.contiguous()  # rows cannot have channels last
        fully_shard(part, mesh=mesh, reshard_after_forward=part is not model, ignored_params=kept)
        for method in getattr(part, 'forward_methods', ()):
            register_fsdp_forward_method(part, method)
    for parameter in kept:
        if parameter.requires_grad:
            parameter.register_post_accumulate_grad_hook(_average_gradient)


def _parts(model: nn.Module) -> Iterator[nn.Module]:
    """Parts that are gathered on their own."""
    for module in model.modules():
        if hasattr(module, 'shard_parts'):
            yield from module.shard_parts()


def _kept_whole(model: nn.Module) -> Iterator[nn.Parameter]:
    """Parameters that every process holds whole."""
    for module in model.modules():
        named = getattr(module, 'kept_whole', ())
        for name, parameter in module.named_parameters(recurse=False):
            if name in named or not parameter.ndim or not parameter.requires_grad:
                yield parameter


def _average_gradient(parameter: nn.Parameter) -> None:
    all_reduce(parameter.grad, 'mean')


def share_optimizer(optimizer: Optimizer, replaced: Mapping[int, nn.Parameter]) -> None:
    """Let an optimizer go on with shards.

    Args:
        optimizer: of whole parameters.
        replaced: by ``id`` of such a parameter, what has taken its place in the model; others, such as frozen ones,
            which mmengine's own constructor gives to optimizers too, have stayed.

    Raises:
        ConfigError: a state is no tensor of the shape of its parameter, and no number of steps.
    """
    state: dict[nn.Parameter, dict[str, Any]] = defaultdict(dict)
    for group in optimizer.param_groups:
        for index, old in enumerate(group['params']):
            new = group['params'][index] = replaced.get(id(old), old)
            if old.grad is not None and new is not old:
                new.grad = as_shard(old.grad, new)
            for name, value in optimizer.state.get(old, {}).items():
                state[new][name] = _state_of_shard(optimizer, name, value, new)
    optimizer.state = state


def _state_of_shard(optimizer: Optimizer, name: str, value: Any, parameter: nn.Parameter) -> Any:
    if not isinstance(value, Tensor) or name == 'step':
        return value
    if value.shape != parameter.shape:
        raise ConfigError(
            f'--strategy fsdp cannot resume {type(optimizer).__name__}, whose {name} has another shape than its '
            'parameter; use --strategy ddp'
        )
    return as_shard(value, parameter)


def clip_norm(
    parameters: Iterable[Tensor], max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """Torch's ``clip_grad_norm_`` for parameters of which some are shared out and some are whole.

    Args:
        parameters: with gradients.
        max_norm: largest norm of all gradients together.
        norm_type: p of the norm.
        error_if_nonfinite: raise a RuntimeError for a norm that is NaN or infinite, which waits for the device.

    Returns:
        Scalar: the norm before clipping, the same in all processes.
    """
    parameters = list(parameters)
    shards = [parameter for parameter in parameters if isinstance(parameter, DTensor)]
    kinds = [shards, [parameter for parameter in parameters if not isinstance(parameter, DTensor)]]
    norms = [get_total_norm([p.grad for p in kind], norm_type) for kind in kinds if kind]
    total = get_total_norm(
        [norm.full_tensor() if isinstance(norm, DTensor) else norm for norm in norms], norm_type, error_if_nonfinite
    )
    for kind in kinds:
        clip_grads_with_norm_(kind, max_norm, total)
    return total
