"""Colours of classes in pictures. Imports nothing, so that datasets and drawing tools can share them."""

from __future__ import annotations


def voc_palette(count: int) -> list[list[int]]:
    """``count`` RGB colours of PASCAL VOC: bits 0, 3, 6, ... of the id, from the highest bit of red downwards;
    bits 1, 4, ... of green; 2, 5, ... of blue.  Id 0 is black.

    Example:
        >>> voc_palette(4)
        [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    """
    return [
        [sum((index >> (3 * bit + channel) & 1) << (7 - bit) for bit in range(8)) for channel in range(3)]
        for index in range(count)
    ]


def mask_palette(count: int, reduce_zero_label: bool = False) -> list[list[int]]:
    """``count`` colours of PASCAL VOC for the ids of classes in mask files, which may begin with 1."""
    return voc_palette(count + reduce_zero_label)[int(reduce_zero_label) :]
