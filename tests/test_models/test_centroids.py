"""The memory of identity centroids against hand-computed values, and the model and hook around it."""

import pytest
import torch
from torch.nn import functional as F

from tests.conftest import MICRO
from vlprompt.models import ReIdentifier
from vlprompt.models.losses.centroids import CentroidMemory
from vlprompt.structures import ReIDSample

ONES = torch.tensor([[1.0, 0], [0.6, 0.8]])  # unit features of identity 0; identity 1 has them mirrored
FEATURES = torch.cat([ONES, ONES.flip(1)])
LABELS = torch.tensor([0, 0, 1, 1])
PCL = dict(id=0, id_proj=0, triplet_last=0, triplet=0, triplet_proj=0, i2t=0, id_both=0.25)


def filled(**options):
    memory = CentroidMemory(2, 2, **options)
    memory.centroids.copy_(torch.eye(2))
    return memory


def test_centroids_are_unit_means_of_unit_features():
    memory = CentroidMemory(2, 2)
    lengths = torch.tensor([3.0, 0.1, 1, 7])[:, None]
    memory.fill(lengths * FEATURES, LABELS)
    torch.testing.assert_close(memory.centroids, F.normalize(torch.tensor([[1.6, 0.8], [0.8, 1.6]]), dim=1))


def test_update_by_hand():
    """The hardest of identity 0 is (0.6, 0.8), as its cosine to (1, 0) is 0.6: 0.2 (1, 0) + 0.8 (0.6, 0.8) follows."""
    memory = filled().train()
    loss = memory(5 * FEATURES, LABELS)
    new = torch.tensor([0.68, 0.64]) / (0.68**2 + 0.64**2) ** 0.5
    torch.testing.assert_close(memory.centroids, torch.stack([new, new.flip(0)]))
    own, other = FEATURES[:2, 0] / 0.05, FEATURES[:2, 1] / 0.05
    torch.testing.assert_close(loss, torch.log1p((other - own).exp()).mean())


def test_gradients_come_through_the_centroids_before_the_update():
    features = (3 * FEATURES).requires_grad_()
    memory = filled(temperature=0.5).train()
    memory(features, LABELS).backward()
    same = (3 * FEATURES).requires_grad_()
    unit = F.normalize(same, dim=1)
    F.cross_entropy(unit @ torch.eye(2) / 0.5, LABELS).backward()
    torch.testing.assert_close(features.grad, same.grad)
    assert not memory.centroids.requires_grad
    assert not list(memory.parameters())


def test_identities_outside_of_the_batch_stay():
    memory = filled().train()
    memory(FEATURES[:2], LABELS[:2])
    assert torch.equal(memory.centroids[1], torch.tensor([0.0, 1]))
    before = memory.centroids.clone()
    memory.eval()(FEATURES, LABELS)
    assert torch.equal(memory.centroids, before), 'only training moves them'


def test_update_equals_a_loop():
    torch.manual_seed(0)
    features, labels = torch.randn(24, 5), torch.randint(0, 6, (24,))
    memory = CentroidMemory(6, 5, momentum=0.3).train()
    memory.fill(torch.randn(12, 5), torch.arange(12) % 6)
    expected = memory.centroids.clone()
    for label in labels.unique():
        own = F.normalize(features[labels == label], dim=1)
        hardest = own[(own @ expected[label]).argmin()]
        expected[label] = F.normalize(0.3 * expected[label] + 0.7 * hardest, dim=0)
    memory(features, labels)
    torch.testing.assert_close(memory.centroids, expected)


def test_the_loss_stays_in_float32_under_autocast():
    with torch.autocast('cpu', dtype=torch.bfloat16):
        inside = filled()(FEATURES, LABELS)
    assert torch.equal(inside, filled()(FEATURES, LABELS))


def test_impossible_memories():
    for options in (dict(temperature=0), dict(momentum=1.5)):
        with pytest.raises(ValueError, match='needs temperature > 0 and 0 <= momentum <= 1'):
            CentroidMemory(2, 2, **options)
    with pytest.raises(ValueError, match=r'memory of centroids is empty: .*vlprompt\.CentroidMemoryHook'):
        CentroidMemory(2, 2)(FEATURES, LABELS)
    with pytest.raises(ValueError, match=r'identities \[1\] have no image'):
        CentroidMemory(2, 2).fill(FEATURES[:2], LABELS[:2])


# ---------------------------------------------------------------------------------------------------------------- model


@pytest.fixture
def images():
    return torch.randn(4, 3, 64, 32, generator=torch.Generator().manual_seed(1))


def samples():
    return [ReIDSample().set_gt_label(i // 2) for i in range(4)]


def build(**options):
    torch.manual_seed(0)
    clip = dict(arch=MICRO['vit'], image_size=(64, 32))
    return ReIdentifier(clip, num_ids=3, weights=PCL, centroids={}, descriptor='after', **options)


def test_losses_of_the_model(images):
    model = build().eval()
    for head in (model.head, model.head_proj):
        head.classifier.weight.data.normal_()
    model.centroids.fill(torch.randn(6, 88), torch.arange(6) % 3)
    losses = model(images, samples(), mode='loss')
    features = model(images)
    weight = torch.cat([model.head.classifier.weight, model.head_proj.classifier.weight], 1)
    scores = features @ weight.T
    labels = torch.tensor([0, 0, 1, 1])
    assert set(losses) == {'loss_id_both', 'loss_centroid', 'accuracy'}
    expected = 0.25 * F.cross_entropy(scores, labels, label_smoothing=0.1)
    torch.testing.assert_close(losses['loss_id_both'], expected)
    torch.testing.assert_close(losses['loss_centroid'], model.centroids(features, labels))
    torch.testing.assert_close(losses['accuracy'], (scores.argmax(1) == labels).float().mean() * 100)


def test_statistics_of_a_batch_are_taken_once(images):
    model = build().train()
    model.centroids.fill(torch.randn(6, 88), torch.arange(6) % 3)
    model(images, samples(), mode='loss')
    assert int(model.head.norm.num_batches_tracked) == int(model.head_proj.norm.num_batches_tracked) == 1


def test_weight_without_centroids():
    with pytest.raises(ValueError, match=r'weights\.centroid needs centroids'):
        ReIdentifier(dict(arch=MICRO['vit'], image_size=(64, 32)), num_ids=3, weights=dict(centroid=1))
