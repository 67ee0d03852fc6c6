"""Models as adapters: saved, loaded by themselves, refused, uploaded to a hub that is none."""

import json

import huggingface_hub
import pytest
import torch

from tests.conftest import MICRO, run_tool
from tests.tiny_project import TinyProject
from tools.model_converters import save_adapter
from vlprompt.apis import from_pretrained, init_model, predict_images, push_to_hub, save_pretrained
from vlprompt.clip import build_clip
from vlprompt.clip.weights import to_openai_names
from vlprompt.engine import read_checkpoint
from vlprompt.engine.adapters.card import hub_id
from vlprompt.engine.adapters.folder import CARD, CONFIG, TENSORS
from vlprompt.engine.start_from import hand_over
from vlprompt.errors import CheckpointError, ConfigError, RunError
from vlprompt.models import HeadClassifier, TextClassifier


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    """A tiny run: data, base weights, config, and a checkpoint of one epoch."""
    project = TinyProject.create(tmp_path_factory.mktemp('adapters'))
    project.run(project.root / 'run', train_cfg__max_epochs=1).train()
    return project


@pytest.fixture
def model(project):
    return init_model(project.config, project.root / 'run/epoch_1.pth')


@torch.no_grad()
def same_predictions(model, other):
    images = torch.linspace(-2, 2, 2 * 3 * 32 * 32).view(2, 3, 32, 32)
    return torch.equal(model(images, mode='tensor'), other(images, mode='tensor'))


def test_a_folder_loads_without_config(project, model, tmp_path):
    save_pretrained(model, tmp_path / 'a', metrics={'accuracy/top1': 61.25}, licence='mit', notes='A note.')
    loaded = from_pretrained(tmp_path / 'a')
    next(predict_images(loaded, project.root / 'data/test'))
    assert loaded.class_names == model.class_names
    assert same_predictions(model, loaded)
    config = json.loads((tmp_path / 'a' / CONFIG).read_text())
    assert config['task_type'] == 'ZERO_SHOT_IMAGE_CLASSIFICATION'
    assert config['preprocess']['mean'] == [0.481455, 0.457828, 0.408211]
    assert config['preprocess']['steps'][0] == dict(type='vlprompt.LoadImage')
    card = (tmp_path / 'a' / CARD).read_text()
    assert card.startswith('---\nlibrary_name: "vlprompt"\n')
    assert 'pipeline_tag: "zero-shot-image-classification"\nlicense: "mit"\n' in card
    assert '"contextprompt"' in card
    assert 'A note.' in card
    assert '| accuracy/top1 | 61.25 |' in card
    assert 'base_model:' not in card  # a file is on no hub


def test_methods_of_models(project, model, tmp_path):
    assert model.save_pretrained(tmp_path / 'a') == tmp_path / 'a'
    assert same_predictions(model, TextClassifier.from_pretrained(tmp_path / 'a'))
    with pytest.raises(CheckpointError, match='is an adapter of TextClassifier, not of HeadClassifier'):
        HeadClassifier.from_pretrained(tmp_path / 'a')
    with pytest.raises(CheckpointError, match=r'epoch_1\.pth is no adapter: expected a folder'):
        from_pretrained(project.root / 'run/epoch_1.pth')


def test_a_folder_is_taken_where_a_checkpoint_is(project, model, tmp_path):
    save_pretrained(model, tmp_path / 'a')
    assert same_predictions(model, init_model(project.config, tmp_path / 'a'))
    carried = hand_over(init_model(project.config), ['prompt.context'], tmp_path / 'a')
    assert carried == ['prompt.context']
    runner = project.run(tmp_path / 'test', load_from=str(tmp_path / 'a'), train_cfg=None, train_dataloader=None)
    assert runner.test()['accuracy/top1'] >= 0
    assert torch.equal(runner.bare_model.prompt.context, model.prompt.context)


def test_a_model_built_from_python_has_no_config(model, tmp_path):
    del model.cfg
    save_pretrained(model, tmp_path / 'a')
    with pytest.raises(CheckpointError, match='a does not hold a config: give that of its model'):
        init_model(tmp_path / 'a')
    assert "init_model('config.py', 'a')" in (tmp_path / 'a' / CARD).read_text()


def test_other_base_weights_are_refused(project, model, tmp_path):
    save_pretrained(model, tmp_path / 'a')
    torch.manual_seed(1)
    arch = dict(MICRO['rn'], image_size=32, transformer_layers=1)
    torch.save(to_openai_names(build_clip(arch=arch).state_dict()), tmp_path / 'other.pt')
    ours = model.base_source.sha256[:12]
    with pytest.raises(CheckpointError, match=rf'a: .*trained on file:base\.pt \(sha256 {ours}\).* on file:other\.pt'):
        init_model(tmp_path / 'a', cfg_options={'model.clip.weights': str(tmp_path / 'other.pt')})


