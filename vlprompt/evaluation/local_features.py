"""Are local features compatible with text, and do they say where things are?

*Compatible* tokens have a high cosine to the right text; *localised* ones have it where the object is.  Everything is
computed from cosines S (N, K) of N cells and K names, and from the share c (N, K) of each cell that each named object
covers.  An *item* is an object of an image: a name k that covers at least one pixel.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

INSIDE = 0.5
"""Share of a cell that an object must cover for the cell to lie inside of it."""
ON_OBJECT = 0.25
"""Share of a cell that an object must cover for the cell to count as a hit of the pointing game."""
UNNAMED = 255
"""Value of pixels without a named object in a mask."""


def cell_shares(mask: Tensor, grid: tuple[int, int], num_classes: int) -> Tensor:
    """Share of every cell that each of K classes covers.

    Args:
        mask: (H, W) class ids, :data:`UNNAMED` elsewhere.
        grid: (h, w); cells are the equal rectangles H / h x W / w.
        num_classes: K.

    Returns:
        (h * w, K) float32 in [0, 1].

    Raises:
        ValueError: H or W is no multiple of h or w, or an id is not a class.
    """
    (height, width), (h, w) = mask.shape, grid
    if height % h or width % w:
        raise ValueError(f'a mask of {height} x {width} pixels has no equal cells on a grid of {h} x {w}')
    named = mask[mask != UNNAMED]
    if len(named) and not 0 <= int(named.min()) <= int(named.max()) < num_classes:
        raise ValueError(
            f'the mask has ids {int(named.min())} to {int(named.max())}, but there are {num_classes} names'
        )
    ids = mask.long().masked_fill(mask == UNNAMED, num_classes)
    ones = F.one_hot(ids, num_classes + 1)[..., :num_classes].float().permute(2, 0, 1)
    return F.avg_pool2d(ones, (height // h, width // w)).flatten(1).t()


def margins(scores: Tensor) -> Tensor:
    """(..., N, K) ``S[n, k] - mean_k' S[n, k']``: how much better than the average text each one fits."""
    return scores - scores.mean(-1, keepdim=True)


def points_at(scores: Tensor, share: Tensor) -> bool:
    """Whether the cell with the best cosine (of N) to a name lies on its object, whose shares are (N,)."""
    return bool(share[scores.argmax()] >= ON_OBJECT)


def mass_inside(plan: Tensor, share: Tensor) -> tuple[float, float]:
    """Mass on an object with the shares (N,): of a plan (N, P) that sums to 1, and of the prompt that has most there.

    The former is the sum over prompts, which the marginals of the cells fix: with uniform ones it is the share of the
    image that the object covers, whatever the transport does.  The latter is a share of the prompt's own mass.
    """
    inside = share @ plan
    return float(inside.sum()), float((inside / plan.sum(0)).max())


def spread_of_prompts(plan: Tensor) -> Tensor:
    """(P,) entropy of each prompt's mass over the N cells of a plan (N, P), divided by log N: 1 if uniform."""
    if len(plan) == 1:
        return plan.new_ones(plan.shape[1])
    mass = plan / plan.sum(0)
    return -torch.xlogy(mass, mass).sum(0) / math.log(len(mass))


