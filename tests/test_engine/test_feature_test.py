"""Tests on stored features: the same predictions as on images, one pass for all models, and what has no part in it."""

import pytest
import torch
from mmengine.hooks import Hook, PrepareTTAHook

from tests.tiny_project import TinyProject
from vlprompt.clip.tensor_files import read_tensors
from vlprompt.datasets.transforms import LoadImage
from vlprompt.engine import PredictionImageHook
from vlprompt.engine.features import feature_key

TRANSPORT = dict(
    model__alignment__type='vlprompt.TransportAlignment',
    model__alignment__marginals='class_token',
)
PIPELINE = [
    dict(type='vlprompt.LoadImage'),
    dict(type='vlprompt.ResizeShorterSide', size=32),
    dict(type='vlprompt.CenterCrop', size=32),
    dict(type='vlprompt.PackClassification'),
]


class KeepingHook(Hook):
    def __init__(self):
        self.samples = []

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.samples.extend(outputs)


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    return TinyProject.create(tmp_path_factory.mktemp('stored'))


@pytest.fixture
def tested(project, tmp_path, monkeypatch):
    """``tested(store, **options)``: scores (12, 3) and labels of the test set, metrics, and images that were read."""

    def run(store, hooks=(), half=False, **options):
        read, load, kept = [], LoadImage.transform, KeepingHook()
        runner = project.run(
            tmp_path / 'work',
            test_cfg=dict(type='vlprompt.FeatureTestLoop', store=store and str(store), half=half),
            test_dataloader__dataset__pipeline=PIPELINE,
            **options,
        )
        for hook in (kept, *hooks):
            runner.register_hook(hook)
        torch.manual_seed(0)
        with torch.no_grad():
            runner.model.prompt.context.normal_(std=0.1)
        with monkeypatch.context() as patch:
            patch.setattr(LoadImage, 'transform', lambda self, results: read.append(1) or load(self, results))
            metrics = runner.test()
        scores = torch.stack([sample.pred_score for sample in kept.samples])
        return scores, [int(sample.gt_label) for sample in kept.samples], metrics, len(read)

    return run


@pytest.mark.parametrize('options', [{}, TRANSPORT], ids=['global', 'local'])
def test_predictions_are_those_of_the_images(tested, tmp_path, options):
    expected = tested(None, **options)
    first, second = (tested(tmp_path / 'store', **options) for _ in range(2))
    assert expected[3] == first[3] == 12
    assert second[3] == 0, 'no image is read again'
    for found in (first, second):
        torch.testing.assert_close(found[0], expected[0])
        assert found[1] == expected[1]
        assert found[2] == expected[2]


def test_half_precision_is_stored_apart_and_close(tested, tmp_path):
    expected, store = tested(tmp_path / 'store', **TRANSPORT), tmp_path / 'store'
    first, second = (tested(store, half=True, **TRANSPORT) for _ in range(2))
    assert (first[3], second[3]) == (12, 0)
    assert torch.equal(first[0], second[0])
    assert not torch.equal(first[0], expected[0])
    torch.testing.assert_close(first[0], expected[0], atol=2e-3, rtol=2e-2)
    dtypes = [read_tensors(path)['features'].dtype for path in store.glob('*.pth')]
    assert sorted(map(str, dtypes)) == ['torch.float16'] * 3 + ['torch.float32'] * 3 + ['torch.int64'] * 2


def test_samples_hold_what_they_hold_in_a_test_on_images(tested, tmp_path):
    """Predictions are dumped as samples are: paths, positions, and the shapes of images that are not read."""
    kept = [KeepingHook() for _ in range(3)]
    for hook, store in zip(kept, (None, tmp_path / 'store', tmp_path / 'store'), strict=True):
        tested(store, [hook])
    expected, *found = ([sample.to_dict() for sample in hook.samples] for hook in kept)
    assert {'sample_idx', 'img_path', 'ori_shape', 'img_shape'} <= set(expected[0])
    assert expected[0]['img_shape'] == (32, 32) != expected[0]['ori_shape']
    for samples in found:
        for ours, theirs in zip(samples, expected, strict=True):
            assert set(ours) == set(theirs)
            assert all(ours[name] == theirs[name] for name in theirs if 'pred' not in name)


def test_models_share_the_parts_that_they_read(tested, tmp_path):
    store = tmp_path / 'store'
    tested(store, **TRANSPORT)
    assert len(list(store.glob('*.pth'))) == 4, 'global and local features, saliency, shapes'
    assert tested(store)[3] == 0
    assert tested(store, model__clip__vision=dict(local='value'), **TRANSPORT)[3] == 12, (
        'another form of local features'
    )


def test_pictures_need_images(tested, tmp_path):
    store = tmp_path / 'store'
    tested(store)
    assert tested(store, [PredictionImageHook(str(tmp_path / 'pictures'))])[3] == 12
    assert len(list((tmp_path / 'pictures').rglob('*.png'))) == 12


def test_augmentation_needs_images(tested, tmp_path):
    store = tmp_path / 'store'
    plain = tested(store)
    mirrored = tested(store, [PrepareTTAHook(dict(type='vlprompt.FlipTTAModel'))])
    assert mirrored[3] == 12
    assert not torch.equal(mirrored[0], plain[0])


def test_a_tuned_image_tower_reads_images(tested, tmp_path):
    trainable = ['prompt.*', 'clip.visual.attnpool.*']
    assert tested(tmp_path / 'store', model__trainable=trainable)[3] == 12
    assert not (tmp_path / 'store').exists()


def test_the_key_knows_the_scale_of_low_rank_branches(project, tmp_path):
    """Their tensors do not tell it."""
    dataset = project.run(tmp_path).train_dataloader.dataset
    lora = dict(rank=2, towers=['text'])
    keys = []
    for alpha in (1, 8):
        runner = project.run(
            tmp_path, model__clip__lora=dict(lora, alpha=alpha), model__trainable=['prompt.*', 'clip.*.lora.*']
        )
        keys.append(feature_key(runner.model, dataset, torch.float32))
    assert keys[0] != keys[1]
