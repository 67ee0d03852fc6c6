"""Train a micro image-text model from random initialisation on captioned scenes of the built-in world.

Plain CLIP training: two towers, one symmetric contrastive loss. Resumes by itself from ``OUT.resume`` when that exists.

    python dev/pretrain_micro.py --arch micro-rn --out work_dirs/micro-rn.pth
    python dev/pretrain_micro.py --arch micro-vit --out work_dirs/micro-vit.pth --text-from work_dirs/micro-rn.pth
    python dev/pretrain_micro.py --arch micro-rn --evaluate vlprompt/clip/pretrained/micro-rn.pth
"""

import argparse
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vlprompt.clip import CLIP, build_clip, tokenize
from vlprompt.clip.builtin import TOKEN_EMBEDDING, pack, seeded_token_embedding, unpack
from vlprompt.clip.tensor_files import read_tensors
from vlprompt.datasets.generated import SCENE_CLASSES, generate, pretraining_options
from vlprompt.datasets.generated.tasks import FEW_SHOT_OPTIONS, labelled_images
from vlprompt.datasets.generated.vocabulary import COMMON_STYLES, RARE_STYLES, SHAPES
from vlprompt.files import read_json

MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
MAX_LOGIT_SCALE = math.log(100)
HELD_OUT_SEED = 7001


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--arch', required=True, help='micro-rn or micro-vit (any architecture name works)')
    parser.add_argument('--out', type=Path, help='file for the weights')
    parser.add_argument('--evaluate', metavar='FILE', type=Path, help='only print zero-shot accuracies')
    parser.add_argument('--scenes', type=int, default=64000, help='number of different captioned scenes')
    parser.add_argument('--cache', type=Path, default=Path('work_dirs/pretrain_scenes'), help='folder for drawn scenes')
    parser.add_argument('--rare-share', type=float, default=0.06, help='share of scenes in rare styles')
    parser.add_argument('--steps', type=int, default=6000)
    parser.add_argument('--batch-size', type=int, default=64)
    parser.add_argument('--lr', type=float, default=1e-3)
    parser.add_argument('--weight-decay', type=float, default=0.05)
    parser.add_argument('--warmup', type=int, default=100, help='steps of linear warm-up')
    parser.add_argument('--eval-interval', type=int, default=250, help='steps between zero-shot evaluations')
    parser.add_argument('--eval-per-class', type=int, default=12)
    parser.add_argument('--save-minutes', type=float, default=3)
    parser.add_argument(
        '--text-from', metavar='FILE', type=Path, help='take the text tower from these weights and keep it fixed'
    )
    parser.add_argument('--seed', type=int, default=2026)
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument('--workers', type=int, default=os.cpu_count(), help='processes that draw scenes')
    args = parser.parse_args(argv)
    if (args.out is None) == (args.evaluate is None):
        parser.error('give either --out (train) or --evaluate')
    return args


# Data


def draw_scene(job: tuple[int, int, int, float]) -> tuple[np.ndarray, list[str]]:
    seed, index, size, rare_share = job
    cv2.setNumThreads(1)
    scene = generate(seed, index, size=size, **pretraining_options(rare_share))
    return scene.image, scene.captions


def captioned_scenes(args: argparse.Namespace, size: int) -> tuple[np.ndarray, list[list[str]]]:
    """Images (N, H, W, 3) uint8 as a memory map, and four captions for each; drawn once and kept in ``--cache``."""
    stem = f'seed{args.seed}_n{args.scenes}_size{size}_rare{args.rare_share:g}'
    pixels, texts = args.cache / f'{stem}.npy', args.cache / f'{stem}.json'
    if not texts.is_file():  # written last, so its presence says that both are complete
        args.cache.mkdir(parents=True, exist_ok=True)
        images = np.lib.format.open_memmap(pixels, 'w+', np.uint8, (args.scenes, size, size, 3))
        jobs = ((args.seed, index, size, args.rare_share) for index in range(args.scenes))
        captions, start = [], time.time()
        with Pool(args.workers) as pool:
            for index, (image, lines) in enumerate(pool.imap(draw_scene, jobs, chunksize=64)):
                images[index] = image
                captions.append(lines)
        images.flush()
        texts.write_text(json.dumps(captions))
        print(f'drew {args.scenes} scenes in {time.time() - start:.0f} s', flush=True)
    return np.load(pixels, mmap_mode='r'), read_json(texts)


