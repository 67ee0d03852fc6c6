"""The first stage: scenes, most of them of one object, and their captions; plain CLIP training."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from dev.pretraining.batches import take_view, view_matrix
from dev.pretraining.evaluation import FILLED_SETS, Evaluation
from dev.pretraining.objectives import contrastive_loss
from dev.pretraining.pixels import normalise
from dev.pretraining.trainer import TokenSubset, Trainer, may_be_mirrored
from vlprompt.clip import build_clip, tokenize
from vlprompt.datasets.generated import generate, pretraining_options
from vlprompt.datasets.generated.workers import drawing_pool
from vlprompt.files import read_json

IMAGE_SIZE = 128
"""Side of the images in pixels; with a total stride of 32, a quarter of the second stage's work per image."""


def draw_scene(job: tuple[int, int, int, float]) -> tuple[np.ndarray, list[str]]:
    seed, index, size, rare_share = job
    scene = generate(seed, index, size=size, **pretraining_options(rare_share))
    return scene.image, scene.captions


def captioned_scenes(args: argparse.Namespace, size: int) -> tuple[np.ndarray, list[list[str]]]:
    """Images (N, H, W, 3) uint8 as a memory map, and four captions for each; drawn once and kept in ``--cache``."""
    stem = f'captions_seed{args.seed}_n{args.images}_size{size}_rare{args.rare_share:g}'
    pixels, texts = args.cache / f'{stem}.npy', args.cache / f'{stem}.json'
    if not texts.is_file():  # written last, so its presence says that both are complete
        args.cache.mkdir(parents=True, exist_ok=True)
        images = np.lib.format.open_memmap(pixels, 'w+', np.uint8, (args.images, size, size, 3))
        jobs = ((args.seed, index, size, args.rare_share) for index in range(args.images))
        captions, start = [], time.time()
        with drawing_pool(args.workers) as pool:
            for index, (image, lines) in enumerate(pool.imap(draw_scene, jobs, chunksize=64)):
                images[index] = image
                captions.append(lines)
        images.flush()
        texts.write_text(json.dumps(captions))
        print(f'drew {args.images} scenes in {time.time() - start:.0f} s', flush=True)
    return np.load(pixels, mmap_mode='r'), read_json(texts)


def tokenize_all(captions: list[list[str]]) -> tuple[Tensor, Tensor]:
    """Ids (N, M, L) of M captions a scene, cut to the longest, and (N, M) whether the picture may be mirrored."""
    flat = [caption for lines in captions for caption in lines]
    ids = tokenize(flat)
    length = int(ids.argmax(dim=1).max()) + 1
    mirrors = torch.tensor([may_be_mirrored(text) for text in flat])
    return ids[:, :length].reshape(len(captions), -1, length), mirrors.reshape(len(captions), -1)


def augment(image: np.ndarray, rng: np.random.RandomState, mirror: bool) -> np.ndarray:
    """A view of the whole image, mirrored where the caption allows it."""
    size = image.shape[0]
    return take_view(image, view_matrix(rng, size, size, mirror, (size / 2, size / 2)), size, rng)


class CaptionTrainer(Trainer):
    """Images and captions: one contrastive loss."""

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__(args, build_clip(args.arch, image_size=IMAGE_SIZE, vision=dict(last_stride=2)))
        self.about = dict(images=args.images)
        self.images, captions = captioned_scenes(args, IMAGE_SIZE)
        ids, self.mirrors = tokenize_all(captions)
        self.evaluation = Evaluation(IMAGE_SIZE, FILLED_SETS, scenes=0)
        self.tokens = TokenSubset(ids, tokenize(self.evaluation.texts))
        self.ids = self.tokens.renumber(ids)
        self.tokens.embed(self.model, args.seed)
        self.build_optimizers()

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Batch n is a function of the seed and n alone: images (B, 3, H, W) and ids (B, L)."""
        for chosen, rng in self.shuffled(len(self.images)):
            which = rng.randint(self.ids.shape[1], size=len(chosen))
            pixels = [
                augment(self.images[i], rng, bool(self.mirrors[i, line])) for i, line in zip(chosen, which, strict=True)
            ]
            text = self.ids[chosen, which]
            yield normalise(np.stack(pixels)), text[:, : int(text.argmax(dim=1).max()) + 1]

    def losses(self, step: int, batch: tuple[Tensor, Tensor]) -> list[Tensor]:
        """Of images (B, 3, H, W) and renumbered ids (B, L)."""
        images, ids = batch
        image = self.model.encode_image(images.to(self.device), local=False, maps=False).cls
        text = self.model.encode_text(ids.to(self.device))
        return [contrastive_loss(image, text, self.model.logit_scale.exp())]
