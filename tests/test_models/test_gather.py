"""Features of all processes with gradients: two processes against one with the whole batch."""

import copy

import pytest
import torch
from torch import distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from tests.conftest import MICRO
from tests.two_processes import in_two_processes
from vlprompt.models import IdentityPromptLearner, ReIdentifier
from vlprompt.models.gather import gather_batch
from vlprompt.structures import ReIDSample

ARCH = dict(MICRO['vit'], transformer_layers=1, image_size=32)
LABELS = torch.tensor([0, 0, 3, 3, 1, 1, 2, 2])


def test_values_and_gradients(tmp_path):
    """Every process weights row i of the whole batch by its own factor; the gradients of both add up."""

    def member():
        rank = dist.get_rank()
        own = torch.arange(6.0).view(3, 2).add(10 * rank).requires_grad_()
        whole = gather_batch(own)
        factors = torch.arange(6.0)[:, None] * (1 + rank)
        (whole * factors).sum().backward()
        return whole.detach(), own.grad

    (whole, first), (same, second) = in_two_processes(member, tmp_path)
    expected = torch.cat([torch.arange(6.0).view(3, 2), torch.arange(6.0).view(3, 2) + 10])
    assert torch.equal(whole, expected)
    assert torch.equal(same, expected)
    assert torch.equal(torch.cat([first, second]), 3 * torch.arange(6.0)[:, None].expand(6, 2))


def test_alone_nothing_is_gathered():
    own = torch.ones(2)
    assert gather_batch(own) is own


class Losses(nn.Module):
    """A model's sum of losses as a forward pass, as distributed training wraps it."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, inputs, samples):
        losses = self.model(inputs, samples, mode='loss')
        return sum(value for name, value in losses.items() if name.startswith('loss'))


def identifier(**options):
    model = ReIdentifier(clip=dict(arch=ARCH), num_ids=4, **options)
    model.prototypes.copy_(torch.randn(4, 24))
    return model


def learner(**options):
    return IdentityPromptLearner(clip=dict(arch=ARCH), num_ids=4, noun='person', **options)


def images_of(step):
    """A batch of 8 images of 4 identities, and their samples."""
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(step))
    return images, [ReIDSample().set_gt_label(int(label)) for label in LABELS]


def features_of(step):
    """Features of 8 images, short enough for gradients of order 1, and their labels."""
    return 0.2 * torch.randn(8, 24, generator=torch.Generator().manual_seed(step)), LABELS


def trained(model, data, wrap=lambda model: model, own=slice(None), steps=4):
    """Weights and statistics after some steps, gradients of the last, and the loss of each."""
    model = wrap(Losses(model.train()))
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.SGD(parameters.values(), lr=0.01, momentum=0.9)
    losses = []
    for step in range(steps):
        inputs, samples = data(step)
        optimizer.zero_grad()
        loss = model(inputs[own], samples[own])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    state = {name.removeprefix('module.'): value for name, value in model.state_dict().items()}
    gradients = {name.removeprefix('module.'): p.grad for name, p in parameters.items()}
    return state, gradients, losses


def two(model, data, tmp_path):
    def member():
        rank = dist.get_rank()
        wrap = lambda model: DistributedDataParallel(model, broadcast_buffers=False)  # noqa: E731
        return trained(copy.deepcopy(model), data, wrap, slice(4 * rank, 4 * rank + 4))

    return in_two_processes(member, tmp_path)


@pytest.mark.parametrize(('make', 'data'), [(identifier, images_of), (learner, features_of)])
def test_two_processes_train_as_one(seeded, tmp_path, make, data):
    """Gradients, weights, statistics of batch norms and losses to 1e-5, in both phases of CLIP-ReID."""
    model = make(gather=True)
    start = {f'model.{name}': value.clone() for name, value in model.state_dict().items()}
    expected, gradients, losses = trained(copy.deepcopy(model), data)
    assert max((expected[name] - start[name]).abs().max() for name in gradients) > 1e-3, 'something is learned'
    for state, own_gradients, own_losses in two(model, data, tmp_path):
        torch.testing.assert_close(state, expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(own_gradients, gradients, rtol=1e-5, atol=1e-5)
        assert own_losses == pytest.approx(losses, rel=1e-5)


@pytest.mark.parametrize(('make', 'data'), [(identifier, images_of), (learner, features_of)])
def test_without_the_option_each_has_its_own_batch(seeded, tmp_path, make, data):
    model = make()
    _, gradients, _ = trained(copy.deepcopy(model), data, steps=1)
    _, apart, _ = two(model, data, tmp_path)[0]
    assert max((apart[name] - gradients[name]).abs().max() for name in gradients) > 1e-3


@pytest.mark.parametrize('gather', [True, False])
def test_fillings_are_left_out(seeded, tmp_path, gather):
    """Seven samples in two processes, the eighth label is -1: the losses are those of the seven."""
    model = learner(gather=gather)
    features, labels = features_of(0)
    labels = labels.clone()
    labels[7] = -1

    def member():
        own = slice(4 * dist.get_rank(), 4 * dist.get_rank() + 4)
        return sum(model(features[own], labels[own], mode='loss').values()).item()

    losses = in_two_processes(member, tmp_path)
    parts = [slice(0, 7)] if gather else [slice(0, 4), slice(4, 7)]
    sums = [sum(model(features[p], labels[p], mode='loss').values()).item() * (p.stop - p.start) for p in parts]
    assert sum(losses) / 2 == pytest.approx(sum(sums) / 7, rel=1e-5)


def test_a_last_batch_of_which_one_process_has_a_filling_alone(seeded, tmp_path):
    """Both meet in every step, and the mean of their gradients is that of the one sample that is left."""
    model = learner()
    features, labels = features_of(0)[0][:2], torch.tensor([3, -1])

    def member():
        wrapped = DistributedDataParallel(Losses(copy.deepcopy(model)), broadcast_buffers=False)
        own = slice(dist.get_rank(), dist.get_rank() + 1)
        loss = wrapped(features[own], labels[own])
        loss.backward()
        return loss.item(), wrapped.module.model.prompt.context.grad

    (first, gradient), (second, same) = in_two_processes(member, tmp_path)
    expected = Losses(model)(features[:1], labels[:1])
    expected.backward()
    assert (first / 2, second) == (pytest.approx(expected.item()), 0)
    for found in (gradient, same):
        torch.testing.assert_close(found, model.prompt.context.grad)


def test_a_batch_of_fillings_alone(seeded):
    model = learner()
    losses = model(features_of(0)[0][:1], torch.tensor([-1]), mode='loss')
    sum(losses.values()).backward()
    assert {float(value) for value in losses.values()} == {0.0}
    assert not model.prompt.context.grad.any()