def tokenize_all(captions: list[list[str]]) -> tuple[Tensor, Tensor]:
    """Ids (N, M, L) of M captions a scene, cut to the longest, and (N, M) whether the picture may be mirrored."""
    flat = [caption for lines in captions for caption in lines]
    ids = tokenize(flat)
    length = int(ids.argmax(dim=1).max()) + 1
    mirrors = torch.tensor([' left of ' not in text and ' right of ' not in text for text in flat])
    return ids[:, :length].reshape(len(captions), -1, length), mirrors.reshape(len(captions), -1)


def augment(image: np.ndarray, rng: np.random.RandomState, mirror: bool) -> np.ndarray:
    """Zoom by up to 15 %, shift by up to 8 %, mirror where the caption allows it, vary brightness and contrast."""
    size = image.shape[0]
    zoom = rng.uniform(0.85, 1.15)
    shift = rng.uniform(-0.08, 0.08, 2) * size + (1 - zoom) * size / 2
    flip = mirror and rng.rand() < 0.5
    matrix = np.float32([[-zoom if flip else zoom, 0, size - shift[0] if flip else shift[0]], [0, zoom, shift[1]]])
    moved = cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return cv2.convertScaleAbs(moved, alpha=rng.uniform(0.85, 1.15), beta=rng.uniform(-12, 12))


def normalise(images: np.ndarray) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) fp32, CLIP's mean and deviation."""
    return (torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255 - MEAN) / STD


