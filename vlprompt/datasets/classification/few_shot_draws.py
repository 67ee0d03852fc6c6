"""Draws of k-shot experiments, and the halving of classes for base-to-new experiments."""

from __future__ import annotations

import random
from collections.abc import Sequence

from vlprompt.clip.classnames import subset_range
from vlprompt.datasets.classification.items import Item

MAX_VAL_SHOTS = 4
DRAWS = ('coop', 'clip-lora')


def draw_shots(items: Sequence[Item], shots: int, rng: random.Random, repeat: bool = False) -> list[Item]:
    """Draw ``shots`` images of every class.

    Classes are visited in the order of their first appearance in ``items``, which decides the draws; a class
    with fewer images than ``shots`` is kept whole and draws no random number.

    Args:
        items: to draw from.
        shots: images per class.
        rng: source of random numbers.
        repeat: draw from a class with fewer images with replacement instead.

    Returns:
        The drawn items, grouped by class.
    """
    groups: dict[int, list[Item]] = {}
    for item in items:
        groups.setdefault(item.label, []).append(item)
    drawn: list[Item] = []
    for group in groups.values():
        if len(group) >= shots:
            drawn += rng.sample(group, shots)
        else:
            drawn += rng.choices(group, k=shots) if repeat else group
    return drawn


def draw_few_shot(
    train: Sequence[Item],
    val: Sequence[Item],
    shots: int,
    seed: int,
    draw: str = 'coop',
    val_shots: int | None = None,
) -> tuple[list[Item], list[Item]]:
    """The k-shot training and validation sets of one seed, number for number as published.

    * ``'coop'``, the CoOp-family papers: ``random.seed(seed)``, then k images per training class, then min(k, 4), or
      ``val_shots``, per validation class from the same generator; classes with fewer images are kept whole.
    * ``'clip-lora'``, CLIP-LoRA and CLIP-SVD: the validation set first, then the training set; classes with fewer
      images are drawn from with replacement.  (Of ImageNet the published code draws both from the training images at
      once, which is not done here.)

    Returns:
        ``(train, val)``.
    """
    rng = random.Random(seed)
    val_shots = val_shots or min(shots, MAX_VAL_SHOTS)
    if draw == 'clip-lora':
        drawn_val = draw_shots(val, val_shots, rng, repeat=True)
        return draw_shots(train, shots, rng, repeat=True), drawn_val
    return draw_shots(train, shots, rng), draw_shots(val, val_shots, rng)


def take_subset(items: Sequence[Item], num_classes: int, subset: str) -> list[Item]:
    """Keep the base (first ceil(C / 2)) or new classes and renumber them from 0; ``'all'`` changes nothing."""
    first, last = subset_range(num_classes, subset)
    return [item._replace(label=item.label - first) for item in items if first <= item.label < last]
