"""From the corpus to batches: views of images, with the captions and regions that are true of what a view shows.

Small views are checked for what their captions claim; a view of a whole image, which is shifted by up to 8 %, is not.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from dev.pretraining.corpus import CELL, NONE, Corpus
from dev.pretraining.pixels import normalise

NAMED = 0.5
"""Share of the objects' phrases that are the name of the shape alone."""
SEEN = 0.6
"""Share of a region that a view must show for what is said of it to be true of the view; a place may be seen less."""


@dataclass
class Batch:
    """B views and R regions of them. Text numbers are those of the corpus.

    Attributes:
        images: (B, 3, H, W), normalised.
        index: (B,) of the examples.
        captions: (B,) texts, ``NONE`` where no caption is true of the view.
        caption_truth: (B, B) bool, whether caption j is true of view i.
        phrases: (R,) texts.
        phrase_truth: (R, R) bool, whether phrase j is true of region i.
        view: (R,) the view that a region is in.
        weights: (R, h * w), shares of a region's cells that sum to 1.
    """

    images: Tensor
    index: np.ndarray
    captions: np.ndarray
    caption_truth: Tensor
    phrases: np.ndarray
    phrase_truth: Tensor
    view: Tensor
    weights: Tensor


def view_matrix(
    rng: np.random.RandomState, size: int, window: int, mirror: bool, centre: tuple[float, float]
) -> np.ndarray:
    """(2, 3) affine map from an image of ``size`` pixels to a view of ``window``: zoomed by up to 15 % and mirrored.

    A view as large as the image is shifted by up to 8 %; a smaller one lies inside of the image, with ``centre`` (x, y
    in pixels) in its middle half if it can.
    """
    zoom = rng.uniform(0.85, 1.15)
    if window == size:
        shift = rng.uniform(-0.08, 0.08, 2) * size + (1 - zoom) * size / 2
    else:
        shift = np.clip(rng.uniform(0.25, 0.75, 2) * window - zoom * np.float64(centre), window - zoom * size, 0)
    flip = -1 if mirror and rng.rand() < 0.5 else 1
    return np.float32([[flip * zoom, 0, shift[0] if flip > 0 else window - 1 - shift[0]], [0, zoom, shift[1]]])


