"""Multi-scale deformable attention with the signatures of ``mmcv._ext``, on torch's ``grid_sample``.

mmcv calls it for tensors on a GPU only and has a form of its own for the CPU.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from vlprompt.compat.mmcv_ops.gradients import add_gradients
from vlprompt.compat.mmcv_ops.precision import at_least_float32


def ms_deform_attn_forward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int,
) -> Tensor:
    """Weighted sums of bilinear samples from several feature maps (Zhu et al., 2021, eq. 3).

    Args:
        value: (B, keys, heads, width) pixels of all maps one after the other.
        value_spatial_shapes: (levels, 2) height and width of the maps.
        value_level_start_index: (levels,) first key of every map.
        sampling_locations: (B, queries, heads, levels, points, 2) x, y from 0 to 1; pixels outside count as 0.
        attention_weights: (B, queries, heads, levels, points).
        im2col_step: images that the compiled op takes at once; no effect here.

    Returns:
        (B, queries, heads * width), in the dtype of ``value``.
    """
    maps = _maps(value_spatial_shapes, value_level_start_index)
    tensors = at_least_float32(value, sampling_locations, attention_weights)
    return _attend(*tensors, maps).to(value.dtype)


def ms_deform_attn_backward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int,
) -> None:
    """Add the gradients to ``grad_value``, ``grad_sampling_loc`` and ``grad_attn_weight``.

    The other arguments are those of :func:`ms_deform_attn_forward`.
    """
    maps = _maps(value_spatial_shapes, value_level_start_index)
    *tensors, grad = at_least_float32(value, sampling_locations, attention_weights, grad_output)
    totals = (grad_value, grad_sampling_loc, grad_attn_weight)
    add_gradients(lambda *inputs: _attend(*inputs, maps), tensors, grad, totals)


def _maps(shapes: Tensor, starts: Tensor) -> list[list[int]]:
    """First key, height and width of every map, read from the device at once."""
    return torch.cat((starts[:, None], shapes), dim=1).tolist()


def _attend(value: Tensor, locations: Tensor, weights: Tensor, maps: list[list[int]]) -> Tensor:
    batch, _, heads, width = value.shape
    value = value.permute(0, 2, 3, 1).flatten(0, 1)  # (B * heads, width, keys)
    grids = (2 * locations - 1).permute(0, 2, 3, 1, 4, 5).flatten(0, 1)  # (B * heads, levels, queries, points, 2)
    weights = weights.permute(0, 2, 3, 1, 4).flatten(0, 1)[:, :, None]  # (B * heads, levels, 1, queries, points)
    total = value.new_zeros(len(value), width, locations.shape[1])
    for level, (start, height, columns) in enumerate(maps):
        plane = value[..., start : start + height * columns].unflatten(-1, (height, columns))
        total = total + (grid_sample(plane, grids[:, level], align_corners=False) * weights[:, level]).sum(dim=-1)
    return total.view(batch, heads * width, -1).transpose(1, 2).contiguous()
