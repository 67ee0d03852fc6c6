"""The second stage: scenes of several objects, people and places, with captions, and regions of them with phrases.

``RegionTrainer`` has two contrastive losses, one between images and captions and one between regions and phrases, where
a region is the mean of its normalised local features.  ``StudentTrainer`` has no loss on local features: its class
token learns from captions, in the frozen text space of a teacher, and from the teacher's global feature of the view and
the scores that texts have with it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dev.pretraining.batches import Batch, Views
from dev.pretraining.corpus import NONE, load_corpus
from dev.pretraining.evaluation import TEMPLATE, Evaluation
from dev.pretraining.objectives import imitation_loss, masked_contrast, pool_regions
from dev.pretraining.trainer import TokenSubset, Trainer, may_be_mirrored, parameter_groups, read_pretrained
from vlprompt.clip import VisionTransformer, build_clip, tokenize
from vlprompt.clip.architectures import architecture_of, find_architecture
from vlprompt.clip.builtin import TOKEN_EMBEDDING, unpack
from vlprompt.clip.weights import resize_image_positions
from vlprompt.datasets.generated.vocabulary import SHAPES

MUON_RATE = 20
"""Learning rate of Muon, as a multiple of that of AdamW."""
POSITION_SIZE = 0.5
"""Amplitude of the waves that a ViT's positions begin with."""
TEACHER_WEIGHT = 5
"""Weight of the cosine distance to the teacher's features."""


