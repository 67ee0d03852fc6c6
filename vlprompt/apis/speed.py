"""How fast a model predicts and how much memory it takes; the text tower, which runs once for all images, apart."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from vlprompt.models.feature_cache import FeatureCache


@dataclass(frozen=True)
class Latency:
    """Times of calls.

    Attributes:
        seconds: of each call, in their order.
    """

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Seconds."""
        return self.percentile(50)

    def percentile(self, share: float) -> float:
        """Seconds within which ``share`` percent of the calls ended, linear between neighbours."""
        return torch.tensor(self.seconds, dtype=torch.float64).quantile(share / 100).item()

    def __str__(self) -> str:
        shares = ', '.join(f'{share} % {1e3 * self.percentile(share):.2f}' for share in (50, 90, 99))
        return f'{shares} ms, {len(self.seconds)} calls'


def measure(function: Callable[[], object], device: torch.device, calls: int, warmup: int) -> Latency:
    """Time calls, each to its end on the device.

    Args:
        function: what is called.
        device: on which it computes.
        calls: that are timed.
        warmup: calls before, which are not.
    """
    wait = partial(torch.cuda.synchronize, device) if device.type == 'cuda' else lambda: None
    seconds = []
    for number in range(warmup + calls):
        wait()
        start = time.perf_counter()
        function()
        wait()
        if number >= warmup:
            seconds.append(time.perf_counter() - start)
    return Latency(tuple(seconds))


def peak_memory(device: torch.device) -> int:
    """Bytes: on a GPU the most that tensors took since :func:`reset_peak_memory`, else the most that this process has
    taken, all packages included.
    """
    if device.type == 'cuda':
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == 'darwin' else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def reset_peak_memory(device: torch.device) -> None:
    """Begin anew, on a GPU."""
    if device.type == 'cuda':
        torch.cuda.reset_peak_memory_stats(device)


def blank_samples(model: nn.Module, shape: tuple[int, int], images: int = 1) -> list | None:
    """Information of as many images for two-stage detectors, to place regions in each; None for other models."""
    if not hasattr(model, 'roi_head'):
        return None
    from mmdet.structures import DetDataSample

    sizes = dict.fromkeys(('img_shape', 'ori_shape', 'pad_shape', 'batch_input_shape'), shape)
    return [DetDataSample(metainfo=dict(sizes, scale_factor=(1.0, 1.0), img_id=number)) for number in range(images)]


def text_function(model: nn.Module) -> Callable[[], Tensor] | None:
    """A function that computes the text features of a model anew; None if it keeps none, since it has no text or since
    they depend on the image.
    """
    for part in model.modules():
        caches = [value for value in vars(part).values() if isinstance(value, FeatureCache)]
        depends = getattr(getattr(part, 'prompt', None), 'needs_image', False)
        if caches and not depends and getattr(part, 'prompting', 'post') == 'post':
            return _anew(part.text_features, caches)
    return None


def _anew(compute: Callable[[], Tensor], caches: Sequence[FeatureCache]) -> Callable[[], Tensor]:
    def function() -> Tensor:
        for cache in caches:
            cache.clear()
        return compute()

    return function
