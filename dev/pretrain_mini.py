"""Pretrain the mini image-text models on the built-in world.

``mini-rn`` learns by two contrastive losses: images and captions, and regions (means of local features) and their
phrases; first on small views, then on whole images. ``mini-vit`` has no region loss: its class token learns from the
captions, in the frozen text space of ``mini-rn``, and from the global feature of ``mini-rn`` for the same image.
Each command resumes by itself from ``OUT.resume`` when that exists.

    python -m dev.pretrain_mini --arch mini-rn --out work_dirs/mini-rn.pth
    python -m dev.pretrain_mini --arch mini-vit --out work_dirs/mini-vit.pth --teacher work_dirs/mini-rn.pth
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dev.pretrain_micro import BaseTrainer, TokenSubset, normalise
from dev.pretraining.batches import Batch, Views
from dev.pretraining.corpus import NONE, load_corpus
from dev.pretraining.evaluation import TEMPLATE, Evaluation
from dev.pretraining.objectives import masked_contrast, pool_regions
from vlprompt.clip import build_clip, tokenize
from vlprompt.clip.architectures import architecture_of
from vlprompt.clip.builtin import TOKEN_EMBEDDING, unpack
from vlprompt.clip.tensor_files import read_tensors
from vlprompt.clip.weights import resize_image_positions


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--arch', required=True, help='mini-rn or mini-vit')
    parser.add_argument('--out', type=Path, required=True, help='file for the weights')
    parser.add_argument('--init', metavar='FILE', type=Path, help='weights of micro-rn to begin with, for mini-rn')
    parser.add_argument('--teacher', metavar='FILE', type=Path, help='weights of mini-rn, for mini-vit')
    parser.add_argument('--images', type=int, default=40000, help='number of different images')
    parser.add_argument('--cache', type=Path, default=Path('work_dirs/pretraining'), help='folder for drawn images')
    parser.add_argument('--rare-share', type=float, default=0.06, help='share of scenes in rare styles')
    parser.add_argument('--steps', type=int, default=4000)
    parser.add_argument('--view-steps', type=int, default=2800, help='steps on small views, before those on images')
    parser.add_argument('--view', type=int, default=96, help='side of the small views in pixels')
    parser.add_argument('--batch-size', type=int, default=64)
    parser.add_argument('--lr', type=float, default=1.5e-3)
    parser.add_argument('--weight-decay', type=float, default=0.05)
    parser.add_argument('--warmup', type=int, default=100, help='steps of linear warm-up')
    parser.add_argument('--eval-interval', type=int, default=250, help='steps between evaluations')
    parser.add_argument('--save-minutes', type=float, default=3)
    parser.add_argument('--seed', type=int, default=2027)
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument('--workers', type=int, default=os.cpu_count(), help='processes that draw scenes')
    return parser.parse_args(argv)


class Trainer(BaseTrainer):
    """Images and captions, and regions and phrases or a teacher."""

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__(args)
        self.about = dict(images=args.images)
        arch = self.model.arch
        self.corpus = load_corpus(args.cache, args.images, arch.image_size, args.seed, args.rare_share, args.workers)
        texts = self.corpus.texts
        self.plain, self.lengths = self._ids(texts)
        self.evaluation = Evaluation(arch.image_size)
        self.tokens = TokenSubset(self.plain, tokenize([TEMPLATE.format(''), *self.evaluation.texts]))
        self.plain = self.tokens.renumber(self.plain)
        self.before, self.after = self._frame()
        self.tokens.embed(self.model, args.seed)
        mirrors = np.array([' left of ' not in text and ' right of ' not in text for text in texts])
        self.views = Views(self.corpus, mirrors, arch.cell_size, args.seed)
        if args.init is not None:
            self.begin_with(args.init)
        self.targets = self.learn_from(args.teacher) if args.teacher else None
        self.build_optimizer()

    @staticmethod
    def _ids(texts: list[str]) -> tuple[Tensor, np.ndarray]:
        """Ids (T, L), cut to the longest text, and the length of each."""
        ids = torch.cat([tokenize(texts[start : start + 5000]) for start in range(0, len(texts), 5000)])
        lengths = ids.argmax(dim=1).numpy() + 1
        return ids[:, : lengths.max()].int(), lengths

    def begin_with(self, path: Path) -> None:
        """Begin with trained weights, whose grid may be another one."""
        content = read_tensors(path)
        state, trained = unpack(content), torch.isin(self.tokens.ids, content['token_ids'].long())
        rows = self.model.text.token_embedding.weight.detach().clone()
        rows[trained] = state[TOKEN_EMBEDDING][self.tokens.ids][trained]
        source = architecture_of(state).grid_size
        state = resize_image_positions(state, source, self.model.visual.grid_size)
        self.model.load_state_dict(state | {TOKEN_EMBEDDING: rows})

    @torch.no_grad()
    def learn_from(self, path: Path) -> Tensor:
        """Take the frozen text tower of a teacher; returns its global features (N, D) of all images, normalised."""
        state = unpack(read_tensors(path))
        teacher = build_clip('mini-rn')
        teacher.load_state_dict(state)
        teacher.to(self.device, memory_format=torch.channels_last)
        self.lock_text(state)
        self.model.logit_scale.copy_(state['logit_scale'])
        features = []
        for start in range(0, len(self.corpus), 100):
            images = normalise(np.array(self.corpus.images[start : start + 100]))
            images = images.to(self.device, memory_format=torch.channels_last)
            features.append(F.normalize(teacher.encode_image(images, local=False, maps=False).cls, dim=-1))
        return torch.cat(features)

    def _frame(self) -> tuple[Tensor, Tensor]:
        """Ids of the template before and after the name, with the first and the last token."""
        ids = self.tokens.tokenize([TEMPLATE.format('')])[0]
        ids = ids[: int(ids.argmax()) + 1]
        return ids[:-2], ids[-2:]

    def encode(self, texts: np.ndarray, filled: np.ndarray) -> Tensor:
        """(n, D) features of texts of the corpus, in the template where ``filled``."""
        different, back = np.unique(np.stack([texts, filled]), axis=1, return_inverse=True)
        lines = []
        for text, fill in different.T:
            line = self.plain[text, : self.lengths[text]]
            lines.append(torch.cat([self.before, line[1:-1], self.after]) if fill else line)
        ids = torch.nn.utils.rnn.pad_sequence(lines, batch_first=True)
        return self.model.encode_text(ids.to(self.device))[torch.from_numpy(back.reshape(-1)).to(self.device)]

    def batches(self) -> Iterator[Batch]:
        """Small views at first, then whole images."""
        args, whole = self.args, self.model.arch.image_size
        for step in range(self.first, args.steps):
            yield self.views.batch(step, args.batch_size, args.view if step < args.view_steps else whole)

    def losses(self, step: int, batch: Batch) -> list[Tensor]:
        """Of captions, and of regions or the teacher's features."""
        images = batch.images.to(self.device, memory_format=torch.channels_last)
        regions = self.targets is None
        features = self.model.encode_image(images, local=regions, maps=False)
        scale = self.model.logit_scale.exp()
        told = np.flatnonzero(batch.captions != NONE)
        rows = torch.from_numpy(told)
        texts = self.encode(batch.captions[told], np.zeros(len(told), np.int64))
        truth = batch.caption_truth[rows][:, rows].to(self.device)
        terms = [masked_contrast(features.cls[rows.to(self.device)], texts, truth, scale)]
        if regions:
            filled = np.random.RandomState([self.args.seed, 3, step]).randint(2, size=len(batch.phrases))
            phrases = self.encode(batch.phrases, filled)
            pooled = pool_regions(features.local, batch.view.to(self.device), batch.weights.to(self.device))
            terms.append(masked_contrast(pooled, phrases, batch.phrase_truth.to(self.device), scale))
        else:
            cosine = F.cosine_similarity(features.cls, self.targets[torch.from_numpy(batch.index)])
            terms.append(5 * (1 - cosine).mean())
        return terms

    def report(self, step: int) -> None:
        print(f'step {step}: {self.evaluation.line(self.model, self.tokens.tokenize)}', flush=True)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(1)
    Trainer(args).run()


if __name__ == '__main__':
    main()
