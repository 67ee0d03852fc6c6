"""The steps of synchronised batch normalisation with the signatures of ``mmcv._ext``, in plain torch.

mmcv exchanges statistics between processes itself. Statistics are float32, and so are the normalised values that are
kept for the backward pass.
"""

from __future__ import annotations

from torch import Tensor


def sync_bn_forward_mean(input: Tensor, mean: Tensor) -> None:
    """Write the mean of every channel of ``input`` (B, C, N) into ``mean`` (C,)."""
    mean.copy_(input.float().mean(dim=(0, 2)))


def sync_bn_forward_var(input: Tensor, mean: Tensor, var: Tensor) -> None:
    """Write the variance of every channel of ``input`` (B, C, N) around ``mean`` (C,) into ``var`` (C,)."""
    var.copy_((input.float() - mean[:, None]).square().mean(dim=(0, 2)))


def sync_bn_forward_output(
    input: Tensor,
    mean: Tensor,
    var: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    norm: Tensor,
    std: Tensor,
    output: Tensor,
    eps: float,
    momentum: float | Tensor,
    group_size: int,
) -> None:
    """Normalise, and update the running statistics.

    Args:
        input: (B, C, N).
        mean: (C,) mean over all processes.
        var: (C,) variance over all processes.
        weight: (C,) factor, or None.
        bias: (C,) summand, or None.
        running_mean: (C,), updated; None for no statistics.
        running_var: (C,), updated with the unbiased variance.
        norm: (B, C, N), overwritten with the values before ``weight`` and ``bias``.
        std: (C,), overwritten with the standard deviation.
        output: (B, C, N), overwritten.
        eps: added to the variance.
        momentum: share of the new statistics.
        group_size: number of processes.
    """
    std.copy_((var + eps).sqrt())
    norm.copy_((input.float() - mean[:, None]) / std[:, None])
    output.copy_(norm if weight is None else norm * weight[:, None] + bias[:, None])
    if running_mean is not None:
        count = input.shape[0] * input.shape[2] * group_size
        unbiased = var * (count / (count - 1)) if count > 1 else var
        running_mean.add_(momentum * (mean - running_mean))
        running_var.add_(momentum * (unbiased - running_var))


def sync_bn_backward_param(grad_output: Tensor, norm: Tensor, grad_weight: Tensor, grad_bias: Tensor) -> None:
    """Write the gradients of weight and bias (C,), given that of the output (B, C, N)."""
    grad = grad_output.float()
    grad_weight.copy_((grad * norm).sum(dim=(0, 2)))
    grad_bias.copy_(grad.sum(dim=(0, 2)))


def sync_bn_backward_data(
    grad_output: Tensor,
    weight: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    norm: Tensor,
    std: Tensor,
    grad_input: Tensor,
) -> None:
    """Write the gradient of the input (B, C, N), given those of weight and bias (C,), means over the processes."""
    count = norm.shape[0] * norm.shape[2]
    mean = (norm * grad_weight[:, None] + grad_bias[:, None]) / count
    grad_input.copy_((weight / std)[:, None] * (grad_output.float() - mean))
