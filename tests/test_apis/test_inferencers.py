"""Inferencers of all tasks on micro models: forms of images and of results, class names, broken images, boxes."""

import io
import logging
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from PIL import Image

from tests.conftest import MICRO, ROOT
from tests.tiny_project import TinyFit, TinyProject
from vlprompt.apis import (
    ClassificationInferencer,
    DetectionInferencer,
    Prediction,
    ReIDInferencer,
    SegmentationInferencer,
    find_images,
    init_inferencer,
    predict_images,
)
from vlprompt.apis.inference import predict_dataset
from vlprompt.errors import ConfigError, NonFiniteError, PredictionError
from vlprompt.registry import MODELS

PIPELINE = [
    dict(type='vlprompt.LoadImage'),
    dict(type='vlprompt.ResizeImage', size=(32, 32)),
    dict(type='vlprompt.PackClassification'),
]
OPTIONS = {'test_dataloader.dataset.pipeline': PIPELINE}
REID = {'model.num_ids': 2, 'model.num_cameras': 2, 'model.num_views': 1}
QUIET = dict(progress=False)


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    return TinyProject.create(tmp_path_factory.mktemp('inferencers'))


@pytest.fixture(scope='module')
def infer(project):
    return ClassificationInferencer(project.config, cfg_options=OPTIONS)


@pytest.fixture(scope='module')
def path(project):
    return project.root / 'data' / 'test' / 'cup' / '0.png'


# ------------------------------------------------------------------------------------------------ images and results


def test_every_form_of_an_image_is_the_same_image(infer, path):
    with Image.open(path) as image:
        picture = image.convert('RGB')
    pixels = np.asarray(picture)
    expected = infer(path, output='array')
    assert expected.shape == (3,)
    assert expected.dtype == np.float32
    sources = [str(path), picture, pixels]
    for source in (*sources, io.BytesIO(path.read_bytes())):
        assert np.array_equal(infer(source, output='array'), expected)
    with open(path, 'rb') as file:
        assert np.array_equal(infer(file, output='array'), expected)
    assert np.array_equal(infer(pixels[..., ::-1], channel_order='bgr', output='array'), expected)
    assert not np.allclose(infer(pixels[..., ::-1], output='array'), expected, atol=1e-4)
    for batch_size in (1, 4):
        opened = io.BytesIO(path.read_bytes())
        several = infer([*sources, opened, path.parent], output='array', batch_size=batch_size, **QUIET)
        assert len(several) == 4 + 4
        assert np.allclose(several[:5], expected, atol=1e-6)


def test_one_image_has_one_result_and_others_a_list(infer, path):
    single = infer(path)
    assert isinstance(single[0], dict)
    for several in ([path], str(path.parent / '[0].png')):
        assert infer(several) == [single]
    assert len(infer(path.parent, **QUIET)) == 4
    assert infer(str(path.parents[1] / '**' / '?.png'), **QUIET) == infer(find_images(path.parents[1]), **QUIET)


def test_inferencers_of_one_model_do_not_mix_up_their_classes(project, path):
    model = init_inferencer(project.config, cfg_options=OPTIONS).model
    first, second = ClassificationInferencer(model.train()), ClassificationInferencer(model, class_names=['owl', 'fox'])
    assert not model.training
    expected = first(path)
    other = second(path)
    assert first(path) == expected
    streams = zip(first.stream([path, path], **QUIET), second.stream([path, path], **QUIET), strict=True)
    assert [(first.to_dict(a), second.to_dict(b)) for a, b in streams] == [(expected, other)] * 2
    model.set_class_names(['bat', 'cat', 'rat'])
    assert first(path) == expected


def test_a_solver_takes_some_of_its_classes(path):
    infer = ClassificationInferencer('builtin:gda_micro-rn')
    known = infer.class_names
    everything = infer(path, output='array')
    chosen = [known[7], known[2]]
    logits = np.log(everything[[7, 2]])
    expected = np.exp(logits) / np.exp(logits).sum()
    assert np.allclose(infer(path, class_names=chosen, output='array'), expected, atol=1e-5)
    assert np.array_equal(infer(path, output='array'), everything)
    with pytest.raises(ConfigError, match=r'FeatureClassifier was trained for .* and no others'):
        infer(path, class_names=['okapi', known[0]])


