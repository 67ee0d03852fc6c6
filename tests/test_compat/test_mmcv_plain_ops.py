"""Ops of the stand-in that are plain torch: overlaps, RoIPool, CARAFE, PSA masks, masked convolution, batch norm."""

import pytest
import torch
import torchvision
from mmcv import ops as mmcv_ops
from mmcv.ops.psa_mask import psa_mask
from mmcv.ops.sync_bn import SyncBatchNormFunction
from torch.nn.functional import batch_norm, conv2d, cross_entropy

from vlprompt.compat.mmcv_ops import compiled_ops

pytestmark = pytest.mark.usefixtures('seeded')
stand_in = pytest.mark.skipif(compiled_ops() is not None, reason='mmcv has compiled ops')


# ------------------------------------------------------------------------------------------------- boxes


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_overlaps_equal_those_of_torchvision(dtype):
    first, second = (torchvision.ops.box_convert(torch.rand(n, 4, dtype=dtype), 'xywh', 'xyxy') for n in (7, 5))
    iou = torchvision.ops.box_iou(first, second)
    torch.testing.assert_close(mmcv_ops.bbox_overlaps(first, second), iou)
    torch.testing.assert_close(mmcv_ops.bbox_overlaps(first[:5], second, aligned=True), iou[:5].diag())
    area = torchvision.ops.box_area(first)
    share = iou * (area[:, None] + torchvision.ops.box_area(second)) / (1 + iou) / area[:, None]
    torch.testing.assert_close(mmcv_ops.bbox_overlaps(first, second, mode='iof'), share)


def test_overlaps_of_whole_pixels():
    """The values of mmcv's own test."""
    first = torch.tensor([[1.0, 1, 3, 4], [2, 2, 3, 4], [7, 7, 8, 8]])
    second = torch.tensor([[0.0, 2, 2, 5], [2, 1, 3, 3]])
    expected = torch.tensor([[1 / 3, 0.5], [0.2, 0.5], [0, 0]])
    torch.testing.assert_close(mmcv_ops.bbox_overlaps(first, second, offset=1), expected)
    aligned = mmcv_ops.bbox_overlaps(first[:2], second, aligned=True, offset=1)
    torch.testing.assert_close(aligned, expected.diag())


@stand_in
def test_overlaps_in_half_precision_and_of_nothing():
    boxes = torch.tensor([[0, 0, 400, 400], [0, 0, 300, 400]]).half()  # the areas are beyond float16
    assert mmcv_ops.bbox_overlaps(boxes, boxes).tolist() == [[1, 0.75], [0.75, 1]]
    assert mmcv_ops.bbox_overlaps(boxes[:0], boxes).shape == (0, 2)


def test_nms_match_groups_what_a_box_suppresses():
    dets = torch.tensor([[0.0, 0, 4, 4, 0.5], [20, 0, 24, 4, 0.9], [0, 0, 4, 5, 0.7], [0, 0, 4, 2, 0.4]])
    groups = mmcv_ops.nms_match(dets, 0.5)
    assert [group.tolist() for group in groups] == [[1], [2, 0], [3]]
    groups = mmcv_ops.nms_match(dets.numpy(), 0.4)  # 0.4 is the overlap of boxes 2 and 3: equal suffices
    assert [group.tolist() for group in groups] == [[1], [2, 0, 3]]
    assert mmcv_ops.nms_match(dets[:0], 0.5) == []


# ------------------------------------------------------------------------------------------------- RoIPool


def test_roi_pool_of_whole_boxes_equals_torchvision():
    features = torch.randn(2, 3, 8, 9, requires_grad=True)
    rois = torch.tensor([[0.0, 0, 0, 3, 3], [1, 2, 1, 7, 6], [0, 4, 4, 20, 20], [1, -3, 0, 2, 7]])
    ours = mmcv_ops.roi_pool(features, rois, (2, 3), 1.0)
    theirs = torchvision.ops.roi_pool(features, rois, (2, 3), 1.0)
    torch.testing.assert_close(ours, theirs)
    grad_output = torch.randn_like(ours)
    torch.testing.assert_close(*(torch.autograd.grad(pooled, features, grad_output)[0] for pooled in (ours, theirs)))


