"""Predictions for image files, against the model called by hand."""

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from tests.tiny_project import TinyProject
from vlprompt.apis import ImageFiles, find_images, init_model, load_files, predict_each, predict_images
from vlprompt.errors import ConfigError

PIPELINE = [
    dict(type='vlprompt.LoadImage'),
    dict(type='vlprompt.ResizeImage', size=(32, 32)),
    dict(type='vlprompt.PackClassification'),
]


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    return TinyProject.create(tmp_path_factory.mktemp('inferred'))


def test_predictions_are_those_of_the_model(project):
    model = init_model(project.config, cfg_options={'test_dataloader.dataset.pipeline': PIPELINE})
    paths = find_images(project.root / 'data' / 'test')[::-1]
    samples = list(predict_images(model, paths, batch_size=4))
    assert [sample.img_path for sample in samples] == [str(path) for path in paths]
    images = torch.stack([item['inputs'] for item in load_files(model, paths)])
    with torch.no_grad():
        logits = model(model.data_preprocessor(dict(inputs=images))['inputs'], mode='tensor')
    assert torch.equal(torch.cat([sample.pred_label for sample in samples]), logits.argmax(1))
    scores = torch.stack([sample.pred_score for sample in samples])
    torch.testing.assert_close(scores, logits.softmax(1), atol=1e-6, rtol=0)
    assert model.dataset_meta['classes'] == model.class_names
    assert not any(sample.pred_score.requires_grad for sample in samples)


def test_files_folders_arrays_and_pil_images(project):
    model = init_model(project.config, cfg_options={'test_dataloader.dataset.pipeline': PIPELINE})
    folder = project.root / 'data' / 'test'
    path = find_images(folder)[0]
    expected = next(predict_images(model, path)).pred_score
    with Image.open(path) as image:
        picture = image.convert('RGB')
    pixels = np.asarray(picture)
    mirrored = Image.fromarray(np.ascontiguousarray(pixels[..., ::-1]))
    by_opencv, transparent = cv2.imread(str(path))[..., ::-1], np.dstack([pixels, pixels[..., 0]])
    sources = (str(path), [path], pixels, [pixels], picture, by_opencv, transparent)
    for source in sources:
        (sample,) = predict_images(model, source)
        torch.testing.assert_close(sample.pred_score, expected, atol=1e-6, rtol=0)
    assert not torch.allclose(next(predict_images(model, mirrored)).pred_score, expected, atol=1e-5)
    assert [s.img_path for s in predict_images(model, folder)] == [str(p) for p in find_images(folder)]
    mixed = list(predict_images(model, [folder, pixels, path], batch_size=2))
    assert [s.img_path for s in mixed[-2:]] == [f'image {len(mixed) - 2}', str(path)]
    grey = np.asarray(picture.convert('L'))
    scores = [next(predict_images(model, array)).pred_score for array in (grey, grey.astype(np.uint16) * 257)]
    torch.testing.assert_close(scores[0], scores[1])


def test_decoded_images_of_dense_models_are_rgb_too():
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    sample = ImageFiles([Image.fromarray(pixels)], [dict(type='vlprompt.LoadImageFile')])[0]
    assert np.array_equal(sample['img'][..., ::-1], pixels)
    assert sample['img_path'] == 'image 0'


@pytest.mark.parametrize(
    ('source', 'message'),
    [
        (
            np.zeros((4, 6, 3), np.float32),
            r'an array must be \(H, W, 3\) uint8, in the order RGB, .* \(4, 6, 3\) float32',
        ),
        (np.zeros((2, 4, 6, 3), np.uint8), r'got \(2, 4, 6, 3\) uint8'),
        (np.zeros((0, 6, 3), np.uint8), r'got \(0, 6, 3\) uint8'),
        (torch.zeros(3, 4, 6), 'not Tensor; normalised tensors are given to the model'),
        ([None], 'an image is a file, a folder, a pattern, .* not NoneType'),
    ],
)
def test_what_is_no_image_is_an_error(project, source, message):
    model = init_model(project.config)
    with pytest.raises(TypeError, match=message):
        predict_images(model, source)


def test_decoded_images_need_a_loader_that_takes_them(project):
    model = init_model(project.config)
    model.cfg.test_dataloader.dataset.pipeline[0].type = 'LoadImageFromFile'
    with pytest.raises(ConfigError, match=r"LoadImageFromFile reads files only; .* need 'vlprompt\.LoadImage'"):
        predict_images(model, np.zeros((4, 6, 3), np.uint8))


