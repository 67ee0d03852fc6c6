"""Four scales from the equally large maps of a vision transformer (BEiT's operators, as DenseCLIP uses them)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

PATCH_SIZES = (8, 16)


class FeaturePyramid(nn.Module):
    """Resample four maps at the stride of the patches to the strides 4, 8, 16 and 32.

    Each map is first normalised (one group); then, for patches of 16 (8) pixels::

        fpn1    two transposed convolutions with batch norm and GELU between them   (one)
        fpn2    one transposed convolution                                          (nothing)
        fpn3    nothing                                                             (max pool 2)
        fpn4    max pool 2                                                          (max pool 4)

    Args:
        channels: C of all maps.
        patch_size: 16 or 8.
        first: index of the first map to compute; operators before it are not created.

    Raises:
        ValueError: another patch size, which would not give the strides that necks and heads expect.
    """

    def __init__(self, channels: int, patch_size: int = 16, first: int = 0) -> None:
        super().__init__()
        if patch_size not in PATCH_SIZES:
            raise ValueError(
                f'FeaturePyramid: patches of {PATCH_SIZES} pixels lead to the strides 4, 8, 16, 32; got {patch_size}. '
                'Take a ViT with such patches, or a ResNet'
            )

        def norm() -> nn.Module:
            return nn.GroupNorm(1, channels)

        def double() -> nn.Module:
            return nn.ConvTranspose2d(channels, channels, kernel_size=2, stride=2)

        if patch_size == 16:
            self.fpn1 = nn.Sequential(norm(), double(), nn.BatchNorm2d(channels), nn.GELU(), double())
            self.fpn2 = nn.Sequential(norm(), double())
            self.fpn3 = norm()
            self.fpn4 = nn.Sequential(norm(), nn.MaxPool2d(2))
        else:
            self.fpn1 = nn.Sequential(norm(), double())
            self.fpn2 = norm()
            self.fpn3 = nn.Sequential(norm(), nn.MaxPool2d(2))
            self.fpn4 = nn.Sequential(norm(), nn.MaxPool2d(4))
        self.first = first
        for name in ('fpn1', 'fpn2', 'fpn3', 'fpn4')[:first]:
            delattr(self, name)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Four maps (B, C, h, w) -> those from ``first`` on of (B, C, H / s, W / s), s = 4, 8, 16, 32; images H x W."""
        operators = self.children()
        return tuple(operator(x) for operator, x in zip(operators, maps[self.first :], strict=True))
