"""Segmentations and score maps over their image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image
from torch import Tensor

from vlprompt.visualization.figures import MUTED, new_figure, panel_height, shorten
from vlprompt.visualization.heatmaps import overlay_heatmap, to_grey

COLUMNS = 4
PANEL = 2.3
"""Panels in a row of a figure, and the width of one in inches."""
LONGEST = 40
"""Letters of a name in the legend."""
SCORE_COLOURS = 'turbo'


@dataclass
class Segmentation:
    """Prediction and ground truth of an image, pixel by pixel.

    Attributes:
        prediction: (H, W) class ids; None to show only the ground truth.
        class_names: K names.
        palette: K RGB colours, 0 to 255.
        truth: (H, W) class ids, if known; ids from K on are unlabelled.
        measured: the accuracy, where the masks are no longer those that it was measured on; None: measure these.
    """

    prediction: np.ndarray | None
    class_names: Sequence[str]
    palette: Sequence[Sequence[int]]
    truth: np.ndarray | None = None
    measured: float | None = None

    @property
    def accuracy(self) -> float | None:
        """Share of the labelled pixels that are right; None without a prediction or labelled pixels."""
        if self.measured is not None:
            return self.measured
        if self.truth is None or self.prediction is None:
            return None
        labelled = self.truth < len(self.class_names)
        if not labelled.any():
            return None
        return float((self.prediction == self.truth)[labelled].mean())

    def present(self) -> list[int]:
        """Ids that occur in prediction or truth."""
        masks = [mask for mask in (self.prediction, self.truth) if mask is not None]
        return [k for k in np.unique(np.stack(masks)).tolist() if k < len(self.class_names)]

    def resized(self, size: tuple[int, int]) -> Segmentation:
        """Of another image size (H, W), with the same accuracy; every pixel takes the class of the nearest one."""
        masks = [
            None if mask is None else np.asarray(Image.fromarray(mask.astype(np.uint16)).resize(size[::-1], 0))
            for mask in (self.prediction, self.truth)
        ]
        return Segmentation(masks[0], self.class_names, self.palette, masks[1], self.accuracy)


def blend_mask(
    image: np.ndarray, mask: np.ndarray, palette: Sequence[Sequence[int]], weight: float = 0.5
) -> np.ndarray:
    """The image in grey, coloured by class, with a line along the borders of each region.

    Args:
        image: (H, W, 3) uint8.
        mask: (H, W) class ids; pixels whose id has no colour stay grey.
        palette: K RGB colours, 0 to 255.
        weight: weight of the colour inside regions; 1 on borders.

    Returns:
        (H, W, 3) uint8.
    """
    known = mask < len(palette)
    colours = np.asarray(palette, np.float32)[np.where(known, mask, 0)]
    share = np.where(known, np.where(borders(mask), 1.0, weight), 0.0)[..., None]
    return np.round(share * colours + (1 - share) * to_grey(image)).clip(0, 255).astype(np.uint8)


def borders(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels whose right or lower neighbour is of another class."""
    edge = np.zeros(mask.shape, bool)
    edge[:, :-1] |= mask[:, :-1] != mask[:, 1:]
    edge[:-1] |= mask[:-1] != mask[1:]
    return edge


def fit_longest_side(image: np.ndarray, side: int = 640) -> np.ndarray:
    """The image (H, W, 3), reduced so that neither side is longer than ``side``."""
    scale = side / max(image.shape[:2])
    if scale >= 1:
        return image
    size = [max(1, round(pixels * scale)) for pixels in (image.shape[1], image.shape[0])]
    return np.asarray(Image.fromarray(image).resize(size))


def draw_image(image: np.ndarray, caption: str, title: str = '') -> Figure:
    """An image (H, W, 3) uint8 with a caption above it and, above that, a title."""
    figure, axes = _grid(image, 1, 1, title, legend=None)
    _fill(axes, [(caption, image)])
    return figure


def draw_segmentation(image: np.ndarray, segmentation: Segmentation, title: str = '') -> Figure:
    """An image, its prediction and, if known, the truth, side by side; below them the colours of the classes.

    Args:
        image: (H, W, 3) uint8, as large as the masks.
        segmentation: prediction and truth (H, W).
        title: first line.
    """
    panels = _segmentation_panels(image, segmentation)
    figure, axes = _grid(image, len(panels), 1, title, legend=segmentation)
    _fill(axes, panels)
    return figure


