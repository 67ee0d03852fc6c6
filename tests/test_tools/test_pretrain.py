"""Pretraining of the built-in models: views and what is true of them, losses, and all commands on a few images."""

import math
from functools import partial

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dev import pretrain
from dev.pretraining import batches, trainer
from dev.pretraining.batches import Views, move_coverage, view_matrix
from dev.pretraining.captions import augment, tokenize_all
from dev.pretraining.corpus import CELL, NONE, REGIONS, load_corpus
from dev.pretraining.labels import scene_labels
from dev.pretraining.objectives import contrastive_loss, imitation_loss, masked_contrast, pool_regions
from dev.pretraining.regions import plane_waves
from vlprompt.clip import build_clip, tokenize
from vlprompt.clip.builtin import PRETRAINED_FOLDER, seeded_token_embedding, unpack
from vlprompt.datasets.generated import generate, pretraining_options
from vlprompt.datasets.generated.vocabulary import SHAPES

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


def views(corpus, mirrors=True):
    return Views(corpus, np.full(len(corpus.texts), mirrors), 16)


def batch_of(corpus, window, size=8, seed=1, mirrors=True):
    return views(corpus, mirrors).batch(np.arange(size), np.random.RandomState(seed), window)


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


def test_a_batch_is_a_function_of_its_images_and_seed(corpus):
    first, again = (batch_of(corpus, 48) for _ in range(2))
    assert torch.equal(first.images, again.images)
    assert np.array_equal(first.captions, again.captions)
    assert torch.equal(first.weights, again.weights)
    assert not torch.equal(first.images, batch_of(corpus, 48, seed=2).images)


@pytest.mark.parametrize('window', [64, 48])
def test_what_is_said_of_a_view_is_true_of_it(corpus, window):
    batch = batch_of(corpus, window, size=16)
    told = batch.captions != NONE
    assert told.all() if window == 64 else told.any()
    assert batch.phrase_truth.diagonal().all()
    if window < 64:
        assert batch.caption_truth.diagonal()[torch.from_numpy(told)].all()
    assert torch.allclose(batch.weights.sum(1), torch.ones(len(batch.view)), atol=1e-5)
    for row, number in enumerate(batch.phrases):  # the same words are the same truth
        same = torch.from_numpy(batch.phrases == number)
        assert (batch.phrase_truth[same, row]).all()


@pytest.mark.parametrize('window', [64, 48])
def test_no_caption_with_sides_belongs_to_a_mirrored_view(corpus, window, monkeypatch):
    def mirrored(*args):
        matrix = view_matrix(*args)
        return matrix * [[-1], [1]] + [[0, 0, window - 1], [0, 0, 0]] if matrix[0, 0] > 0 else matrix

    told = batch_of(corpus, window, mirrors=False).captions
    assert (told != NONE).any()
    monkeypatch.setattr(batches, 'view_matrix', lambda *args: np.float32(mirrored(*args)))
    assert (batch_of(corpus, window).captions != NONE).any()
    if window == 48:
        assert (batch_of(corpus, window, mirrors=False).captions == NONE).all()


def test_masked_contrast_leaves_out_texts_that_are_true_by_chance():
    torch.manual_seed(0)
    image, text = torch.randn(3, 5), torch.randn(3, 5)
    truth = torch.eye(3, dtype=torch.bool)
    truth[0, 2] = True
    cosines = 4 * F.normalize(image, dim=-1) @ F.normalize(text, dim=-1).T

    rows = [torch.logsumexp(cosines[0, :2], 0), torch.logsumexp(cosines[1], 0), torch.logsumexp(cosines[2], 0)]
    columns = [torch.logsumexp(cosines[:, 0], 0), torch.logsumexp(cosines[:, 1], 0), torch.logsumexp(cosines[1:, 2], 0)]
    expected = sum(rows) / 3 + sum(columns) / 3 - 2 * cosines.diagonal().mean()
    assert masked_contrast(image, text, truth, torch.tensor(4.0)).item() == pytest.approx(expected.item() / 2, rel=1e-5)


def test_regions_are_means_of_normalised_tokens():
    local = torch.randn(2, 3, 4)
    pooled = pool_regions(local, torch.tensor([1, 0]), torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]))
    assert torch.allclose(pooled[0], F.normalize(local[1, :2], dim=-1).mean(0), atol=1e-6)
    assert torch.allclose(pooled[1], F.normalize(local[0, 2], dim=-1), atol=1e-6)


@pytest.fixture
def silent(monkeypatch):
    """Nothing is measured."""
    monkeypatch.setattr(trainer.Trainer, 'report', lambda self, step: None)


