"""Deformable convolution, RoI pooling and attention of the stand-in: special cases, loops, autograd."""

import pytest
import torch
from mmcv import ops as mmcv_ops
from mmcv.ops.deform_conv import deform_conv2d
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction, multi_scale_deformable_attn_pytorch
from mmengine.registry import MODELS
from torch.nn.functional import conv2d
from torchvision.ops import roi_align

from dev.benchmarks import mmcv_ops_loops
from vlprompt.compat.mmcv_ops import compiled_ops

pytestmark = pytest.mark.usefixtures('seeded')
stand_in = pytest.mark.skipif(compiled_ops() is not None, reason='mmcv has compiled ops')


def doubles(*shapes):
    return [torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


def convolution(groups=1, deform_groups=1, taps=9):
    """Input, offsets, masks, weights and bias of a 3x3 convolution of 4 channels with padding 1."""
    batch = (2, deform_groups * taps, 5, 6)
    return doubles((2, 4, 5, 6), (2, 2 * batch[1], 5, 6), batch, (2 * groups, 4 // groups, 3, 3), (2 * groups,))


# ------------------------------------------------------------------------------------------------- convolutions


@pytest.mark.parametrize('groups', [1, 2])
def test_without_offsets_it_is_a_convolution(groups):
    x, offset, mask, weight, bias = convolution(groups, deform_groups=2)
    expected = conv2d(x, weight, None, 1, 1, 1, groups)
    torch.testing.assert_close(deform_conv2d(x, offset * 0, weight, 1, 1, 1, groups, 2), expected)
    plain = mmcv_ops.modulated_deform_conv2d(x, offset * 0, mask * 0 + 1, weight, bias, 1, 1, 1, groups, 2)
    torch.testing.assert_close(plain, expected + bias[:, None, None])


@pytest.mark.parametrize(('down', 'right'), [(1, 0), (0, 1), (-2, 1)])
def test_whole_offsets_shift_the_input_by_rows_then_columns(down, right):
    x, offset, _, weight, _ = convolution()
    offset = torch.empty_like(offset)
    offset[:, 0::2], offset[:, 1::2] = down, right
    shifted = torch.zeros(2, 4, 5 + 8, 6 + 8, dtype=x.dtype)
    shifted[:, :, 4 - down : 9 - down, 4 - right : 10 - right] = x
    expected = conv2d(shifted, weight, padding=1)[:, :, 4:9, 4:10]
    torch.testing.assert_close(deform_conv2d(x, offset, weight, 1, 1), expected)


def test_a_group_of_channels_has_its_own_offsets():
    x, offset, _, weight, _ = convolution(deform_groups=2)
    offset = torch.cat((offset[:, :18], torch.zeros_like(offset[:, 18:])), dim=1)
    first = deform_conv2d(x[:, :2], offset[:, :18], weight[:, :2], 1, 1)
    second = conv2d(x[:, 2:], weight[:, 2:], padding=1)
    torch.testing.assert_close(deform_conv2d(x, offset, weight, 1, 1, 1, 1, 2), first + second)


@pytest.mark.parametrize('options', [(1, 1, 1, 1, 1), (2, 1, 1, 2, 1), (1, 2, 2, 1, 2), ((1, 2), (0, 1), 1, 2, 2)])
def test_gradients_of_convolutions(options):
    groups, deform_groups = options[3:]
    x, offset, mask, weight, bias = convolution(groups, deform_groups)
    size = conv2d(x, weight, None, *options[:4]).shape[-2:]
    offset, mask = (maps[..., : size[0], : size[1]].detach().requires_grad_() for maps in (offset, mask))
    modulated = mmcv_ops.modulated_deform_conv2d
    for op, inputs in (
        (lambda *t: deform_conv2d(*t, *options), (x, offset, weight)),
        (lambda *t: modulated(*t, *options), (x, offset, mask, weight, bias)),
        (lambda *t: modulated(*t, None, *options), (x, offset, mask, weight)),
    ):
        assert torch.autograd.gradcheck(op, inputs, fast_mode=True)


def test_golden_values_of_mmcv():
    """Those of mmcv's own test."""
    layer = mmcv_ops.DeformConv2dPack(1, 1, 2, bias=False)
    layer.conv_offset.weight.data = torch.tensor(
        [
            [0.1, 0.4, 0.6, 0.1],
            [0.3, 0.2, 0.1, 0.3],
            [0.5, 0.5, 0.2, 0.8],
            [0.8, 0.3, 0.9, 0.1],
            [0.3, 0.1, 0.2, 0.5],
            [0.3, 0.7, 0.5, 0.3],
            [0.6, 0.2, 0.5, 0.3],
            [0.4, 0.1, 0.8, 0.4],
        ]
    ).view(8, 1, 2, 2)
    layer.conv_offset.bias.data = torch.tensor([0.7, 0.1, 0.8, 0.5, 0.6, 0.5, 0.4, 0.7])
    layer.weight.data = torch.tensor([0.4, 0.2, 0.1, 0.9]).view(1, 1, 2, 2)
    x = torch.tensor([[[[1.0, 2, 3], [0, 1, 2], [3, 5, 2]]]], requires_grad=True)
    output = layer(x)
    torch.testing.assert_close(output, torch.tensor([[[[1.650, 0], [0, 0]]]]))
    output.sum().backward()
    expected = torch.tensor([[-0.666, 0.204, 0.000], [0.030, -0.416, 0.012], [0.000, 0.252, 0.129]])
    torch.testing.assert_close(x.grad[0, 0], expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize('trained', ['all', 'input', 'weight'])
def test_the_weights_are_trained_alone_or_with_the_rest(trained):
    x, offset, _, weight, _ = convolution()
    reference = mmcv_ops_loops.deform_conv_reference(x, offset, weight, padding=1)
    grad_output = torch.randn_like(reference)
    expected = torch.autograd.grad(reference, (x, weight), grad_output)
    x.requires_grad_(trained != 'weight')
    offset.requires_grad_(trained == 'all')
    weight.requires_grad_(trained != 'input')
    output = deform_conv2d(x, offset, weight, 1, 1)
    for _ in range(2):  # nothing of the first pass is left in the second
        leaves = [leaf for leaf in (x, weight) if leaf.requires_grad]
        grads = torch.autograd.grad(output, leaves, grad_output, retain_graph=True)
        expected_grads = [g for leaf, g in zip((x, weight), expected, strict=True) if leaf.requires_grad]
        for grad, other in zip(grads, expected_grads, strict=True):
            torch.testing.assert_close(grad, other)


@stand_in
def test_a_backward_pass_runs_the_kernel_once():
    x, offset, _, weight, _ = convolution()
    output = deform_conv2d(x, offset, weight, 1, 1).sum()
    with torch.profiler.profile() as profile:
        output.backward()
    kernels = [e for e in profile.events() if e.name == 'torchvision::_deform_conv2d_backward']
    assert len(kernels) == 1


@stand_in
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('kind', ['DCN', 'DCNv2'])
def test_registered_layers_in_half_precision(kind, dtype):
    layer = MODELS.build(dict(type=kind, in_channels=4, out_channels=4, kernel_size=3, padding=1, deform_groups=2))
    layer.conv_offset.weight.data.normal_(std=0.3)
    x = torch.randn(2, 4, 6, 6).requires_grad_()
    exact = layer(x)
    exact.sum().backward()
    expected = [layer.weight.grad.clone(), layer.conv_offset.weight.grad.clone(), x.grad.clone()]
    layer.zero_grad()
    x.grad = None
    with torch.autocast('cpu', dtype=dtype):
        output = layer(x)
    assert output.dtype == dtype  # that of the offsets, which a convolution makes
    output.float().sum().backward()
    torch.testing.assert_close(output.float(), exact, rtol=0.1, atol=0.2)
    for grad, other in zip([layer.weight.grad, layer.conv_offset.weight.grad, x.grad], expected, strict=True):
        assert grad.dtype == torch.float32
        assert torch.nn.functional.cosine_similarity(grad.flatten(), other.flatten(), dim=0) > 0.95


@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
def test_larger_maps_of_offsets_are_read_in_order(memory_format):
    """As DyHead passes them, whose published weights were trained so."""
    if compiled_ops() and memory_format is torch.channels_last:
        pytest.skip('the compiled op takes contiguous tensors')
    x, _, _, weight, bias = convolution()
    offset, mask = doubles((2, 18, 10, 12), (2, 9, 10, 12))
    offset = offset.detach().to(memory_format=memory_format).requires_grad_()
    output = mmcv_ops.modulated_deform_conv2d(x, offset, mask, weight, bias, 1, 1)
    first = [maps.flatten(1)[:, : maps.shape[1] * 30].view(2, -1, 5, 6) for maps in (offset, mask)]
    expected = mmcv_ops_loops.deform_conv_reference(x, first[0], weight, first[1], bias, padding=1)
    torch.testing.assert_close(output, expected)
    leaves = (offset, mask)
    grads, others = (torch.autograd.grad(o.square().sum(), leaves) for o in (output, expected))
    for grad, other in zip(grads, others, strict=True):
        torch.testing.assert_close(grad, other)


@stand_in
def test_offsets_that_do_not_fit_are_an_error():
    x, offset, _, weight, _ = convolution()
    with pytest.raises(RuntimeError, match='offset'):
        deform_conv2d(x, offset[:, :4], weight, 1, 1)


# ------------------------------------------------------------------------------------------------- attention


def attention_inputs():
    shapes = torch.tensor([[3, 4], [2, 1]])
    value, locations, weights = doubles((2, 14, 2, 3), (2, 5, 2, 2, 2, 2), (2, 5, 2, 2, 2))
    locations = (0.4 * locations.detach() + 0.5).requires_grad_()  # some outside
    return value, shapes, torch.tensor([0, 12]), locations, weights


@stand_in
def test_attention_equals_mmcvs_form_for_the_cpu():
    value, shapes, starts, locations, weights = attention_inputs()
    output = MultiScaleDeformableAttnFunction.apply(value, shapes, starts, locations, weights, 64)
    torch.testing.assert_close(output, multi_scale_deformable_attn_pytorch(value, shapes, locations, weights))


@stand_in
def test_gradients_of_attention():
    value, shapes, starts, locations, weights = attention_inputs()
    assert torch.autograd.gradcheck(
        lambda v, x, w: MultiScaleDeformableAttnFunction.apply(v, shapes, starts, x, w, 64), (value, locations, weights)
    )


@stand_in
def test_attention_in_half_precision():
    value, shapes, starts, locations, weights = (
        t.detach().half() if t.is_floating_point() else t for t in attention_inputs()
    )
    value.requires_grad_()
    output = MultiScaleDeformableAttnFunction.apply(value, shapes, starts, locations, weights, 64)
    exact = MultiScaleDeformableAttnFunction.apply(value.double(), shapes, starts, locations, weights, 64)
    assert output.dtype == torch.float16
    torch.testing.assert_close(output.double(), exact, rtol=1e-2, atol=1e-2)
    output.sum().backward()
    assert value.grad.dtype == torch.float16


# ------------------------------------------------------------------------------------------------- RoI pooling

ROIS = torch.tensor([[0, 1.3, 1.1, 5.2, 4.4], [1, -2, 3, 9, 4], [1, 2, 2, 2, 2]], dtype=torch.float64)


@stand_in
@pytest.mark.parametrize('sampling_ratio', [0, 2])
def test_without_offsets_deformable_pooling_is_roi_align(sampling_ratio):
    (features,) = doubles((2, 3, 7, 8))
    pooled = mmcv_ops.deform_roi_pool(features, ROIS, None, (2, 3), 0.8, sampling_ratio)
    torch.testing.assert_close(pooled, roi_align(features, ROIS, (2, 3), 0.8, sampling_ratio, aligned=True))
    offset = torch.zeros(3, 2, 2, 3, dtype=torch.float64)
    torch.testing.assert_close(mmcv_ops.deform_roi_pool(features, ROIS, offset, (2, 3), 0.8, sampling_ratio), pooled)


@stand_in
def test_offsets_of_deformable_pooling_are_shares_of_the_region():
    (features,) = doubles((2, 3, 7, 8))
    offset = torch.zeros(1, 2, 2, 2, dtype=torch.float64)
    offset[:, 0], offset[:, 1] = 0.5, -0.25  # x, y
    pooled = mmcv_ops.deform_roi_pool(features, torch.tensor([[0.0, 2, 2, 6, 6]]), offset, (2, 2), 1.0, 2, 1.0)
    moved = torch.tensor([[0.0, 4, 1, 8, 5]], dtype=torch.float64)
    torch.testing.assert_close(pooled, roi_align(features, moved, (2, 2), 1.0, 2, aligned=True))


@stand_in
def test_gradients_of_deformable_pooling():
    features, offset = doubles((2, 2, 7, 8), (3, 2, 2, 2))
    options = ((2, 2), 0.8, 2, 0.1)
    pool = mmcv_ops.deform_roi_pool
    assert torch.autograd.gradcheck(lambda f, o: pool(f, ROIS, o, *options), (features, offset), fast_mode=True)
    assert torch.autograd.gradcheck(lambda f: pool(f, ROIS, None, *options), features, fast_mode=True)


@stand_in
def test_deformable_pooling_of_no_regions():
    (features,) = doubles((1, 2, 4, 4))
    offset = torch.zeros(0, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    pooled = mmcv_ops.deform_roi_pool(features, ROIS[:0], offset, (3, 3))
    assert pooled.shape == (0, 2, 3, 3)
    pooled.sum().backward()
    assert not features.grad.any()