def test_a_file_may_be_named_like_a_pattern(infer, path, tmp_path):
    odd = tmp_path / 'a[1].png'
    odd.write_bytes(path.read_bytes())
    assert infer(odd) == infer(path)


def test_orientation_is_applied_to_every_form(infer, path, tmp_path):
    with Image.open(path) as image:
        turned = image.transpose(Image.Transpose.ROTATE_90)  # which orientation 6 turns back
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / 'turned.png', exif=exif)
    expected = infer(path, output='array')
    assert not np.allclose(infer(turned, output='array'), expected, atol=1e-5)
    opened = Image.open(tmp_path / 'turned.png')
    for source in (tmp_path / 'turned.png', io.BytesIO((tmp_path / 'turned.png').read_bytes()), opened):
        assert np.array_equal(infer(source, output='array'), expected)


def test_classes_in_the_form_of_hugging_face(infer, path):
    sample = infer(path, output='sample')
    expected = next(predict_images(infer.model, path))
    assert torch.equal(sample.pred_score, expected.pred_score)
    found = infer(path, top_k=2)
    scores, labels = expected.pred_score.topk(2)
    assert found == [
        dict(label=['apple', 'boat', 'cup'][label], score=pytest.approx(float(score)))
        for label, score in zip(labels, scores, strict=True)
    ]
    assert type(found[0]['score']) is float
    assert len(infer(path, top_k=None)) == 3


@pytest.mark.parametrize(
    ('source', 'error', 'message'),
    [
        ('https://host/a.jpg', ValueError, 'nothing is fetched from the web: download the image'),
        ('nowhere/*.png', FileNotFoundError, r'no image \(.*\) matches nowhere/\*\.png'),
        (io.StringIO('text'), TypeError, 'a file opened in binary mode'),
        (np.zeros((2, 3), np.float32), TypeError, r'got \(2, 3\) float32'),
    ],
)
def test_what_is_no_image(infer, source, error, message):
    with pytest.raises(error, match=message):
        infer(source)


def test_mistakes(infer, path):
    for wrong, message in (
        (dict(output='json'), 'output is one of dict, sample, array, picture'),
        (dict(on_error='ignore'), "on_error 'raise' or 'skip', got None and 'ignore'"),
        (dict(topk=3), r'ClassificationInferencer has no option topk; those of its task: top_k'),
    ):
        with pytest.raises(ConfigError, match=message):
            infer(path, **wrong)
    with pytest.raises(ValueError, match="channel_order must be 'rgb' or 'bgr', got 'RGB'"):
        infer(path, channel_order='RGB')
    with pytest.raises(ConfigError, match=r'TextClassifier is no model for segmentation: .*init_inferencer'):
        SegmentationInferencer(infer.model)
    with pytest.raises(ConfigError, match='are for configs: a model has its own'):
        ClassificationInferencer(infer.model, device='cpu')


# ------------------------------------------------------------------------------------------------------- broken images


@pytest.fixture
def folder(path, tmp_path):
    """Two good images around a broken one, and a good one."""
    for name in 'acd':
        (tmp_path / f'{name}.png').write_bytes(path.read_bytes())
    (tmp_path / 'b.png').write_text('no image')
    return tmp_path


@pytest.mark.parametrize('batch_size', [1, 2, 4])
def test_a_broken_image_loses_nothing(infer, folder, path, batch_size, caplog):
    expected = infer(path)
    with pytest.raises(PredictionError, match=r'image .*b\.png cannot be read: it is damaged') as caught:
        infer(folder, batch_size=batch_size, **QUIET)
    assert caught.value.image == str(folder / 'b.png')
    assert [found[0]['label'] for found in caught.value.results] == [expected[0]['label']]
    assert isinstance(caught.value.__cause__, OSError)

    results = infer(folder, batch_size=batch_size, on_error='skip', **QUIET)
    assert [result is None for result in results] == [False, True, False, False]
    assert [found.name for found in infer.skipped] == [str(folder / 'b.png')]
    assert 'b.png cannot be read' in caplog.text
    stream = infer.stream(folder, batch_size=batch_size, **QUIET)
    assert [(found.number, found.error is None) for found in stream] == [(0, True), (1, False), (2, True), (3, True)]


