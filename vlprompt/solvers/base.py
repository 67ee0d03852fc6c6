"""The interface of solvers: few-shot classifiers that are computed from features of frozen towers.

A solver takes the features of the shots and the text features of the classes, ``fit``s a few tensors to them, and then
gives logits.  One letter means one thing in all of them: K classes, N images, A views of each, D the joint dimension,
x a unit-norm image feature, t a unit-norm text feature, s the logit scale (about 100 for OpenAI's weights).
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlprompt.arguments import is_count

Setting = dict[str, float]
"""Hyper-parameters by name."""

Search = Generator[tuple[Setting, Tensor], float, None]
"""Yields a setting and its logits (V, K) of V validation images; is sent their accuracy in percent."""


@dataclass(frozen=True)
class Shots:
    """Features of the training images, and of the text of their classes.

    Attributes:
        features: (N, A, D), A augmented views of N images, not normalised; (N, A, T, D) of their T tokens for a solver
            that ``needs_local``, the global one first.
        labels: (N,) int64 in 0..K-1.
        text: (K, D), unit norm, or raw for a solver that has ``raw_text``, see :func:`class_weights`; (1 + P, K, D) for
            one that ``needs_prompts``: the same, then the P learned prompts, not normalised.
        scale: logit scale s, which multiplies cosines.
        seed: of whatever a solver draws at random.

    Raises:
        ValueError: other shapes, labels out of range, or a class without an image.
    """

    features: Tensor
    labels: Tensor
    text: Tensor
    scale: float = 100.0
    seed: int = 1

    def __post_init__(self) -> None:
        if self.features.dim() not in (3, 4) or self.labels.shape != self.features.shape[:1]:
            raise ValueError(
                'Shots: features must be (N images, A views, D) or (N, A, T tokens, D), and labels (N,), got '
                f'{tuple(self.features.shape)} and {tuple(self.labels.shape)}'
            )
        if len(self.labels) and not 0 <= int(self.labels.min()) <= int(self.labels.max()) < self.num_classes:
            raise ValueError(f'Shots: labels must be in 0..{self.num_classes - 1}')
        if empty := [label for label, count in enumerate(self.per_class.tolist()) if not count]:
            raise ValueError(f'Shots: no image of class {", ".join(map(str, empty[:5]))}')

    @property
    def num_classes(self) -> int:
        """K."""
        return self.text.shape[-2]

    @property
    def per_class(self) -> Tensor:
        """(K,) numbers of images."""
        return self.labels.bincount(minlength=self.num_classes)

    def rows(self) -> tuple[Tensor, Tensor]:
        """Views as separate rows: (A * N, D) features, not normalised, and (A * N,) labels; all images of the first
        view, then all of the second, ...
        """
        return self.features.transpose(0, 1).flatten(0, 1), self.labels.repeat(self.features.shape[1])

    def averaged(self, views: int | None = None) -> Tensor:
        """(N, [T,] D) unit-norm mean of the normalised features of the first ``views`` views; None: of all.

        A few images at a time, since their normalised views take as much memory as all features.
        """
        parts = self.features[:, :views].split(256)
        return torch.cat([F.normalize(F.normalize(part, dim=-1).mean(1), dim=-1) for part in parts])


class Linear(NamedTuple):
    """Logits ``<x, w_c> + b_c``.

    Attributes:
        weight: (K, D).
        bias: (K,), or None for 0.
        normalised: whether x is the image feature of unit length, instead of what the tower gives.
    """

    weight: Tensor
    bias: Tensor | None = None
    normalised: bool = True


class Solver(nn.Module):
    """Base of all solvers.  Subclasses define :meth:`fit`, :meth:`forward` and the tensors that the former sets.

    What was fitted are buffers: None before, then of a size that follows from the data, so that a model that loads them
    has to make room first (:meth:`make_room`).

    Args:
        views: augmented views of each training image; None: the image itself, once, through the pipeline of the test.

    Raises:
        ValueError: ``views`` is no whole number, or less than 1.
    """

    fitted: ClassVar[tuple[str, ...]] = ()
    """Names of the tensors that :meth:`fit` sets."""
    from_config: ClassVar[tuple[str, ...]] = ()
    """Those that a converted checkpoint may lack; :meth:`make_room` then sets them to the values of the config."""
    raw_text: ClassVar[bool] = False
    """Whether the text features are means over templates of what the tower returns, not normalised; otherwise they are
    means of normalised features, normalised again."""
    needs_local: ClassVar[bool] = False
    """Whether features are (B, 1 + M, D) tokens, the global and M local ones, instead of global features (B, D)."""
    needs_prompts: ClassVar[bool] = False
    """Whether the text is (1 + P, K, D): class weights, then features of P learned prompts, not normalised."""
    last_of_ties: ClassVar[bool] = False
    """Of equally good settings, take the last one instead of the first."""
    cosine_logits: ClassVar[bool] = False
    """Whether logits are in the unit of a cosine, so that they need the logit scale before a softmax."""

    def __init__(self, views: int | None = None) -> None:
        super().__init__()
        if views is not None and not is_count(views):
            raise ValueError(
                f'{type(self).__name__}: views must be a whole number, at least 1, or None for no augmentation; got '
                f'{views!r}'
            )
        self.views = views
        for name in self.fitted:
            self.register_buffer(name, None)

    # ------------------------------------------------------------------------------------------------------- fitting

    def fit(self, shots: Shots) -> None:
        """Set the :attr:`fitted` tensors.

        Args:
            shots: features of training images and text.

        Raises:
            ValueError: these shots cannot be fitted; the message says what to do.
        """
        raise NotImplementedError(f'{type(self).__name__} must define fit()')

    def forward(self, features: Tensor, text: Tensor, scale: float) -> Tensor:
        """(B, K) logits of B images.

        Args:
            features: (B, D), or (B, 1 + M, D) with :attr:`needs_local`; not normalised.
            text: as in :class:`Shots`.
            scale: as in :class:`Shots`.
        """
        raise NotImplementedError(f'{type(self).__name__} must define forward()')

    def linear(self, text: Tensor, scale: float) -> Linear | None:
        """The fitted classifier as a linear one, if its logits are linear in the image feature.

        Args:
            text: as in :class:`Shots`.
            scale: as in :class:`Shots`.
        """
        return None

    @property
    def is_fitted(self) -> bool:
        """Whether :meth:`fit` was called, or what it sets was loaded."""
        return all(getattr(self, name) is not None for name in self.fitted)

    def hold(self, **tensors: Tensor | float) -> None:
        """Set fitted tensors; numbers become tensors without axes."""
        for name, value in tensors.items():
            setattr(self, name, torch.as_tensor(value).detach().clone(memory_format=torch.contiguous_format))

    def trained_numbers(self, images: int, classes: int, width: int) -> int:
        """Numbers that :meth:`fit` trains by steps; 0 for a closed form.

        Args:
            images: N training images.
            classes: K.
            width: D of the joint space.
        """
        return 0

    def make_room(self, tensors: Mapping[str, Tensor], device: torch.device) -> None:
        """Be ready to load tensors of these names and sizes, onto a device."""
        for name in self.fitted:
            if name in tensors:
                setattr(self, name, torch.empty_like(tensors[name], device=device))

    @property
    def has_rule_for_other_classes(self) -> bool:
        """Whether, with its options, it will be able to :meth:`for_other_classes` once it is fitted."""
        return False

    @property
    def takes_other_classes(self) -> bool:
        """Whether it is fitted and can make a solver for other classes, of which there are no images."""
        return False

    def for_other_classes(self, text: Tensor, known: Mapping[int, int] | None = None) -> Solver:
        """A fitted solver for K' classes, some or all of them without images.

        Args:
            text: (K', D), unit norm.
            known: those among them that it was fitted to: position of each in ``text`` -> position among the classes
                of the fit; None: none.
        """
        raise NotImplementedError(f'{type(self).__name__} has no rule for other classes')

    # -------------------------------------------------------------------------------------------------------- tuning

    @property
    def grid(self) -> Mapping[str, Sequence[float]]:
        """Hyper-parameters that may be tuned, attributes of this name, and the values to try, outer loop first."""
        return {}

    def configure(self, setting: Setting) -> None:
        """Set hyper-parameters for the next :meth:`fit`."""
        for name, value in setting.items():
            setattr(self, name, value)

    def search(self, shots: Shots, features: Tensor) -> Search:
        """Every setting of the grid with its logits of the validation images; :meth:`adopt` then takes one of them.

        Args:
            shots: as for :meth:`fit`.
            features: (V, D) of the validation images, not normalised.
        """
        for values in product(*self.grid.values()):
            setting = dict(zip(self.grid, values, strict=True))
            self.configure(setting)
            self.fit(shots)
            yield setting, self(features, shots.text, shots.scale)

    def adopt(self, setting: Setting, shots: Shots) -> None:
        """Be as :meth:`search` was when it yielded ``setting``; it has come to its end since."""
        self.configure(setting)
        self.fit(shots)


def class_weights(text: Tensor, raw: bool = False) -> Tensor:
    """(K, D) class weights of P templates: mean of normalised features, normalised; ``raw``: mean of the features.

    Args:
        text: (P, K, D), not normalised.
        raw: normalise nothing.
    """
    return text.mean(0) if raw else F.normalize(F.normalize(text, dim=-1).mean(0), dim=-1)


def class_means(rows: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """(K, D) means of the rows (N, D) of each class."""
    sums = rows.new_zeros(num_classes, rows.shape[1]).index_add_(0, labels, rows)
    return sums / labels.bincount(minlength=num_classes).unsqueeze(1).to(rows)


def zero_shot(features: Tensor, text: Tensor) -> Tensor:
    """(B, K) cosines of image features (B, D), not normalised, and unit-norm text (K, D)."""
    return F.normalize(features, dim=-1) @ text.t()


def linspace(low: float, high: float, count: int) -> list[float]:
    """``count`` values from ``low`` to ``high``, both included."""
    return torch.linspace(low, high, count, dtype=torch.float64).tolist()


def number_like(value: float, tensor: Tensor) -> Tensor:
    """A tensor without axes, of the dtype and device of another."""
    return torch.as_tensor(value, dtype=tensor.dtype, device=tensor.device)
