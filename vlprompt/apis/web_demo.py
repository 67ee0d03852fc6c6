"""What the page of ``tools/web_demo.py`` does, without the page: one method for each button."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from vlprompt.apis.gallery import GalleryIndex
from vlprompt.apis.inference import load_files
from vlprompt.apis.inferencers.base import Inferencer
from vlprompt.apis.inferencers.class_names import other_names, read_names
from vlprompt.apis.inferencers.prediction import Prediction
from vlprompt.apis.local_features import check_model, see_words, spelled
from vlprompt.apis.plans import align_sample, check_plans
from vlprompt.apis.score_maps import score_maps_of
from vlprompt.errors import ConfigError
from vlprompt.messages import enumerate_names
from vlprompt.visualization import (
    Segmentation,
    class_plans,
    draw_transport_plans,
    figure_to_image,
    fit_longest_side,
)
from vlprompt.visualization.text_maps import MapRow, draw_text_maps

_log = logging.getLogger(__name__)

MOST_PLANS, NEAREST = 4, 8
"""Classes whose plans are drawn, and images that a search shows."""


class Regions(NamedTuple):
    """Parts of an image.

    Attributes:
        image: (H, W, 3) uint8.
        parts: masks (H, W) bool, or boxes x1, y1, x2, y2 in pixels, each with its label.
        colours: label -> ``'#rrggbb'``.
    """

    image: np.ndarray
    parts: list[tuple[np.ndarray | tuple[int, ...], str]]
    colours: dict[str, str]


class Gallery(NamedTuple):
    """N images that are searched, and a caption for each."""

    images: Sequence[Path | Image.Image]
    captions: Sequence[str]


class Demo:
    """Models and what they say about an image.

    Images are files; None is a file that nobody has chosen yet.  Words are a text, see :func:`words_of`.

    Args:
        models: name -> inferencer.
        ask: names of the models that have no classes of their own, so that words must be given.
        gallery: among which the nearest images are looked for.

    Raises:
        ConfigError: by all methods: no image, no words where they are needed, or words that the model does not take.
        OSError, ValueError: by all methods: an image that cannot be read or predicted.
    """

    def __init__(self, models: Mapping[str, Inferencer], ask: Sequence[str], gallery: Gallery) -> None:
        self.models, self.ask, self.gallery = dict(models), frozenset(ask), gallery
        self._searched: dict[str, tuple[GalleryIndex, list[Prediction]]] = {}

    def fitting(self, fits: Callable[[Inferencer], bool]) -> list[str]:
        """Names of the models that ``fits`` accepts."""
        return [name for name, infer in self.models.items() if fits(infer)]

    def scores(self, name: str, image: str | None, words: str) -> dict[str, float]:
        """Class -> probability, the best first."""
        infer = self.models[name]
        found = _predict(infer, image, self._classes(name, words), top_k=None)
        return {entry['label']: entry['score'] for entry in infer.to_dict(found)}

    def maps(
        self, names: Sequence[str], image: str | None, words: str, form: str | None = None, stretch: bool = False
    ) -> Image.Image:
        """Where several models find the words: a row for each model, see :func:`.draw_text_maps`.

        Args:
            names: of the models, which :func:`has_maps` accepts.
            image: the file.
            words: what to look for.
            form: of the local features (docs/local_features.md); None: that of each model.
            stretch: a colour scale for each model.
        """
        if not names:
            raise ConfigError('choose at least one model')
        wanted = words_of(words)
        if not wanted:
            raise ConfigError('write the words to look for, separated by commas')
        rows = [self._map_row(name, chosen(image), wanted, form) for name in names]
        return figure_to_image(draw_text_maps(rows, wanted, stretch=stretch))

    def plans(self, name: str, image: str | None, words: str, stretch: bool = False) -> Image.Image:
        """Transport plans of the most likely classes, see :func:`.draw_transport_plans`."""
        model, classes = self.models[name].model, self._classes(name, words)
        sample = load_files(model, chosen(image))[0]
        with other_names(model, classes):
            seen, aligned = align_sample(model, sample)
            rows = class_plans(aligned, 0, model.class_names, top_k=MOST_PLANS)
        written = getattr(model.prompt, 'templates', ())
        prompts = [f'{number}: {template}' for number, template in enumerate(written, 1)]
        return figure_to_image(draw_transport_plans(seen, rows, '    '.join([name, *prompts]), stretch=stretch))

    def regions(self, name: str, image: str | None, words: str) -> Regions:
        """Masks of classes, or objects."""
        infer = self.models[name]
        found = _predict(infer, image, self._classes(name, words))
        return _segments(infer, found) if infer.task == 'segmentation' else _objects(infer, found)

    def nearest(self, name: str, image: str | None) -> list[tuple[np.ndarray, str]]:
        """The nearest images of the gallery (H, W, 3) uint8, with their cosines, the nearest first."""
        infer = self.models[name]
        query = infer(chosen(image))
        if name not in self._searched:
            self._searched[name] = self._index(infer)
        index, described = self._searched[name]
        found = index.search(query, NEAREST)
        ranked = zip(found.positions[0], found.similarities[0], found.names[0], strict=True)
        return [
            (fit_longest_side(described[position].picture()), f'{similarity:.2f}  {caption}')
            for position, similarity, caption in ranked
        ]

    def _classes(self, name: str, words: str) -> list[str] | None:
        """The classes that are written; None: those of the model."""
        names = words_of(words)
        if not names and name in self.ask:
            raise ConfigError(f'write the classes to choose from, separated by commas: {name} has none of its own')
        return names or None

    def _map_row(self, name: str, image: str, words: list[str], form: str | None) -> MapRow:
        model = self.models[name].model
        files = load_files(model, image)
        if hasattr(model, 'score_map'):
            return MapRow(name, 'score map', fit_longest_side(files.picture(0)), score_maps_of(model, files[0], words))
        form = model.clip.visual.local if form is None else form
        seen, scored = see_words(model, files.picture(0), words, form)
        return MapRow(name, spelled(form), seen, scored.maps)

    def _index(self, infer: Inferencer) -> tuple[GalleryIndex, list[Prediction]]:
        """The gallery's descriptors, and its images that have one; a warning names the others."""
        described = list(infer.stream(list(self.gallery.images), batch_size=32))
        sound = [found for found in described if found.error is None]
        if len(sound) < len(described):
            odd = [self.gallery.captions[found.number] for found in described if found.error is not None]
            _log.warning('left out of the gallery, since they cannot be read: %s', enumerate_names(odd))
        index = GalleryIndex()
        for found in sound:
            index.add(infer.to_array(found), [self.gallery.captions[found.number]])
        return index, sound


