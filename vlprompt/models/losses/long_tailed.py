"""Losses of head classifiers, with or without class counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlprompt.registry import MODELS

NEGATIVES = ('smooth', 'paper')


class ClassificationLoss(nn.Module):
    """Base of the losses of a head classifier, which may need class counts: ``loss(logits (B, C), labels (B,))``.

    Attributes:
        needs_class_counts: whether the loss is computed from them; the model takes them from the training data.
        counts: (C,) training images of each class; None before :meth:`set_class_counts`.
        of_classes: (C,) what the loss computes from them, once; a buffer, on the model's device and not saved.
        scale: factor of the logits in the loss, so that ``softmax(scale * logits)`` are its probabilities.
    """

    scale = 1.0
    needs_class_counts = False

    def __init__(self) -> None:
        super().__init__()
        self.counts: Tensor | None = None
        self.register_buffer('of_classes', None, persistent=False)

    def terms(self, logits: Tensor, target: Tensor, per_sample: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """``loss_cls``, the means of further terms as ``loss_<name>``, and ``accuracy`` for the log.

        Args:
            logits: (B, C).
            target: (B,) labels.
            per_sample: further terms (B,).
        """
        losses = dict(loss_cls=self(logits, target))
        losses |= {f'loss_{name}': values.mean() for name, values in per_sample.items()}
        return losses | dict(accuracy=accuracy(logits, target))

    def set_class_counts(self, counts: Sequence[int]) -> None:
        """Set the (C,) numbers of training images.

        Raises:
            ValueError: a class without images.
        """
        counts = torch.as_tensor(counts, dtype=torch.float64)
        if counts.min() < 1:
            label = int(counts.argmin())
            raise ValueError(f'{type(self).__name__}: class {label} has {int(counts[label])} training images')
        self.counts, self.of_classes = counts, self.from_counts(counts)

    def from_counts(self, counts: Tensor) -> Tensor | None:
        """What the loss needs to know of the classes, (C,) float64 from (C,) counts; None: nothing."""
        return None

    def classes_of(self, logits: Tensor) -> Tensor:
        """(C,) ``of_classes`` in the dtype of the logits (..., C).

        Raises:
            RuntimeError: no counts were set.
            ValueError: they belong to another number of classes.
        """
        if self.counts is None:
            raise RuntimeError(
                f'{type(self).__name__} does not know the class counts: train with default_hooks.data=dict('
                "type='vlprompt.DataHook') on data with cls_num_list, or call set_class_counts() of the model"
            )
        if len(self.counts) != logits.shape[-1]:
            raise ValueError(f'{type(self).__name__}: {len(self.counts)} class counts, {logits.shape[-1]} logits')
        return self.of_classes.to(logits)


@MODELS.register_module()
class LogitAdjustedLoss(ClassificationLoss):
    """Cross-entropy of ``logits + tau log prior`` (Menon et al., ICLR 2021), the loss of LIFT.

    Args:
        tau: 1 for the balanced error; 0 is plain cross-entropy, which needs no counts.
    """

    def __init__(self, tau: float = 1.0) -> None:
        super().__init__()
        self.tau = tau
        self.needs_class_counts = tau != 0

    def from_counts(self, counts: Tensor) -> Tensor:
        """Logarithm of the prior."""
        return (counts / counts.sum()).log()

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Logits (B, C) and labels (B,) -> mean loss."""
        logits = logits.float()
        if self.tau:
            logits = logits + self.tau * self.classes_of(logits)
        return F.cross_entropy(logits, target)

    def extra_repr(self) -> str:
        return f'tau={self.tau}'


