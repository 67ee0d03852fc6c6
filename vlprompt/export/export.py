"""From a model to a file that was compared with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Literal

from torch import Tensor, nn

from vlprompt.apis.sample_batch import image_size
from vlprompt.clip.tensor_files import read_tensors
from vlprompt.errors import ExportError
from vlprompt.export.description import describe
from vlprompt.export.files import ExportedModel, check_packages
from vlprompt.export.folded import fold, folded_logits, write_folded
from vlprompt.export.graphs import graph_of
from vlprompt.export.parity import TOLERANCE, Comparison, batches_of_noise, batches_of_test_set, compare
from vlprompt.export.recording import record, write_onnx, write_torch
from vlprompt.files import written_whole

Kind = Literal['onnx', 'torch-export', 'folded']

CELL = 32
"""Pixels of the largest cell of most towers, of which tried sizes are multiples."""

OTHER_SIZES = ((96, 160), (229, 131))
"""Images that a file for any size is tried on, beside those that it is compared on."""

TRIED = 3
"""Images of each of these sizes, which are a batch of one and one of two."""


def export_model(
    model: nn.Module,
    path: str | Path,
    kind: Kind = 'onnx',
    half: bool = False,
    any_size: bool = False,
    size: tuple[int, int] | None = None,
    images: int = 8,
    random_images: bool = False,
    tolerance: float | None = None,
) -> list[Comparison]:
    """Write a model as a file, run the file, and compare it with the model.

    The file appears under its name only if it computes what the model does.

    Args:
        model: as :func:`~vlprompt.apis.init_model` returns it, on the CPU.
        path: of the file.
        kind: ``'onnx'``, ``'torch-export'`` or ``'folded'``.
        half: the image tower in float16; inputs and outputs stay float32.
        any_size: for images of any size instead of one.
        size: H and W of the images; None: those of the first image of the test set.
        images: number of images that are compared.
        random_images: noise instead of the test set, of the size that the tower was built for if there is none.
        tolerance: largest difference, relative to the largest value; None: that of
            :data:`~vlprompt.export.parity.TOLERANCE`.

    Returns:
        The comparison of each output.

    Raises:
        ExportError: the model cannot be exported so, or the file differs from it; the message has the comparisons.
        EnvironmentProblem: a package is missing.
        ConfigError: there is no test set to compare on.

    Example:
        >>> for comparison in export_model(init_model(config, checkpoint), 'model.onnx'):
        ...     print(comparison)
    """
    check_packages(kind)
    tolerance = TOLERANCE[half] if tolerance is None else tolerance
    if kind == 'folded' and (half or any_size):
        raise ExportError('a folded classifier holds no image tower: float16 and any size have no effect on it')
    folded = fold(model) if kind == 'folded' else None  # or a reason why not, before images are read
    graph_class = graph_of(model)
    graph = graph_class(model, half)
    size = size or _size_of_images(model, random_images)
    batches = chain(
        batches_of_noise(images, size, graph.any_batch)
        if random_images
        else batches_of_test_set(model, images, graph.any_batch),
        *(batches_of_noise(TRIED, other, graph.any_batch) for other in OTHER_SIZES if any_size),
    )
    batches = batches if any_size else _of_one_size(batches, size)
    outputs, any_batch = graph_class.outputs_of(model), graph.any_batch
    about = dict(image_size=None if any_size else list(size), precision='float16' if half else 'float32')
    about = describe(model, graph.task, outputs, **about)
    with written_whole(path) as temporary:
        if folded is not None:
            write_folded(folded, temporary, model, about)
            file = partial(_run_folded, model, temporary)
        else:
            traced = (size[0] + CELL, size[1] + 2 * CELL) if any_size else size
            program = record(graph, traced, any_size)
            del graph
            if kind == 'onnx':
                write_onnx(program, temporary, outputs, about)
            else:
                write_torch(program, temporary, about)
            file = ExportedModel(temporary, kind)
            require_sizes(file.sizes, (None if any_batch else 1, 3, *((None, None) if any_size else size)))
        found = compare(lambda inputs: graph_class.reference(model, inputs), file, batches, tolerance)
        if not all(comparison.passed for comparison in found):
            raise ExportError('the file differs from the model, and is not kept: ' + '; '.join(map(str, found)))
    return found


def require_sizes(found: Sequence[int | None], wanted: Sequence[int | None]) -> None:
    """Raise ExportError unless the input of a file has these sizes; None: any."""
    if tuple(found) != tuple(wanted):
        shown = (' x '.join('any' if side is None else str(side) for side in sides) for sides in (found, wanted))
        raise ExportError('the file takes images of {} instead of {}: try a newer torch'.format(*shown))


def _run_folded(model: nn.Module, path: Path, images: Tensor) -> dict[str, Tensor]:
    """Logits by the tensors of a file, on image features of the model's own tower."""
    return dict(logits=folded_logits(model, read_tensors(path), images))


def _size_of_images(model: nn.Module, random_images: bool) -> tuple[int, int]:
    """H and W of the first image of the test set, or those that the tower was built for."""
    return image_size(model) if random_images else tuple(next(batches_of_test_set(model, 1)).shape[-2:])


def _of_one_size(batches: Iterable[Tensor], size: tuple[int, int]) -> Iterator[Tensor]:
    """The batches, all of one size."""
    for images in batches:
        if (own := tuple(images.shape[-2:])) != tuple(size):
            raise ExportError(
                f'an image of the test set has {own[0]} x {own[1]} pixels, the file would take {size[0]} x {size[1]} '
                'alone: export it for any size (--any-size), or compare on noise (--random-images)'
            )
        yield images
