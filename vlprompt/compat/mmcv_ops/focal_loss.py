"""Sigmoid and softmax focal loss with the signatures of ``mmcv._ext``, in plain torch.

With ``z`` the logit of being right (``x`` for the class of the target, ``-x`` for all others), ``p = sigmoid(z)`` and
``a`` = ``alpha`` or ``1 - alpha`` respectively, the loss is ``-a (1 - p)^gamma log p`` (Lin et al., 2017, eq. 5). The
compiled op clamps ``log p`` at -87; here it is computed from the logits, so it and its gradient stay correct beyond.
mmcv passes the probabilities of the softmax instead of logits, so that loss has the clamp.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from vlprompt.compat.mmcv_ops.precision import at_least_float32


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Write the loss of every logit into ``output``. Computed in float32 at least.

    Args:
        input: (N, C) logits.
        target: (N,) class indices of any integer type; C is the background, for which all classes are negatives.
        weight: (C,) factor of the samples of each class, or an empty tensor for none.
        output: (N, C) losses, overwritten.
        gamma: exponent that lowers the loss of easy logits.
        alpha: share of the positive logits.

    Raises:
        ValueError: ``weight`` given for targets that are background, which has no weight.
    """
    logits, share, _ = _right_logits(input, target, alpha)
    loss = share * (-logits).sigmoid().pow(gamma) * logsigmoid(logits).neg()
    output.copy_(loss * _sample_weights(weight, target, loss))


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Write the derivative of every loss with respect to its own logit into ``grad_input`` (N, C).

    Arguments and errors are those of :func:`sigmoid_focal_loss_forward`.
    """
    logits, share, sign = _right_logits(input, target, alpha)
    wrong = (-logits).sigmoid()
    slope = share * wrong.pow(gamma) * (gamma * logits.sigmoid() * logsigmoid(logits) - wrong)
    grad_input.copy_(sign * slope * _sample_weights(weight, target, slope))


def softmax_focal_loss_forward(
    softmax: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Write the loss ``-alpha (1 - p)^gamma log p`` of every sample into ``output``.

    Args:
        softmax: (N, C) probabilities.
        target: (N,) class indices; the loss of a negative one is 0.
        weight: (C,) factor of the samples of each class, or an empty tensor for none.
        output: (N,) losses, overwritten.
        gamma: exponent that lowers the loss of easy samples.
        alpha: factor of all losses.
    """
    p, factor = _target_probability(softmax, target, weight, alpha)
    output.copy_(-factor * (1 - p).pow(gamma) * _log(p))


def softmax_focal_loss_backward(
    softmax: Tensor,
    target: Tensor,
    weight: Tensor,
    buff: Tensor,
    grad_input: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Write the derivative of every loss with respect to the logits of its sample into ``grad_input`` (N, C).

    ``buff`` (N,) is unused; the other arguments are those of :func:`softmax_focal_loss_forward`.
    """
    p, factor = _target_probability(softmax, target, weight, alpha)
    wrong = 1 - p
    slope = gamma * wrong.clamp(min=torch.finfo(p.dtype).tiny).pow(gamma - 1) * p * _log(p) - wrong.pow(gamma)
    right = target[:, None] == torch.arange(softmax.shape[1], device=softmax.device)
    grad_input.copy_((factor * slope)[:, None] * (right.to(p.dtype) - softmax))


def _target_probability(softmax: Tensor, target: Tensor, weight: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Probability of each sample's class and factor of its loss, both (N,)."""
    (softmax,) = at_least_float32(softmax)
    known = target.clamp(min=0)
    factor = alpha * (target >= 0).to(softmax.dtype)
    if weight.numel():
        factor = factor * weight.to(softmax.dtype)[known]
    return softmax.gather(1, known[:, None])[:, 0], factor


def _log(p: Tensor) -> Tensor:
    return p.clamp(min=torch.finfo(torch.float32).tiny).log()


def _right_logits(input: Tensor, target: Tensor, alpha: float) -> tuple[Tensor, Tensor, Tensor]:
    """Logits ``z``, shares ``a`` and signs ``dz/dx``, all (N, C)."""
    (logits,) = at_least_float32(input)
    positive = (target[:, None] == torch.arange(input.shape[1], device=input.device)).to(logits.dtype)
    share = alpha * positive + (1 - alpha) * (1 - positive)
    sign = 2 * positive - 1
    return sign * logits, share, sign


def _sample_weights(weight: Tensor, target: Tensor, like: Tensor) -> Tensor | float:
    """(N, 1) weight of each sample's class, 1 if there are no weights."""
    if not weight.numel():
        return 1.0
    without = target[(target < 0) | (target >= len(weight))]
    if without.numel():
        raise ValueError(
            f'sigmoid_focal_loss got weights for {len(weight)} classes and the target {int(without[0])}, which has '
            'none. Weigh the losses of samples instead (weight=None here), as mmdet does'
        )
    return weight.to(like.dtype)[target][:, None]