def test_roi_pool_does_not_round_corners():
    features = torch.arange(16.0).view(1, 1, 4, 4).requires_grad_()
    pooled = mmcv_ops.RoIPool(2)(features, torch.tensor([[0, 0.6, 0.6, 2.5, 2.5]]))
    # from 0.6 to 3.5: the bins [0.6, 2.05) and [2.05, 3.5) touch the pixels 0 to 2 and 2 to 3
    assert pooled.tolist() == [[[[10, 11], [14, 15]]]]
    pooled.sum().backward()
    assert features.grad.nonzero()[:, 2:].tolist() == [[2, 2], [2, 3], [3, 2], [3, 3]]


def test_roi_pool_outside_the_map_and_without_area_is_0_without_gradient():
    features = torch.full((1, 1, 4, 4), -1.0, requires_grad=True)
    rois = torch.tensor([[0.0, 10, 10, 12, 12], [0, 3, 3, 1, 1], [0, 2.4, 2.4, 1.2, 1.2]])
    pooled = mmcv_ops.roi_pool(features, rois, 2)
    assert not pooled.any()
    pooled.sum().backward()
    assert compiled_ops() or not features.grad.any()


@stand_in
def test_roi_pool_in_half_precision_and_of_nothing():
    features = torch.randn(1, 2, 4, 4).half().requires_grad_()
    pooled = mmcv_ops.roi_pool(features, torch.tensor([[0.0, 0, 0, 3, 3]]).half(), 1)
    torch.testing.assert_close(pooled[0, :, 0, 0], features[0].flatten(1).amax(1))
    pooled.sum().backward()
    assert features.grad.sum() == 2
    assert mmcv_ops.roi_pool(features, torch.zeros(0, 5), 3).shape == (0, 2, 3, 3)


# ------------------------------------------------------------------------------------------------- upsampling


@stand_in
@pytest.mark.parametrize(('groups', 'scale'), [(1, 2), (2, 3)])
def test_carafe_with_one_tap_is_a_scaled_nearest_upsampling(groups, scale):
    features, weights = torch.randn(2, 4, 3, 2), torch.randn(2, groups, 3 * scale, 2 * scale)
    masks = torch.zeros(2, groups, 9, 3 * scale, 2 * scale)
    masks[:, :, 4] = weights  # the pixel itself
    nearest = torch.nn.functional.interpolate(features, scale_factor=scale)
    expected = nearest.view(2, groups, -1, 3 * scale, 2 * scale) * weights[:, :, None]
    output = mmcv_ops.CARAFE(3, groups, scale)(features, masks.flatten(1, 2))
    torch.testing.assert_close(output, expected.flatten(1, 2))


@stand_in
def test_gradients_of_carafe():
    features = torch.randn(2, 4, 3, 2, dtype=torch.float64, requires_grad=True)
    masks = torch.randn(2, 18, 6, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda f, m: mmcv_ops.carafe(f, m, 3, 2, 2), (features, masks), fast_mode=True)
    naive = mmcv_ops.CARAFENaive(3, 2, 2)(features, masks)
    torch.testing.assert_close(naive, mmcv_ops.carafe(features, masks, 3, 2, 2))


@stand_in
def test_carafe_in_half_precision_and_channels_last():
    pack = mmcv_ops.CARAFEPack(4, 2, up_kernel=3, compressed_channels=4)
    x = torch.randn(2, 4, 4, 4)
    expected = pack(x)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        output = pack(x.to(memory_format=torch.channels_last).requires_grad_())
    torch.testing.assert_close(output.float(), expected, rtol=0.05, atol=0.05)
    output.float().square().sum().backward()
    assert all(p.grad.any() for p in pack.parameters() if p.dim() > 1)


# ------------------------------------------------------------------------------------------------- PSA, masks