def take_view(image: np.ndarray, matrix: np.ndarray, window: int, rng: np.random.RandomState) -> np.ndarray:
    """(window, window, 3) uint8 pixels of a view, in another brightness and contrast."""
    pixels = cv2.warpAffine(image, matrix, (window, window), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return cv2.convertScaleAbs(pixels, alpha=rng.uniform(0.85, 1.15), beta=rng.uniform(-12, 12))


def move_coverage(coverage: np.ndarray, matrix: np.ndarray, window: int) -> np.ndarray:
    """Coverage (h, w, REGIONS) of an image's cells, mapped to the cells of a view of ``window`` pixels."""
    small = matrix.copy()
    step = matrix[:, 0] + matrix[:, 1]  # where a step of one pixel in both directions leads
    small[:, 2] = (matrix[:, 2] + 0.5 * (CELL - 1) * step + 0.5) / CELL - 0.5
    thirds = np.split(coverage, 3, axis=2)  # warpAffine takes at most 4 channels
    side = (window // CELL, window // CELL)
    return np.dstack([cv2.warpAffine(np.ascontiguousarray(third), small, side, borderValue=0) for third in thirds])


def _view(
    image: np.ndarray, coverage: np.ndarray, rng: np.random.RandomState, window: int, mirror: bool, stride: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
    """Pixels, coverage of regions on the grid of the tower (h * w, R), how much of each is seen, whether mirrored."""
    matrix = view_matrix(rng, image.shape[0], window, mirror, _middle_of_one(coverage, rng))
    pixels = take_view(image, matrix, window, rng)
    moved = move_coverage(coverage, matrix, window).astype(np.float32)
    cells, zoom = window // CELL, abs(float(matrix[1, 1]))
    seen = moved.sum((0, 1)) / np.maximum(coverage.sum((0, 1)) * zoom**2, 1e-6)
    side = stride // CELL
    grid = moved.reshape(cells // side, side, cells // side, side, -1).mean((1, 3)) / 255
    return pixels, grid.reshape(-1, grid.shape[-1]), seen, bool(matrix[0, 0] < 0)


def _middle_of_one(coverage: np.ndarray, rng: np.random.RandomState) -> tuple[float, float]:
    """(x, y) in pixels of the middle of one of the regions."""
    there = np.flatnonzero(coverage.any((0, 1)))
    cover = coverage[..., there[rng.randint(len(there))]].astype(np.float64)
    x, y = (CELL * (np.arange(len(cover)) @ cover.sum(axis) / cover.sum() + 0.5) for axis in (0, 1))
    return x, y


class Views:
    """Batches of views.

    Args:
        corpus: the images.
        mirrors: (texts,) bool, whether an image may be mirrored under a caption.
        stride: pixels of a cell of the tower's local features.
    """

    def __init__(self, corpus: Corpus, mirrors: np.ndarray, stride: int) -> None:
        self.corpus, self.mirrors, self.stride = corpus, mirrors, stride
        self.sets = corpus.sets.astype(np.float32)

    def batch(self, chosen: np.ndarray, rng: np.random.RandomState, window: int) -> Batch:
        """Views of ``window`` pixels of the images with the numbers ``chosen``."""
        corpus = self.corpus
        pixels, captions, view, regions, weights, shown = [], [], [], [], [], []
        for row, index in enumerate(chosen):
            whole = window == corpus.images.shape[1]
            lines = corpus.captions[index]
            count = int((lines != NONE).sum())
            wanted = rng.permutation(count)
            mirror = bool(self.mirrors[lines[wanted[0]]]) if whole else True
            scene = corpus.images[index], corpus.coverage[index]
            image, grid, seen, mirrored = _view(*scene, rng, window, mirror, self.stride)
            pixels.append(image)
            there = corpus.phrases[index] != NONE
            here = np.flatnonzero(there & ((seen >= SEEN) | corpus.places[corpus.truths[index]] & (seen > 0)))
            shown.append(corpus.truths[index, here])
            if mirrored:
                wanted = wanted[self.mirrors[lines[wanted]]]
            captions.append(self._caption(index, wanted, here, whole))
            for region in here:
                cover = np.where(grid[:, region] >= 0.25 * grid[:, region].max(), grid[:, region], 0)
                if cover.sum() >= 0.2:
                    view.append(row)
                    regions.append((index, region))
                    weights.append(cover / cover.sum())
        rows, columns = np.array(regions).T
        lines = np.array(captions)
        images = normalise(np.stack(pixels))
        truths = corpus.truths[rows, columns]
        phrases, claims = self._phrases(rows, columns, rng)
        return Batch(
            images,
            chosen,
            np.where(lines >= 0, corpus.captions[chosen, lines], NONE),
            self._captions_true(chosen, lines, shown),
            phrases,
            torch.from_numpy(self.sets[claims] @ (1 - self.sets[truths]).T == 0).T,
            torch.tensor(view),
            torch.from_numpy(np.stack(weights)),
        )

    def _caption(self, index: int, wanted: np.ndarray, here: np.ndarray, whole: bool) -> int:
        """The first of the wanted captions, of a small view the first that is true of the regions in it."""
        if whole:
            return int(wanted[0])
        shown = self.sets[self.corpus.truths[index, here]]
        for line in wanted:
            claims = self.corpus.claims[index, line]
            if self._all_hold(self.sets[claims[claims != NONE]], shown):
                return int(line)
        return NONE

    @staticmethod
    def _all_hold(claims: np.ndarray, shown: np.ndarray) -> bool:
        """Whether each of some claims (C, A) holds of one of the shown things (R, A)."""
        return len(shown) > 0 and bool(((claims @ (1 - shown).T) == 0).any(axis=1).all())

    def _captions_true(self, chosen: np.ndarray, lines: np.ndarray, shown: list[np.ndarray]) -> Tensor:
        owner = np.repeat(np.arange(len(shown)), [len(numbers) for numbers in shown])
        things = self.sets[np.concatenate(shown)]
        claims = self.corpus.claims[chosen, lines]  # (B, CLAIMS)
        holds = self.sets[claims.clip(0)].reshape(claims.size, -1) @ (1 - things).T == 0  # (B * CLAIMS, things)
        per_view = np.zeros((len(shown), claims.size), bool)
        np.logical_or.at(per_view, owner, holds.T)
        per_view = per_view.reshape(len(shown), *claims.shape) | (claims == NONE)
        return torch.from_numpy(per_view.all(axis=2))

    def _phrases(
        self, rows: np.ndarray, columns: np.ndarray, rng: np.random.RandomState
    ) -> tuple[np.ndarray, np.ndarray]:
        """Texts of regions and the attribute sets that they claim: for some objects, their shape alone."""
        corpus = self.corpus
        phrases, claims = corpus.phrases[rows, columns], corpus.phrase_claims[rows, columns]
        shape = corpus.names[claims]
        short = (rng.uniform(size=len(rows)) < NAMED) & (shape != NONE)
        words = corpus.words[claims]
        which = (rng.uniform(size=len(rows)) * (words != NONE).sum(1)).astype(int)
        words = words[np.arange(len(rows)), which]
        return np.where(short, words, phrases), np.where(short, shape, claims)
