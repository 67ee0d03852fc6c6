"""Whether an exported file computes what the model does: outputs and labels, image by image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from vlprompt.apis.runs import evenly_spaced
from vlprompt.engine.features import image_loader
from vlprompt.errors import ConfigError, ExportError
from vlprompt.registry import DATASETS

Function = Callable[[Tensor], dict[str, Tensor]]
"""Normalised images (B, 3, H, W) -> outputs by name, (B, ...) each."""

BATCHES = (1, 2, 5)
"""Sizes of the batches, in turns: a file of a graph that was recorded for one size alone fails on the others."""

TOLERANCE = {False: 1e-4, True: 2e-2}
"""In float32 and, ``True``, in float16."""

LEAST_EQUAL = 0.999
"""Share of labels, of images or pixels, that must be equal; others are ties up to the rounding."""


@dataclass
class Comparison:
    """One output of a model and its file.

    Attributes:
        name: of the output.
        difference: largest absolute difference.
        largest: largest absolute value of the model.
        equal: share of equal labels of images or pixels; None for an output without labels.
        images: that were compared.
        tolerance: of the difference, relative to the largest value.
    """

    name: str
    tolerance: float
    difference: float = 0.0
    largest: float = 0.0
    equal: float | None = None
    images: int = 0

    @property
    def passed(self) -> bool:
        """Whether the file computes the same.  NaN does not."""
        same = self.difference <= self.tolerance * self.largest
        return same and (self.equal is None or self.equal >= LEAST_EQUAL)

    def __str__(self) -> str:
        relative = self.difference / self.largest if self.largest else float('nan')
        labels = '' if self.equal is None else f', labels equal {100 * self.equal:.6g} %'
        verdict = '' if self.passed else f'  FAILED: tolerance {self.tolerance:g}, labels {100 * LEAST_EQUAL:g} %'
        return (
            f'{self.name}: max |difference| {self.difference:.1e}, {relative:.1e} of the largest value{labels}, '
            f'{self.images} images{verdict}'
        )


@torch.no_grad()
def compare(model: Function, file: Function, batches: Iterable[Tensor], tolerance: float) -> list[Comparison]:
    """Compare all outputs on batches of images.

    Args:
        model: the model itself.
        file: its file.
        batches: normalised images (B, 3, H, W).
        tolerance: see :class:`Comparison`.

    Returns:
        A comparison of each output.  Labels, the maximum over the second axis, are those of outputs called ``logits``.

    Raises:
        ExportError: outputs of another shape, or no images.
    """
    found: dict[str, Comparison] = {}
    same: dict[str, list[Tensor]] = {}
    for images in batches:
        theirs = file(images)
        for name, ours in model(images).items():
            if theirs[name].shape != ours.shape:
                raise ExportError(
                    f'{name} of the file is {tuple(theirs[name].shape)}, that of the model {tuple(ours.shape)}, for '
                    f'images {tuple(images.shape)}'
                )
            one = found.setdefault(name, Comparison(name, tolerance))
            one.difference = _larger(one.difference, (ours - theirs[name]).abs().max().item())
            one.largest = max(one.largest, ours.abs().max().item())
            one.images += len(images)
            if name == 'logits':
                same.setdefault(name, []).append((ours.argmax(1) == theirs[name].argmax(1)).flatten())
                one.equal = torch.cat(same[name]).double().mean().item()
    if not found:
        raise ExportError('there are no images to compare on')
    return list(found.values())


def _larger(a: float, b: float) -> float:
    """The maximum; NaN if one is, unlike that of Python."""
    return b if b != b or b > a else a


def batches_of_test_set(model: nn.Module, count: int, any_batch: bool = True) -> Iterator[Tensor]:
    """Normalised images of the config's test set, spread evenly over it.

    Args:
        model: as :func:`~vlprompt.apis.init_model` returns it.
        count: images.
        any_batch: in batches of :data:`BATCHES`; else one by one.  So are images of several sizes.

    Raises:
        ConfigError: the config has no test set, an empty one, or none of its files is there.
    """
    config = (model.cfg.get('test_dataloader') or {}).get('dataset')
    if config is None:
        raise ConfigError('the config has no test set to compare on: compare on noise, --random-images')
    try:
        dataset: Dataset = DATASETS.build(config)
    except FileNotFoundError as error:
        remedy = 'Without the test set compare on noise: --random-images'
        raise ConfigError(f'{str(error).rstrip(".")}. {remedy}') from error
    if not len(dataset):
        raise ConfigError('the test set is empty: compare on noise, --random-images')
    chosen = torch.utils.data.Subset(dataset, evenly_spaced(len(dataset), count))
    images = [model.data_preprocessor(batch)['inputs'] for batch in image_loader(chosen, 1)]
    yield from _batched(images, any_batch)


def batches_of_noise(count: int, size: tuple[int, int], any_batch: bool = True) -> Iterator[Tensor]:
    """As many images of smooth noise (:func:`noise`)."""
    generator = torch.Generator().manual_seed(0)
    yield from _batched([noise(size, generator) for _ in range(count)], any_batch)


def noise(size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """(1, 3, H, W) standard normal numbers of blocks of 8 x 8 pixels: an image with places that differ."""
    height, width = size
    blocks = torch.randn(1, 3, -(-height // 8), -(-width // 8), generator=generator)
    return blocks.repeat_interleave(8, 2).repeat_interleave(8, 3)[..., :height, :width]


def _batched(images: list[Tensor], any_batch: bool) -> Iterator[Tensor]:
    """Images (1, 3, H, W) in batches of one size each."""
    together = any_batch and len({image.shape for image in images}) == 1
    start = turn = 0
    while start < len(images):
        size = BATCHES[turn % len(BATCHES)] if together else 1
        yield torch.cat(images[start : start + size])
        start, turn = start + size, turn + 1
