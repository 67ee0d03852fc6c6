"""The second stage: scenes of several objects, people and places, with captions, and regions of them with phrases.

``RegionTrainer`` has two contrastive losses, one between images and captions and one between regions and phrases, where
a region is the mean of its normalised local features.  ``StudentTrainer`` has no loss on local features: its class
token learns from captions, in the frozen text space of a teacher, and from the teacher's global feature of the image.
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
from dev.pretraining.objectives import masked_contrast, pool_regions
from dev.pretraining.pixels import normalise
from dev.pretraining.trainer import TokenSubset, Trainer, may_be_mirrored
from vlprompt.clip import CLIP, build_clip, tokenize
from vlprompt.clip.architectures import architecture_of
from vlprompt.clip.builtin import TOKEN_EMBEDDING, unpack
from vlprompt.clip.tensor_files import read_tensors
from vlprompt.clip.weights import resize_image_positions


class CorpusTrainer(Trainer):
    """Images of a corpus and their captions; batches are small views at first, then whole images."""

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__(args, build_clip(args.arch))
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
        mirrors = np.array([may_be_mirrored(text) for text in texts])
        self.views = Views(self.corpus, mirrors, arch.cell_size, args.seed)

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
        for step in range(self.first, args.steps):
            yield self.views.batch(step, args.batch_size, args.view if step < args.view_steps else whole)

    def caption_loss(self, features: Tensor, batch: Batch) -> Tensor:
        """Contrast of global features (B, D) with the captions that are true of what is seen."""
        told = np.flatnonzero(batch.captions != NONE)
        rows = torch.from_numpy(told)
        texts = self.encode(batch.captions[told], np.zeros(len(told), np.int64))
        truth = batch.caption_truth[rows][:, rows].to(self.device)
        return masked_contrast(features[rows.to(self.device)], texts, truth, self.model.logit_scale.exp())

    def on_device(self, images: Tensor) -> Tensor:
        return images.to(self.device, memory_format=torch.channels_last)


class RegionTrainer(CorpusTrainer):
    """Captions, and regions with phrases."""

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__(args)
        if args.begin_with is not None:
            self.begin_with(args.begin_with)
        self.build_optimizer()

    def begin_with(self, path: Path) -> None:
        """Begin with trained weights, whose grid may be another one."""
        content = read_tensors(path)
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
        return [self.caption_loss(features.cls, batch), regions]


class StudentTrainer(CorpusTrainer):
    """Captions, and a teacher's global features."""

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__(args)
        content = read_tensors(args.teacher)
        state = unpack(content)
        teacher = build_clip(content['arch'])
        teacher.load_state_dict(state)
        self._lock_text(state)
        with torch.no_grad():
            self.model.logit_scale.copy_(state['logit_scale'])
        self.targets = self._global_features(teacher.to(self.device, memory_format=torch.channels_last))
        self.build_optimizer()

    def _lock_text(self, state: dict[str, Tensor]) -> None:
        """Copy the text tower of trained weights and freeze it, so that only the image tower learns."""
        text = {key.removeprefix('text.'): value for key, value in state.items() if key.startswith('text.')}
        name = TOKEN_EMBEDDING.removeprefix('text.')
        self.model.text.load_state_dict(text | {name: text[name][self.tokens.ids]})
        self.model.text.requires_grad_(False)

    @torch.no_grad()
    def _global_features(self, teacher: CLIP) -> Tensor:
        """(N, D) of all images, normalised."""
        features = []
        for start in range(0, len(self.corpus), 100):
            images = self.on_device(normalise(np.array(self.corpus.images[start : start + 100])))
            features.append(F.normalize(teacher.encode_image(images, local=False, maps=False).cls, dim=-1))
        return torch.cat(features)

    def losses(self, step: int, batch: Batch) -> list[Tensor]:
        """Of captions, and five times the mean cosine distance to the teacher."""
        features = self.model.encode_image(self.on_device(batch.images), local=False, maps=False)
        cosine = F.cosine_similarity(features.cls, self.targets[torch.from_numpy(batch.index)])
        return [self.caption_loss(features.cls, batch), 5 * (1 - cosine).mean()]
