"""Nearest words of learned context vectors (CoOp, Zhou et al., IJCV 2022, Table 4)."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager, get_font
from matplotlib.patches import Rectangle
from torch import Tensor

from vlprompt.clip.text.tokenizer import CLIP_TOKENIZER, Tokenizer
from vlprompt.visualization.figures import MUTED, new_figure, shorten

CHUNK = 256  # vectors whose distances to the whole table are in memory at once: 50 MB for CLIP's vocabulary
CELL, LINE, MARGIN = 1.3, 0.24, 0.25  # inches of the picture


@dataclass(frozen=True)
class NearWord:
    """A token near a context vector.

    Attributes:
        word: its text; an ellipsis stands where the word goes on in a neighbouring token.
        token: id in the tower's vocabulary.
        distance: Euclidean, in the unit of the token embedding.
    """

    word: str
    token: int
    distance: float


@dataclass(frozen=True)
class ContextWords:
    """The words nearest to the context vectors of one prompt.

    Attributes:
        name: of the prompt, such as ``'prompt 1'``.
        words: for each context vector, its nearest words, nearest first.
    """

    name: str
    words: tuple[tuple[NearWord, ...], ...]


def printable_tokens(vocabulary: int, tokenizer: Tokenizer = CLIP_TOKENIZER) -> Tensor:
    """(V',) ids below ``vocabulary`` whose ``tokenizer.word(id)`` is not empty, ascending."""
    return torch.tensor([token for token in range(vocabulary) if tokenizer.word(token)])


def nearest_rows(vectors: Tensor, table: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """Rows of a table nearest to each vector.

    Args:
        vectors: (Q, W).
        table: (V, W).
        top_k: neighbours of each vector, at most V.

    Returns:
        distances (Q, top_k) in fp32, ascending, and row indices (Q, top_k).
    """
    vectors, table = vectors.detach().float(), table.detach().float()
    # Not by matrix product: |a|^2 - 2ab + |b|^2 cancels where it matters, near zero.
    exact = 'donot_use_mm_for_euclid_dist'
    found = [torch.cdist(chunk, table, compute_mode=exact).topk(top_k, largest=False) for chunk in vectors.split(CHUNK)]
    return torch.cat([f.values for f in found]), torch.cat([f.indices for f in found])


def nearest_words(
    context: Tensor,
    table: Tensor,
    top_k: int = 5,
    tokens: Tensor | None = None,
    name: str = 'prompt',
    tokenizer: Tokenizer = CLIP_TOKENIZER,
) -> list[ContextWords]:
    """Nearest words of context vectors by Euclidean distance.

    Args:
        context: (P, n_ctx, W) learned vectors.
        table: (V, W) token embedding of the text tower.
        top_k: words for each vector.
        tokens: (V',) ids of the candidate words; by default those that can be printed.
        name: first part of each prompt's name.
        tokenizer: of the text tower.

    Returns:
        P entries.
    """
    tokens = printable_tokens(len(table), tokenizer) if tokens is None else tokens
    distances, rows = nearest_rows(context.flatten(0, 1), table[tokens.to(table.device)], top_k)
    ids = tokens[rows.cpu()].unflatten(0, context.shape[:2]).tolist()
    distances = distances.cpu().unflatten(0, context.shape[:2]).tolist()
    return [
        ContextWords(
            f'{name} {p + 1}',
            tuple(
                tuple(NearWord(tokenizer.word(t), t, d) for t, d in zip(*vector, strict=True))
                for vector in zip(ids[p], distances[p], strict=True)
            ),
        )
        for p in range(len(context))
    ]


def table_spacing(table: Tensor, sample: int = 512) -> float:
    """Median distance from a token's embedding to the nearest other one, a measure of density.

    Args:
        table: (V, W) embeddings, V at least 2.
        sample: number of tokens in the median, evenly spaced over the table.
    """
    table = table.detach().float()
    rows = torch.linspace(0, len(table) - 1, min(sample, len(table))).round().long()
    nearest = [torch.cdist(chunk, table).topk(2, largest=False).values for chunk in table[rows].split(CHUNK)]
    return torch.cat(nearest)[:, 1].median().item()


def spacing_note(prompts: Sequence[ContextWords], spacing: float) -> str:
    """A sentence on the distance of the vectors from words in units of the vocabulary's ``spacing``.

    A vector stands for a word if it is much closer to it than words are to each other; the threshold is half.
    """
    ratios = torch.tensor([vector[0].distance for prompt in prompts for vector in prompt.words]) / spacing
    close = int((ratios < 0.5).sum())
    others = f'{close} of {len(ratios)} vectors are' if close else 'No vector is'
    return (
        f'Distance to the nearest word: {ratios.median():.2f} times (from {ratios.min():.2f} to {ratios.max():.2f}) '
        f'the median distance between neighbouring words, {spacing:.3g}. {others} closer than half of that; '
        'the words of other vectors say little about their meaning.'
    )


def format_words(prompts: Sequence[ContextWords]) -> str:
    """The words as lines for the terminal: one for each context vector."""
    lines = []
    for prompt in prompts:
        lines.append(prompt.name)
        for number, vector in enumerate(prompt.words, 1):
            cells = (f'{shorten(near.word, 14):<14} {near.distance:.4f}' for near in vector)
            lines.append(f'  {number:>3}  {"   ".join(cells)}'.rstrip())
    return '\n'.join(lines)


def words_to_json(prompts: Sequence[ContextWords], spacing: float) -> dict:
    """Words, ids and distances, and the sentence of :func:`spacing_note`, ready for ``json.dump``."""
    return dict(
        median_distance_between_words=spacing,
        note=spacing_note(prompts, spacing),
        prompts=[dict(name=p.name, context=[[asdict(near) for near in vector] for vector in p.words]) for p in prompts],
    )


def draw_words(prompts: Sequence[ContextWords], spacing: float, title: str = '') -> Figure:
    """The words as a picture: a block for each prompt, a line for each context vector.

    A cell is green if the word is closer than the vocabulary's ``spacing``, yellow at it, red from twice it on.
    """
    n_ctx, top_k = max(len(p.words) for p in prompts), len(prompts[0].words[0])
    columns = min(len(prompts), 2)
    block_width, block_height = 0.35 + top_k * CELL, 0.3 + n_ctx * LINE + 0.15
    width = max(2 * MARGIN + columns * (block_width + MARGIN) - MARGIN, 6.0)
    note = textwrap.wrap(spacing_note(prompts, spacing), int((width - 2 * MARGIN) * 14))
    height = 0.45 + math.ceil(len(prompts) / columns) * block_height + 0.2 * len(note) + 0.15
    figure = new_figure(width, height)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    axes.text(MARGIN, 0.22, shorten(title, int(width * 9)), size=12, weight='bold', va='center')
    for p, prompt in enumerate(prompts):
        left = MARGIN + p % columns * (block_width + MARGIN)
        _draw_block(axes, prompt, left, 0.45 + p // columns * block_height, spacing)
    axes.text(MARGIN, height - 0.1, '\n'.join(note), size=9, va='bottom', color=MUTED)
    return figure


def _draw_block(axes: Axes, prompt: ContextWords, left: float, top: float, spacing: float) -> None:
    """One prompt's words, the upper left corner at ``(left, top)`` inches."""
    tint, norm = colormaps['RdYlGn_r'], Normalize(0, 2 * spacing)
    style = dict(va='center', size=8)
    axes.text(left, top + 0.15, prompt.name, size=10, weight='bold', va='center')
    for i, vector in enumerate(prompt.words):
        y = top + 0.3 + i * LINE
        middle = y + LINE / 2
        axes.text(left + 0.25, middle, i + 1, ha='right', color=MUTED, **style)
        for k, near in enumerate(vector):
            x = left + 0.35 + k * CELL
            colour = tint(norm(near.distance), alpha=0.45)
            axes.add_patch(Rectangle((x, y), CELL - 0.04, LINE - 0.03, color=colour, linewidth=0))
            axes.text(x + 0.05, middle, shorten(drawable(near.word), 12), **style)
            axes.text(x + CELL - 0.08, middle, f'{near.distance:.2f}', ha='right', color='#444444', **style)


def drawable(text: str) -> str:
    """The text, with a box for characters that matplotlib's font lacks: emoji, East Asian letters."""
    font = get_font(fontManager.findfont('DejaVu Sans'))
    return ''.join(c if font.get_char_index(ord(c)) else '□' for c in text)
