"""What pretraining reports: zero-shot accuracy, and whether local features say where things are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dev.pretraining.pixels import normalise
from vlprompt.clip import CLIP, tokenize
from vlprompt.datasets.generated import Scene, generate
from vlprompt.datasets.generated.names import ClassName
from vlprompt.datasets.generated.pretraining import HELD_OUT
from vlprompt.datasets.generated.tasks import labelled_images
from vlprompt.datasets.generated.vocabulary import COMMON_STYLES, PARTS, RARE_STYLES, SHAPES
from vlprompt.evaluation.local_features import UNNAMED, LocalFeatureMeasures

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

FILLED_SETS = {name: content for name, content in SETS.items() if 'parts' not in name}
"""The sets without parts, which the first stage does not show."""


@torch.no_grad()
def zero_shot_accuracy(
    model: CLIP,
    images: np.ndarray,
    labels: np.ndarray,
    names: Sequence[str],
    template: str = TEMPLATE,
    tokenizer: Callable[[list[str]], Tensor] = tokenize,
) -> float:
    """Top-1 accuracy in percent of images (N, H, W, 3) uint8 against the template filled with each name."""
    model.eval()
    device = next(model.parameters()).device
    text = F.normalize(model.encode_text(tokenizer([template.format(name) for name in names]).to(device)), dim=-1)
    predicted = []
    for start in range(0, len(images), 200):
        batch = normalise(images[start : start + 200]).to(device)
        image = F.normalize(model.encode_image(batch, local=False, maps=False).cls, dim=-1)
        predicted.append((image @ text.T).argmax(dim=1).cpu())
    return 100 * float((torch.cat(predicted).numpy() == labels).mean())


class Evaluation:
    """Held-out scenes, drawn when they are first needed.

    Args:
        size: side of the images in pixels.
        sets: zero-shot sets as in :data:`SETS`.
        per_class: scenes of each class.
        scenes: scenes of several objects, in which local features are measured.
    """

    def __init__(self, size: int, sets: Mapping[str, tuple] = SETS, per_class: int = 10, scenes: int = 100) -> None:
        self.size, self.sets, self.per_class, self.number = size, sets, per_class, scenes

    @cached_property
    def images(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Images and labels of every set."""
        options = dict(counts=(1,), size=self.size, radius=(0.16, 0.4))
        return {
            name: labelled_images(classes, self.per_class, SEED, **options, **style)
            for name, (classes, style) in self.sets.items()
        }

    @cached_property
    def scenes(self) -> list[Scene]:
        options = dict(styles=COMMON_STYLES, counts=(0, 0.35, 0.4, 0.25), radius=(0.12, 0.5), size=self.size)
        return [generate(SEED, index, **options) for index in range(self.number)]

    @property
    def texts(self) -> list[str]:
        """All texts that it asks for."""
        return [TEMPLATE.format(name) for classes, _ in self.sets.values() for name in classes]

    @torch.no_grad()
    def measure(self, model: CLIP, tokenizer: Callable[[list[str]], Tensor]) -> dict[str, float]:
        """Percentages: accuracy of each set, and what local features say of shapes."""
        model.eval()
        found = {
            name: zero_shot_accuracy(model, images, labels, self.sets[name][0], TEMPLATE, tokenizer)
            for name, (images, labels) in self.images.items()
        }
        device = next(model.parameters()).device
        names = model.encode_text(tokenizer([TEMPLATE.format(name) for name in SHAPES]).to(device))
        return found | (self._local(model, F.normalize(names, dim=-1)) if self.number else {})

    def _local(self, model: CLIP, names: Tensor) -> dict[str, float]:
        shapes, measures = list(SHAPES), LocalFeatureMeasures(len(SHAPES))
        for scene in self.scenes:
            features = model.encode_image(normalise(scene.image[None]).to(names.device), maps=False)
            scores = F.normalize(features.local[0], dim=-1) @ names.T
            ids = torch.from_numpy(scene.semantic_mask(shapes)).int() - 1
            measures.add(scores, torch.where(ids < 0, UNNAMED, ids), features.grid)
        return {name: measures.result()[name] for name in ('pointing', 'pointing_chance', 'cells_inside', 'miou')}

    def line(self, model: CLIP, tokenizer: Callable[[list[str]], Tensor]) -> str:
        return ', '.join(f'{name} {value:.1f}' for name, value in self.measure(model, tokenizer).items())