def test_annotations_are_not_asked_for(tmp_path):
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(tmp_path / 'a.png')
    steps = [dict(type='vlprompt.LoadImage'), dict(type='LoadAnnotations'), dict(type='vlprompt.LoadMask')]
    images = ImageFiles([tmp_path / 'a.png'], steps, camid=3)
    assert len(images) == 1
    assert {key: images[0][key] for key in ('ori_shape', 'camid', 'sample_idx')} == dict(
        ori_shape=(4, 6), camid=3, sample_idx=0
    )


def test_mistakes(project, tmp_path):
    with pytest.raises(FileNotFoundError, match='holds no images'):
        find_images(tmp_path)
    (tmp_path / 'a.png').write_text('no image')
    model = init_model(project.config)
    with pytest.raises(OSError, match=r'a.png cannot be read'):
        list(predict_images(model, find_images(tmp_path)))
    model.cfg.test_dataloader = None
    with pytest.raises(ConfigError, match=r'test_dataloader.dataset.pipeline: .* how images are loaded'):
        load_files(model, [])


def stub(test_step):
    steps = [dict(type='vlprompt.LoadImage'), dict(type='vlprompt.PackClassification')]
    return SimpleNamespace(cfg=Config(dict(test_dataloader=dict(dataset=dict(pipeline=steps)))), test_step=test_step)


def predicted(model, images, *options):
    """Data samples of the sound images, and the errors of the others by their names."""
    found, odd = [], {}
    for number, result in enumerate(predict_each(model, images, *options)):
        if isinstance(result, Exception):
            assert number == len(found) + len(odd)
            odd[images.path(number)] = result
        else:
            found.append(result)
    return found, odd


def three_images(folder):
    for name in 'abc':
        Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(folder / f'{name}.png')
    return find_images(folder)


@pytest.mark.parametrize(('batch_size', 'workers'), [(1, 0), (2, 0), (3, 1)])
def test_an_image_on_which_the_model_fails_is_left_out(tmp_path, batch_size, workers):
    paths = three_images(tmp_path)
    (tmp_path / 'd.png').write_text('no image')

    def test_step(batch):
        if any(sample.img_path.endswith('b.png') for sample in batch['data_samples']):
            raise torch.OutOfMemoryError('CUDA out of memory')
        return batch['data_samples']

    model = stub(test_step)
    images = load_files(model, [*paths, tmp_path / 'd.png', paths[0]])
    found, odd = predicted(model, images, batch_size, workers)
    assert [Path(sample.img_path).name for sample in found] == ['a.png', 'c.png', 'a.png']
    assert [(Path(path).name, type(error)) for path, error in odd.items()] == [
        ('b.png', torch.OutOfMemoryError),
        ('d.png', OSError),
    ]


@pytest.mark.parametrize('error', [RuntimeError('mat1 and mat2'), ConfigError('no such phase'), TypeError('a mistake')])
def test_a_model_that_fails_on_every_image_is_an_error(tmp_path, error):
    def test_step(batch):
        raise error

    model, came = stub(test_step), []
    stream = predict_each(model, load_files(model, three_images(tmp_path)))
    with pytest.raises(type(error), match=str(error)):
        came.extend(stream)
    assert len(came) == (3 if type(error) is RuntimeError else 0)


def test_a_folder_without_a_readable_image_is_no_error_of_the_model(tmp_path):
    (tmp_path / 'a.png').touch()
    model = stub(lambda batch: batch['data_samples'])
    found, odd = predicted(model, load_files(model, tmp_path))
    assert found == []
    assert list(odd) == [f'{tmp_path}/a.png']


def test_an_error_of_a_batch_alone_is_raised(tmp_path):
    def test_step(batch):
        if len(batch['data_samples']) > 1:
            raise RuntimeError('images of different sizes')
        return batch['data_samples']

    model = stub(test_step)
    with pytest.raises(RuntimeError, match='images of different sizes'):
        list(predict_each(model, load_files(model, three_images(tmp_path)), batch_size=2))


@pytest.mark.parametrize('workers', [0, 1])
def test_images_of_several_sizes_are_predicted_one_by_one_in_their_order(tmp_path, workers):
    for name, size in dict(a=(6, 4), b=(6, 4), c=(5, 4), d=(6, 4)).items():
        Image.fromarray(np.zeros((*size, 3), np.uint8)).save(tmp_path / f'{name}.png')
    batches = []

    def test_step(batch):
        batches.append(torch.stack(batch['inputs']).shape[0])
        return batch['data_samples']

    found = list(predict_images(stub(test_step), tmp_path, batch_size=2, num_workers=workers))
    assert [Path(sample.img_path).name for sample in found] == ['a.png', 'b.png', 'c.png', 'd.png']
    assert batches == [2, 1, 1]
