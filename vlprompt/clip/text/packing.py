"""Plan of the text positions to compute and their order: integers only, made once for a set of class names.

A *sequence* is the part that one class adds to one prompt: positions S .. eot.  Sequences that attention takes in one
batch form a :class:`Bucket`, in which all have the length of the longest; what follows an end token cannot change it,
since attention is causal.  The tokens of all buckets of a :class:`Chunk` are the rows of one packed tensor, on which
everything except attention works.

Two ways to pack: every length has a bucket of its own, so that no token too many is computed (:func:`exact_buckets`,
for CPUs), or few buckets of padded sequences, since a GPU pays for each kernel (:func:`cheap_buckets`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._guards import detect_fake_mode


@dataclass(frozen=True)
class Bucket:
    """n sequences of each of p prompts, all padded to the same length.

    Attributes:
        prompts: p numbers of prompts, all of them or one.
        classes: for each prompt, n numbers of classes.
        length: r tokens of a sequence.
    """

    prompts: tuple[int, ...]
    classes: tuple[tuple[int, ...], ...]
    length: int

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of prompts, p, and of their sequences, n."""
        return len(self.prompts), len(self.classes[0])

    @property
    def num_sequences(self) -> int:
        return len(self.prompts) * len(self.classes[0])

    @property
    def num_tokens(self) -> int:
        return self.num_sequences * self.length

    def split(self, max_tokens: int) -> list[Bucket]:
        """Pieces of at most ``max_tokens`` tokens, but at least one sequence of each prompt."""
        step = max(1, max_tokens // (self.length * len(self.prompts)))
        return [
            Bucket(self.prompts, tuple(row[first : first + step] for row in self.classes), self.length)
            for first in range(0, len(self.classes[0]), step)
        ]


@dataclass(frozen=True)
class PassCosts:
    """What a pass of the text tower over its blocks costs on a device, see :func:`cheap_buckets`.

    Attributes:
        token: seconds for one more token.
        bucket: seconds for one more bucket.
    """

    token: float
    bucket: float


def exact_buckets(lengths: Sequence[Sequence[int]]) -> list[Bucket]:
    """Buckets of P x K sequences of equal length, shortest first: no padding.

    Prompts share buckets if each has the same number of sequences of every length (always the case if their contexts
    have one length); otherwise every prompt has its own.

    Args:
        lengths: [P][K] number of tokens after the shared prefix, end token included.
    """
    by_length = [_classes_by_length(row) for row in lengths]
    counts = [{length: len(classes) for length, classes in row.items()} for row in by_length]
    if all(count == counts[0] for count in counts):
        prompts = tuple(range(len(lengths)))
        return [Bucket(prompts, tuple(row[length] for row in by_length), length) for length in sorted(counts[0])]
    return [Bucket((prompt,), (row[length],), length) for prompt, row in enumerate(by_length) for length in sorted(row)]


def _classes_by_length(lengths: Sequence[int]) -> dict[int, tuple[int, ...]]:
    found: dict[int, list[int]] = {}
    for index, length in enumerate(lengths):
        found.setdefault(length, []).append(index)
    return {length: tuple(classes) for length, classes in found.items()}


MOST_BUCKETS = 3
"""Of :func:`cheap_buckets`: of the padding that one bucket has, three leave little (ImageNet's names after 16 context
vectors: 14,017 tokens in one, 4,803 in three, 4,182 without padding)."""


def cheap_buckets(lengths: Sequence[Sequence[int]], costs: PassCosts) -> list[Bucket]:
    """The buckets, shared by all prompts, for which tokens and buckets together cost least.

    The classes of every prompt are sorted by length; a bucket takes the same ranks of all prompts and is as long as its
    longest sequence.  Where a bucket ends is found by dynamic programming over the ranks at which the length grows.
    There are at most :data:`MOST_BUCKETS`.  One bucket has the classes in their own order.

    Args:
        lengths: as in :func:`exact_buckets`.
        costs: what tokens and buckets cost.
    """
    order = [sorted(range(len(row)), key=row.__getitem__) for row in lengths]
    longest = [max(row[ranks[i]] for row, ranks in zip(lengths, order, strict=True)) for i in range(len(lengths[0]))]
    last = len(longest) - 1
    ends = [i + 1 for i in range(len(longest)) if i == last or longest[i + 1] > longest[i]]  # of the steps
    best: dict[int, tuple[float, list[int]]] = {0: (0.0, [])}  # cost and ends of the buckets of so many first ranks
    found = []
    for _ in range(MOST_BUCKETS):
        best = {
            end: min(
                [
                    (
                        cost + costs.bucket + costs.token * len(lengths) * (end - start) * longest[end - 1],
                        [*chosen, end],
                    )
                    for start, (cost, chosen) in best.items()
                    if start < end
                ]
            )
            for end in ends
            if any(start < end for start in best)
        }
        found += [best[last + 1]] if last + 1 in best else []
    chosen = min(found)[1]
    if len(chosen) == 1:
        order = [range(len(longest))] * len(lengths)
    prompts = tuple(range(len(lengths)))
    return [
        Bucket(prompts, tuple(tuple(ranks[begin:end]) for ranks in order), longest[end - 1])
        for begin, end in zip([0, *chosen[:-1]], chosen, strict=True)
    ]


def pack_chunks(buckets: Sequence[Bucket], max_tokens: int) -> list[list[Bucket]]:
    """Distribute buckets over chunks of at most ``max_tokens`` tokens, splitting buckets where needed."""
    chunks: list[list[Bucket]] = []
    room = 0
    for piece in (piece for bucket in buckets for piece in bucket.split(max_tokens)):
        if not chunks or piece.num_tokens > room:
            chunks.append([])
            room = max_tokens
        chunks[-1].append(piece)
        room -= piece.num_tokens
    return chunks


class Chunk:
    """Buckets that run through the tower together.

    Args:
        buckets: one or more.
        layout: what they are buckets of.
        shared: S.
        device: of the index tensors.
        fused: dtype of fused attention; None: attention in parts, for buckets without padding.
        same: the suffix of all prompts is the same, and its rows are those of one.

    Attributes:
        buckets: the buckets.
        rows: (T,) rows of the suffix up to the last end token, flattened to (P * K * R, W), or with ``same``
            (K * R, W), in packed order; None: all of them as they are.
        ends: (sequences,) packed rows that hold end tokens.
        masks: for each bucket what its queries may attend to: (r, S + r) to be added to scores of shared and own keys
            if fused, else (r, r) bool, True where a query must not attend to a key of its sequence.
        end_masks: for each bucket the same for end tokens alone, (p * n, 1, 1, S + r); None: everything.
    """

    def __init__(
        self,
        buckets: Sequence[Bucket],
        layout: TextLayout,
        shared: int,
        device: torch.device,
        fused: torch.dtype | None = None,
        same: bool = False,
    ) -> None:
        self.buckets = tuple(buckets)
        rows = layout.last - shared + 1
        places: list[int] = []
        ends: list[int] = []
        self.masks: list[Tensor] = []
        self.end_masks: list[Tensor | None] = []
        for bucket in self.buckets:
            lasts = []
            for prompt, classes in zip(bucket.prompts, bucket.classes, strict=True):
                for index in classes:
                    start = (index if same else prompt * layout.num_classes + index) * rows
                    lasts.append(layout.ends[prompt][index] - shared)
                    ends.append(len(places) + lasts[-1])
                    places.extend(range(start, start + bucket.length))
            future = torch.ones(bucket.length, bucket.length, dtype=torch.bool, device=device).triu(1)
            if fused is None:
                self.masks.append(future)
                self.end_masks.append(None)
                continue
            self.masks.append(_allowed(shared, future, fused)[:, 0, 0])
            later = torch.arange(bucket.length, device=device) > torch.tensor(lasts, device=device)[:, None]
            padded = min(lasts) < bucket.length - 1
            self.end_masks.append(_allowed(shared, later, fused) if padded else None)
        whole = places == list(range((1 if same else layout.num_prompts) * layout.num_classes * rows))
        self.rows = None if whole else torch.tensor(places, device=device)
        self.ends = torch.tensor(ends, device=device)


def _allowed(shared: int, hidden: Tensor, dtype: torch.dtype) -> Tensor:
    """(n, 1, 1, S + r) of 0, and minus infinity where (n, r) is ``hidden``.

    Rows begin at multiples of 8 numbers, as kernels with a mask want them.
    """
    rows, length = hidden.shape
    padded = torch.zeros(rows, 1, 1, -(-(shared + length) // 8) * 8, dtype=dtype, device=hidden.device)
    mask = padded[..., : shared + length]
    mask[..., shared:].masked_fill_(hidden[:, None, None], -torch.inf)
    return mask


@dataclass(frozen=True)
class Plan:
    """Chunks of a text tower's pass, and the way back.

    Attributes:
        chunks: the chunks.
        order: (P * K,) the place of every sequence (prompt p, class k) among the packed ones; None: their own order.
    """

    chunks: tuple[Chunk, ...]
    order: Tensor | None


class TextLayout:
    """Where the texts of P prompts for K classes end, and the plans that follow: host integers, made once.

    Prompts make a layout when class names are set and give the same one in every step, so that no tensor is read in a
    step and plans are not made again.

    Args:
        ends: ``[P][K]`` absolute position of the end token.

    Raises:
        ValueError: prompts of different numbers of classes.
    """

    def __init__(self, ends: Sequence[Sequence[int]]) -> None:
        self.ends = tuple(tuple(map(int, row)) for row in ends)
        if len({len(row) for row in self.ends}) != 1:
            raise ValueError(f'all prompts must have as many classes, got {[len(row) for row in self.ends]}')
        self._made: dict = {}

    def __deepcopy__(self, memo: dict) -> TextLayout:
        return TextLayout(self.ends)  # without plans, which belong to a device

    def __reduce__(self) -> tuple:
        return TextLayout, (self.ends,)

    @property
    def num_prompts(self) -> int:
        """P."""
        return len(self.ends)

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.ends[0])

    @property
    def first(self) -> int:
        """The smallest position of an end token."""
        return self._once('first', lambda: min(map(min, self.ends)))

    @property
    def last(self) -> int:
        """The largest position of an end token."""
        return self._once('last', lambda: max(map(max, self.ends)))

    def find(self, position: int) -> tuple[int, int]:
        """Prompt and class of an end token at this position."""
        return next((p, row.index(position)) for p, row in enumerate(self.ends) if position in row)

    def copies(self, count: int) -> TextLayout:
        """The same P prompts ``count`` times over."""
        return self if count == 1 else self._once(('copies', count), lambda: TextLayout(self.ends * count))

    def select(self, classes: Tensor | slice) -> TextLayout:
        """The layout of some of the classes: indices (K',), a mask (K,) or a slice."""
        if isinstance(classes, slice):
            key = ('select', classes.start, classes.stop, classes.step)
            return self._once(key, lambda: TextLayout([row[classes] for row in self.ends]))
        chosen = torch.arange(self.num_classes)[classes.cpu()].tolist()
        return TextLayout([[row[i] for i in chosen] for row in self.ends])

    def tensor(self, device: torch.device | str = 'cpu') -> Tensor:
        """(P, K) positions of the end tokens."""
        return self._tensors_once(('tensor', str(device)), lambda: torch.tensor(self.ends, device=device))

    def lengths(self, shared: int) -> list[list[int]]:
        """``[P][K]`` tokens from position ``shared`` to the end token."""
        return [[end - shared + 1 for end in row] for row in self.ends]

    def buckets(self, shared: int, costs: PassCosts | None) -> list[Bucket]:
        """Buckets after ``shared`` positions: exact ones without ``costs``, else the cheapest ones."""
        return self._once(('buckets', shared, costs), lambda: self._make_buckets(shared, costs))

    def _make_buckets(self, shared: int, costs: PassCosts | None) -> list[Bucket]:
        lengths = self.lengths(shared)
        return exact_buckets(lengths) if costs is None else cheap_buckets(lengths, costs)

    def plan(
        self,
        shared: int,
        costs: PassCosts | None,
        max_tokens: int | None,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        same: bool = False,
    ) -> Plan:
        """The plan of a pass over the positions S .. :attr:`last`.

        Args:
            shared: S, length of the prefix.
            costs: see :meth:`buckets`.
            max_tokens: of a chunk; None: one chunk.
            device: of the index tensors.
            dtype: of queries and keys, for fused attention, with ``costs``.
            same: see :class:`Chunk`.
        """
        fused = None if costs is None else dtype
        key = ('plan', shared, costs, max_tokens, str(device), fused, same)
        return self._tensors_once(key, lambda: self._make_plan(shared, costs, max_tokens, device, fused, same))

    def _make_plan(
        self,
        shared: int,
        costs: PassCosts | None,
        max_tokens: int | None,
        device: torch.device,
        fused: torch.dtype | None,
        same: bool,
    ) -> Plan:
        buckets = self.buckets(shared, costs)
        parts = [buckets] if max_tokens is None else pack_chunks(buckets, max_tokens)
        order = original_order([bucket for part in parts for bucket in part], self.num_classes)
        chunks = tuple(Chunk(part, self, shared, device, fused, same) for part in parts)
        return Plan(chunks, None if order == list(range(len(order))) else torch.tensor(order, device=device))

    def _once(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def _tensors_once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What holds tensors: usable in training too, whoever made it first; without data, for its own mode alone."""
        if torch.compiler.is_dynamo_compiling():
            return self._once((key, None), make)
        with torch.inference_mode(False):
            return self._once((key, detect_fake_mode()), make)


class SharedPart(NamedTuple):
    """What texts (P, K, L) have in common.

    Attributes:
        shared: tokens with which all texts of every prompt begin, end tokens excluded.
        layout: where the texts end.
    """

    shared: int
    layout: TextLayout


def shared_part(ids: Tensor, ends: Tensor, causal: bool) -> SharedPart:
    """What a tower has to know of texts, whose ids are read.

    Args:
        ids: (P, K, L) token ids.
        ends: (P, K) places of the end tokens.
        causal: a position sees those before it alone; otherwise nothing is shared.

    Raises:
        ValueError: the texts of a prompt do not begin with the same token.
    """
    ids, ends = ids.cpu(), ends.cpu()
    if not causal:
        return SharedPart(0, TextLayout(ends.tolist()))
    same = (ids == ids[:, :1]).all(dim=1).all(dim=0).long().cumprod(0)
    shared = min(int(same.sum()), int(ends.min()))
    if shared < 1:
        raise ValueError('token ids must begin with the start token, and the end token must come after it')
    return SharedPart(shared, TextLayout(ends.tolist()))


def uniform_layout(classes: int, end: int) -> TextLayout:
    """The layout of one prompt whose ``classes`` texts all end at one position."""
    return TextLayout([[end] * classes])


def original_order(buckets: Sequence[Bucket], num_classes: int) -> list[int]:
    """P * K numbers: the place of sequence (prompt p, class k) = p * K + k among the packed ones."""
    packed = [
        prompt * num_classes + index
        for bucket in buckets
        for prompt, classes in zip(bucket.prompts, bucket.classes, strict=True)
        for index in classes
    ]
    return sorted(range(len(packed)), key=packed.__getitem__)
