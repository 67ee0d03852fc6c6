"""What all trainings share: optimiser, schedule, resuming, and the words that are trained."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dev.pretraining.evaluation import Evaluation
from vlprompt.clip import CLIP, tokenize
from vlprompt.clip.architectures import find_architecture
from vlprompt.clip.builtin import TOKEN_EMBEDDING, pack, seeded_token_embedding
from vlprompt.clip.tensor_files import read_tensors
from vlprompt.clip.weights import resize_image_positions
from vlprompt.files import written_whole

MAX_LOGIT_SCALE = math.log(100)
WITHOUT_EFFECT = ('command', 'out', 'cache', 'eval_interval', 'save_minutes', 'threads', 'workers')
"""Options that do not change what is learned."""


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


def read_pretrained(path: Path) -> dict[str, Any]:
    """Content of a file of weights that one of the trainings wrote.

    Raises:
        ValueError: it is another file.
    """
    content = read_tensors(path)
    if not isinstance(content, dict) or not {'arch', 'state_dict', 'token_rows'} <= content.keys():
        raise ValueError(f'{path} holds no weights of `python -m dev.pretrain`')
    return content


def may_be_mirrored(caption: str) -> bool:
    """Whether a caption stays true of the mirrored image."""
    return ' left of ' not in caption and ' right of ' not in caption


def parameter_groups(model: nn.Module, weight_decay: float, without: Sequence[nn.Parameter] = ()) -> list[dict]:
    """Weight decay for matrices and convolutions only, not for embeddings, norms, biases and the logit scale.

    Args:
        model: whose parameters are trained unless they are frozen.
        weight_decay: of matrices and convolutions.
        without: parameters of another optimiser.
    """
    decayed, plain, others = [], [], {id(parameter) for parameter in without}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad or id(parameter) in others:
            continue
        matrix = parameter.dim() > 1 and 'embedding' not in name
        (decayed if matrix else plain).append(parameter)
    return [dict(params=decayed, weight_decay=weight_decay), dict(params=plain, weight_decay=0.0)]


def schedule(step: int, args: argparse.Namespace) -> float:
    """Factor of the learning rates: linear warm-up, then half a cosine to zero."""
    if step < args.warmup:
        return (step + 1) / args.warmup
    return 0.5 * (1 + math.cos(math.pi * (step - args.warmup) / max(1, args.steps - args.warmup)))


class Trainer:
    """Model, optimisers and files of one training run; subclasses have the batches and the loss.

    Attributes:
        model: the CLIP that is saved.
        trained: all that is trained, the model unless a subclass adds something.
        optimizers: all of them; their learning rates follow one schedule.
        device: of the model.
        resume_file: what a later run continues from.
        about: what the file of the weights says of the run, beside architecture, steps, batch size and time.
        tokens: the words that are trained.
        evaluation: what is reported.
    """

    trained: nn.Module
    about: dict[str, int]
    tokens: TokenSubset
    evaluation: Evaluation

    def __init__(self, args: argparse.Namespace, model: CLIP) -> None:
        self.args = args
        self.device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
        self.model = self.trained = model
        self.first, self.seconds = 0, 0.0
        self.resume_file = args.out.with_name(f'{args.out.name}.resume')

    def build_optimizers(self) -> None:
        """AdamW; moves the model to the device, and what is frozen by now stays as it is."""
        self.trained.to(self.device, memory_format=torch.channels_last)
        groups = parameter_groups(self.trained, self.args.weight_decay)
        self.optimizers = [torch.optim.AdamW(groups, lr=self.args.lr, betas=(0.9, 0.98), eps=1e-6)]

    @property
    def options(self) -> dict[str, int | float | str]:
        """All options that change what is learned."""
        return {
            name: value if isinstance(value, int | float) else str(value)
            for name, value in vars(self.args).items()
            if name not in WITHOUT_EFFECT
        }

    def resume(self) -> None:
        """Continue from the last save, if there is one.

        Raises:
            ValueError: it is of a run with other options.
        """
        if self.resume_file.is_file():
            state = read_tensors(self.resume_file)
            if other := [name for name, value in self.options.items() if state['options'].get(name) != value]:
                raise ValueError(
                    f'{self.resume_file} is of a run with other {", ".join(other)}: repeat those options, or remove it'
                )
            self.trained.load_state_dict(state['model'])
            for optimizer, content in zip(self.optimizers, state['optimizers'], strict=True):
                optimizer.load_state_dict(content)
            self.first, self.seconds = state['step'], state['seconds']
            print(f'resumed from {self.resume_file} at step {self.first}', flush=True)

    def save(self, step: int, seconds: float) -> None:
        """Write what a later run needs to continue, and the compact weights."""
        args = self.args
        args.out.parent.mkdir(parents=True, exist_ok=True)
        optimizers = [optimizer.state_dict() for optimizer in self.optimizers]
        state = dict(model=self.trained.state_dict(), optimizers=optimizers, step=step, seconds=seconds)
        with written_whole(self.resume_file) as file:
            torch.save(state | dict(options=self.options), file)
        meta = dict(arch=args.arch, steps=step, batch_size=args.batch_size, seconds=round(seconds)) | self.about
        with written_whole(args.out) as file:
            torch.save(pack(self.weights(), self.tokens.ids, args.seed) | meta, file)

    def weights(self) -> dict[str, Tensor]:
        """State dict of the model, with the whole vocabulary and positions for the size of the architecture."""
        state, visual = self.tokens.full_state(self.model, self.args.seed), self.model.visual
        return resize_image_positions(state, visual.grid_size, find_architecture(self.args.arch).grid_size)

    def batches(self) -> Iterator[Any]:
        """Batches from that of step ``first`` on."""
        raise NotImplementedError

    def shuffled(self, count: int) -> Iterator[tuple[np.ndarray, np.random.RandomState]]:
        """From step ``first`` on: numbers of a batch of ``count`` images, in another order every epoch; a generator.

        Both are functions of the seed and the step alone; an incomplete last batch of an epoch is left out.
        """
        args = self.args
        per_epoch = count // args.batch_size
        for step in range(self.first, args.steps):
            epoch, position = divmod(step, per_epoch)
            order = np.random.RandomState([args.seed, 1, epoch]).permutation(count)
            chosen = np.sort(order[position * args.batch_size : (position + 1) * args.batch_size])
            yield chosen, np.random.RandomState([args.seed, 2, step])

    def losses(self, step: int, batch: Any) -> list[Tensor]:
        """Terms of the loss of a batch."""
        raise NotImplementedError

    def report(self, step: int) -> None:
        """Print how good the model is."""
        print(f'step {step}: {self.evaluation.line(self.model, self.tokens.tokenize)}', flush=True)

    def step(self, step: int, batch: Any) -> list[float]:
        """Update once; returns the terms of the loss."""
        self.trained.train()
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group['lr'] = schedule(step, self.args) * optimizer.defaults['lr']
        terms = self.losses(step, batch)
        self.trained.zero_grad(set_to_none=True)
        sum(terms).backward()
        torch.nn.utils.clip_grad_norm_(self.trained.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
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
