"""The log line: what mmengine prints (rate, ETA, times, losses) of all processes, images per second, peak memory."""

from __future__ import annotations

import resource
import sys
from numbers import Real
from statistics import fmean
from typing import Any

from mmengine.device import is_cuda_available
from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.logging import MessageHub
from mmengine.runner import LogProcessor, Runner
from torch.utils.data import DataLoader

from vlprompt.datasets.samplers.epoch import batch_size_of
from vlprompt.registry import LOG_PROCESSORS


@LOG_PROCESSORS.register_module()
class PromptLogProcessor(LogProcessor):
    """Add ``images/s`` (all processes together) and ``cpu_memory`` (peak of this process, MB) to every line.

    On a GPU mmengine already adds ``memory``, the peak memory of its tensors.  Numbers of the training are means over
    all processes, while mmengine shows those of the first one.  Arguments are mmengine's.
    """

    def _collect_scalars(self, custom_cfg: list[dict], runner: Runner, mode: str, reserve_prefix: bool = False) -> dict:
        """Window means by name; in training, whose steps all processes take together, those of all processes."""
        tag = super()._collect_scalars(custom_cfg, runner, mode, reserve_prefix)
        return mean_of_processes(tag) if mode == 'train' else tag

    def get_log_after_iter(self, runner: Runner, batch_idx: int, mode: str) -> tuple[dict[str, Any], str]:
        keep_eta_positive(runner.message_hub)
        tag, line = super().get_log_after_iter(runner, batch_idx, mode)
        extra = {}
        seconds = tag.get('time', tag.get(f'{mode}/time'))
        if seconds:
            loader = self._get_cur_loop(runner, mode).dataloader
            extra['images/s'] = round(images_per_step(loader) / seconds, 1)
        extra['cpu_memory' if is_cuda_available() else 'memory'] = peak_memory_mb()
        tag.update({f'{mode}/{k}' if self.log_with_hierarchy else k: v for k, v in extra.items()})
        return tag, line.rstrip() + '  ' + '  '.join(f'{key}: {value}' for key, value in extra.items())


def mean_of_processes(values: dict[str, Any]) -> dict[str, Any]:
    """The same dict with every number averaged over the processes that have it; other values are kept.

    A model scales what it logs by the share of its batch
    (:func:`~vlprompt.models.losses.reduction.process_weight`), so that this is the mean over images.
    """
    if get_world_size() == 1:
        return values
    everywhere = all_gather_object({name: float(value) for name, value in values.items() if isinstance(value, Real)})
    numbers = {name: [own[name] for own in everywhere if name in own] for name in everywhere[get_rank()]}
    return values | {name: fmean(found) for name, found in numbers.items()}


def keep_eta_positive(hub: MessageHub) -> None:
    """Epochs may differ in length (PK batches), so there can be more steps than the first epoch suggested."""
    if hub.get_info('eta', 0) < 0:
        hub.update_info('eta', 0.0)


def images_per_step(loader: DataLoader) -> float:
    """Mean number of images per step over all processes, the incomplete last batch included."""
    full = batch_size_of(loader)
    sampler = getattr(loader.batch_sampler, 'sampler', loader.sampler)
    per_process = min(full, len(sampler) / len(loader)) if hasattr(sampler, '__len__') else full
    per_process = getattr(loader.batch_sampler, 'images_per_batch', per_process)
    return per_process * get_world_size()


def peak_memory_mb() -> int:
    """Peak resident memory of this process in MB."""
    unit = 1 if sys.platform == 'darwin' else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit // 2**20
