"""Pretraining of the mini models: views and what is true of them, losses, and both commands on a few images."""

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dev import pretrain_mini
from dev.pretraining.batches import Views, move_coverage, view_matrix
from dev.pretraining.corpus import CELL, NONE, REGIONS, load_corpus
from dev.pretraining.objectives import masked_contrast, pool_regions
from vlprompt.clip import build_clip, tokenize
from vlprompt.clip.builtin import PRETRAINED_FOLDER, unpack

TINY = [
    '--images',
    '24',
    '--batch-size',
    '8',
    '--workers',
    '1',
    '--threads',
    '1',
    '--warmup',
    '1',
    '--steps',
    '2',
    '--eval-interval',
    '9',
]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('pretraining')


@pytest.fixture(scope='module')
def corpus(folder):
    return load_corpus(folder / 'small', 24, 64, seed=3, rare_share=0.06, workers=1)


def views(corpus, **options):
    return Views(corpus, np.ones(len(corpus.texts), bool), 16, seed=1)


@pytest.mark.parametrize('window', [64, 48])
def test_coverage_moves_with_the_pixels(window):
    rng = np.random.RandomState(0)
    y, x = np.mgrid[:64, :64]
    for _ in range(20):
        centre, radius = rng.uniform(24, 40, 2), 6
        mask = (np.hypot(x - centre[0], y - centre[1]) < radius).astype(np.float32)
        coverage = np.zeros((8, 8, REGIONS), np.uint8)
        coverage[..., 4] = 255 * cv2.resize(mask, (8, 8), interpolation=cv2.INTER_AREA)
        matrix = view_matrix(rng, 64, window, mirror=True, centre=centre)
        expected = (matrix @ (*centre, 1)).tolist()
        if (np.abs(np.subtract(expected, window / 2)) > window / 2 - 2 * CELL).any():
            continue
        found = move_coverage(coverage, matrix, window).astype(float)
        rows, columns = np.mgrid[: window // CELL, : window // CELL] * CELL + 0.5 * (CELL - 1)
        middle = [float((found[..., 4] * places).sum() / found[..., 4].sum()) for places in (columns, rows)]
        assert middle == pytest.approx(expected, abs=1.5)
        assert not found[..., :4].any()


def test_a_batch_is_a_function_of_its_number(corpus):
    first, again = (views(corpus).batch(2, 8, 48) for _ in range(2))
    assert torch.equal(first.images, again.images)
    assert np.array_equal(first.captions, again.captions)
    assert torch.equal(first.weights, again.weights)
    assert not torch.equal(first.images, views(corpus).batch(3, 8, 48).images)


@pytest.mark.parametrize('window', [64, 48])
def test_what_is_said_of_a_view_is_true_of_it(corpus, window):
    batch = views(corpus).batch(0, 16, window)
    told = batch.captions != NONE
    assert told.all() if window == 64 else told.any()
    assert batch.phrase_truth.diagonal().all()
    if window < 64:
        assert batch.caption_truth.diagonal()[torch.from_numpy(told)].all()
    assert torch.allclose(batch.weights.sum(1), torch.ones(len(batch.view)), atol=1e-5)
    for row, number in enumerate(batch.phrases):  # the same words are the same truth
        same = torch.from_numpy(batch.phrases == number)
        assert (batch.phrase_truth[same, row]).all()


def test_masked_contrast_leaves_out_texts_that_are_true_by_chance():
    torch.manual_seed(0)
    image, text = torch.randn(3, 5), torch.randn(3, 5)
    truth = torch.eye(3, dtype=torch.bool)
    truth[0, 2] = True
    cosines = 4 * F.normalize(image, dim=-1) @ F.normalize(text, dim=-1).T

    def loss(row, own, others):
        return torch.logsumexp(cosines[row][others] if row is not None else 0, 0) - own

    rows = [torch.logsumexp(cosines[0, :2], 0), torch.logsumexp(cosines[1], 0), torch.logsumexp(cosines[2], 0)]
    columns = [torch.logsumexp(cosines[:, 0], 0), torch.logsumexp(cosines[:, 1], 0), torch.logsumexp(cosines[1:, 2], 0)]
    expected = sum(rows) / 3 + sum(columns) / 3 - 2 * cosines.diagonal().mean()
    assert masked_contrast(image, text, truth, torch.tensor(4.0)).item() == pytest.approx(expected.item() / 2, rel=1e-5)


def test_regions_are_means_of_normalised_tokens():
    local = torch.randn(2, 3, 4)
    pooled = pool_regions(local, torch.tensor([1, 0]), torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]))
    assert torch.allclose(pooled[0], F.normalize(local[1, :2], dim=-1).mean(0), atol=1e-6)
    assert torch.allclose(pooled[1], F.normalize(local[0, 2], dim=-1), atol=1e-6)


