"""What GPUs can do at most, by their data sheets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Peak:
    """Specified rates of a GPU, without sparsity.

    Attributes:
        fp32: FLOP/s in float32.
        tf32: FLOP/s in TF32; that of float32 where there is none.
        half: FLOP/s in float16 and bfloat16 with sums in float32.
        bandwidth: bytes/s of its memory.
    """

    fp32: float
    tf32: float
    half: float
    bandwidth: float

    def seconds(self, flops: int, bytes: int, precision: str) -> float:
        """The least that the work takes: the roofline.

        Args:
            flops: of the work.
            bytes: that it reads and writes.
            precision: ``'fp32'``, ``'tf32'`` or ``'half'``.
        """
        return max(flops / getattr(self, precision), bytes / self.bandwidth)


def _peak(fp32: float, tf32: float, half: float, bandwidth: float) -> Peak:
    return Peak(fp32 * 1e12, tf32 * 1e12, half * 1e12, bandwidth * 1e9)


# NVIDIA's data sheets "H200 Tensor Core GPU", "H100 Tensor Core GPU", "A100 Tensor Core GPU", "L40S", "V100 Tensor Core
# GPU" and "T4", and its white papers "Ada GPU Architecture" and "GA102 GPU Architecture"; sparse rates halved.
PEAKS = {
    'H200': _peak(67, 494.7, 989.4, 4800),
    'H100 PCIe': _peak(51.2, 378, 756, 2000),
    'H100 NVL': _peak(60, 417.5, 835, 3900),
    'H100': _peak(67, 494.7, 989.4, 3350),
    'A100 80GB PCIe': _peak(19.5, 156, 312, 1935),
    'A100-SXM4-80GB': _peak(19.5, 156, 312, 2039),
    'A100': _peak(19.5, 156, 312, 1555),
    'L40S': _peak(91.6, 183, 362, 864),
    'RTX 4090': _peak(82.6, 82.6, 165.2, 1008),
    'RTX 3090': _peak(35.6, 35.6, 71, 936),
    'V100': _peak(15.7, 15.7, 125, 900),
    'T4': _peak(8.1, 8.1, 65, 320),
}
"""By a part of the name that torch gives; the first that fits counts."""


def peak_of(name: str) -> Peak | None:
    """The rates of a GPU by its name; None if they are not known, or it is none."""
    words = f' {name.replace("-", " ")} '
    fits = (peak for part, peak in PEAKS.items() if f' {part.replace("-", " ")} ' in words)
    return next(fits, None)