def best_names(scores: Tensor, grid: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """(H, W) the name with the best cosine at every pixel; (N, K) on the grid (h, w) are interpolated bilinearly."""
    maps = scores.t().unflatten(1, grid)[None]
    return F.interpolate(maps, size=size, mode='bilinear', align_corners=False)[0].argmax(0)


class LocalFeatureMeasures:
    """The measures over a set of images, which are added one by one.

    Cosines come from local features under *any* form, so forms are compared on equal data:

    * ``pooled``: images whose mean local feature is nearest to the name of one of its objects, in percent;
    * ``cells``: cells nearest to the object's name, in percent of all cells of its image;
    * ``cells_inside``: the same, of the cells that the object covers by half or more;
    * ``margin_in``, ``margin_out``: mean :func:`margins` of the object's name over the cells inside, and over the
      others;
    * ``pointing``: objects to which the best cell for their name points, in percent of those that cover a quarter of
      any cell; ``pointing_chance`` is that of a random cell;
    * ``miou``: mean over names of intersection / union of the best names with the masks, in percent, over the pixels
      of named objects;
    * if plans are given, of the transport plan of the object's name: ``mass_in_object``, its mass inside of the object
      divided by the share of the image that the object covers (1 for uniform marginals); ``best_prompt``, the same of
      the prompt with most of its mass there (1: no better than uniform); ``plan_spread``, mean
      :func:`spread_of_prompts`.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.images = self.items = 0
        self._sums: dict[str, list[float]] = {}
        self._intersection = torch.zeros(num_classes)
        self._union = torch.zeros(num_classes)

    def add(self, scores: Tensor, mask: Tensor, grid: tuple[int, int], plan: Tensor | None = None) -> None:
        """Add an image.

        Args:
            scores: (N, K) cosines of its cells and the names.
            mask: (H, W) ids of its named objects, see :func:`cell_shares`.
            grid: (h, w), N = h * w.
            plan: (K, N, P) transport plans.

        Raises:
            ValueError: a mask that does not fit.
        """
        scores, mask = scores.detach().float().cpu(), mask.cpu()
        shares = cell_shares(mask, grid, self.num_classes)
        present = shares.sum(0).nonzero()[:, 0].tolist()
        if not present:
            return
        self.images += 1
        self.items += len(present)
        self._add('pooled', float(int(scores.mean(0).argmax()) in present))
        margin, nearest = margins(scores), scores.argmax(-1)
        for k in present:
            share = shares[:, k]
            inside = share >= INSIDE
            self._add('cells', *(nearest == k).float().tolist())
            self._add('cells_inside', *(nearest == k)[inside].float().tolist())
            self._add('margin_in', *margin[inside, k].tolist())
            self._add('margin_out', *margin[~inside, k].tolist())
            if (share >= ON_OBJECT).any():
                self._add('pointing', float(points_at(scores[:, k], share)))
                self._add('pointing_chance', float((share >= ON_OBJECT).float().mean()))
            if plan is not None:
                own = plan[k].detach().float().cpu()
                whole, best_prompt = mass_inside(own, share)
                self._add('mass', whole)
                self._add('best_prompt', best_prompt)
                self._add('area', float(share.mean()))
                self._add('plan_spread', float(spread_of_prompts(own).mean()))
        self._add_pixels(best_names(scores, grid, tuple(mask.shape)), mask)

    def _add(self, name: str, *values: float) -> None:
        self._sums.setdefault(name, []).extend(values)

    def _add_pixels(self, found: Tensor, mask: Tensor) -> None:
        named = mask != UNNAMED
        found, true = found[named], mask[named].long()
        hits = torch.bincount(true[found == true], minlength=self.num_classes)
        self._intersection += hits
        both = torch.bincount(true, minlength=self.num_classes) + torch.bincount(found, minlength=self.num_classes)
        self._union += both - hits

    def result(self) -> dict[str, float]:
        """The measures by name; NaN for one without any item.

        Raises:
            ValueError: no image with a named object was added.
        """
        if not self.images:
            raise ValueError('no image holds a named object: nothing can be measured')
        mean = {name: sum(values) / len(values) if values else math.nan for name, values in self._sums.items()}
        percent = ('pooled', 'cells', 'cells_inside', 'pointing', 'pointing_chance')
        found = {name: 100 * mean.get(name, math.nan) for name in percent}
        found |= {name: mean[name] for name in ('margin_in', 'margin_out')}
        occurring = self._union > 0
        found['miou'] = 100 * float((self._intersection[occurring] / self._union[occurring]).mean())
        if 'mass' in mean:
            found |= {
                'mass_in_object': mean['mass'] / mean['area'],
                'best_prompt': mean['best_prompt'] / mean['area'],
                'plan_spread': mean['plan_spread'],
            }
        return found
