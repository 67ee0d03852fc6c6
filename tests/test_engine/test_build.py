"""Weights of a config that cannot be downloaded are answered with the options to type."""

import pytest

from vlprompt.clip import build as clip_build
from vlprompt.engine import build
from vlprompt.errors import DownloadError


@pytest.fixture
def offline(monkeypatch):
    def unreachable(*_):
        raise ConnectionError('no network')

    monkeypatch.setattr(clip_build, 'open_clip_file', unreachable)
    monkeypatch.setattr(build, 'require_answer', unreachable)


def test_the_runner_names_the_key(project, work_dir, offline):
    with pytest.raises(
        DownloadError, match=r'--cfg-options model\.clip\.weights=\S+ model\.clip\.quick_gelu=True\. The'
    ):
        project.run(work_dir, model__clip=dict(arch='RN50', weights='openai', _delete_=True))


def test_keys_of_nested_parts():
    model = dict(backbone=dict(clip=dict(weights='openai'), parts=[dict(weights='openai'), dict(weights='other')]))
    assert list(build.keys_of_weights(model, 'openai')) == ['model.backbone.clip', 'model.backbone.parts.0']


@pytest.mark.parametrize('checkpoint', ['torchvision://resnet50', 'https://example.org/nothing-of-this-name.pth'])
def test_initial_weights_are_tried_before_the_model_is_built(offline, monkeypatch, tmp_path, checkpoint):
    monkeypatch.setattr('torch.hub.get_dir', lambda: str(tmp_path))
    model = dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint=checkpoint)), neck=dict(init_cfg=None))
    key = r'--cfg-options model\.backbone\.init_cfg\.checkpoint=/path'
    with pytest.raises(DownloadError, match=rf'could not download the weights {checkpoint}\. .*{key}.*no network'):
        build.require_initial_weights(model)
    names = dict(torchvision='resnet50-0676ba61.pth')
    (tmp_path / 'checkpoints').mkdir()
    (tmp_path / 'checkpoints' / names.get(checkpoint.partition(':')[0], 'nothing-of-this-name.pth')).touch()
    build.require_initial_weights(model)


def test_initial_weights_in_a_file_need_no_server(offline):
    build.require_initial_weights(dict(init_cfg=dict(type='Pretrained', checkpoint='/data/resnet50.pth')))
