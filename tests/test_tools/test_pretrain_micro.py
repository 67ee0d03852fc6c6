"""Training of the micro models, shrunk to two steps on sixteen scenes."""

import math

import numpy as np
import pytest
import torch

from dev import pretrain_micro
from vlprompt.clip import build_clip, tokenize
from vlprompt.clip.builtin import seeded_token_embedding, unpack

ARCH = 'micro-vit'
TINY = [
    '--scenes',
    '16',
    '--batch-size',
    '8',
    '--eval-per-class',
    '1',
    '--workers',
    '1',
    '--threads',
    '1',
    '--warmup',
    '1',
]


def train(folder, arch, *options, name='weights.pth'):
    arguments = ['--arch', arch, '--out', str(folder / name), '--cache', str(folder / 'cache'), *TINY, *options]
    pretrain_micro.main(arguments)
    return torch.load(folder / name, weights_only=True)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('pretraining')


@pytest.fixture(scope='module')
def trained(folder):
    """Architecture and the file of two uninterrupted steps."""
    return ARCH, train(folder, ARCH, '--steps', '2', name=f'{ARCH}.pth')


@pytest.mark.slow
def test_file_loads_into_the_architecture(trained):
    arch, content = trained
    build_clip(arch).load_state_dict(unpack(content), strict=True)
    assert content['steps'] == 2
    assert content['arch'] == arch


@pytest.mark.slow
def test_words_outside_of_the_captions_keep_their_seeded_embedding(trained):
    table = unpack(trained[1])['text.token_embedding.weight']
    initial = seeded_token_embedding(*table.shape, seed=2026)
    changed = (table != initial).any(dim=1)
    seen = torch.zeros(len(table), dtype=torch.bool)
    seen[trained[1]['token_ids'].long()] = True
    assert not (changed & ~seen).any()
    assert changed[tokenize(['a photo of a'])[0, :5]].all()


@pytest.mark.slow
def test_resumed_training_equals_uninterrupted_training(trained, folder, capsys, monkeypatch):
    arch, whole = trained
    stopped = RuntimeError('stopped')

    def stop_at_second_step(step, args, rate=pretrain_micro.learning_rate):
        if step == 1:
            raise stopped
        return rate(step, args)

    options = ('--steps', '2', '--save-minutes', '0')
    name = f'{arch}-resumed.pth'
    with monkeypatch.context() as patch:
        patch.setattr(pretrain_micro, 'learning_rate', stop_at_second_step)
        with pytest.raises(RuntimeError, match='stopped'):
            train(folder, arch, *options, name=name)
    resumed = train(folder, arch, *options, name=name)
    assert 'at step 1' in capsys.readouterr().out
    for key, value in whole['state_dict'].items():
        assert torch.equal(value, resumed['state_dict'][key]), key


@pytest.mark.slow
def test_evaluation_prints_the_accuracies(trained, folder, capsys):
    path = folder / f'{trained[0]}.pth'
    pretrain_micro.main(['--arch', trained[0], '--evaluate', str(path), '--eval-per-class', '1', '--threads', '1'])
    printed = capsys.readouterr().out
    for name in ('shapes, common styles', 'classes, common styles', 'classes, rare styles', 'few-shot task'):
        assert f'{name}: ' in printed


def test_either_training_or_evaluation():
    with pytest.raises(SystemExit):
        pretrain_micro.parse_args(['--arch', 'micro-rn'])


def test_contrastive_loss_of_perfect_and_of_blind_features():
    features = torch.eye(4)
    perfect = pretrain_micro.contrastive_loss(features, features, torch.tensor(100.0))
    blind = pretrain_micro.contrastive_loss(torch.ones(4, 3), torch.ones(4, 3), torch.tensor(100.0))
    assert perfect < 1e-6
    assert blind == pytest.approx(math.log(4))


def test_learning_rate_warms_up_and_ends_at_zero():
    args = pretrain_micro.parse_args(['--arch', 'x', '--out', 'y', '--steps', '100', '--warmup', '10', '--lr', '1'])
    rates = [pretrain_micro.learning_rate(step, args) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == 1
    assert rates[55] == pytest.approx(0.5)
    assert rates[100] == pytest.approx(0, abs=1e-9)


def test_subset_of_the_tokens_keeps_the_end_token_largest():
    ids = tokenize(['a star', 'a red ring'])
    subset = pretrain_micro.TokenSubset(ids)
    assert torch.equal(subset.renumber(ids).argmax(dim=1), ids.argmax(dim=1))
    assert torch.equal(subset.ids[subset.renumber(ids)], ids)
    with pytest.raises(ValueError, match='occur neither in the captions'):
        subset.tokenize(['a banana'])


def test_mirrored_pictures_only_under_captions_without_sides():
    _, mirrors = pretrain_micro.tokenize_all([['a star left of a ring', 'a star near a ring'], ['a ring', 'a fish']])
    assert mirrors.tolist() == [[False, True], [True, True]]


def test_augmentation_without_change_returns_the_picture():
    class Still:
        def uniform(self, low, high, size=None):
            return np.full(size, (low + high) / 2) if size else (low + high) / 2

    image = np.random.RandomState(0).randint(0, 255, (16, 16, 3), np.uint8)
    assert np.array_equal(pretrain_micro.augment(image, Still(), mirror=False), image)


@pytest.mark.slow
def test_text_tower_taken_from_other_weights_stays_fixed(trained, folder):
    source = folder / f'{trained[0]}.pth'
    content = train(folder, 'micro-rn', '--steps', '1', '--text-from', str(source), name='locked.pth')
    for key, value in trained[1]['state_dict'].items():
        if key.startswith('text.'):
            assert torch.equal(content['state_dict'][key], value), key
    assert torch.equal(content['token_rows'], trained[1]['token_rows'])
