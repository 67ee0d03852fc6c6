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
import time
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dev.pretrain_micro import MAX_LOGIT_SCALE, TokenSubset, learning_rate, parameter_groups
from dev.pretraining.batches import MEAN, STD, Batch, Views
from dev.pretraining.corpus import NONE, load_corpus
from dev.pretraining.evaluation import Evaluation
from dev.pretraining.objectives import masked_contrast, pool_regions
from vlprompt.clip import build_clip, tokenize
from vlprompt.clip.builtin import TOKEN_EMBEDDING, pack, unpack
from vlprompt.clip.tensor_files import read_tensors

TEMPLATE = 'a photo of a {}.'


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--arch', required=True, help='mini-rn or mini-vit')
    parser.add_argument('--out', type=Path, required=True, help='file for the weights')
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


class Trainer:
    """One training run: model, data, optimiser, and the files it leaves."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
        torch.manual_seed(args.seed)
        self.model = build_clip(args.arch)
        arch = self.model.arch
        self.corpus = load_corpus(args.cache, args.images, arch.image_size, args.seed, args.rare_share, args.workers)
        texts = self.corpus.texts
        self.plain, self.lengths = self._ids(texts)
        self.filled, self.filled_lengths = self._ids([TEMPLATE.format(text) for text in texts])
        self.evaluation = Evaluation(arch.image_size)
        self.tokens = TokenSubset(self.plain, self.filled, tokenize(self.evaluation.texts))
        self.plain, self.filled = self.tokens.renumber(self.plain), self.tokens.renumber(self.filled)
        self.tokens.embed(self.model, args.seed)
        mirrors = np.array([' left of ' not in text and ' right of ' not in text for text in texts])
        self.views = Views(self.corpus, mirrors, arch.cell_size, args.seed)
        self.model.to(self.device, memory_format=torch.channels_last)
        self.targets = self.lock_text(args.teacher) if args.teacher else None
        groups = parameter_groups(self.model, args.weight_decay)
        self.optimizer = torch.optim.AdamW(groups, lr=args.lr, betas=(0.9, 0.98), eps=1e-6)
        self.first, self.seconds = 0, 0.0
        self.resume_file = args.out.with_name(f'{args.out.name}.resume')

    @staticmethod
    def _ids(texts: list[str]) -> tuple[Tensor, np.ndarray]:
        """Ids (T, L), cut to the longest text, and the length of each."""
        ids = torch.cat([tokenize(texts[start : start + 5000]) for start in range(0, len(texts), 5000)])
        lengths = ids.argmax(dim=1).numpy() + 1
        return ids[:, : lengths.max()].int(), lengths

    @torch.no_grad()
    def lock_text(self, path: Path) -> Tensor:
        """Take the frozen text tower of a teacher; returns its global features (N, D) of all images, normalised."""
        state = unpack(read_tensors(path))
        teacher = build_clip('mini-rn')
        teacher.load_state_dict(state)
        teacher.to(self.device, memory_format=torch.channels_last)
        state[TOKEN_EMBEDDING] = state[TOKEN_EMBEDDING][self.tokens.ids]
        text = {key.removeprefix('text.'): value for key, value in state.items() if key.startswith('text.')}
        self.model.text.load_state_dict(text)
        self.model.text.requires_grad_(False)
        self.model.logit_scale.copy_(state['logit_scale'])
        features = []
        for start in range(0, len(self.corpus), 100):
            pixels = torch.tensor(self.corpus.images[start : start + 100]).permute(0, 3, 1, 2).float()
            images = ((pixels / 255 - MEAN) / STD).to(self.device, memory_format=torch.channels_last)
            features.append(F.normalize(teacher.encode_image(images, local=False, maps=False).cls, dim=-1))
        return torch.cat(features)

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
        meta = dict(arch=args.arch, steps=step, batch_size=args.batch_size, images=args.images, seconds=round(seconds))
        torch.save(pack(self.tokens.full_state(self.model, args.seed), self.tokens.ids, args.seed) | meta, args.out)

    def encode(self, texts: np.ndarray, filled: np.ndarray) -> Tensor:
        """(n, D) features of texts of the corpus, in the template where ``filled``."""
        different, back = np.unique(np.stack([texts, filled]), axis=1, return_inverse=True)
        length = int(np.where(different[1], self.filled_lengths[different[0]], self.lengths[different[0]]).max())
        ids = torch.zeros(different.shape[1], length, dtype=torch.int64)
        for row, (text, fill) in enumerate(different.T):
            line = (self.filled if fill else self.plain)[text][:length]
            ids[row, : len(line)] = line
        return self.model.encode_text(ids.to(self.device))[torch.from_numpy(back.reshape(-1)).to(self.device)]

    def step(self, step: int, batch: Batch) -> tuple[float, ...]:
        """Update once; returns the terms of the loss."""
        self.model.train()
        for group in self.optimizer.param_groups:
            group['lr'] = learning_rate(step, self.args)
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
        self.optimizer.zero_grad(set_to_none=True)
        sum(terms).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(max=MAX_LOGIT_SCALE)
        return tuple(term.item() for term in terms)

    def batch(self, step: int) -> Batch:
        """Batch of a step: small views at first."""
        args = self.args
        small = step < args.view_steps
        return self.views.batch(step, args.batch_size, args.view if small else self.model.arch.image_size)

    def report(self, step: int) -> None:
        print(f'step {step}: {self.evaluation.line(self.model, self.tokens.tokenize)}', flush=True)

    def run(self) -> None:
        args = self.args
        self.resume()
        start = saved = time.time()
        losses = []
        for done in range(self.first + 1, args.steps + 1):
            losses.append(self.step(done - 1, self.batch(done - 1)))
            if done % 20 == 0:
                speed = (done - self.first) / (time.time() - start)
                terms = ' '.join(f'{value:.3f}' for value in np.mean(losses[-20:], axis=0))
                print(
                    f'step {done}/{args.steps} loss {terms} scale {self.model.logit_scale.exp().item():.1f} '
                    f'{speed * args.batch_size:.0f} images/s, {(args.steps - done) / speed / 60:.0f} min left',
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


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(1)
    Trainer(args).run()


if __name__ == '__main__':
    main()
