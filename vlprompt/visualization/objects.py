"""Boxes and masks of objects over their image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from vlprompt.visualization.figures import new_figure, panel_height, shorten
from vlprompt.visualization.segmentation import borders, fit_longest_side

PANEL = 4.2
"""Width of an image in inches."""
LONGEST = 32
"""Letters of a name beside a box."""


@dataclass
class Objects:
    """Objects in an image, predicted or true.

    Attributes:
        boxes: (N, 4) corners x1, y1, x2, y2 in pixels.
        labels: (N,) class ids.
        scores: (N,), of predictions.
        masks: (N, H, W) bool, if there are any.
    """

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray | None = None
    masks: np.ndarray | None = None

    def above(self, score: float) -> Objects:
        """Objects with at least this score, the best ones last, so that they are drawn on top."""
        if self.scores is None:
            return self
        order = np.argsort(self.scores)
        keep = order[self.scores[order] >= score]
        masks = None if self.masks is None else self.masks[keep]
        return Objects(self.boxes[keep], self.labels[keep], self.scores[keep], masks)

    def last(self, number: int) -> Objects:
        """The last ``number`` objects, or all; after :meth:`above` these are the best ones."""
        parts = (self.boxes, self.labels, self.scores, self.masks)
        return Objects(*(None if part is None else part[-number:] for part in parts))


def objects_of(instances: Any) -> Objects:
    """Objects from mmdet's ``InstanceData``, with boxes and masks as tensors or in mmdet's containers."""
    boxes, masks = instances.bboxes, instances.get('masks')
    if hasattr(masks, 'to_ndarray'):
        masks = masks.to_ndarray()
    return Objects(
        _array(getattr(boxes, 'tensor', boxes)).reshape(-1, 4),
        _array(instances.labels),
        _array(instances.scores) if 'scores' in instances else None,
        None if masks is None else _array(masks).astype(bool),
    )


def _array(values: Any) -> np.ndarray:
    return values.detach().cpu().numpy() if hasattr(values, 'detach') else np.asarray(values)


def draw_objects(
    image: np.ndarray,
    panels: Mapping[str, Objects],
    class_names: Sequence[str],
    palette: Sequence[Sequence[int]],
    title: str = '',
) -> Figure:
    """The image once for each set of objects, side by side: boxes with names, masks as tinted areas.

    Args:
        image: (H, W, 3) uint8; shown at no more than 640 pixels a side.
        panels: caption of each image, and the objects to draw.
        class_names: K names.
        palette: K RGB colours, 0 to 255.
        title: first line.
    """
    small = fit_longest_side(image)
    scale = small.shape[1] / image.shape[1]
    head = 0.35 * bool(title) + 0.05
    height = head + panel_height(small, PANEL) + 0.35
    figure = new_figure(len(panels) * PANEL, height)
    figure.set_layout_engine('constrained', rect=(0, 0, 1, 1 - head / height), w_pad=0.04, h_pad=0.04)
    figure.text(0.1 / (len(panels) * PANEL), 1 - 0.22 / height, title, size=11, weight='bold', va='center')
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for place, (heading, objects) in zip(axes, panels.items(), strict=True):
        colours = np.asarray(palette, np.float32)[objects.labels] if len(objects.labels) else np.zeros((0, 3))
        place.imshow(_tint(small, objects.masks, colours), interpolation='nearest')
        place.set_title(f'{heading}: {len(objects.labels)}', size=10, loc='left', pad=4)
        place.set_axis_off()
        for number, (box, colour) in enumerate(zip(objects.boxes * scale, colours / 255, strict=True)):
            score = '' if objects.scores is None else f' {100 * objects.scores[number]:.0f}'
            _box(place, box, shorten(class_names[objects.labels[number]], LONGEST) + score, colour)
    return figure


def paint_objects(image: np.ndarray, objects: Objects, palette: Sequence[Sequence[int]]) -> np.ndarray:
    """The image (H, W, 3) uint8 with tinted masks and box outlines in the colours of the classes, without names."""
    colours = np.asarray(palette, np.float32)[objects.labels] if len(objects.labels) else np.zeros((0, 3))
    painted = _tint(image, objects.masks, colours)
    for box, colour in zip(objects.boxes.round().astype(int), colours, strict=True):
        x1, y1, x2, y2 = box.clip(0)
        for rows, columns in (((y1, y1 + 2), (x1, x2)), ((y2 - 2, y2), (x1, x2))):
            painted[slice(*rows), slice(*columns)] = colour
        for columns in ((x1, x1 + 2), (x2 - 2, x2)):
            painted[y1:y2, slice(*columns)] = colour
    return painted


def _tint(image: np.ndarray, masks: np.ndarray | None, colours: np.ndarray) -> np.ndarray:
    """The image with every mask in its colour, its border strongest."""
    tinted = image.astype(np.float32)
    for mask, colour in zip([] if masks is None else masks, colours, strict=masks is not None):
        shown = np.asarray(Image.fromarray(mask.astype(np.uint8)).resize(image.shape[1::-1], 0)).astype(bool)
        share = np.where(borders(shown), 1.0, 0.4 * shown)[..., None]
        tinted = share * colour + (1 - share) * tinted
    return tinted.round().clip(0, 255).astype(np.uint8)


def _box(place: Axes, box: np.ndarray, name: str, colour: np.ndarray) -> None:
    x1, y1, x2, y2 = box.tolist()
    place.add_patch(Rectangle((x1 - 0.5, y1 - 0.5), x2 - x1, y2 - y1, fill=False, edgecolor=colour, linewidth=1.6))
    bright = colour @ [0.299, 0.587, 0.114] > 0.55
    left = x1 + x2 < place.get_xlim()[1]  # names of boxes at the right end with their box, to stay inside
    place.text(
        x1 if left else x2,
        y1,
        name,
        size=7,
        color='black' if bright else 'white',
        ha='left' if left else 'right',
        va='bottom' if y1 > 8 else 'top',
        clip_on=True,
        bbox=dict(facecolor=colour, edgecolor='none', pad=1.0),
    )
