"""Predictions of any model for images without annotation."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from mmengine.structures import BaseDataElement
from PIL import Image
from torch import nn
from torch.utils.data import Dataset, Subset

from vlprompt.apis.sources import ChannelOrder, ImageSource, files_of, images_of, is_pattern
from vlprompt.datasets.exif import applies_exif
from vlprompt.datasets.images import (
    count_suffixes,
    load_sample_image,
    naming_decoded,
    naming_image,
    require_images,
)
from vlprompt.datasets.pixels import open_image
from vlprompt.engine.features import image_loader
from vlprompt.engine.finite import hints_of
from vlprompt.errors import CheckpointError, ConfigError, NonFiniteError
from vlprompt.messages import enumerate_names, printable

ANNOTATION_LOADERS = ('LoadAnnotations', 'LoadMask')
"""Steps of test pipelines that need annotations."""


LOADERS = ('LoadImage', 'LoadImageFile')
"""This package's steps that load images, and take decoded ones too."""


class ImageFiles(Dataset):
    """Images without annotation, through the test pipeline of a config.

    Args:
        images: files, PIL images and contents of files; the latter two are called ``image <position>``.
        pipeline: transforms of the test set, which begin with loading; those that read annotations are skipped.
        info: further entries for every image that a dataset would provide, such as ``camid``.
    """

    def __init__(self, images: Sequence[str | Path | Image.Image | bytes], pipeline: Sequence[dict], **info: Any):
        self.images = list(images)
        self.pipeline = Compose([step for step in pipeline if not step['type'].endswith(ANNOTATION_LOADERS)])
        self.upright = applies_exif(pipeline)
        self.info = info

    def __len__(self) -> int:
        return len(self.images)

    def path(self, index: int) -> str:
        """The file of an image, or ``image <position>``."""
        image = self.images[index]
        return f'image {index}' if isinstance(image, (Image.Image, bytes)) else str(image)

    def source(self, index: int) -> dict[str, Any]:
        """``img_path`` and, unless that is a file, ``img``, as pipelines begin with them.

        Raises:
            OSError: the content of a file that is no image.
        """
        image, path = self.images[index], self.path(index)
        if isinstance(image, bytes):
            with naming_decoded(path):
                image = open_image(image)
        return dict(img_path=path, img=image) if isinstance(image, Image.Image) else dict(img_path=path)

    def picture(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB, turned as the pipeline turns it.

        Raises:
            FileNotFoundError, OSError: it cannot be read.
        """
        return np.asarray(load_sample_image(self.source(index), self.upright)[0])

    def __getitem__(self, index: int) -> dict:
        source = self.source(index)
        with naming_image(lambda: source):
            return self.pipeline(dict(**source, sample_idx=index, img_id=index, **self.info))


def load_files(
    model: nn.Module,
    images: ImageSource | Sequence[ImageSource],
    channel_order: ChannelOrder = 'rgb',
    **info: Any,
) -> ImageFiles:
    """:class:`ImageFiles` as the test set of a model's config would load them.

    Args:
        model: as :func:`~vlprompt.apis.init_model` returns it.
        images: as for :func:`predict_images`.
        channel_order: of arrays with colours.
        info: as for :class:`ImageFiles`.

    Raises:
        ConfigError: the config has no test set with a pipeline, or one that loads files only, for a decoded image.
        FileNotFoundError, TypeError, ValueError: as for :func:`~vlprompt.apis.sources.images_of`.
    """
    pipeline = pipeline_of(model)
    found = images_of(images, channel_order)
    takes_decoded = any(step['type'].rsplit('.', 1)[-1] in LOADERS for step in pipeline)
    if not takes_decoded and not all(isinstance(image, Path) for image in found):
        raise ConfigError(
            f'test_dataloader.dataset.pipeline: {pipeline[0]["type"]} reads files only; arrays, PIL images and opened '
            "files need 'vlprompt.LoadImage' (classifiers, re-identification) or 'vlprompt.LoadImageFile'"
        )
    with DefaultScope.overwrite_default_scope(model.cfg.get('default_scope') or 'vlprompt'):  # of several models
        return ImageFiles(found, pipeline, **info)


def pipeline_of(model: nn.Module) -> list[dict]:
    """The pipeline of the test set of a model's config.

    Raises:
        ConfigError: there is none.
    """
    pipeline = ((model.cfg.get('test_dataloader') or {}).get('dataset') or {}).get('pipeline')
    if not pipeline:
        raise ConfigError('test_dataloader.dataset.pipeline: the config does not say how images are loaded')
    return pipeline


@torch.no_grad()
def predict_dataset(
    model: nn.Module, dataset: Dataset, batch_size: int = 1, num_workers: int = 0
) -> Iterator[BaseDataElement]:
    """The data samples of a dataset, in its order, with predictions.

    Args:
        model: as :func:`~vlprompt.apis.init_model` returns it.
        dataset: samples packed by the model's test pipeline.
        batch_size: images per batch.  Images of a batch that have several sizes after the pipeline are predicted one
            by one, except by detectors, which pad.
        num_workers: processes that load images.

    Raises:
        NonFiniteError: a score of a class, of an image or of a pixel, or a number of a descriptor is NaN.
    """
    pads = any(base.__name__ == 'BaseDetector' for base in type(model).__mro__)  # of mmdet, which may be missing
    for batch in image_loader(dataset, batch_size, num_workers):
        if pads or len({image.shape for image in batch['inputs']}) == 1:
            yield from _numbers(model, model.test_step(batch))
        else:
            for position in range(len(batch['inputs'])):
                single = {name: values[position : position + 1] for name, values in batch.items()}
                yield from _numbers(model, model.test_step(single))


def _numbers(model: nn.Module, samples: Sequence[BaseDataElement]) -> Sequence[BaseDataElement]:
    """The samples of a batch, none of whose scores of classes, or numbers of descriptors, is NaN."""
    for what, missing in (('pred_score', 'class'), ('seg_logits', 'class'), ('feature', 'descriptor')):
        values = [sample.get(what) for sample in samples if what in sample]
        tensors = [value.data if isinstance(value, BaseDataElement) else value for value in values]
        if tensors and torch.stack([tensor.isnan().any() for tensor in tensors]).any():
            files = enumerate_names([str(sample.get('img_path', 'an image')) for sample in samples], 8)
            number = 'a number' if what == 'feature' else 'a score'
            raise NonFiniteError(' '.join([f'{files}: {number} is NaN, so there is no {missing}.', *hints_of(model)]))
    return samples


ODD = (OSError, ValueError, RuntimeError, MemoryError)
"""Errors that an image may cause, by its file, its size or its pixels."""


def predict_each(
    model: nn.Module, images: ImageFiles, batch_size: int = 1, num_workers: int = 0
) -> Iterator[BaseDataElement | Exception]:
    """For every image, in order, its data sample or, of one that cannot be read or predicted, the error.

    Args:
        model: as :func:`~vlprompt.apis.init_model` returns it.
        images: as :func:`load_files` gives them.
        batch_size: images per batch, see :func:`predict_dataset`.
        num_workers: processes that load images.

    Raises:
        Exception: that of the first odd image if none can be predicted and one of them can be read, so that model or
            config are to blame; a mistake in the config; or an error of a batch whose images are sound one by one.
    """
    odd: dict[int, Exception] = {}
    position, predicted = 0, False
    while position < len(images):
        if position in odd:
            yield odd[position]
            position += 1
            continue
        left = [number for number in range(position, len(images)) if number not in odd]
        try:
            samples = predict_dataset(model, Subset(images, left), batch_size, num_workers)
            for number, sample in zip(left, samples, strict=True):
                while position < number:
                    yield odd[position]
                    position += 1
                predicted, position = True, number + 1
                yield sample
        except (ConfigError, CheckpointError):
            raise
        except ODD:  # of an image in the batch after the last one that came
            batch = [number for number in left if number >= position][:batch_size]
            found = _odd_images(model, images, batch)
            if not found:
                raise
            odd |= found
    failures = [error for error in odd.values() if not isinstance(error, OSError)]
    if failures and not predicted:
        raise failures[0]


class LeftOut:
    """What a tool leaves out of the images that it is given: told at once, and again at the end.

    An object is called with the path of an image and its error.
    """

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.total = 0

    def files_of(self, images: Sequence[Path], results: Path | None = None) -> list[Path]:
        """The files, and those in the folders; tells how many files of the folders are no images by their suffix.

        Args:
            images: files, folders, and shell-style patterns.
            results: file or folder of the tool's own results, its ``--out``: neither images nor counted in a folder
                that it lies in.

        Raises:
            FileNotFoundError: neither file nor folder, or a folder or a pattern without images.
            ConfigError: the results are to lie among the images of a folder.
        """
        found: list[Path] = []
        for path in images:
            if path.is_dir():
                if results is not None and results.exists() and results.samefile(path):
                    raise ConfigError(
                        f'--out {results} is itself a folder of images, where results would be taken for images the '
                        f'next time: give another folder, or one inside of it, such as {results / "results"}'
                    )
                names, others = require_images(path, without=results)
                found += [path / name for name in names]
                if others:
                    print(f'{path}: {count_suffixes(others)} are left out, since they are no images', flush=True)
            elif path.exists():
                found.append(path)  # what is no regular file is left out later, as in folders
            elif is_pattern(path):
                found += files_of(path)
            else:
                raise FileNotFoundError(f'no image or folder at {path}')
        self.total += len(found)
        return found

    def __call__(self, path: str, error: Exception) -> None:
        print(printable(f'{path}: left out ({error})'), flush=True)
        self.paths.append(path)

    def end(self) -> None:
        """End the tool with exit status 1 if an image was left out."""
        if self.paths:
            sys.exit(f'{len(self.paths)} of {self.total} images are left out: {", ".join(self.paths)}')


def _odd_images(model: nn.Module, images: ImageFiles, positions: Sequence[int]) -> dict[int, Exception]:
    """The images that cannot be predicted alone, and why."""
    odd: dict[int, Exception] = {}
    for position in positions:
        try:
            next(predict_dataset(model, Subset(images, [position])))
        except ODD as error:
            odd[position] = error
    return odd


def predict_images(
    model: nn.Module,
    images: ImageSource | Sequence[ImageSource],
    batch_size: int = 1,
    num_workers: int = 0,
    channel_order: ChannelOrder = 'rgb',
) -> Iterator[BaseDataElement]:
    """Predictions for images, one by one, in their order; the inferencers of :mod:`vlprompt.apis.inferencers` do more.

    Args:
        model: as :func:`~vlprompt.apis.init_model` returns it.
        images: one or several of: image files; folders, whose images at any depth are taken; shell-style patterns;
            files opened in binary mode; NumPy arrays (H, W, 3) uint8, or (H, W) uint8 or uint16 for grey; PIL images.
        batch_size: images per batch, see :func:`predict_dataset`.
        num_workers: processes that load images.
        channel_order: of arrays: ``'rgb'``, as Pillow and matplotlib have it, or ``'bgr'``, as OpenCV.

    Yields:
        The task's data sample: ``pred_score`` (K,) and ``pred_label`` of classifiers, ``pred_sem_seg.data`` (1, H, W)
        of segmentors, ``pred_instances`` of detectors in pixels of the image, ``feature`` (D,) in re-identification.
        ``img_path`` is the file, or ``image <position>``.

    Raises:
        FileNotFoundError, OSError: an image cannot be read; the message names it.
        ValueError: an image that the pipeline cannot transform; the message names it.
        TypeError: not an image.

    Example:
        >>> model = init_model('configs/plot/plot_rn50.py', 'work_dirs/plot/epoch_200.pth')
        >>> for sample in predict_images(model, ['a.jpg', 'b.jpg']):
        ...     print(sample.img_path, model.dataset_meta['classes'][int(sample.pred_label)])
        >>> sample = next(predict_images(model, cv2.imread('a.jpg'), channel_order='bgr'))
    """
    return predict_dataset(model, load_files(model, images, channel_order), batch_size, num_workers)