@MODELS.register_module()
class AGCLLoss(ClassificationLoss):
    r"""Asymmetric Gaussian clouded logit loss of LPT (Dong et al., ICLR 2023, section 3.4).

    For cosines :math:`z` of a sample of class :math:`y`, with :math:`n_c` training images of class c:

    .. math::
        w_c &= \frac{\log n_{max} - \log n_c}{\log n_{max} - \log n_{min}}, \qquad
        \varepsilon_c \sim |N(0, 1/9)| \text{ cut off at } 1 \\
        \hat z_c &= s \, (z_c - \nu\, w_c\, \varepsilon_c - \mu\, [c = y]), \qquad p = softmax(\hat z) \\
        L &= -\sum_c t_c f_c \log p_c, \qquad
        f_y = (1 - p_y)^{\gamma_+}, \quad f_c = p_c^{\gamma_-} \; (c \ne y)

    with targets :math:`t_c = (1 - \delta) [c = y] + \delta / C` as the published code has it (``negatives='smooth'``:
    negatives enter through the label smoothing alone), or :math:`t_c = 1` for all c, as the paper prints it
    (``'paper'``).  The cloud is zero if all classes are equally large.  Noise is drawn in training mode only.

    Computed in fp32; :math:`1 - p_y` is clamped to 1e-8 in the power, whose gradient is not finite at 0.

    Args:
        scale: s.
        margin: mu.
        noise: nu, factor of the cloud.
        gamma_pos: gamma_+; published 0 for the class-balanced stream and 0.5 for the instance-balanced one.
        gamma_neg: gamma_-; published 4 and 8.
        label_smooth: delta.
        negatives: ``'smooth'`` or ``'paper'``.
        weight: factor of the loss, the paper's beta.

    Raises:
        ValueError: unknown ``negatives``.
    """

    def __init__(
        self,
        scale: float = 20.0,
        margin: float = 0.1,
        noise: float = 0.5,
        gamma_pos: float = 0.0,
        gamma_neg: float = 4.0,
        label_smooth: float = 0.1,
        negatives: str = 'smooth',
        weight: float = 1.0,
    ) -> None:
        super().__init__()
        if negatives not in NEGATIVES:
            raise ValueError(f'AGCLLoss: negatives must be one of {NEGATIVES}, got {negatives!r}')
        self.scale, self.margin, self.noise, self.weight = scale, margin, noise, weight
        self.gamma_pos, self.gamma_neg = gamma_pos, gamma_neg
        self.label_smooth, self.negatives = label_smooth, negatives
        self.needs_class_counts = noise != 0

    def forward(self, cosine: Tensor, target: Tensor, epsilon: Tensor | None = None) -> Tensor:
        """Mean over the batch of :meth:`per_sample`."""
        return self.weight * self.per_sample(cosine, target, epsilon).mean()

    def per_sample(self, cosine: Tensor, target: Tensor, epsilon: Tensor | None = None) -> Tensor:
        """The loss of every sample.

        Args:
            cosine: (B, C) cosines in [-1, 1].
            target: (B,) labels.
            epsilon: (B, C) magnitudes in [0, 1]; None: drawn in training mode, zero otherwise.

        Returns:
            (B,).
        """
        cosine = cosine.to(torch.promote_types(cosine.dtype, torch.float32))
        positive = F.one_hot(target, cosine.shape[-1]).bool()
        clouded = cosine - self._cloud(cosine, epsilon) - self.margin * positive.to(cosine.dtype)
        log_p = (self.scale * clouded).log_softmax(-1)
        p = log_p.exp()
        focus = torch.where(positive, (1 - p).clamp(min=1e-8) ** self.gamma_pos, p**self.gamma_neg)
        return -(self._targets(positive, cosine.dtype) * focus * log_p).sum(-1)

    def _cloud(self, cosine: Tensor, epsilon: Tensor | None) -> Tensor | float:
        """(B, C) margins subtracted from the cosines."""
        if epsilon is None:
            if not self.training or not self.noise:
                return 0.0
            epsilon = torch.randn_like(cosine).div_(3).abs_().clamp_(max=1)
        return self.noise * self.classes_of(cosine) * epsilon

    def from_counts(self, counts: Tensor) -> Tensor:
        """Sizes w of the clouds."""
        return cloud_sizes(counts)

    def _targets(self, positive: Tensor, dtype: torch.dtype) -> Tensor:
        """(B, C) weights t of the classes."""
        if self.negatives == 'paper':
            return torch.ones_like(positive, dtype=dtype)
        return (1 - self.label_smooth) * positive.to(dtype) + self.label_smooth / positive.shape[-1]

    def extra_repr(self) -> str:
        return (
            f'scale={self.scale}, margin={self.margin}, noise={self.noise}, gamma_pos={self.gamma_pos}, '
            f'gamma_neg={self.gamma_neg}, label_smooth={self.label_smooth}, negatives={self.negatives!r}'
        )


def accuracy(logits: Tensor, target: Tensor) -> Tensor:
    """Percent of B samples whose largest logit (B, C) is that of their label (B,)."""
    return (logits.argmax(1) == target).float().mean() * 100


def cloud_sizes(counts: Tensor) -> Tensor:
    """Cloud size w (C,): 0 for the largest class, 1 for the smallest, linear in log n. All 0 for equal classes."""
    logs = counts.log()
    spread = logs.max() - logs.min()
    return torch.zeros_like(logs) if spread == 0 else (logs.max() - logs) / spread
