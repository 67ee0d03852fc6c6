"""What the user of an exported file must know: task, classes, preparation of images; as plain values of JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from torch import nn

from vlprompt.apis.inference import pipeline_of
from vlprompt.clip.preprocessing import CLIP_MEAN, CLIP_STD
from vlprompt.errors import ExportError
from vlprompt.prompts import readable
from vlprompt.version import __version__

Step = dict[str, Any]
"""One step of the preparation: ``step`` is its name, the others its numbers."""

FORMAT, FORMAT_VERSION = 'vlprompt-model', 1

SKIPPED = ('Annotations', 'LoadMask', 'PackClassification', 'PackReIDInputs', 'PackSegInputs')
"""Ends of the names of transforms that change no pixel."""


def describe(model: nn.Module, task: str, outputs: Mapping[str, str], **more: Any) -> dict[str, Any]:
    """The description of a model.

    Args:
        model: as :func:`~vlprompt.apis.init_model` returns it.
        task: ``'classification'``, ``'segmentation'`` or ``'embedding'``.
        outputs: what they are, by name.
        **more: further entries.

    Returns:
        ``format``, ``format_version``, ``vlprompt_version``, ``task``, ``method`` (the class of the model), ``config``
        (its name, where it is a file), ``base`` (name and hash of the weights of the towers, or None), ``class_names``
        and ``palette`` (RGB) where there are any, ``preprocess`` (:func:`preprocess_of`), ``outputs``, and ``more``.
    """
    source = getattr(model, 'base_source', None)
    names = None if task == 'embedding' else model.dataset_meta.get('classes')
    if task != 'embedding' and names is None:
        raise ExportError(
            'the checkpoint does not name the classes, which the file is to tell: set model.class_names in the config'
        )
    description = dict(
        format=FORMAT,
        format_version=FORMAT_VERSION,
        vlprompt_version=__version__,
        task=task,
        method=type(model).__name__,
        config=Path(model.cfg.filename).stem if model.cfg.filename else Path(model.cfg.work_dir).name,  # of an adapter
        base=None if source is None else dict(name=source.name, sha256=source.sha256),
        class_names=None if names is None else [readable(name) for name in names],
        palette=_plain(model.dataset_meta.get('palette')),
        preprocess=preprocess_of(model),
        outputs=dict(outputs),
    )
    return {name: value for name, value in (description | more).items() if value is not None}


def preprocess_of(model: nn.Module) -> dict[str, Any]:
    """How an image file becomes an input.

    Returns:
        ``exif_orientation``: whether images are turned upright; ``steps``, in their order, on 8-bit images::

            resize_shorter_side  size, interpolation               the longer one in proportion, rounded down
            resize               size (h, w), interpolation
            fit                  long, short                       into a box, in proportion; bilinear, not antialiased
            stretch              size (h, w)                       bilinear, not antialiased
            center_crop          size (h, w)

        ``channels``: ``'RGB'`` or ``'BGR'``, the order in which the graph takes them; ``mean`` and ``std``, in this
        order, of values that were divided by 255.  Interpolations are Pillow's, which smooth where they shrink; those
        that are not antialiased are OpenCV's.

    Raises:
        ExportError: a transform of the test pipeline that these words do not describe.
    """
    steps: list[Step] = []
    orientation = True
    for transform in pipeline_of(model):
        name = str(transform['type']).rsplit('.', 1)[-1]
        if name in ('LoadImage', 'LoadImageFile', 'LoadImageFromFile'):
            orientation = _is_upright(name, transform)
        elif name in _STEPS:
            steps += _STEPS[name](transform)
        elif not name.endswith(SKIPPED):
            raise ExportError(
                f'test_dataloader.dataset.pipeline: {name} cannot be described in a file; known are '
                f'{", ".join(sorted(_STEPS))}'
            )
    return dict(exif_orientation=orientation, steps=steps, **_normalisation(model.cfg, model))


def _is_upright(name: str, options: Mapping[str, Any]) -> bool:
    """Whether a transform turns the images that it loads upright, as OpenCV does for mmcv's."""
    if name != 'LoadImageFromFile':
        return options.get('exif_orientation', True)
    kinds, kind = dict(color=True, color_ignore_orientation=False), options.get('color_type', 'color')
    if kind not in kinds:
        raise ExportError(
            f'test_dataloader.dataset.pipeline: LoadImageFromFile with color_type={kind!r} cannot be described in a '
            f'file; known are {", ".join(kinds)}'
        )
    return kinds[kind]


def _square(size: int) -> list[int]:
    return [size, size]


def _of_square_image(options: Mapping[str, Any]) -> list[Step]:
    size, interpolation = options['size'], options.get('interpolation', 'bicubic')
    if options.get('mode', 'shortest') == 'squash':
        return [dict(step='resize', size=_square(size), interpolation=interpolation)]
    shorter = dict(step='resize_shorter_side', size=size, interpolation=interpolation)
    return [shorter, dict(step='center_crop', size=_square(size))]


def _of_resize(options: Mapping[str, Any]) -> list[Step]:
    """Of mmcv's transform, whose scale is (width, height), or for ``keep_ratio`` a long and a short side."""
    scale = options.get('scale')
    if scale is None or options.get('interpolation', 'bilinear') != 'bilinear':
        raise ExportError('test_dataloader.dataset.pipeline: Resize is described with a scale and bilinear alone')
    sides = [int(side) for side in (scale if isinstance(scale, Sequence) else (scale, scale))]
    if options.get('keep_ratio', False):
        return [dict(step='fit', long=max(sides), short=min(sides))]
    return [dict(step='stretch', size=sides[::-1])]


_STEPS: dict[str, Callable[[Mapping[str, Any]], list[Step]]] = dict(
    SquareImage=_of_square_image,
    ResizeShorterSide=lambda o: [
        dict(step='resize_shorter_side', size=o['size'], interpolation=o.get('interpolation', 'bicubic'))
    ],
    CenterCrop=lambda o: [dict(step='center_crop', size=_square(o['size']))],
    ResizeImage=lambda o: [dict(step='resize', size=list(o['size']), interpolation=o.get('interpolation', 'bilinear'))],
    Resize=_of_resize,
)
"""Transforms, without their packages, and how they are described."""


def _normalisation(cfg: Config, model: nn.Module) -> dict[str, Any]:
    """Order of the channels, mean and deviation for values of 0 to 1."""
    preprocessor = model.data_preprocessor
    if not hasattr(preprocessor, 'mean'):
        raise ExportError('model.data_preprocessor has no mean and std, so nothing tells how images are normalised')
    mean, std = (getattr(preprocessor, name).flatten().tolist() for name in ('mean', 'std'))
    if type(preprocessor).__name__ == 'ClipPreprocessor':
        return dict(channels='RGB', mean=_exactly(mean), std=_exactly(std))
    channels = 'RGB' if preprocessor._channel_conversion else 'BGR'  # files are loaded as BGR for it
    return dict(channels=channels, mean=_exactly([m / 255 for m in mean]), std=_exactly([s / 255 for s in std]))


def _exactly(values: list[float]) -> list[float]:
    """Float32 numbers that are CLIP's, as CLIP writes them; others with 8 digits."""
    for known in (CLIP_MEAN, CLIP_STD):
        if all(abs(a - b) < 1e-7 for a, b in zip(values, known, strict=True)):
            return list(known)
    return [float(f'{value:.8g}') for value in values]


def _plain(palette: Any) -> list[list[int]] | None:
    return None if palette is None else [[int(value) for value in colour] for colour in palette]
