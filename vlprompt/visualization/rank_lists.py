"""Rank lists: a query and its nearest gallery images, right ones framed green and wrong ones red."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw

from vlprompt.evaluation.ranking import (
    Descriptors,
    DistanceRows,
    counted_rows,
    nearest,
    score_queries,
)
from vlprompt.visualization.predictions import NEUTRAL, RIGHT, TEXT, WRONG, scaled_to_height, write

HEIGHT, FRAME, GAP, LINE = 160, 4, 8, 18


@dataclass(frozen=True)
class RankList:
    """Result of one query.

    Attributes:
        query: position of the query among the queries.
        gallery: (k,) positions of the nearest gallery images, nearest first.
        distances: (k,) to the query.
        right: (k,) bool, whether they show the same identity.
        ap: average precision of the whole ranking, in [0, 1]; None if the gallery has no right image.
    """

    query: int
    gallery: np.ndarray
    distances: np.ndarray
    right: np.ndarray
    ap: float | None


def rank_lists(
    rows: DistanceRows, query: Descriptors, gallery: Descriptors, k: int = 10, remove_same_camera: bool = True
) -> list[RankList]:
    """The rank list of every query that has a right image, the one with the lowest average precision first.

    Args:
        rows: gives distances, see :func:`~vlprompt.evaluation.ranking.euclidean_rows`.
        query: Q images.
        gallery: G images.
        k: length of the lists, without gallery images that are ignored for the query.
        remove_same_camera: ignore images of the query's identity from the query's camera.

    Raises:
        ValueError: no query has a right image.
    """
    scores = score_queries(rows, query, gallery, remove_same_camera)
    if not scores.matches.any():
        raise ValueError(
            'no query has an image of its identity from another camera in the gallery; if cameras are unknown, count '
            'all images with remove_same_camera=False (--keep-same-camera)'
        )
    counted = counted_rows(rows, query, gallery, remove_same_camera)
    size = len(gallery.pids)
    positions, distances, _ = nearest(counted, len(query.pids), size, min(k, size))
    lists = []
    for i in torch.nonzero(scores.matches)[:, 0].tolist():
        found = np.isfinite(distances[i])
        right = gallery.pids[positions[i][found]].cpu().numpy() == int(query.pids[i])
        lists.append(RankList(i, positions[i][found], distances[i][found], right, float(scores.ap[i])))
    return sorted(lists, key=lambda ranked: ranked.ap)


def draw_rank_lists(
    rows: Sequence[tuple[RankList, np.ndarray, Sequence[np.ndarray]]],
    captions: Sequence[tuple[str, Sequence[str]]],
    title: str = '',
) -> Image.Image:
    """One line of images for each query.

    Args:
        rows: the list, the query's image (H, W, 3) uint8 and those of the gallery images in the list's order.
        captions: text below the query and below each gallery image.
        title: first line.
    """
    thumbnails = [[scaled_to_height(image, HEIGHT) for image in (query, *found)] for _, query, found in rows]
    columns = max(map(len, thumbnails))
    cell = max(image.width for line in thumbnails for image in line) + 2 * FRAME + GAP
    step = HEIGHT + 2 * FRAME + LINE + GAP
    head = LINE + GAP if title else 0
    canvas = Image.new('RGB', (columns * cell + 4 * GAP, head + len(rows) * step + GAP), 'white')
    draw = ImageDraw.Draw(canvas)
    if title:
        write(draw, (GAP, GAP + LINE // 2), title, bold=True)
    for number, ((ranked, _, _), line, (own, others)) in enumerate(zip(rows, thumbnails, captions, strict=True)):
        top = head + GAP + number * step
        colours = [NEUTRAL, *(RIGHT if right else WRONG for right in ranked.right)]
        for column, (image, colour, caption) in enumerate(zip(line, colours, (own, *others), strict=True)):
            left = GAP + column * cell + (2 * GAP if column else 0)
            draw.rectangle((left, top, left + image.width + 2 * FRAME - 1, top + HEIGHT + 2 * FRAME - 1), fill=colour)
            canvas.paste(image, (left + FRAME, top + FRAME))
            place = (left, top + HEIGHT + 2 * FRAME + LINE // 2)
            write(draw, place, caption, TEXT if colour == NEUTRAL else colour, size=11)
    return canvas
