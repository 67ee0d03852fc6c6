"""What pretraining reports: zero-shot accuracy, and whether local features say where things are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dev.pretrain_micro import normalise, zero_shot_accuracy
from vlprompt.clip import CLIP
from vlprompt.datasets.generated import generate
from vlprompt.datasets.generated.names import ClassName
from vlprompt.datasets.generated.pretraining import HELD_OUT
from vlprompt.datasets.generated.tasks import labelled_images
from vlprompt.datasets.generated.vocabulary import COMMON_STYLES, PARTS, RARE_STYLES, SHAPES
from vlprompt.evaluation.local_features import INSIDE, ON_OBJECT, cell_shares, points_at

SEED = 7001
TEMPLATE = 'a photo of a {}.'
FILLED = tuple(f'{fill} {shape}' for fill in ('striped', 'dotted') for shape in ('star', 'heart', 'circle', 'square'))
UNSEEN_PARTS = tuple(str(ClassName(shape=shape, part_colour=colour)) for colour, shape in HELD_OUT)
SEEN_PARTS = tuple(
    str(ClassName(shape=shape, part_colour=colour)) for shape in PARTS for colour in ('orange', 'purple')
)
PLACED = tuple(
    str(ClassName(shape=shape, part_colour=colour, place=place))
    for shape in ('house', 'boat', 'mushroom', 'cup')
    for colour in ('orange', 'purple')
    for place in ('grass', 'sand')
)
SETS = {
    'shapes': (tuple(SHAPES), dict(styles=COMMON_STYLES)),
    'fill and shape': (FILLED, dict(styles=COMMON_STYLES)),
    'fill and shape, rare styles': (FILLED, dict(styles=RARE_STYLES)),
    'parts': (SEEN_PARTS, dict(styles=COMMON_STYLES)),
    'unseen parts': (UNSEEN_PARTS, dict(styles=COMMON_STYLES)),
    'parts and places': (PLACED, dict(styles=COMMON_STYLES)),
}
"""Name of a set -> its classes and the options of its scenes, which hold one object each."""


class Evaluation:
    """Held-out scenes, drawn once.

    Args:
        size: side of the images in pixels.
        per_class: scenes of each class.
        scenes: scenes of several objects.
    """

    def __init__(self, size: int, per_class: int = 10, scenes: int = 100) -> None:
        self.sets = {
            name: labelled_images(classes, per_class, SEED, counts=(1,), size=size, radius=(0.16, 0.4), **options)
            for name, (classes, options) in SETS.items()
        }
        options = dict(styles=COMMON_STYLES, counts=(0, 0.35, 0.4, 0.25), radius=(0.12, 0.5), size=size)
        self.scenes = [generate(SEED, index, **options) for index in range(scenes)]

    @property
    def texts(self) -> list[str]:
        """All texts that it asks for."""
        return [TEMPLATE.format(name) for classes, _ in SETS.values() for name in classes]

    @torch.no_grad()
    def measure(self, model: CLIP, tokenizer: Callable[[list[str]], Tensor]) -> dict[str, float]:
        """Percentages: accuracy of each set; pointing and its chance, cells inside of objects that are right."""
        model.eval()
        found = {
            name: zero_shot_accuracy(model, images, labels, SETS[name][0], TEMPLATE, tokenizer)
            for name, (images, labels) in self.sets.items()
        }
        device = next(model.parameters()).device
        names = model.encode_text(tokenizer([TEMPLATE.format(name) for name in SHAPES]).to(device))
        return found | self._local(model, F.normalize(names, dim=-1))

    def _local(self, model: CLIP, names: Tensor) -> dict[str, float]:
        shapes, hits, chance, inside = list(SHAPES), [], [], []
        for scene in self.scenes:
            features = model.encode_image(normalise(scene.image[None]).to(names.device), maps=False)
            scores = (F.normalize(features.local[0], dim=-1) @ names.T).cpu()
            ids = torch.from_numpy(scene.semantic_mask(shapes)).int() - 1
            shares = cell_shares(torch.where(ids < 0, 255, ids), features.grid, len(shapes))
            for label in {shapes.index(item.label) for item in scene.objects}:
                hits.append(points_at(scores[:, label], shares[:, label]))
                chance.append(float((shares[:, label] >= ON_OBJECT).float().mean()))
                cells = shares[:, label] >= INSIDE
                inside += (scores[cells].argmax(1) == label).tolist()
        return dict(pointing=100 * np.mean(hits), chance=100 * np.mean(chance), inside=100 * np.mean(inside))

    def line(self, model: CLIP, tokenizer: Callable[[list[str]], Tensor]) -> str:
        return ', '.join(f'{name} {value:.1f}' for name, value in self.measure(model, tokenizer).items())