def test_a_type_that_is_not_registered_is_never_built(model, tmp_path):
    save_pretrained(model, tmp_path / 'a')
    file = tmp_path / 'a' / CONFIG
    content = json.loads(file.read_text())
    content['config'] = ["model = dict(type='os.mkdir', path='executed')"]
    file.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"model\.type='os\.mkdir' in its config is no registered type"):
        init_model(tmp_path / 'a')


@pytest.mark.parametrize(
    ('base', 'expected'),
    [
        (None, None),
        ('file:ViT-B-16.pt', None),
        ('micro-rn:scenes', None),
        ('ViT-B/16:openai', 'timm/vit_base_patch16_clip_224.openai'),
        ('hf-hub:org/name', 'org/name'),
    ],
)
def test_repositories_of_base_weights(base, expected):
    assert hub_id(base) == expected


# --------------------------------------------------------------------------------------------------------- hub, tool


class Hub:
    """What is uploaded, instead of huggingface.co."""

    uploaded: dict = {}

    def __init__(self, **about):
        assert about['library_name'] == 'vlprompt'

    def create_repo(self, repo_id, private, exist_ok):
        assert exist_ok
        return f'https://hub.example/{repo_id}{"?private" if private else ""}'

    def upload_folder(self, repo_id, folder_path, commit_message):
        from pathlib import Path

        self.uploaded[repo_id] = {file.name: file.read_bytes() for file in Path(folder_path).iterdir()}


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setattr(huggingface_hub, 'HfApi', Hub)
    monkeypatch.setattr(Hub, 'uploaded', {})
    monkeypatch.setattr('vlprompt.apis.adapters.require_hub', lambda: None)
    return Hub.uploaded


def test_a_readme_of_something_else_is_kept(model, tmp_path):
    (tmp_path / CARD).write_text('# My project')
    with pytest.raises(ConfigError, match=r'README\.md is no card of an adapter.*: give another folder'):
        save_pretrained(model, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [CARD]
    assert (tmp_path / CARD).read_text() == '# My project'
    for notes in ('first', 'second'):
        save_pretrained(model, tmp_path / 'adapter', notes=notes)
    assert 'second' in (tmp_path / 'adapter' / CARD).read_text()


def test_push_to_hub(hub, project, model, tmp_path, monkeypatch):
    assert push_to_hub(model, 'org/name', private=True, licence='mit') == 'https://hub.example/org/name?private'
    assert sorted(hub['org/name']) == [CARD, CONFIG, TENSORS]
    for name, content in hub['org/name'].items():
        (tmp_path / name).write_bytes(content)
    assert same_predictions(model, from_pretrained(tmp_path))
    assert "init_model('hf-hub:org/name')" in (tmp_path / CARD).read_text()
    assert model.push_to_hub('org/other') == 'https://hub.example/org/other'
    for name in ('name', 'a/b/c', 'hf-hub:org/name'):
        with pytest.raises(ConfigError, match='no name of a repository: ORG/NAME'):
            push_to_hub(model, name)
    refused = PermissionError('401 Client Error.\nMore about it')
    monkeypatch.setattr(Hub, 'create_repo', lambda *_, **__: (_ for _ in ()).throw(refused))
    with pytest.raises(RunError, match=r'org/name cannot be written .* \(401 Client Error\.\): log in'):
        push_to_hub(model, 'org/name')


def test_the_tool_goes_both_ways(hub, project, tmp_path):
    checkpoint, folder, back = project.root / 'run/epoch_1.pth', tmp_path / 'a', tmp_path / 'back.pth'
    shown = run_tool(save_adapter.main, project.config, checkpoint, folder, '--push', 'org/name')
    assert f'wrote {folder}' in shown
    assert f'the card has no figures, since no plain test of {checkpoint} was the last' in shown
    assert 'uploaded to https://hub.example/org/name' in shown
    run_tool(save_adapter.main, folder, folder, back)
    first, second = read_checkpoint(checkpoint), read_checkpoint(back)
    assert first['meta'] == second['meta']
    assert first['meta']['seed'] == read_checkpoint(folder)['meta']['seed']
    assert {k: t.tolist() for k, t in first['state_dict'].items()} == {
        k: t.tolist() for k, t in second['state_dict'].items()
    }
