"""How a device is asked for times, kernels, waits and memory; each question is a method that a test can answer."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile

from vlprompt.engine.counts import Counts
from vlprompt.engine.memory import LiveMemory

Run = Callable[[], object]
WAIT = 'called a synchronizing CUDA operation'
"""What torch warns of in its mode that finds waits."""


class CpuProbe:
    """A CPU: its clock, operators that are no views as kernels, live storages as memory."""

    device = torch.device('cpu')
    name = 'CPU'

    def seconds(self, run: Run, repeats: int) -> float:
        """The median of several runs."""
        return statistics.median(self.clocked(run) for _ in range(repeats))

    def clocked(self, run: Run) -> float:
        """Seconds of one run by the clock."""
        start = time.perf_counter()
        run()
        return time.perf_counter() - start

    def launches(self, run: Run) -> int:
        """Kernels of a run."""
        return self.counts(run).kernels

    def counts(self, run: Run) -> Counts:
        """Operators, FLOPs and bytes of a run."""
        with Counts() as counts:
            run()
        return counts

    def waits(self, run: Run) -> int | None:
        """How often the host waits for the device in a run; None: it cannot."""
        return None

    def peak(self, run: Run) -> int:
        """Bytes that live at most in a run, above those that were there before."""
        with LiveMemory() as memory:
            run()
        return memory.peak


class CudaProbe(CpuProbe):
    """A GPU: its own clock, kernels that its profiler sees, torch's warnings of waits, torch's allocator."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.index is not None:
            torch.cuda.set_device(device)  # events are those of the current GPU's stream
        self.name = torch.cuda.get_device_name(device)

    def seconds(self, run: Run, repeats: int) -> float:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        found = []
        for _ in range(repeats):
            start.record()
            run()
            end.record()
            torch.cuda.synchronize(self.device)
            found.append(start.elapsed_time(end) / 1000)
        return statistics.median(found)

    def clocked(self, run: Run) -> float:
        torch.cuda.synchronize(self.device)
        start = time.perf_counter()
        run()
        torch.cuda.synchronize(self.device)
        return time.perf_counter() - start

    def launches(self, run: Run) -> int:
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as found:
            run()
            torch.cuda.synchronize(self.device)
        on_gpu = (event for event in found.events() if event.device_type == torch.autograd.DeviceType.CUDA)
        return sum(not event.name.startswith(('Memcpy', 'Memset')) for event in on_gpu)

    def waits(self, run: Run) -> int | None:
        before = torch.cuda.get_sync_debug_mode()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            torch.cuda.set_sync_debug_mode('warn')
            try:
                run()
            finally:
                torch.cuda.set_sync_debug_mode(before)
        return sum(WAIT in str(warning.message) for warning in caught)

    def peak(self, run: Run) -> int:
        torch.cuda.synchronize(self.device)
        before = torch.cuda.memory_allocated(self.device)
        torch.cuda.reset_peak_memory_stats(self.device)
        run()
        return torch.cuda.max_memory_allocated(self.device) - before


def probe_of(device: torch.device) -> CpuProbe:
    """The probe of a CPU or of a GPU."""
    return CudaProbe(device) if device.type == 'cuda' else CpuProbe()
