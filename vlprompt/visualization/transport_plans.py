"""PLOT's transport plans over the image, one panel per prompt (Chen et al., ICLR 2023, Fig. 3).

A plan T (M, N) is the mass from token m to prompt n.  With eps = 0.1 plans are close to uniform.  The published
figures hide this, since they stretch every prompt to its own minimum and maximum.  The default here is the
relative plan ``T * M * N`` on one scale for all panels: 1 is the uniform plan, 2 is twice as much.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Normalize, TwoSlopeNorm
from matplotlib.figure import Figure
from torch import Tensor

from vlprompt.alignment import Alignment, plan_deviation, plan_entropy
from vlprompt.prompts import readable
from vlprompt.visualization.figures import MUTED, new_figure, shorten
from vlprompt.visualization.heatmaps import overlay_heatmap, to_grey, to_grid

SMALLEST_LIMIT = 0.1
PLAN_COLOURS, SIMILARITY_COLOURS, STRETCHED_COLOURS = 'RdBu_r', 'viridis', 'turbo'


@dataclass
class ClassPlan:
    """One row of the figure: an image and the prompts of one class.

    Attributes:
        name: class name.
        score: probability the model gives to the class.
        plan: (M, N) transport plan of the image's tokens and the class's prompts; sums to 1.
        similarity: (h, w) cosine similarity of every token to the class, mean over its prompts; M = h * w.
        note: remark on the class, such as ``'true'``.
    """

    name: str
    score: float
    plan: Tensor
    similarity: Tensor
    note: str = ''

    @property
    def entropy(self) -> float:
        """Of the plan, relative to the uniform plan: 1 is uniform."""
        return plan_entropy(self.plan).item()

    @property
    def deviation(self) -> float:
        """Share of the mass that is not where the uniform plan has it; 0 is uniform."""
        return plan_deviation(self.plan).item()

    @property
    def prompt_deviations(self) -> list[float]:
        """The same of the mass of each of the N prompts, as a share of its mass."""
        return [plan_deviation(mass[:, None] / mass.sum()).item() for mass in self.plan.unbind(1)]

    @property
    def numbers(self) -> str:
        """Score, relative entropy and deviation of the plan for the heading of the row."""
        return f'score {100 * self.score:.1f} %   entropy {self.entropy:.4f}   off uniform {100 * self.deviation:.1f} %'

    def described(self) -> dict:
        """Name, note and all numbers, ready for ``json.dump``."""
        return dict(
            name=self.name,
            note=self.note,
            score=self.score,
            plan_entropy=self.entropy,
            off_uniform=self.deviation,
            off_uniform_by_prompt=self.prompt_deviations,
        )


def class_plans(
    aligned: Alignment,
    index: int,
    class_names: Sequence[str],
    true: int | None = None,
    top_k: int = 2,
    asked: Sequence[int] | None = None,
) -> list[ClassPlan]:
    """Rows of the figure of one image of a batch.

    Args:
        aligned: result of an alignment with a plan.
        index: of the image among B.
        class_names: K names.
        true: index of the true class, if known.
        top_k: shows the true class and the ``top_k`` most likely ones, in the order of their scores.
        asked: shows these classes instead.
    """
    scores = aligned.logits[index].float().softmax(0).cpu()
    ranking = scores.argsort(descending=True).tolist()
    chosen = [k for k in ranking if k in ranking[:top_k] or k == true] if asked is None else asked
    rows = []
    for k in chosen:
        rank = ranking.index(k) + 1
        note = 'predicted' if rank == 1 else f'rank {rank}'
        rows.append(
            ClassPlan(
                name=readable(class_names[k]),
                score=scores[k].item(),
                plan=aligned.plan[index, k].float().cpu(),
                similarity=aligned.maps[index, k].float().cpu(),
                note=f'true, {note}' if k == true else note,
            )
        )
    return rows


def relative_plan(plan: Tensor) -> Tensor:
    """``T * M * N`` of plans (..., M, N): 1 if uniform, at most N if a token gives all its mass to one prompt."""
    return plan.float() * (plan.shape[-2] * plan.shape[-1])


def deviation_limit(plans: Sequence[Tensor]) -> float:
    """Largest ``|T * M * N - 1|`` over plans (M, N), at least 0.1: the common colour scale of several figures."""
    largest = max((relative_plan(plan) - 1).abs().max().item() for plan in plans)
    return max(largest, SMALLEST_LIMIT)


def plan_norm(limit: float) -> TwoSlopeNorm:
    """Colour scale of relative plans from ``1 - limit`` (not below 0) to ``1 + limit``, its middle at 1."""
    return TwoSlopeNorm(vmin=max(0.0, 1 - limit), vcenter=1, vmax=1 + limit)


def stretched_plan(plan: Tensor) -> Tensor:
    """(M, N) plan -> (M, N), every prompt stretched to [0, 1].

    A prompt whose mass varies by less than 1e-4 of its mean, which is rounding, becomes 0.
    """
    low, high = plan.amin(0), plan.amax(0)
    constant = high - low < 1e-4 * plan.mean(0)
    return torch.where(constant, 0, (plan - low) / (high - low).masked_fill(constant, 1))


def draw_transport_plans(
    image: np.ndarray,
    classes: Sequence[ClassPlan],
    title: str = '',
    limit: float | None = None,
    stretch: bool = False,
) -> Figure:
    """Draw the plans of one image: a row for each class, a column for each prompt.

    Args:
        image: (H, W, 3) uint8, the input of the model.
        classes: rows; all of the same grid and number of prompts.
        title: first line of the figure.
        limit: relative plans are coloured between 1 - limit and 1 + limit; by default from these classes.
            Give one limit (:func:`deviation_limit`) to figures that will be compared.
        stretch: stretch every panel to its own minimum and maximum instead, as in the paper; such panels show
            *where* a prompt has most mass, but not how much more than elsewhere, and cannot be compared.
    """
    if limit is None:
        limit = deviation_limit([row.plan for row in classes])
    if stretch:
        norm, colours, base, weight = Normalize(0, 1), STRETCHED_COLOURS, image, 0.4
        label = "each panel's own range"
        foot = 'Each panel is stretched to its own minimum and maximum (as in the paper): do not compare panels.'
    else:
        norm, colours, base, weight = plan_norm(limit), PLAN_COLOURS, to_grey(image), 0.6
        label = 'plan T·M·N   (1 = uniform)'
        foot = f'One colour scale for all plans, {norm.vmin:.3g} to {norm.vmax:.3g}; no tint means uniform.'
    similarities = torch.stack([row.similarity.float() for row in classes])
    similarity_norm = Normalize(similarities.min().item(), similarities.max().item())

    names = ['input', 'similarity', *(f'prompt {n + 1}' for n in range(classes[0].plan.shape[1]))]
    page = _Page(rows=len(classes), columns=len(names))
    page.heads(title, names)
    for number, row in enumerate(classes):
        values = stretched_plan(row.plan) if stretch else relative_plan(row.plan)
        page.row_head(number, row)
        page.panel(number, 0, image)
        page.panel(number, 1, overlay_heatmap(to_grey(image), row.similarity, similarity_norm, SIMILARITY_COLOURS))
        for n, prompt in enumerate(to_grid(values.t(), tuple(row.similarity.shape))):
            page.panel(number, 2 + n, overlay_heatmap(base, prompt, norm, colours, weight))
    page.colour_bar(0, similarity_norm, SIMILARITY_COLOURS, 'cosine similarity')
    bar = page.colour_bar(1, norm, colours, label)
    if stretch:
        bar.set_ticks([0, 1], labels=['min', 'max'])
    page.foot(f'{foot}  Entropy is relative to the uniform plan; off uniform: mass that is elsewhere in it.')
    return page.figure


class _Page:
    """Axes placed by inches from the lower left corner, without a layout engine."""

    panel_size = 1.6
    gap = 0.1
    margin = 0.2
    title_height = 0.6
    row_head_height = 0.34
    foot_height = 0.44
    bar_width = 0.13
    bar_pitch = 0.85
    least_width = 7.0
    numbers_width = 3.6

    def __init__(self, rows: int, columns: int) -> None:
        self.rows = rows
        self.right = max(self.left(columns) - self.gap, self.least_width)
        self.width = self.right + 0.2 + 2 * self.bar_pitch
        self.height = self.title_height + rows * (self.row_head_height + self.panel_size) + self.foot_height
        self.figure = new_figure(self.width, self.height)

    def left(self, column: int) -> float:
        return self.margin + column * (self.panel_size + self.gap)

    def top(self, row: int) -> float:
        """Upper edge of the panels of a row."""
        row_height = self.row_head_height + self.panel_size
        return self.height - self.title_height - row * row_height - self.row_head_height

    def text(self, words: str, x: float, y: float, align: str = 'left', **style) -> None:
        self.figure.text(x / self.width, y / self.height, words, ha=align, va='center', **style)

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        return self.figure.add_axes((x / self.width, y / self.height, width / self.width, height / self.height))

    def heads(self, title: str, names: Sequence[str]) -> None:
        title = shorten(title, int(self.width * 9))
        self.text(title, self.margin, self.height - 0.22, size=12, weight='bold')
        for column, name in enumerate(names):
            centre = self.left(column) + self.panel_size / 2
            self.text(name, centre, self.height - 0.53, align='center', size=10, color=MUTED)

    def row_head(self, row: int, content: ClassPlan) -> None:
        note = f' ({content.note})' if content.note else ''
        room = int((self.right - self.margin - self.numbers_width) * 11) - len(note)  # 11 letters an inch
        self.text(shorten(content.name, room) + note, self.margin, self.top(row) + 0.12, size=11, weight='bold')
        self.text(content.numbers, self.right, self.top(row) + 0.12, align='right', size=10)

    def panel(self, row: int, column: int, picture: np.ndarray) -> None:
        bottom = self.top(row) - self.panel_size
        axes = self.axes(self.left(column), bottom, self.panel_size, self.panel_size)
        axes.imshow(picture, interpolation='lanczos')
        axes.set_axis_off()

    def colour_bar(self, place: int, norm: Normalize, colours: str, label: str) -> Colorbar:
        """A bar to the right of the panels, as high as all rows but at most two panels."""
        height = min(self.rows, 2) * self.panel_size
        x = self.right + 0.2 + place * self.bar_pitch
        axes = self.axes(x, self.top(0) - height, self.bar_width, height)
        bar = self.figure.colorbar(ScalarMappable(norm, colours), cax=axes)
        bar.set_label(label, size=9)
        bar.ax.tick_params(labelsize=8)
        return bar

    def foot(self, words: str) -> None:
        lines = textwrap.fill(words, int((self.width - 2 * self.margin) * 15))  # 15 letters an inch
        self.text(lines, self.margin, self.foot_height / 2, size=9, color=MUTED)