def train(folder, stage, arch, *options, name=None):
    """The file of a training of two steps."""
    out = folder / (name or f'{stage}.pth')
    files = [
        '--out',
        str(out),
        '--cache',
        str(folder / 'cache' / ('scenes' if stage in ('captions', 'labels') else '')),
    ]
    pretrain.main([stage, '--arch', arch, *files, *TINY, *options])
    return out


@pytest.mark.slow
def test_every_stage_begins_with_the_one_before(folder, silent):
    first = train(folder, 'captions', 'micro-rn')
    teacher = train(folder, 'regions', 'micro-rn', '--view-steps', '1', '--begin-with', str(first))
    student = train(folder, 'student', 'micro-vit', '--view-steps', '1', '--teacher', str(teacher))
    states = {}
    for arch, file in (('micro-rn', teacher), ('micro-vit', student)):
        content = torch.load(file, weights_only=True)
        assert (content['arch'], content['steps'], content['images']) == (arch, 2, 24)
        states[arch] = unpack(content)
        build_clip(arch).load_state_dict(states[arch], strict=True)
    texts = [{key: value for key, value in state.items() if key.startswith('text.')} for state in states.values()]
    assert all(torch.equal(texts[0][key], texts[1][key]) for key in texts[0])


@pytest.mark.slow
def test_labels_train_the_image_tower_alone(folder, capsys):
    content = torch.load(train(folder, 'labels', 'micro-rn'), weights_only=True)
    assert '\nstep 2: shapes ' in f'\n{capsys.readouterr().out}'
    model = build_clip('micro-rn')
    model.load_state_dict(unpack(content))
    assert model.visual.attnpool.positional_embedding.shape == (101, 512)
    assert content['token_ids'].tolist() == [0, 49406, 49407], 'padding, first and last token: no words'


def test_labels_are_the_shapes_that_captions_speak_of():
    options, shapes = pretraining_options(0.06), list(SHAPES)
    for index, label in enumerate(scene_labels(3, 5, 0.06).tolist()):
        assert generate(3, index, size=64, **options).spec.main.shape == shapes[label]


@pytest.mark.slow
def test_words_that_do_not_occur_keep_their_seeded_embedding(folder, silent):
    content = torch.load(train(folder, 'captions', 'micro-rn', name='words.pth'), weights_only=True)
    table = unpack(content)['text.token_embedding.weight']
    changed = (table != seeded_token_embedding(*table.shape, seed=2026)).any(dim=1)
    seen = torch.zeros(len(table), dtype=torch.bool)
    seen[content['token_ids'].long()] = True
    assert not (changed & ~seen).any()
    assert changed[tokenize(['a photo of a'])[0, :5]].all()


@pytest.mark.slow
@pytest.mark.parametrize('stage', ['captions', 'regions', 'student'])
def test_a_resumed_training_ends_the_same(folder, silent, monkeypatch, stage):
    teacher = ['--teacher', str(PRETRAINED_FOLDER / 'micro-rn.pth')] if stage == 'student' else []
    train_part = partial(train, folder, stage, 'micro-vit' if teacher else 'micro-rn', *teacher)
    whole = train_part(name=f'{stage}-whole.pth')
    step = trainer.Trainer.step

    def stopped(self, number, batch):
        if number == 1:
            raise KeyboardInterrupt
        loss = step(self, number, batch)
        self.save(number + 1, 0.0)
        return loss

    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, 'step', stopped)
        with pytest.raises(KeyboardInterrupt):
            train_part(name=f'{stage}-parts.pth')
    with pytest.raises(ValueError, match='of a run with other lr: repeat those options, or remove it'):
        train_part('--lr', '0.5', name=f'{stage}-parts.pth')
    parts = train_part(name=f'{stage}-parts.pth')
    whole, parts = (unpack(torch.load(file, weights_only=True)) for file in (whole, parts))
    assert all(torch.equal(whole[key], parts[key]) for key in whole)


@pytest.mark.slow
def test_the_second_stage_begins_with_trained_words_and_weights(folder, silent):
    """Although its grid is another one."""
    source = train(folder, 'captions', 'micro-rn', name='source.pth')
    content = torch.load(source, weights_only=True)
    arguments = ['regions', '--arch', 'micro-rn', '--begin-with', str(source), '--out', str(folder / 'x.pth'), *TINY]
    args = pretrain.parse_args([*arguments, '--cache', str(folder / 'cache')])
    model = pretrain.RegionTrainer(args)
    known = build_clip('micro-rn')
    known.load_state_dict(unpack(content))
    assert torch.equal(model.model.visual.layer4[0].conv3.weight, known.visual.layer4[0].conv3.weight)
    assert model.model.visual.attnpool.positional_embedding.shape == (101, 512)
    words = ['a photo of a star.', 'striped heart']
    ours, theirs = model.model.encode_text(model.tokens.tokenize(words)), known.encode_text(tokenize(words))
    assert torch.allclose(ours, theirs, atol=1e-3)  # the file has half precision