def batches(
    images: np.ndarray, ids: Tensor, mirrors: Tensor, args: argparse.Namespace, first: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches from ``first`` on: images (B, 3, H, W) and ids (B, L). Batch n is a function of the seed and n alone."""
    per_epoch = len(images) // args.batch_size
    for step in range(first, args.steps):
        epoch, position = divmod(step, per_epoch)
        order = np.random.RandomState([args.seed, 1, epoch]).permutation(len(images))
        chosen = np.sort(order[position * args.batch_size : (position + 1) * args.batch_size])
        rng = np.random.RandomState([args.seed, 2, step])
        which = rng.randint(ids.shape[1], size=len(chosen))
        pixels = np.stack(
            [augment(images[i], rng, bool(mirrors[i, line])) for i, line in zip(chosen, which, strict=True)]
        )
        text = ids[chosen, which]
        yield normalise(pixels), text[:, : int(text.argmax(dim=1).max()) + 1]


# Model


def contrastive_loss(image: Tensor, text: Tensor, scale: Tensor) -> Tensor:
    """Mean of the cross-entropies image -> text and text -> image over the batch. ``image``, ``text``: (B, D)."""
    logits = scale * F.normalize(image, dim=-1) @ F.normalize(text, dim=-1).T
    target = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


class TokenSubset:
    """The tokens that occur in some ids, renumbered in the order of their ids (so the end token stays the largest).

    Training embeds only these: the other 49,000 rows would cost the optimiser time and never change.
    """

    def __init__(self, *ids: Tensor) -> None:
        self.ids = torch.cat([part.flatten() for part in ids]).unique()

    def renumber(self, ids: Tensor) -> Tensor:
        """Ids of CLIP's vocabulary -> row numbers of the subset, any shape.

        Raises:
            ValueError: a token that is not in the subset.
        """
        rows = torch.searchsorted(self.ids, ids.contiguous()).clamp(max=len(self.ids) - 1)
        if not torch.equal(self.ids[rows], ids):
            strange = ids[self.ids[rows] != ids].unique().tolist()
            raise ValueError(f'tokens {strange} occur neither in the captions nor in the class names')
        return rows

    def tokenize(self, texts: list[str]) -> Tensor:
        return self.renumber(tokenize(texts))

    def embed(self, model: CLIP, seed: int) -> None:
        """Replace the model's token embedding by the subset's rows of the seeded one, in place."""
        rows = seeded_token_embedding(*model.text.token_embedding.weight.shape, seed)[self.ids]
        model.text.token_embedding = torch.nn.Embedding.from_pretrained(rows, freeze=False)

    def full_state(self, model: CLIP, seed: int) -> dict[str, Tensor]:
        """The model's state dict with the embeddings of the whole vocabulary."""
        state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
        rows = state[TOKEN_EMBEDDING]
        state[TOKEN_EMBEDDING] = seeded_token_embedding(model.arch.vocab_size, rows.shape[1], seed)
        state[TOKEN_EMBEDDING][self.ids] = rows
        return state


def parameter_groups(model: CLIP, weight_decay: float) -> list[dict]:
    """Weight decay for matrices and convolutions only, not for embeddings, norms, biases and the logit scale."""
    decayed, plain = [], []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        matrix = parameter.dim() > 1 and 'embedding' not in name
        (decayed if matrix else plain).append(parameter)
    return [dict(params=decayed, weight_decay=weight_decay), dict(params=plain, weight_decay=0.0)]


def learning_rate(step: int, args: argparse.Namespace) -> float:
    """Linear warm-up, then half a cosine to zero."""
    if step < args.warmup:
        return args.lr * (step + 1) / args.warmup
    return args.lr * 0.5 * (1 + math.cos(math.pi * (step - args.warmup) / max(1, args.steps - args.warmup)))


@torch.no_grad()
def zero_shot_accuracy(
    model: CLIP,
    images: np.ndarray,
    labels: np.ndarray,
    names: tuple[str, ...] | list[str],
    template: str = 'a photo of a {}.',
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


def held_out_sets(per_class: int, size: int) -> dict[str, tuple]:
    """Name -> (images, labels, class names) of the zero-shot sets that training logs."""
    kinds = {
        'shapes, common styles': (tuple(SHAPES), dict(styles=COMMON_STYLES)),
        'classes, common styles': (SCENE_CLASSES, dict(styles=COMMON_STYLES)),
        'classes, rare styles': (SCENE_CLASSES, dict(styles=RARE_STYLES)),
        'few-shot task': (SCENE_CLASSES, FEW_SHOT_OPTIONS),
    }
    sets = {}
    for name, (classes, options) in kinds.items():
        options = dict(counts=(1,), size=size) | options
        sets[name] = (*labelled_images(classes, per_class, HELD_OUT_SEED, **options), classes)
    return sets


class BaseTrainer:
    """Model, optimiser and files of one training run; subclasses have the batches, the loss and the report.

    Attributes:
        about: what the file of the weights says of the run, beside architecture, steps, batch size and time.
        tokens: the words that are trained.
    """

    about: dict[str, int]
    tokens: TokenSubset

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
        torch.manual_seed(args.seed)
        self.model = build_clip(args.arch)
        self.first, self.seconds = 0, 0.0
        self.resume_file = args.out.with_name(f'{args.out.name}.resume')

    def build_optimizer(self) -> None:
        """Move the model to the device; what is frozen by now stays as it is."""
        self.model.to(self.device, memory_format=torch.channels_last)
        groups = parameter_groups(self.model, self.args.weight_decay)
        self.optimizer = torch.optim.AdamW(groups, lr=self.args.lr, betas=(0.9, 0.98), eps=1e-6)

    def lock_text(self, state: dict[str, Tensor]) -> None:
        """Copy the text tower of trained weights and freeze it, so that only the image tower learns."""
        text = {key.removeprefix('text.'): value for key, value in state.items() if key.startswith('text.')}
        name = TOKEN_EMBEDDING.removeprefix('text.')
        self.model.text.load_state_dict(text | {name: text[name][self.tokens.ids]})
        self.model.text.requires_grad_(False)

    def resume(self) -> None:
        """Continue from the last save, if there is one."""
        if self.resume_file.is_file():
            state = read_tensors(self.resume_file)
            self.model.load_state_dict(state['model'])
            self.optimizer.load_state_dict(state['optimizer'])
            self.first, self.seconds = state['step'], state['seconds']
            print(f'resumed from {self.resume_file} at step {self.first}', flush=True)

    def save(self, step: int, seconds: float) -> None:
        """Write what a later run needs to continue, and the compact weights."""
        args = self.args
        args.out.parent.mkdir(parents=True, exist_ok=True)
        state = dict(model=self.model.state_dict(), optimizer=self.optimizer.state_dict(), step=step, seconds=seconds)
        unfinished = self.resume_file.with_suffix('.tmp')
        torch.save(state, unfinished)
        os.replace(unfinished, self.resume_file)
        meta = dict(arch=args.arch, steps=step, batch_size=args.batch_size, seconds=round(seconds)) | self.about
        torch.save(pack(self.tokens.full_state(self.model, args.seed), self.tokens.ids, args.seed) | meta, args.out)

    def batches(self) -> Iterator[Any]:
        """Batches from that of step ``first`` on."""
        raise NotImplementedError

    def losses(self, step: int, batch: Any) -> list[Tensor]:
        """Terms of the loss of a batch."""
        raise NotImplementedError

    def report(self, step: int) -> None:
        """Print how good the model is."""
        raise NotImplementedError

    def step(self, step: int, batch: Any) -> list[float]:
        """Update once; returns the terms of the loss."""
        self.model.train()
        for group in self.optimizer.param_groups:
            group['lr'] = learning_rate(step, self.args)
        terms = self.losses(step, batch)
        self.optimizer.zero_grad(set_to_none=True)
        sum(terms).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(max=MAX_LOGIT_SCALE)
        return [term.item() for term in terms]

    def run(self) -> None:
        args = self.args
        self.resume()
        start = saved = time.time()
        losses = []
        for done, batch in enumerate(self.batches(), start=self.first + 1):
            losses.append(self.step(done - 1, batch))
            if done % 20 == 0:
                speed = (done - self.first) * args.batch_size / (time.time() - start)
                terms = ' '.join(f'{value:.3f}' for value in np.mean(losses[-20:], axis=0))
                print(
                    f'step {done}/{args.steps} loss {terms} '
                    f'scale {self.model.logit_scale.exp().item():.1f} {speed:.0f} images/s, '
                    f'{(args.steps - done) * args.batch_size / speed / 60:.0f} min left',
                    flush=True,
                )
            if done % args.eval_interval == 0:
                self.report(done)
            if time.time() - saved > 60 * args.save_minutes:
                saved = time.time()
                self.save(done, self.seconds + saved - start)
        self.save(args.steps, self.seconds + time.time() - start)
        self.report(args.steps)
        print(f'wrote {args.out}', flush=True)


class Trainer(BaseTrainer):
    """Images and captions: one contrastive loss."""

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__(args)
        self.about = dict(scenes=args.scenes)
        size = self.model.arch.image_size
        self.images, captions = captioned_scenes(args, size)
        ids, self.mirrors = tokenize_all(captions)
        self.tokens = TokenSubset(ids, tokenize([*SHAPES, *SCENE_CLASSES, 'a photo of a .']))
        self.ids = self.tokens.renumber(ids)
        self.tokens.embed(self.model, args.seed)
        if args.text_from is not None:
            self.lock_text(unpack(read_tensors(args.text_from)))
        self.build_optimizer()
        self.held_out = held_out_sets(args.eval_per_class, size)

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        return batches(self.images, self.ids, self.mirrors, self.args, self.first)

    def losses(self, step: int, batch: tuple[Tensor, Tensor]) -> list[Tensor]:
        """Of images (B, 3, H, W) and renumbered ids (B, L)."""
        images, ids = batch
        image = self.model.encode_image(images.to(self.device), local=False, maps=False).cls
        text = self.model.encode_text(ids.to(self.device))
        return [contrastive_loss(image, text, self.model.logit_scale.exp())]

    def report(self, step: int) -> None:
        accuracies = [
            f'{name} {zero_shot_accuracy(self.model, *data, tokenizer=self.tokens.tokenize):.1f}'
            for name, data in self.held_out.items()
        ]
        print(f'step {step} zero-shot: {", ".join(accuracies)}', flush=True)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(1)
    if args.evaluate is None:
        Trainer(args).run()
        return
    model = build_clip(args.arch)
    model.load_state_dict(unpack(read_tensors(args.evaluate)))
    for name, data in held_out_sets(args.eval_per_class, model.arch.image_size).items():
        print(f'{name}: {zero_shot_accuracy(model, *data):.1f} % of {len(data[1])} images, {len(data[2])} classes')


if __name__ == '__main__':
    main()