def train(folder, arch, *options):
    out = folder / f'{arch}.pth'
    pretrain_mini.main(['--arch', arch, '--out', str(out), '--cache', str(folder / 'cache'), *TINY, *options])
    return out


@pytest.mark.slow
def test_both_models_are_trained_and_load(folder, monkeypatch):
    monkeypatch.setattr(pretrain_mini.Trainer, 'report', lambda self, step: None)
    teacher = train(folder, 'mini-rn', '--view-steps', '1')
    student = train(folder, 'mini-vit', '--view-steps', '0', '--teacher', str(teacher))
    states = {}
    for arch, file in (('mini-rn', teacher), ('mini-vit', student)):
        states[arch] = unpack(torch.load(file, weights_only=True))
        build_clip(arch).load_state_dict(states[arch], strict=True)
    texts = [{key: value for key, value in state.items() if key.startswith('text.')} for state in states.values()]
    assert all(torch.equal(texts[0][key], texts[1][key]) for key in texts[0])


@pytest.mark.slow
def test_a_resumed_run_ends_the_same(folder, monkeypatch, tmp_path):
    monkeypatch.setattr(pretrain_mini.Trainer, 'report', lambda self, step: None)
    cache = ['--cache', str(folder / 'cache'), *TINY, '--view-steps', '1', '--arch', 'mini-rn']
    pretrain_mini.main([*cache, '--out', str(tmp_path / 'whole.pth')])
    stop = pretrain_mini.Trainer.step

    def stopped(self, step, batch):
        if step == 1:
            raise KeyboardInterrupt
        loss = stop(self, step, batch)
        self.save(step + 1, 0.0)
        return loss

    monkeypatch.setattr(pretrain_mini.Trainer, 'step', stopped)
    with pytest.raises(KeyboardInterrupt):
        pretrain_mini.main([*cache, '--out', str(tmp_path / 'parts.pth')])
    monkeypatch.setattr(pretrain_mini.Trainer, 'step', stop)
    pretrain_mini.main([*cache, '--out', str(tmp_path / 'parts.pth')])
    whole, parts = (unpack(torch.load(tmp_path / name, weights_only=True)) for name in ('whole.pth', 'parts.pth'))
    assert all(torch.equal(whole[key], parts[key]) for key in whole)


@pytest.mark.slow
def test_training_begins_with_the_weights_of_another_grid(folder, monkeypatch):
    """And with the words that they know."""
    monkeypatch.setattr(pretrain_mini.Trainer, 'report', lambda self, step: None)
    source = PRETRAINED_FOLDER / 'micro-rn.pth'
    arguments = ['--arch', 'mini-rn', '--init', str(source), '--out', str(folder / 'x.pth'), *TINY]
    trainer = pretrain_mini.Trainer(pretrain_mini.parse_args([*arguments, '--cache', str(folder / 'cache')]))
    known = build_clip('micro-rn', weights='scenes')
    assert torch.equal(trainer.model.visual.layer4[0].conv3.weight, known.visual.layer4[0].conv3.weight)
    assert trainer.model.visual.attnpool.positional_embedding.shape == (101, 512)
    words = ['a photo of a star.', 'red heart']
    ours, theirs = trainer.model.encode_text(trainer.tokens.tokenize(words)), known.encode_text(tokenize(words))
    assert torch.allclose(ours, theirs, atol=1e-5)
