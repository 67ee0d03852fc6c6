"""Plan of the text positions to compute and their order: integers only, no feature tensors.

A *sequence* is the part that one class adds to one prompt: positions S .. eot. Sequences of equal length that
can be attended in one batched product form a :class:`Group`; the tokens of all groups of a *chunk*
are concatenated in one packed (T, W) tensor, on which everything except attention works.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Group:
    """n sequences of each of p prompts, all of the same length.

    Attributes:
        prompts: (p,) indices of prompts.
        classes: (p, n) indices of classes, prompt by prompt.
        length: r tokens in each sequence, the end token last.
    """

    prompts: Tensor
    classes: Tensor
    length: int

    @property
    def num_sequences(self) -> int:
        return self.classes.numel()

    @property
    def num_tokens(self) -> int:
        return self.classes.numel() * self.length

    def split(self, max_tokens: int) -> list[Group]:
        """Pieces of at most ``max_tokens`` tokens, but at least one sequence of each prompt."""
        step = max(1, max_tokens // (self.length * len(self.prompts)))
        return [Group(self.prompts, classes, self.length) for classes in self.classes.split(step, dim=1)]


def group_by_length(lengths: Sequence[Sequence[int]]) -> list[Group]:
    """Group P x K sequences by length, shortest first.

    Prompts share groups if each has the same number of sequences of every length (always the case
    if their contexts have one length); otherwise every prompt has its own groups.

    Args:
        lengths: [P][K] number of tokens after the shared prefix, end token included.
    """
    by_length = [_classes_by_length(row) for row in lengths]
    counts = [{length: len(classes) for length, classes in row.items()} for row in by_length]
    if all(count == counts[0] for count in counts):
        prompts = torch.arange(len(lengths))
        return [
            Group(prompts, torch.tensor([row[length] for row in by_length]), length) for length in sorted(counts[0])
        ]
    return [
        Group(torch.tensor([prompt]), torch.tensor([row[length]]), length)
        for prompt, row in enumerate(by_length)
        for length in sorted(row)
    ]


def _classes_by_length(lengths: Sequence[int]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for index, length in enumerate(lengths):
        found.setdefault(length, []).append(index)
    return found


def pack_chunks(groups: Sequence[Group], max_tokens: int) -> list[list[Group]]:
    """Distribute groups over chunks of at most ``max_tokens`` tokens, splitting groups where needed."""
    chunks: list[list[Group]] = []
    room = 0
    for piece in (piece for group in groups for piece in group.split(max_tokens)):
        if not chunks or piece.num_tokens > room:
            chunks.append([])
            room = max_tokens
        chunks[-1].append(piece)
        room -= piece.num_tokens
    return chunks


def original_order(groups: Sequence[Group], num_classes: int) -> Tensor:
    """(P * K,) position of sequence (prompt p, class k) = p * K + k among the packed ones."""
    packed = torch.cat([(g.prompts[:, None] * num_classes + g.classes).flatten() for g in groups])
    return packed.argsort()
