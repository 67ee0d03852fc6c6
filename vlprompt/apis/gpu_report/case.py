"""What is measured, and how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vlprompt.apis.gpu_report.devices import peak_of
from vlprompt.apis.gpu_report.probes import CpuProbe, Run

Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A measurement.

    Attributes:
        name: in the report.
        prepare: puts everything on the device and returns what is measured; with a second function, counts are those of
            that, as what is compiled hides its operators.
        precision: ``'fp32'``, ``'tf32'`` or ``'half'``: by which peak the work is judged.
        images: of a run, for images per second; None: there are none.
    """

    name: str
    prepare: Callable[[], Run | tuple[Run, Run]]
    precision: str = 'tf32'
    images: int | None = None

    def measure(self, probe: CpuProbe, seconds: float = 1.0) -> Row:
        """Milliseconds, kernels, waits, memory, FLOPs and bytes of a run, and what follows from them.

        ``estimate_ms`` is, on a CPU, what an H100 would take by the counts; ``share``, on a GPU whose peak is known,
        the part of the time that the roofline takes.

        Args:
            probe: of the device.
            seconds: that are spent on repetitions, about; at most 20.
        """
        made = self.prepare()
        run, plain = made if isinstance(made, tuple) else (made, made)
        run()  # plans, caches, compilers, states of optimizers
        once = probe.clocked(run)
        repeats = min(20, max(1, int(seconds / max(once, 1e-6))))
        median, counts = probe.seconds(run, repeats), probe.counts(plain)
        row: Row = dict(
            ms=1000 * median,
            repeats=repeats,
            launches=probe.launches(run),
            waits=probe.waits(run),
            peak=probe.peak(run),
            flops=counts.flops,
            bytes=counts.bytes,
            flops_per_s=counts.flops / median,
            images_per_s=None if self.images is None else self.images / median,
        )
        peak = peak_of(probe.name)
        if probe.device.type == 'cpu':
            row['estimate_ms'] = counts.milliseconds(self.precision)
        elif peak is not None:
            row['share'] = peak.seconds(counts.flops, counts.bytes, self.precision) / median
        return row


@dataclass(frozen=True)
class Check:
    """A comparison of what the device computes.

    Attributes:
        name: in the report.
        compare: returns the largest differences, relative to the largest value, by what is compared.
        limit: above which it has failed.
    """

    name: str
    compare: Callable[[], dict[str, float]]
    limit: float

    def measure(self, probe: CpuProbe, seconds: float = 0.0) -> Row:
        """The differences, and whether all are within the limit."""
        differences = self.compare()
        return dict(differences=differences, limit=self.limit, passed=max(differences.values()) <= self.limit)
