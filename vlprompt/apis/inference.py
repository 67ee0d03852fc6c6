"""Predictions of any model for images without annotation."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import Compose
from mmengine.structures import BaseDataElement
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset

from vlprompt.datasets.images import count_suffixes, find_images, naming_image, require_images
from vlprompt.engine.features import image_loader
from vlprompt.engine.finite import hints_of
from vlprompt.errors import CheckpointError, ConfigError, NonFiniteError
from vlprompt.messages import enumerate_names, printable

ANNOTATION_LOADERS = ('LoadAnnotations', 'LoadMask')
"""Steps of test pipelines that need annotations."""


LOADERS = ('LoadImage', 'LoadImageFile')
"""This package's steps that load images, and take decoded ones too."""

ImageSource = str | os.PathLike | np.ndarray | Image.Image
"""An image file, a folder of images, an array (H, W, 3) or (H, W), or a PIL image."""


class ImageFiles(Dataset):
    """Images without annotation, through the test pipeline of a config.

    Args:
        images: files and PIL images; the latter are called ``image <position>``.
        pipeline: transforms of the test set, which begin with loading; those that read annotations are skipped.
        info: further entries for every image that a dataset would provide, such as ``camid``.
    """

    def __init__(self, images: Sequence[str | Path | Image.Image], pipeline: Sequence[dict], **info: Any) -> None:
        self.images = list(images)
        self.pipeline = Compose([step for step in pipeline if not step['type'].endswith(ANNOTATION_LOADERS)])
        self.info = info

    def __len__(self) -> int:
        return len(self.images)

    def path(self, index: int) -> str:
        """The file of an image, or ``image <position>``."""
        image = self.images[index]
        return f'image {index}' if isinstance(image, Image.Image) else str(image)

    def __getitem__(self, index: int) -> dict:
        image = self.images[index]
        decoded = dict(img=image) if isinstance(image, Image.Image) else {}
        source = dict(img_path=self.path(index), **decoded)
        with naming_image(lambda: source):
            return self.pipeline(dict(**source, sample_idx=index, img_id=index, **self.info))


def images_of(images: ImageSource | Sequence[ImageSource]) -> list[Path | Image.Image]:
    """Files and PIL images, in the order given; those of a folder, at any depth, are sorted by path.

    Raises:
        FileNotFoundError: a folder without images.
        TypeError: something else, such as an array of floats.
    """
    single = isinstance(images, (str, os.PathLike, np.ndarray, Image.Image, Tensor))
    found: list[Path | Image.Image] = []
    for image in [images] if single else images:
        if isinstance(image, (str, os.PathLike)):
            path = Path(image)
            found += find_images(path) if path.is_dir() else [path]
        elif isinstance(image, np.ndarray):
            found.append(_picture(image))
        elif isinstance(image, Image.Image):
            found.append(image)
        else:
            raise TypeError(
                f'an image is a file, a folder, a NumPy array or a PIL image, not {type(image).__name__}; normalised '
                'tensors are given to the model: model(images)'
            )
    return found


def _picture(array: np.ndarray) -> Image.Image:
    colours = array.ndim == 3 and array.shape[2] in (3, 4) and array.dtype == np.uint8
    grey = array.ndim == 2 and array.dtype in (np.uint8, np.uint16)
    if not array.size or not (colours or grey):
        raise TypeError(
            'an array must be (H, W, 3) uint8, in the order RGB, or (H, W) uint8 or uint16 for grey, got '
            f'{array.shape} {array.dtype}'
        )
    return Image.fromarray(array)