class CorpusTrainer(Trainer):
    """Images of a corpus and their captions; batches are small views at first, then whole images."""

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__(args, build_clip(args.arch))
        self.about = dict(images=args.images)
        arch = self.model.arch
        if args.view % arch.cell_size:
            raise ValueError(f'--view {args.view} is no multiple of {arch.cell_size}, the pixels of a cell')
        self.corpus = load_corpus(args.cache, args.images, arch.image_size, args.seed, args.rare_share, args.workers)
        texts = self.corpus.texts
        self.plain, self.lengths = self._ids(texts)
        self.evaluation = Evaluation(arch.image_size)
        self.tokens = TokenSubset(self.plain, tokenize([TEMPLATE.format(''), *self.evaluation.texts]))
        self.plain = self.tokens.renumber(self.plain)
        self.before, self.after = self._frame()
        self.tokens.embed(self.model, args.seed)
        mirrors = np.array([may_be_mirrored(text) for text in texts])
        self.views = Views(self.corpus, mirrors, arch.cell_size)

    @staticmethod
    def _ids(texts: list[str]) -> tuple[Tensor, np.ndarray]:
        """Ids (T, L), cut to the longest text, and the length of each."""
        ids = torch.cat([tokenize(texts[start : start + 5000]) for start in range(0, len(texts), 5000)])
        lengths = ids.argmax(dim=1).numpy() + 1
        return ids[:, : lengths.max()].int(), lengths

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
        args, whole = self.args, self.model.arch.image_size
        for step, (chosen, rng) in enumerate(self.shuffled(len(self.corpus)), start=self.first):
            yield self.views.batch(chosen, rng, args.view if step < args.view_steps else whole)

    def captions_of(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Text features (n, D) of the n views of which a caption is true, their rows (n,), and what is true (n, n)."""
        told = np.flatnonzero(batch.captions != NONE)
        rows = torch.from_numpy(told)
        texts = self.encode(batch.captions[told], np.zeros(len(told), np.int64))
        return texts, rows.to(self.device), batch.caption_truth[rows][:, rows].to(self.device)

    def on_device(self, images: Tensor) -> Tensor:
        return images.to(self.device, memory_format=torch.channels_last)


class RegionTrainer(CorpusTrainer):
    """Captions, and regions with phrases."""

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__(args)
        if args.begin_with is not None:
            self.begin_with(args.begin_with)
        self.build_optimizers()

    def begin_with(self, path: Path) -> None:
        """Begin with trained weights, whose grid may be another one."""
        content = read_pretrained(path)
        state, trained = unpack(content), torch.isin(self.tokens.ids, content['token_ids'].long())
        rows = self.model.text.token_embedding.weight.detach().clone()
        rows[trained] = state[TOKEN_EMBEDDING][self.tokens.ids][trained]
        source = architecture_of(state).grid_size
        state = resize_image_positions(state, source, self.model.visual.grid_size)
        self.model.load_state_dict(state | {TOKEN_EMBEDDING: rows})

    def losses(self, step: int, batch: Batch) -> list[Tensor]:
        """Of captions and of regions."""
        features = self.model.encode_image(self.on_device(batch.images), maps=False)
        filled = np.random.RandomState([self.args.seed, 3, step]).randint(2, size=len(batch.phrases))
        phrases = self.encode(batch.phrases, filled)
        pooled = pool_regions(features.local, batch.view.to(self.device), batch.weights.to(self.device))
        truth = batch.phrase_truth.to(self.device)
        regions = masked_contrast(pooled, phrases, truth, self.model.logit_scale.exp())
        texts, rows, truth = self.captions_of(batch)
        return [masked_contrast(features.cls[rows], texts, truth, self.model.logit_scale.exp()), regions]


class StudentTrainer(CorpusTrainer):
    """Captions, and what a teacher's global features say of the same views."""

    def __init__(self, args: argparse.Namespace) -> None:
        if not hasattr(torch.optim, 'Muon'):
            raise RuntimeError(f'student needs torch.optim.Muon, torch 2.9 or newer; this is {torch.__version__}')
        if not find_architecture(args.arch).is_vit:
            raise ValueError(f'student: --arch {args.arch} is no ViT')
        super().__init__(args)
        content = read_pretrained(args.teacher)
        state = unpack(content)
        self.teacher = build_clip(content['arch']).eval().requires_grad_(False)
        self.teacher.load_state_dict(state)
        self.teacher.to(self.device, memory_format=torch.channels_last)
        self._lock_text(state)
        with torch.no_grad():
            names = self.tokens.tokenize([TEMPLATE.format(name) for name in SHAPES])
            self.names = self.model.encode_text(names).to(self.device)
            self.model.visual.positional_embedding[1:].copy_(POSITION_SIZE * plane_waves(self.model.visual))
        self.build_optimizers()

    def _lock_text(self, state: dict[str, Tensor]) -> None:
        """Copy text tower and logit scale of trained weights and freeze them, so that only the image tower learns."""
        text = {key.removeprefix('text.'): value for key, value in state.items() if key.startswith('text.')}
        name = TOKEN_EMBEDDING.removeprefix('text.')
        self.model.text.load_state_dict(text | {name: text[name][self.tokens.ids]})
        with torch.no_grad():
            self.model.logit_scale.copy_(state['logit_scale'])
        self.model.text.requires_grad_(False)
        self.model.logit_scale.requires_grad_(False)

    def build_optimizers(self) -> None:
        """Muon for the matrices of the blocks, AdamW for the rest."""
        args = self.args
        self.model.to(self.device, memory_format=torch.channels_last)
        matrices = [weight for weight in self.model.visual.transformer.resblocks.parameters() if weight.dim() == 2]
        groups = parameter_groups(self.model, args.weight_decay, without=matrices)
        self.optimizers = [
            torch.optim.AdamW(groups, lr=args.lr, betas=(0.9, 0.98), eps=1e-6),
            torch.optim.Muon(matrices, lr=MUON_RATE * args.lr, weight_decay=args.weight_decay, momentum=0.95),
        ]

    def losses(self, step: int, batch: Batch) -> list[Tensor]:
        """Contrast with captions, imitation of the teacher's scores of captions and names, distance to its features."""
        images = self.on_device(batch.images)
        student = self.model.encode_image(images, local=False, maps=False).cls
        texts, rows, truth = self.captions_of(batch)
        scale = self.model.logit_scale.exp()
        with torch.no_grad():
            teacher = self.teacher.encode_image(images, local=False, maps=False).cls
        return [
            masked_contrast(student[rows], texts, truth, scale),
            imitation_loss(student, teacher, texts, scale),
            imitation_loss(student, teacher, self.names, scale),
            TEACHER_WEIGHT * (1 - F.cosine_similarity(student, teacher)).mean(),
        ]


def plane_waves(visual: VisionTransformer) -> Tensor:
    """(h * w, width) sines and cosines of columns and rows, at wavelengths from 2 pi to some 170 pi patches.

    A ViT that begins with random positions has to learn from few images which patches are neighbours.
    """
    axes = (torch.arange(side, dtype=torch.float32) for side in visual.grid_size)
    rows, columns = torch.meshgrid(*axes, indexing='ij')
    count = visual.width // 4
    frequencies = 100 ** -(torch.arange(count) / count)
    angles = [place.reshape(-1, 1) * frequencies for place in (columns, rows)]
    return torch.cat([wave(angle) for angle in angles for wave in (torch.sin, torch.cos)], dim=1)