@pytest.mark.slow
def test_evaluation_prints_what_a_model_can_do(folder, silent, capsys):
    file = train(folder, 'regions', 'micro-rn', name='evaluated.pth')
    pretrain.main(['evaluate', str(file), '--per-class', '1', '--scenes', '2', '--threads', '1'])
    printed = capsys.readouterr().out
    for name in ('shapes', 'unseen parts', 'parts and places', 'pointing', 'miou'):
        assert f'\n{name}: ' in f'\n{printed}'


def test_mistakes_are_named(tmp_path):
    torch.save(dict(a=torch.zeros(1)), tmp_path / 'other.pth')
    with pytest.raises(ValueError, match=r'other\.pth holds no weights of'):
        pretrain.main(['evaluate', str(tmp_path / 'other.pth')])
    student = ['student', '--teacher', 'x', '--out', 'y', '--arch']
    with pytest.raises(ValueError, match='--view 90 is no multiple of 16'):
        pretrain.main([*student, 'micro-vit', '--view', '90'])
    with pytest.raises(ValueError, match='--arch micro-rn is no ViT'):
        pretrain.main([*student, 'micro-rn'])


def test_contrastive_loss_of_perfect_and_of_blind_features():
    features = torch.eye(4)
    perfect = contrastive_loss(features, features, torch.tensor(100.0))
    blind = contrastive_loss(torch.ones(4, 3), torch.ones(4, 3), torch.tensor(100.0))
    assert perfect < 1e-6
    assert blind == pytest.approx(math.log(4))


def test_imitation_is_perfect_where_the_texts_see_no_difference():
    student, teacher, text = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(0))
    scale = torch.tensor(7.0)
    ours, theirs = (torch.softmax(7 * F.normalize(x) @ F.normalize(text).T, 1).double() for x in (student, teacher))
    expected = (theirs * (theirs / ours).log()).sum() / 5
    assert imitation_loss(student, teacher, text, scale).item() == pytest.approx(expected.item(), rel=1e-5)
    beside = F.pad(teacher, (0, 3), value=2.0)  # what no text speaks of, apart from the length
    texts = F.pad(text, (0, 3))
    same = beside * torch.tensor([1.0] * 8 + [-1.0] * 3)
    assert imitation_loss(same, beside, texts, scale).item() == pytest.approx(0, abs=1e-6)


def test_a_vit_begins_with_places_of_which_neighbours_are_alike():
    waves = plane_waves(build_clip('micro-vit').visual)
    assert waves.shape == (100, 128)
    alike = F.normalize(waves, dim=1) @ F.normalize(waves, dim=1).T
    y, x = np.divmod(np.arange(100), 10)
    steps = torch.from_numpy(np.abs(y[:, None] - y) + np.abs(x[:, None] - x))
    means = [alike[steps == distance].mean().item() for distance in (1, 2, 4, 8)]
    assert means == sorted(means, reverse=True)
    assert torch.allclose(alike[0, 1], alike[0, 10]), 'columns and rows are treated alike'


def test_learning_rate_warms_up_and_ends_at_zero():
    args = pretrain.parse_args(['captions', '--arch', 'x', '--out', 'y', '--steps', '100', '--warmup', '10'])
    rates = [trainer.schedule(step, args) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == 1
    assert rates[55] == pytest.approx(0.5)
    assert rates[100] == pytest.approx(0, abs=1e-9)


def test_subset_of_the_tokens_keeps_the_end_token_largest():
    ids = tokenize(['a star', 'a red ring'])
    subset = trainer.TokenSubset(ids)
    assert torch.equal(subset.renumber(ids).argmax(dim=1), ids.argmax(dim=1))
    assert torch.equal(subset.ids[subset.renumber(ids)], ids)
    with pytest.raises(ValueError, match='occur neither in the captions'):
        subset.tokenize(['a banana'])


def test_mirrored_pictures_only_under_captions_without_sides():
    _, mirrors = tokenize_all([['a star left of a ring', 'a star near a ring'], ['a ring', 'a fish']])
    assert mirrors.tolist() == [[False, True], [True, True]]


def test_augmentation_without_change_returns_the_picture():
    class Still:
        def uniform(self, low, high, size=None):
            return np.full(size, (low + high) / 2) if size else (low + high) / 2

    image = np.random.RandomState(0).randint(0, 255, (16, 16, 3), np.uint8)
    assert np.array_equal(augment(image, Still(), mirror=False), image)
