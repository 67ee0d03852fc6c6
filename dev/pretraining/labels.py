"""Pretraining on labels, as on ImageNet: scenes of the first stage, each with the shape of its main object."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dev.pretraining.captions import IMAGE_SIZE, augment, captioned_scenes
from dev.pretraining.evaluation import SETS, Evaluation
from dev.pretraining.pixels import normalise
from dev.pretraining.trainer import TokenSubset, Trainer
from vlprompt.clip import build_clip, tokenize
from vlprompt.datasets.generated import pretraining_options, sample_spec
from vlprompt.datasets.generated.vocabulary import SHAPES


class LabelTrainer(Trainer):
    """Images and labels: cross-entropy of a linear head on the global feature, label smoothing 0.1.

    The image tower is trained; the text tower keeps its random initialisation.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__(args, build_clip(args.arch, image_size=IMAGE_SIZE, vision=dict(last_stride=2)))
        self.about = dict(images=args.images)
        self.images, _ = captioned_scenes(args, IMAGE_SIZE)
        self.labels = scene_labels(args.seed, args.images, args.rare_share)
        self.evaluation = Evaluation(IMAGE_SIZE, dict(shapes=SETS['shapes']), scenes=0)
        self.tokens = TokenSubset(tokenize(['']))
        self.tokens.embed(self.model, args.seed)
        self.model.text.requires_grad_(False)
        self.model.logit_scale.requires_grad_(False)
        self.head = nn.Linear(self.model.embed_dim, len(SHAPES))
        self.trained = nn.ModuleDict(dict(model=self.model, head=self.head))
        self.build_optimizers()

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (B, 3, H, W) and labels (B,); batch n is a function of the seed and n alone."""
        for chosen, rng in self.shuffled(len(self.images)):
            pixels = np.stack([augment(self.images[index], rng, mirror=True) for index in chosen])
            yield normalise(pixels), self.labels[chosen]

    def losses(self, step: int, batch: tuple[Tensor, Tensor]) -> list[Tensor]:
        images, labels = batch
        scores = self._scores(images)
        return [F.cross_entropy(scores, labels.to(self.device), label_smoothing=0.1)]

    def _scores(self, images: Tensor) -> Tensor:
        images = images.to(self.device, memory_format=torch.channels_last)
        return self.head(self.model.encode_image(images, local=False, maps=False).cls)

    @torch.no_grad()
    def report(self, step: int) -> None:
        """Accuracy on scenes of single objects that are not trained on."""
        self.trained.eval()
        images, labels = self.evaluation.images['shapes']
        scores = torch.cat([self._scores(normalise(part)) for part in np.array_split(images, 4)])
        accuracy = 100 * float((scores.argmax(1).cpu().numpy() == labels).mean())
        print(f'step {step}: shapes {accuracy:.1f}', flush=True)


def scene_labels(seed: int, count: int, rare_share: float) -> Tensor:
    """(count,) the shape of the main object of each captioned scene, as a position in ``SHAPES``."""
    options, shapes = pretraining_options(rare_share), list(SHAPES)
    specs = (sample_spec(np.random.RandomState([seed, index]), size=IMAGE_SIZE, **options) for index in range(count))
    return torch.tensor([shapes.index(spec.main.shape) for spec in specs])