def load_files(model: nn.Module, images: ImageSource | Sequence[ImageSource], **info: Any) -> ImageFiles:
    """:class:`ImageFiles` as the test set of a model's config would load them.

    Args:
        model: as :func:`~vlprompt.apis.init_model` returns it.
        images: as for :func:`predict_images`.
        info: as for :class:`ImageFiles`.

    Raises:
        ConfigError: the config has no test set with a pipeline, or one that loads files only, for a decoded image.
        FileNotFoundError, TypeError: as for :func:`images_of`.
    """
    pipeline = pipeline_of(model)
    found = images_of(images)
    takes_decoded = any(step['type'].rsplit('.', 1)[-1] in LOADERS for step in pipeline)
    if not takes_decoded and any(isinstance(image, Image.Image) for image in found):
        raise ConfigError(
            f'test_dataloader.dataset.pipeline: {pipeline[0]["type"]} reads files only; arrays and PIL images need '
            "'vlprompt.LoadImage' (classifiers, re-identification) or 'vlprompt.LoadImageFile'"
        )
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
        NonFiniteError: a score of a class is NaN.
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
    """The samples of a batch, whose scores are no NaN."""
    scores = [sample.pred_score for sample in samples if 'pred_score' in sample]
    if scores and torch.stack(scores).isnan().any():
        files = enumerate_names([str(sample.get('img_path', 'an image')) for sample in samples], 8)
        raise NonFiniteError(' '.join([f'{files}: a score is NaN, so there is no class.', *hints_of(model)]))
    return samples


ODD = (OSError, ValueError, RuntimeError, MemoryError)
"""Errors that an image may cause, by its file, its size or its pixels."""


def predict_sound(
    model: nn.Module,
    images: ImageFiles,
    batch_size: int = 1,
    num_workers: int = 0,
    left_out: Callable[[str, Exception], Any] = lambda path, error: None,
) -> Iterator[BaseDataElement]:
    """Predictions of all images that have one, in their order: an odd image does not end a folder.

    Args:
        model: as :func:`~vlprompt.apis.init_model` returns it.
        images: as :func:`load_files` gives them.
        batch_size: images per batch, see :func:`predict_dataset`.
        num_workers: processes that load images.
        left_out: called with the path of an image that cannot be read or predicted, and the error.

    Raises:
        Exception: that of the first odd image if none can be predicted and one of them can be read, so that model or
            config are to blame; a mistake in the config; or an error of a batch whose images are sound one by one.
    """
    left, predicted = list(range(len(images))), 0
    failures: list[Exception] = []
    while left:
        done = 0
        try:
            for sample in predict_dataset(model, Subset(images, left), batch_size, num_workers):
                predicted, done = predicted + 1, done + 1
                yield sample
            return
        except (ConfigError, CheckpointError):
            raise
        except ODD:  # of an image in the batch after the last one that came
            odd = _odd_images(model, images, left[done : done + batch_size])
            if not odd:
                raise
        for position, error in odd.items():
            left_out(images.path(position), error)
        failures += [error for error in odd.values() if not isinstance(error, OSError)]
        left = [position for position in left[done:] if position not in odd]
    if failures and not predicted:
        raise failures[0]


class LeftOut:
    """What a tool leaves out of the images that it is given: told at once, and again at the end.

    An object is the ``left_out`` of :func:`predict_sound`.
    """

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.total = 0

    def files_of(self, images: Sequence[Path], results: Path | None = None) -> list[Path]:
        """The files, and those in the folders; tells how many files of the folders are no images by their suffix.

        Args:
            images: files and folders.
            results: file or folder of the tool's own results, its ``--out``: neither images nor counted in a folder
                that it lies in.

        Raises:
            FileNotFoundError: neither file nor folder, or a folder without images.
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
    model: nn.Module, images: ImageSource | Sequence[ImageSource], batch_size: int = 1, num_workers: int = 0
) -> Iterator[BaseDataElement]:
    """Predictions for images, one by one, in their order.

    Args:
        model: as :func:`~vlprompt.apis.init_model` returns it.
        images: one or several of: image files; folders, whose images at any depth are taken; NumPy arrays (H, W, 3)
            uint8 in the order RGB, as Pillow and matplotlib have it (OpenCV's are ``array[..., ::-1]``), or (H, W)
            uint8 or uint16 for grey; PIL images.
        batch_size: images per batch, see :func:`predict_dataset`.
        num_workers: processes that load images.

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
        >>> sample = next(predict_images(model, cv2.imread('a.jpg')[..., ::-1]))
    """
    return predict_dataset(model, load_files(model, images), batch_size, num_workers)
