"""Local features of a model in several forms, compared on images with named objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from vlprompt.apis.inferencers.class_names import other_names
from vlprompt.clip import ModifiedResNet, VisionTransformer
from vlprompt.clip.local_tokens import PUBLISHED
from vlprompt.datasets.named_objects import NamedImage, NamedObjects
from vlprompt.errors import ConfigError
from vlprompt.evaluation.local_features import UNNAMED, LocalFeatureMeasures
from vlprompt.models import TextClassifier

Form = str | Mapping[str, Any]


@dataclass
class FormScores:
    """Cosines of one image and the names under one form.

    Attributes:
        scores: (N, K).
        grid: (h, w), N = h * w.
        best_global: the name nearest to the global feature.
        plan: (K, N, P) transport plans, or None if the model's alignment has none.
    """

    scores: Tensor
    grid: tuple[int, int]
    best_global: int
    plan: Tensor | None

    @property
    def maps(self) -> Tensor:
        """(K, h, w)."""
        return self.scores.t().unflatten(1, self.grid).cpu()


def forms_of(model: TextClassifier) -> tuple[str, ...]:
    """Names of the forms that the model's image tower has."""
    return tuple(PUBLISHED) if isinstance(model.clip.visual, VisionTransformer) else ('native', 'value')


def spelled(local: Form) -> str:
    """A form as ``--local`` takes it, such as ``'naclip'`` or ``'kk/reduced/5'``."""
    if isinstance(local, str):
        return local
    sigma = '' if local['sigma'] is None else f'/{local["sigma"]:g}'
    return f'{local["attention"]}/{"reduced" if local["reduced"] else "full"}{sigma}'


def check_model(model: torch.nn.Module, config: str) -> None:
    """Raise ConfigError unless a model classifies by text and has places as local features."""
    if not isinstance(model, TextClassifier):
        raise ConfigError(f'{config}: {type(model).__name__} is no TextClassifier, whose local features meet text')
    if getattr(model.visual, 'sets', None) is not None:
        raise ConfigError(f'{config}: with visual.sets the local features are no places in the image')
    if not isinstance(model.clip.visual, (ModifiedResNet, VisionTransformer)):
        raise ConfigError(
            f"{config}: {model.clip.visual.name} has one form of local features alone: take CLIP's towers"
        )


@torch.no_grad()
def score_named(model: TextClassifier, image: NamedImage, forms: Sequence[Form]) -> list[FormScores]:
    """Cosines of an image and the model's class names under each form; its sides are multiples of the tower's cells."""
    tower, before = model.clip.visual, model.clip.visual.local
    pixels = torch.from_numpy(np.ascontiguousarray(image.image.transpose(2, 0, 1)))
    inputs = model.data_preprocessor(dict(inputs=[pixels]))['inputs']
    found = []
    try:
        for form in forms:
            tower.use_local(form)
            features = model.image_features(inputs, local=True)
            text = model.text_features(features)
            names = F.normalize(F.normalize(text.float(), dim=-1).mean(-3), dim=-1)  # mean prompt of each class
            names = names if names.dim() == 2 else names[0]
            local, whole = (F.normalize(t[0].float(), dim=-1) for t in (features.local, features.cls))
            plan = None
            if model.alignment.needs_local:
                aligned = model.alignment(features, text, model.logit_scale)
                plan = None if aligned.plan is None else aligned.plan[0]
            found.append(FormScores(local @ names.t(), features.grid, int((names @ whole).argmax()), plan))
    finally:
        tower.use_local(before)
    return found


def see_words(
    model: TextClassifier, image: np.ndarray, words: Sequence[str], form: Form | None = None, size: int | None = None
) -> tuple[np.ndarray, FormScores]:
    """An image as the model sees it, and the cosines of its places and words.

    Args:
        model: whose classes are text.
        image: (H, W, 3) uint8 RGB.
        words: K names.
        form: of the local features; None: that of the model.
        size: shorter side in pixels; None: that of the image tower.

    Returns:
        (h', w', 3) uint8, and its scores.
    """
    tower = model.clip.visual
    item = NamedImage(image, np.full(image.shape[:2], UNNAMED, np.uint8), 'image')
    data = NamedObjects(tuple(words), [item])
    seen = next(fitted(data, cell_of(model), size or min(tower.image_size)))
    with other_names(model, words):
        (scored,) = score_named(model, seen, [tower.local if form is None else form])
    return seen.image, scored


def fitted(data: NamedObjects, cell: int, shorter_side: int) -> Iterator[NamedImage]:
    """Images resized to a shorter side in pixels, the aspect kept up to a cell, sides multiples of ``cell``.

    Images are resized bicubically, masks to the nearest pixel.
    """
    for item in data:
        height, width = item.image.shape[:2]
        scale = shorter_side / min(height, width)
        size = tuple(max(1, round(side * scale / cell)) * cell for side in (width, height))
        if size == (width, height):
            yield item
        else:
            image = np.asarray(Image.fromarray(item.image).resize(size, Image.Resampling.BICUBIC))
            yield NamedImage(image, np.asarray(Image.fromarray(item.mask).resize(size, 0)), item.name)


def cell_of(model: TextClassifier) -> int:
    """Side in pixels of the cells of the model's image tower.

    Raises:
        ConfigError: overlapping patches, which are no cells.
    """
    tower = model.clip.visual
    if not isinstance(tower, VisionTransformer):
        return tower.total_stride
    try:
        tower.require_cells()
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return tower.patch_size


def measure_forms(
    model: TextClassifier, images: Iterator[NamedImage], forms: Sequence[Form]
) -> tuple[list[dict[str, float]], dict[str, float]]:
    """The measures of each form over images whose names are the model's classes.

    Returns:
        The result of :class:`~vlprompt.evaluation.local_features.LocalFeatureMeasures` for each form; and ``images``,
        ``objects`` and ``global``, the percentage of images whose global feature is nearest to the name of one of their
        objects.

    Raises:
        ValueError: no image holds a named object, or a mask does not fit.
    """
    measures = [LocalFeatureMeasures(len(model.class_names)) for _ in forms]
    right = 0
    for image in images:
        mask = torch.from_numpy(image.mask.copy())
        scored = score_named(model, image, forms)
        for measure, one in zip(measures, scored, strict=True):
            measure.add(one.scores, mask, one.grid, one.plan)
        right += scored[0].best_global in image.mask
    results = [measure.result() for measure in measures]
    seen = measures[0]
    return results, {'images': seen.images, 'objects': seen.items, 'global': 100 * right / seen.images}