def draw_score_maps(
    image: np.ndarray,
    scores: Tensor,
    names: Sequence[str],
    segmentation: Segmentation | None = None,
    title: str = '',
    stretch: bool = False,
    first: Sequence[tuple[str, np.ndarray]] = (),
) -> Figure:
    """Score maps of an image for each of K names, below the image and its prediction.

    Args:
        image: (H, W, 3) uint8.
        scores: (K, h, w) cosine similarities; enlarged bilinearly.
        names: K names.
        segmentation: prediction and truth (H, W), for the first row.
        title: first line.
        stretch: give each name its own colour scale from minimum to maximum, instead of one for all.
        first: captions and pictures for the first row, as large as the image, if there is no segmentation.

    Raises:
        ValueError: the numbers of score maps and names differ.
    """
    if len(scores) != len(names):
        raise ValueError(f'draw_score_maps: {len(scores)} score maps, but {len(names)} names')
    first = _segmentation_panels(image, segmentation) if segmentation else [('image', image), *first]
    columns = max(len(first), min(COLUMNS, len(names)))
    rows = 1 + math.ceil(len(names) / columns)
    figure, axes = _grid(image, columns, rows, title, segmentation, bar=True)
    _fill(axes[:columns], first)
    common = Normalize(scores.min().item(), scores.max().item())
    grey, maps = to_grey(image), []
    for name, values in zip(names, scores, strict=True):
        low, high = values.min().item(), values.max().item()
        norm = Normalize(low, high) if stretch else common
        maps.append(
            (f'{shorten(name, 22)}\n{low:.3f} … {high:.3f}', overlay_heatmap(grey, values, norm, SCORE_COLOURS, 0.6))
        )
    _fill(axes[columns:], maps)
    label = "cosine similarity, each map's own range" if stretch else 'cosine similarity'
    bar = figure.colorbar(
        ScalarMappable(Normalize(0, 1) if stretch else common, SCORE_COLOURS),
        ax=list(axes[columns:]),
        fraction=0.04,
        pad=0.02,
        aspect=14 * (rows - 1),
    )
    bar.set_label(label, size=9)
    bar.ax.tick_params(labelsize=8)
    if stretch:
        bar.set_ticks([0, 1], labels=['lowest', 'highest'])
    return figure


def _segmentation_panels(image: np.ndarray, segmentation: Segmentation) -> list[tuple[str, np.ndarray]]:
    accuracy = segmentation.accuracy
    right = '' if accuracy is None else f'\n{100 * accuracy:.1f} % of pixels right'
    panels = [('image', image)]
    if segmentation.prediction is not None:
        panels.append((f'prediction{right}', blend_mask(image, segmentation.prediction, segmentation.palette)))
    if segmentation.truth is not None:
        panels.append(('ground truth', blend_mask(image, segmentation.truth, segmentation.palette)))
    return panels


def _grid(
    image: np.ndarray, columns: int, rows: int, title: str, legend: Segmentation | None, bar: bool = False
) -> tuple[Figure, np.ndarray]:
    """A figure with ``rows * columns`` empty axes in reading order, a heading, and the colours of the classes."""
    classes = [] if legend is None else legend.present()
    labels = [shorten(legend.class_names[k], LONGEST) for k in classes]
    width = columns * PANEL + 0.9 * bar
    per_line = max(1, int(width / (0.45 + 0.061 * max(map(len, labels), default=0))))
    head, foot = 0.35 * bool(title) + 0.05, 0.24 * math.ceil(len(classes) / per_line) + 0.1
    height = head + foot + rows * (panel_height(image, PANEL) + 0.5)
    figure = new_figure(width, height)
    figure.set_layout_engine(
        'constrained', rect=(0, foot / height, 1, 1 - (head + foot) / height), w_pad=0.04, h_pad=0.04
    )
    figure.text(0.1 / width, 1 - 0.22 / height, title, size=11, weight='bold', va='center')
    if classes:
        patches = [
            Patch(color=np.array(legend.palette[k]) / 255, label=label)
            for k, label in zip(classes, labels, strict=True)
        ]
        figure.legend(handles=patches, loc='lower left', ncols=per_line, fontsize=8, frameon=False, borderaxespad=0.3)
    return figure, figure.subplots(rows, columns, squeeze=False).ravel()


def _fill(axes: Sequence[Axes], panels: Sequence[tuple[str, np.ndarray]]) -> None:
    for place in axes:
        place.set_axis_off()
    pad = 15 if any('\n' in title for title, _ in panels) else 4
    for place, (title, picture) in zip(axes, panels, strict=False):
        place.imshow(picture, interpolation='nearest')
        heading, _, note = title.partition('\n')
        place.set_title(heading, size=10, loc='left', pad=pad)
        if note:
            place.text(0, 1.015, note, transform=place.transAxes, size=8, color=MUTED, va='bottom')