def test_broken_bytes_are_named_by_their_position(infer, path):
    content = path.read_bytes()
    images = [path, io.BytesIO(b'no image'), io.BytesIO(content[: len(content) // 2])]
    results = infer(images, on_error='skip', **QUIET)
    assert [result is None for result in results] == [False, True, True]
    assert [found.name for found in infer.skipped] == ['image 1', 'image 2']
    with pytest.raises(PredictionError, match=r'^image 0 cannot be used: '):
        infer(images[1:])  # the files are read to their ends
    with pytest.raises(PredictionError, match=r'^image 0 cannot be used: .*truncated'):
        infer(io.BytesIO(content[: len(content) // 2]))


def test_images_are_read_when_their_turn_comes(infer, folder, path):
    (folder / 'b.png').unlink()
    stream = infer.stream([folder / 'a.png', folder / 'b.png'], **QUIET)
    assert next(stream).error is None
    (folder / 'b.png').write_bytes(path.read_bytes())
    assert next(stream).error is None
    assert next(stream, None) is None


# -------------------------------------------------------------------------------------------------------- class names


def test_class_names_for_one_call(infer, path):
    own = infer(path)
    other = infer(path, class_names=['red_cup', 'kettle', 'tea, hot', 'jug'], top_k=None)
    assert {entry['label'] for entry in other} == {'red cup', 'kettle', 'tea, hot', 'jug'}
    assert infer(path) == own
    assert infer.class_names == ['apple', 'boat', 'cup']
    built = ClassificationInferencer(infer.model.cfg, class_names=['red_cup', 'kettle', 'tea, hot', 'jug'])
    assert built.class_names == ['red cup', 'kettle', 'tea, hot', 'jug']


def test_streams_that_take_turns_keep_their_own_classes(infer, path):
    images = [path] * 3
    expected = [infer(path, class_names=names, output='array') for names in (['owl', 'cup'], ['cup', 'owl'])]
    streams = [infer.stream(images, class_names=names, **QUIET) for names in (['owl', 'cup'], ['cup', 'owl'])]
    for pair in zip(*streams, strict=True):
        for found, scores in zip(pair, expected, strict=True):
            assert np.allclose(infer.to_array(found), scores, atol=1e-6)
    assert found.class_names == ['cup', 'owl']


def test_a_single_class_is_warned_of(infer, path, caplog):
    with caplog.at_level(logging.WARNING):
        assert infer(path, class_names=['cat'])[0]['score'] == pytest.approx(1)
    assert "'cat' is the only class" in caplog.text


def test_names_that_stand_twice(infer, path):
    with pytest.raises(ConfigError, match=r"^class_names: 'cat' stands twice$"):
        infer(path, class_names=['cat', 'owl', 'cat'])
    with pytest.raises(ConfigError, match='there is no name'):
        infer(path, class_names=[])


def test_a_trained_head_takes_no_other_names(infer, path):
    head = dict(type='vlprompt.CosineHead', start='text')
    model = MODELS.build(
        dict(
            type='vlprompt.HeadClassifier',
            clip=dict(arch=MICRO['vit']),
            num_classes=3,
            head=head,
            loss=dict(type='vlprompt.LogitAdjustedLoss'),
            trainable=['head.*'],
        )
    ).eval()
    model.cfg, model.dataset_meta = infer.model.cfg, dict(classes=('cat', 'red_owl', 'sea'))
    model.cfg.test_dataloader.dataset.pipeline[1].size = (64, 64)
    long_tailed = init_inferencer(model)
    assert {entry['label'] for entry in long_tailed(path)} == {'cat', 'red owl', 'sea'}
    before = model.head.weight.clone()
    with pytest.raises(ConfigError, match='HeadClassifier was trained for cat, red_owl, sea and no others'):
        long_tailed(path, class_names=['a', 'b', 'c'])
    assert torch.equal(model.head.weight, before)
    model.cfg.test_dataloader.dataset.pipeline[1].size = (32, 32)


def test_names_of_learned_contexts_of_each_class_are_left_alone(project, path):
    """Also if they are written with underscores, as the data have them."""
    options = {'model.class_names': ['red_apple', 'boat', 'cup'], 'model.prompt.class_specific': True}
    specific = ClassificationInferencer(project.config, cfg_options=OPTIONS | options)
    assert specific.class_names[0] == 'red apple'
    assert len(specific(path)) == 3
    with pytest.raises(ValueError, match='context vectors were learned for each class'):
        specific(path, class_names=['owl', 'cup', 'jug'])
    assert len(specific(path)) == 3


def test_few_shot_solvers(tmp_path):
    project = TinyFit.create(tmp_path)
    project.run(tmp_path / 'run').train()
    solved = init_inferencer(project.config, tmp_path / 'run' / 'epoch_1.pth')
    cup = tmp_path / 'data' / 'test' / 'cup'
    assert [found[0]['label'] for found in solved(cup, batch_size=4, **QUIET)] == 4 * ['cup']


# ----------------------------------------------------------------------------------------------------------- pictures


def test_pictures_are_returned_shown_and_stored(infer, path, tmp_path, monkeypatch):
    picture = infer(path, output='picture')
    assert isinstance(picture, Image.Image)
    assert [image.size for image in infer([path, path], output='picture', **QUIET)] == 2 * [picture.size]
    shown = []
    monkeypatch.setattr(Image.Image, 'show', lambda self: shown.append(self))
    result = infer([path, np.asarray(Image.open(path))], out_dir=tmp_path / 'made', show=True, **QUIET)
    assert result[0][0]['label'] == infer(path)[0]['label']
    assert sorted(file.name for file in (tmp_path / 'made').iterdir()) == ['000000_0.png', '000001_image 1.png']
    assert [image.size for image in shown] == 2 * [picture.size]
    with Image.open(tmp_path / 'made' / '000000_0.png') as stored:
        assert np.array_equal(np.asarray(stored), np.asarray(picture))


def test_a_notebook_shows_pictures_in_its_cell(infer, path, monkeypatch):
    shown = []
    package, display = SimpleNamespace(get_ipython=object), SimpleNamespace(display=shown.append)
    monkeypatch.setitem(sys.modules, 'IPython', package)
    monkeypatch.setitem(sys.modules, 'IPython.display', display)
    monkeypatch.setattr(Image.Image, 'show', lambda self: pytest.fail('opened a window'))
    infer(path, show=True)
    assert len(shown) == 1


def test_a_bar_counts_images(infer, path, capsys):
    infer([path, path])
    assert '2/2' in capsys.readouterr().err
    infer(path)
    infer([path, path], progress=False)
    assert capsys.readouterr().err == ''


# ------------------------------------------------------------------------------------------------------- dense models


def test_segmentation_by_words(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 64, 3), np.uint8)
    options = {'model.clip.arch': 'micro-vit', 'model.clip.weights': 'scenes'}
    with DefaultScope.overwrite_default_scope('mmseg'):
        segment = SegmentationInferencer(
            'segment_by_words/naclip_vit-b16', class_names=['sofa, couch', 'cat', 'floor'], cfg_options=options
        )
    sample = segment(pixels, output='sample')
    mask = segment(pixels, output='array')
    assert np.array_equal(mask, sample.pred_sem_seg.data[0].numpy())
    assert mask.shape == (40, 64)
    found = segment(pixels)
    sizes = [np.asarray(entry['mask']).astype(bool).sum() for entry in found]
    assert sizes == sorted(sizes, reverse=True)
    assert sum(sizes) == mask.size
    for entry in found:
        assert (entry['mask'].mode, entry['mask'].size, entry['score']) == ('L', (64, 40), None)
        chosen = np.asarray(entry['mask'])
        assert set(np.unique(chosen)) <= {0, 255}
        assert np.array_equal(chosen == 255, mask == segment.class_names.index(entry['label']))
    (prediction,) = segment.stream(pixels)
    assert segment.summary(prediction).count(' %') == len(found)
    assert segment(pixels, output='picture').mode == 'RGB'
    assert {entry['label'] for entry in segment(pixels, class_names=['lawn', 'street'])} <= {'lawn', 'street'}
    assert [entry['label'] for entry in segment(pixels)] == [entry['label'] for entry in found]


class StubDetector(torch.nn.Module):
    """Finds the same objects in every image, those with at least the threshold of its ``test_cfg``."""

    def __init__(self, score_thr, masks):
        super().__init__()
        from mmengine.config import Config, ConfigDict

        pipeline = [dict(type='vlprompt.LoadImageFile'), dict(type='mmdet.PackDetInputs')]
        self.cfg = Config(
            dict(default_scope='mmdet', test_dataloader=dict(dataset=dict(pipeline=pipeline))),
        )
        self.dataset_meta = dict(classes=('cat', 'owl, barn'))
        self.roi_head = torch.nn.Identity()
        self.roi_head.test_cfg = ConfigDict(score_thr=score_thr)
        self.test_cfg = ConfigDict(rpn=dict(nms_pre=9), rcnn=dict(score_thr=score_thr))
        self.masks = masks

    def test_step(self, batch):
        scores = torch.tensor([0.2, 0.9, 0.5])
        kept = scores >= self.roi_head.test_cfg.score_thr
        for sample in batch['data_samples']:
            found = InstanceData(
                bboxes=torch.tensor([[0, 0, 4, 4], [1.4, 2.6, 7.5, 8.49], [0, 1, 2, 3]])[kept],
                labels=torch.tensor([0, 1, 0])[kept],
                scores=scores[kept],
            )
            if self.masks:
                found.masks = torch.zeros(3, 10, 12, dtype=torch.bool)[kept]
                found.masks[0, 2:4, 5:9] = True
            sample.pred_instances = found
        return batch['data_samples']


def detector(score_thr=0.05, masks=False):
    import mmdet.datasets  # noqa: F401  registers PackDetInputs

    return type('Stub', (StubDetector, type('BaseDetector', (), {})), {})(score_thr, masks)


def test_objects():
    pixels = np.zeros((10, 12, 3), np.uint8)
    detect = init_inferencer(detector(masks=True))
    assert type(detect) is DetectionInferencer
    found = detect(pixels)
    assert [(entry['label'], entry['score']) for entry in found] == [
        ('owl, barn', pytest.approx(0.9)),
        ('cat', pytest.approx(0.5)),
    ]
    assert found[0]['box'] == dict(xmin=1, ymin=3, xmax=8, ymax=8)
    assert all(type(value) is int for value in found[0]['box'].values())
    mask = found[0]['mask']
    assert (mask.mode, mask.size) == ('L', (12, 10))
    rows = detect(pixels, output='array')
    assert rows.shape == (2, 6)
    assert np.allclose(rows[0], [1.4, 2.6, 7.5, 8.49, 0.9, 1])
    (prediction,) = detect.stream(pixels, score=0.1)
    assert detect.summary(prediction) == '1 "owl, barn" (90 %), 2 cat (50 %)'
    assert detect(pixels, output='picture').width > 100
    assert detect(pixels, score=0.95) == []
    (prediction,) = detect.stream(pixels, score=0.95)
    assert detect.summary(prediction) == 'nothing'


def test_a_score_below_that_of_the_model_lowers_it_for_a_call(caplog):
    pixels, model = np.zeros((10, 12, 3), np.uint8), detector(score_thr=0.4)
    detect = DetectionInferencer(model)
    assert len(detect(pixels)) == 2
    assert len(detect(pixels, score=0.45)) == 2
    assert not caplog.text
    assert len(detect(pixels, score=0.1)) == 3
    assert "score=0.1: the model's own threshold is lowered to it (score_thr=0.4)" in caplog.text
    assert len(detect(pixels)) == 2
    assert model.roi_head.test_cfg.score_thr == model.test_cfg.rcnn.score_thr == 0.4
    with pytest.raises(ConfigError, match=r'score=2 must be from 0 to 1'):
        detect(pixels, score=2)


# ---------------------------------------------------------------------------------------------------------- re-ID


@pytest.fixture(scope='module')
def describe():
    torch.manual_seed(0)
    return ReIDInferencer(ROOT / 'configs/clipreid/baseline_micro-vit.py', cfg_options=REID)


def test_descriptors(describe, path):
    feature = describe(path)
    sample = describe(path, output='sample')
    assert (feature.dtype, feature.shape) == (np.float32, (describe.model.descriptor_length,))
    assert np.allclose(feature, sample.feature / sample.feature.norm(), atol=1e-6)
    assert describe(path, output='dict') == pytest.approx(feature.tolist())
    with pytest.raises(ConfigError, match='a descriptor has no picture'):
        describe(path, output='picture')
    with pytest.raises(ConfigError, match='re-identification has no classes'):
        describe(path, class_names=['a', 'b'])


def test_numbers_that_are_nan_are_errors(describe, path, monkeypatch):
    step = describe.model.test_step
    monkeypatch.setattr(
        describe.model, 'test_step', lambda batch: [s.set_feature(s.feature * np.nan) for s in step(batch)]
    )
    with pytest.raises(NonFiniteError, match=r'0\.png: a number is NaN, so there is no descriptor'):
        describe(path)
    logits = torch.zeros(2, 3, 4)
    sample = BaseDataElement(metainfo=dict(img_path='a.png'), seg_logits=PixelData(data=logits))
    monkeypatch.setattr(describe.model, 'test_step', lambda batch: [sample])
    assert list(predict_dataset(describe.model, [dict(inputs=logits)])) == [sample]
    logits[1, 2, 3] = np.nan
    with pytest.raises(NonFiniteError, match=r'a\.png: a score is NaN, so there is no class'):
        list(predict_dataset(describe.model, [dict(inputs=logits)]))


def test_boxes_of_a_frame(describe, tmp_path):
    frame = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    boxes = np.array([[3.4, 5, 40, 59.6], [-9, 10, 30, 99]], np.float32)
    found = describe.describe_boxes(boxes, frame, batch_size=1)
    assert (found.dtype, found.shape) == (np.float32, (2, describe.model.descriptor_length))
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    for crop, feature in zip((frame[5:60, 3:40], frame[10:60, 0:30]), found, strict=True):
        Image.fromarray(crop[..., ::-1].copy()).save(tmp_path / 'crop.png')
        assert np.allclose(describe(tmp_path / 'crop.png'), feature, atol=1e-5)
    assert np.allclose(describe.describe_boxes(boxes, frame[..., ::-1], channel_order='rgb'), found, atol=1e-5)
    assert describe.describe_boxes(np.zeros((0, 4)), frame).shape == (0, describe.model.descriptor_length)
    assert describe.describe_boxes([], frame).shape == (0, describe.model.descriptor_length)
    with pytest.raises(TypeError, match=r'a frame is an array .* not NoneType: was the image read'):
        describe.describe_boxes(boxes, None)  # as cv2.imread returns of a file that is not there
    for wrong in ([[90, 0, 99, 9]], [[5, 5, 5, 9]], [[9, 9, 3, 20]], [[np.nan, 0, 9, 9]]):
        with pytest.raises(ValueError, match=r'box 1, .* has no pixel of the frame of 80 x 60 pixels'):
            describe.describe_boxes([[0, 0, 9, 9], *wrong], frame)
    with pytest.raises(ValueError, match=r'boxes must be \(N, 4\), .* got \(4,\)'):
        describe.describe_boxes([0, 0, 9, 9], frame)


def test_side_information_needs_the_camera(path):
    options = REID | {'model.sie': dict(camera=True)}
    describe = ReIDInferencer(ROOT / 'configs/clipreid/baseline_micro-vit.py', cfg_options=options, camid=1)
    first, second = describe(path, camid=0), describe(path)
    assert not np.allclose(first, second)
    with pytest.raises(PredictionError, match=r"has camera -1 .* model\.sie\.at_test='mean'"):
        describe(path, camid=-1)


def test_predictions_are_plain_objects(infer, path):
    (found,) = infer.stream(path)
    assert type(found) is Prediction
    assert found.picture().shape == (40, 48, 3)
    assert found.options == dict(top_k=5)


def test_the_notebook_of_the_documentation_runs(tmp_path, monkeypatch, capsys):
    """Its cells, with the built-in model."""
    page = (ROOT / 'docs' / 'inference.md').read_text()
    cells = re.findall(r'^```python\n(.*?)^```', page.split('## In a notebook')[1].split('\n## ')[0], re.M | re.S)
    assert len(cells) == 2
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'photos').mkdir()
    for name in ('photo.png', 'photos/a.png', 'photos/b.png'):
        Image.new('RGB', (160, 160), 'green').save(name)
    (tmp_path / 'photos' / 'c.png').write_text('no image')
    variables = {}
    with pytest.raises(PredictionError, match=r'photos/c\.png cannot be read'):
        exec(cells[0], variables)
    exec(cells[1], variables)
    lines = capsys.readouterr().out.splitlines()[-3:]
    assert lines[0].startswith("photos/a.png [{'label': '")
    assert 'cannot be read' in lines[2]
    assert len(list((tmp_path / 'pictures').iterdir())) == 2
