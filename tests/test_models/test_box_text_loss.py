"""The pixel-text loss in boxes against the rule written as a loop over boxes, masks, and what it must survive."""

import pytest
import torch
import torch.nn.functional as F

from vlprompt.models import BoxTextLoss
from vlprompt.models.losses.box_text import box_counts

K, SIZE = 4, (50, 70)  # pixels: neither is a multiple of the stride


def objects(seed, images=3):
    """Boxes that overlap, leave the image, lie in one cell, or are absent."""
    generator = torch.Generator().manual_seed(seed)
    boxes, labels = [], []
    for count in [0, 6, 9][:images]:
        corner = torch.rand(count, 2, generator=generator) * 80 - 12
        extent = torch.rand(count, 2, generator=generator) ** 2 * 50
        boxes.append(torch.cat([corner, corner + extent], 1))
        labels.append(torch.randint(0, K, (count,), generator=generator))
    return boxes, labels


def by_loop(scores, boxes, labels, temperature=0.07):
    """The published rule, one box after another: truncated quarters of the corners, clamped, half-open."""
    h, w = SIZE[0] // 4, SIZE[1] // 4
    target, inside = torch.zeros(len(scores), K, h, w), torch.zeros(len(scores), 1, h, w)
    for image, (own, names) in enumerate(zip(boxes, labels, strict=True)):
        for (x1, y1, x2, y2), label in zip((own / 4).tolist(), names.tolist(), strict=True):
            left, right = (min(max(int(v), 0), w - 1) for v in (x1, x2))
            top, bottom = (min(max(int(v), 0), h - 1) for v in (y1, y2))
            target[image, label, top:bottom, left:right] = 1
            inside[image, :, top:bottom, left:right] = 1
    large = F.interpolate(scores / temperature, size=(h, w), mode='bilinear', align_corners=False)
    loss = F.binary_cross_entropy(large.sigmoid(), target, reduction='none')
    return (loss * inside).sum() / (K * inside.sum())


@pytest.mark.parametrize('seed', range(5))
def test_is_the_published_rule(seed):
    torch.manual_seed(seed)
    scores = (torch.rand(3, K, 2, 3) * 0.6 - 0.3).double().requires_grad_()
    boxes, labels = objects(seed)
    expected = by_loop(scores.float(), boxes, labels)
    loss = BoxTextLoss()(scores.float(), SIZE, boxes, labels)['loss_pixel_text']
    torch.testing.assert_close(loss, expected)
    ours, theirs = (torch.autograd.grad(value, scores, retain_graph=True)[0] for value in (loss, expected))
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(
        BoxTextLoss(weight=0.3)(scores.float(), SIZE, boxes, labels)['loss_pixel_text'], 0.3 * loss
    )


def test_counts_of_a_few_boxes():
    boxes = torch.tensor([[0.0, 0, 9, 5], [4, 0, 13, 9], [5, 5, 7, 30], [-9, -9, 99, 99]])
    counts = box_counts(boxes, torch.tensor([0, 0, 0, 1]), 2, (3, 4), 4)
    assert counts[0].tolist() == [[1, 2, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    assert counts[1].tolist() == [[1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 0]]  # the last row and column never


@pytest.mark.parametrize('target', ['boxes', 'masks'])
def test_without_boxes_it_is_zero_with_a_gradient(target):
    scores = torch.zeros(2, K, 2, 3, requires_grad=True)
    none = [torch.zeros(0, 4)] * 2, [torch.zeros(0, dtype=torch.long)] * 2, [torch.zeros(0, *SIZE)] * 2
    loss = BoxTextLoss(target=target)(scores, SIZE, *none)['loss_pixel_text']
    loss.backward()
    assert loss == 0
    assert torch.equal(scores.grad, torch.zeros_like(scores))
    tiny = BoxTextLoss()(scores, SIZE, [torch.tensor([[4.5, 4.5, 7.5, 7.5]])] * 2, [torch.tensor([1])] * 2)
    assert tiny['loss_pixel_text'] == 0, 'a box within one cell covers none'


def test_masks_are_the_positives_and_the_rest_of_a_box_background():
    """Without temperature, scores of 20 where the mask is and -20 elsewhere leave no loss."""
    mask = torch.zeros(1, *SIZE)
    mask[:, 8:24, 12:40] = 1
    boxes, labels = [torch.tensor([[4.0, 4, 60, 40]])], [torch.tensor([2])]
    cells = torch.zeros(1, K, 12, 17)
    cells[0, 2, 2:6, 3:10] = 1
    scores = 40 * cells - 20
    loss = BoxTextLoss(temperature=1, target='masks')
    assert loss(scores, SIZE, boxes, labels, [mask])['loss_pixel_text'] < 1e-6
    assert BoxTextLoss(temperature=1)(scores, SIZE, boxes, labels)['loss_pixel_text'] > 1
    part = loss(scores, SIZE, boxes, labels, [mask[:, :30, :44]])['loss_pixel_text']
    assert part < 1e-6, 'a mask without the padding'
    with pytest.raises(ValueError, match='with_mask=True'):
        loss(scores, SIZE, boxes, labels)


def test_large_scores_stay_finite_under_autocast():
    scores = torch.full((1, K, 2, 3), 1.0, requires_grad=True)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        loss = BoxTextLoss(temperature=1e-3)(scores, SIZE, [torch.tensor([[0.0, 0, 40, 40]])], [torch.tensor([0])])
    assert loss['loss_pixel_text'].dtype == torch.float32
    torch.testing.assert_close(loss['loss_pixel_text'].item(), 1000 * (K - 1) / K)


@pytest.mark.parametrize('changes', [dict(temperature=0), dict(target='polygons')])
def test_mistakes_are_named(changes):
    with pytest.raises(ValueError, match='BoxTextLoss'):
        BoxTextLoss(**changes)