@pytest.mark.parametrize('kind', [0, 1])
def test_gradients_of_psa_masks(kind):
    attention = torch.randn(2, 6, 2, 3, requires_grad=True)
    output = psa_mask(attention, kind, (2, 3))
    grad_output = torch.randn_like(output)
    (grad,) = torch.autograd.grad(output, attention, grad_output)
    direction = torch.randn_like(attention)  # the op is linear
    torch.testing.assert_close((grad * direction).sum(), (psa_mask(direction, kind, (2, 3)) * grad_output).sum())


def test_psa_masks_turn_relative_into_absolute_positions():
    attention = torch.arange(9.0)[None, :, None, None].expand(1, 9, 1, 3).contiguous()  # a 3x3 window, 1x3 pixels
    collected, distributed = (psa_mask(attention, kind, (3, 3))[0, :, 0] for kind in (0, 1))
    assert distributed.tolist() == [[4, 5, 0], [3, 4, 5], [0, 3, 4]]  # rows: the pixel that looks
    assert torch.equal(collected, distributed.T)


@stand_in
@pytest.mark.filterwarnings('ignore:This overload of addmm is deprecated')  # of mmcv
def test_a_masked_convolution_computes_chosen_pixels():
    layer = mmcv_ops.MaskedConv2d(3, 2, 3, padding=1).eval()
    x, mask = torch.randn(1, 3, 5, 6), torch.zeros(1, 5, 6)
    mask[0, 0, 0] = mask[0, 2, 3] = mask[0, 4, 5] = 1
    with torch.no_grad():
        torch.testing.assert_close(layer(x, mask), conv2d(x, layer.weight, layer.bias, padding=1) * mask)
        assert not layer(x, mask * 0).any()
        last = x.to(memory_format=torch.channels_last)
        torch.testing.assert_close(layer(last, mask), layer(x, mask))


# ------------------------------------------------------------------------------------------------- norm, losses


@stand_in
def test_synchronised_batch_norm_equals_batch_norm():
    x, weight, bias = torch.randn(3, 4, 5, 2), torch.rand(4) + 0.5, torch.randn(4)
    results = []
    for ours in (True, False):
        leaves = [tensor.clone().requires_grad_() for tensor in (x, weight, bias)]
        mean, var = torch.zeros(4), torch.ones(4)
        if ours:
            output = SyncBatchNormFunction.apply(leaves[0], mean, var, *leaves[1:], 0.3, 1e-5, None, 1, 'default')
        else:
            output = batch_norm(leaves[0], mean, var, *leaves[1:], training=True, momentum=0.3)
        grads = torch.autograd.grad(output.square().sum() + output[0].sum(), leaves)
        results.append([output, mean, var, *grads])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@stand_in
def test_softmax_focal_loss_without_focus_is_cross_entropy():
    logits = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    target, weight = torch.tensor([0, 3, 1, 1, 2, 0]), torch.tensor([1.0, 2, 3, 4], dtype=torch.float64)
    loss = mmcv_ops.softmax_focal_loss(logits, target, 0.0, 1.0, weight, 'sum')
    expected = cross_entropy(logits, target, weight, reduction='sum')
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(*(torch.autograd.grad(value, logits)[0] for value in (loss, expected)))


@stand_in
@pytest.mark.parametrize('gamma', [0.5, 1.0, 2.0])
def test_gradients_of_the_softmax_focal_loss(gamma):
    logits = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    target = torch.tensor([0, 3, -1, 1, 2])  # -1 counts for nothing
    weight = torch.tensor([1.0, 2, 3, 4], dtype=torch.float64)
    for reduction in ('mean', 'sum'):
        assert torch.autograd.gradcheck(
            lambda x: mmcv_ops.softmax_focal_loss(x, target, gamma, 0.25, weight, reduction),  # noqa: B023
            logits,
        )
    certain = torch.tensor([[200.0, -200]], requires_grad=True)
    for target in (0, 1):
        loss = mmcv_ops.softmax_focal_loss(certain, torch.tensor([target]), gamma, 0.25, None, 'sum')
        loss.backward()
        assert loss.isfinite()
        assert certain.grad.isfinite().all()