def words_of(text: str) -> list[str]:
    """Names in a text: one in each line if there are several lines, otherwise between commas.

    Raises:
        ConfigError: a name stands twice.
    """
    lines = text.strip().splitlines()
    names = [name for part in (lines if len(lines) > 1 else text.split(',')) if (name := part.strip(', \t\n'))]
    return read_names(names, 'the words') if names else []


def chosen(image: str | None) -> str:
    """The file of an image.

    Raises:
        ConfigError: there is none.
    """
    if image is None:
        raise ConfigError('choose an image, or click on an example')
    return image


def has_maps(infer: Inferencer) -> bool:
    """Whether a model has maps of any words."""
    try:
        check_model(infer.model, '')
    except ConfigError:
        return hasattr(infer.model, 'score_map')
    return infer.model.open_vocabulary


def has_plans(infer: Inferencer) -> bool:
    """Whether a model has transport plans."""
    try:
        check_plans(infer.model, '')
    except ConfigError:
        return False
    return True


def _predict(infer: Inferencer, image: str | None, classes: list[str] | None, **options: Any) -> Prediction:
    found = next(infer.stream(chosen(image), class_names=classes, **options))
    if found.error is not None:
        raise found.error
    return found


def _segments(infer: Inferencer, found: Prediction) -> Regions:
    """A mask for each class that occurs, the largest first."""
    image = fit_longest_side(found.picture())
    shown = Segmentation(infer.to_array(found), found.class_names, found.palette).resized(image.shape[:2])
    parts, colours = [], {}
    for name, share in infer.shares(found).items():
        label, number = f'{name} {100 * share:.1f} %', found.class_names.index(name)
        parts.append((shown.prediction == number, label))
        colours[label] = _hexadecimal(found.palette[number])
    return Regions(image, parts, colours)


def _objects(infer: Inferencer, found: Prediction) -> Regions:
    """A mask, or else a box, for each object, the best first."""
    picture = found.picture()
    image = fit_longest_side(picture)
    scale, size = image.shape[0] / picture.shape[0], image.shape[1::-1]
    parts, colours = [], {}
    for entry in infer.to_dict(found):
        label = f'{entry["label"]} {100 * entry["score"]:.0f} %'
        if 'mask' in entry:
            parts.append((np.asarray(entry['mask'].resize(size, Image.Resampling.NEAREST)) > 0, label))
        else:
            parts.append((tuple(round(scale * corner) for corner in entry['box'].values()), label))
        colours[label] = _hexadecimal(found.palette[found.class_names.index(entry['label'])])
    return Regions(image, parts, colours)


def _hexadecimal(colour: Sequence[int]) -> str:
    return '#{:02x}{:02x}{:02x}'.format(*colour)
