"""Predictions for image files, against the model called by hand."""

import numpy as np
import pytest
import torch
from PIL import Image

from tests.tiny_project import TinyProject
from vlprompt.apis import ImageFiles, find_images, init_model, load_files, predict_images
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
