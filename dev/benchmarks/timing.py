"""What the benchmarks share: both sides measured in turns in one process, memory, and how far results differ."""

from __future__ import annotations

import argparse
import logging
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.logging import MMLogger
from torch import Tensor


@dataclass(frozen=True)
class Timed:
    """One side of a comparison.

    Attributes:
        seconds: median over the repeats.
        result: what its last call returned.
    """

    seconds: float
    result: Any


def benchmark_parser(description: str, repeats: int, dtype: bool = True) -> argparse.ArgumentParser:
    """A parser with the options of every benchmark: ``--device --dtype --threads --repeats --quick``.

    Args:
        description: the script's docstring.
        repeats: default of ``--repeats``.
        dtype: offer ``--dtype``, for which the script uses :func:`autocast`.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--device', type=torch.device, default=torch.device('cpu'))
    if dtype:
        parser.add_argument(
            '--dtype', choices=('float32', 'bfloat16', 'float16'), default='float32', help='by autocast'
        )
    parser.add_argument('--threads', type=int, help='threads of a CPU (default: torch decides)')
    parser.add_argument('--repeats', type=int, default=repeats, help='the median is reported')
    parser.add_argument('--quick', action='store_true', help='tiny models and inputs: shows that it runs')
    return parser


def prepare(args: argparse.Namespace) -> None:
    """Set the number of threads and the seed, leave the log out of the output, and switch TF32 off, so that fp32 means
    fp32 on both sides.
    """
    MMLogger.get_instance('mmengine', log_level=logging.ERROR)
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False


def autocast(args: argparse.Namespace) -> torch.autocast:
    """Context of the precision that ``--dtype`` asks for."""
    dtype = getattr(torch, args.dtype)
    return torch.autocast(args.device.type, dtype, enabled=dtype != torch.float32)


def describe_machine(device: torch.device) -> str:
    """``'CPU, 2 threads, torch 2.15.0'``, or the name of the GPU."""
    gpu = device.type == 'cuda'
    where = torch.cuda.get_device_name(device) if gpu else f'CPU, {torch.get_num_threads()} threads'
    return f'{where}, torch {torch.__version__}'


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has finished; nothing to wait for on a CPU."""
    if device.type == 'cuda':
        torch.cuda.synchronize(device)


def in_turns(
    runs: Mapping[str, Callable[[], Any]],
    device: torch.device,
    repeats: int,
    warm_up: int = 1,
    processor: bool = False,
) -> dict[str, Timed]:
    """Call all runs one after another, and that several times, so that a busy machine slows all of them down.

    Args:
        runs: by name.
        device: where they compute.
        repeats: rounds that count.
        warm_up: rounds before them that do not.
        processor: on a CPU, measure seconds of the processor, all threads together, to which other programs add
            nothing; a GPU is always measured by the clock.

    Returns:
        Median seconds and last result of each run.
    """
    clock = time.process_time if processor and device.type == 'cpu' else time.perf_counter
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    results: dict[str, Any] = {}
    for turn in range(warm_up + repeats):
        for name, run in runs.items():
            synchronize(device)
            start = clock()
            results[name] = run()
            synchronize(device)
            if turn >= warm_up:
                seconds[name].append(clock() - start)
    return {name: Timed(statistics.median(values), results[name]) for name, values in seconds.items()}


def relative_difference(ours: Tensor | Sequence[Tensor], reference: Tensor | Sequence[Tensor]) -> float:
    """Largest absolute difference of tensors, each relative to the largest value of its reference.

    Raises:
        ValueError: there is nothing to compare, since a reference is 0 everywhere or a sequence is empty.
    """
    pairs = [(ours, reference)] if isinstance(ours, Tensor) else list(zip(ours, reference, strict=True))
    if not pairs or not all(plain.abs().max() > 0 for _, plain in pairs):
        raise ValueError('nothing to compare: no tensors, or a reference that is 0 everywhere')
    return max(float((fast - plain).abs().max() / plain.abs().max()) for fast, plain in pairs)


def kept_bytes(forward: Callable[[], Tensor], parameters: Sequence[Tensor]) -> int:
    """Bytes that a forward pass keeps for its backward pass: each storage once, parameters not counted."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = forward()
    for parameter in parameters:
        kept.pop(parameter.untyped_storage().data_ptr(), None)
    del output  # until here the kept storages were alive, so that no address stands for two
    return sum(kept.values())


def peak_bytes(run: Callable[[], object], device: torch.device) -> int:
    """Peak of the allocated memory of a GPU during ``run()``, above what was there before."""
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    run()
    return torch.cuda.max_memory_allocated(device) - before


def megabytes(value: int) -> str:
    """``'1,234 MB'``."""
    return f'{value / 1e6:,.0f} MB'
