"""Checkpoints for others: what is kept, their names, their cards."""

import hashlib
import json

import pytest
import torch

from tests.conftest import run_tool
from tests.tiny_project import TinyProject
from tools import publish_model
from vlprompt.apis import init_model, runs
from vlprompt.apis.publishing import metrics_beside
from vlprompt.engine.checkpoint import describe_model, read_checkpoint, trained_state
from vlprompt.errors import CheckpointError


@pytest.fixture
def run(tmp_path):
    """A run's folder with a checkpoint as mmengine writes it, optimizer included, and its model."""
    project = TinyProject.create(tmp_path)
    model = init_model(project.config)
    folder = tmp_path / 'tiny_run'
    folder.mkdir()
    meta = dict(vlprompt=describe_model(model), cfg='data_root = "/home/somebody"', epoch=4, seed=1, time='now')
    content = dict(meta=meta, state_dict=trained_state(model), optimizer=dict(state={0: torch.ones(3)}))
    torch.save(content, folder / 'epoch_4.pth')
    return project, folder, model


def test_a_published_model(run, tmp_path):
    project, folder, model = run
    (folder / 'test_metrics.json').write_text(json.dumps({'accuracy/top1': 81.25}))
    out = tmp_path / 'published'
    shown = run_tool(publish_model.main, folder / 'epoch_4.pth', '--config', project.config, '--out', out)
    (file,) = out.glob('*.pth')
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert file.name == f'tiny_run-{digest[:8]}.pth'
    assert 'left out: optimizer, meta.cfg, meta.time\n' in shown
    content = read_checkpoint(file)
    assert set(content) == {'meta', 'state_dict'}
    assert b'somebody' not in file.read_bytes()
    again = init_model(project.config, file)
    assert torch.equal(again.prompt.context, model.prompt.context)
    card = file.with_suffix('.md').read_text()
    for line in (
        '| accuracy/top1 | 81.25 |',
        '| classes | 3: apple, boat, cup |',
        f'| base weights | `file:base.pt`, sha256 of the tensors `{model.base_source.sha256}` |',
        '| training | epoch 4 |',
        f'vlprompt test {project.config} {file.name}',
    ):
        assert f'{line}\n' in card
    assert sorted(path.name for path in out.iterdir()) == sorted([file.name, file.with_suffix('.md').name])


def test_a_model_that_was_not_tested(run, tmp_path):
    project, folder, _ = run
    given = [folder / 'epoch_4.pth', '--config', project.config, '--out', tmp_path / 'out', '--name', 'mine']
    shown = run_tool(publish_model.main, *given)
    assert 'the card has no figures, ' in shown
    assert f'vlprompt test {project.config} {folder / "epoch_4.pth"} --work-dir DIR' in shown
    assert '--metrics DIR/test_metrics.json' in shown
    (card,) = (tmp_path / 'out').glob('mine-*.md')
    assert 'The model was not tested.' in card.read_text()


def test_a_checkpoint_of_the_same_name_is_left_alone(run):
    project, folder, _ = run
    before = (folder / 'epoch_4.pth').read_bytes()
    given = [folder / 'epoch_4.pth', '--config', project.config, '--out', folder, '--name', 'epoch_4']
    run_tool(publish_model.main, *given)
    assert (folder / 'epoch_4.pth').read_bytes() == before
    assert sorted(path.suffix for path in folder.iterdir()) == ['.md', '.pth', '.pth']


def test_figures_of_another_checkpoint_are_left_out(tmp_path):
    """Of a training with its test they are those of the last one, of a test those of the tested one."""
    project = TinyProject.create(tmp_path)
    runner = project.run(tmp_path / 'run', train_cfg__max_epochs=2, default_hooks__checkpoint__max_keep_ckpts=2)
    runner.train()
    first, last = (tmp_path / 'run' / f'epoch_{epoch}.pth' for epoch in (1, 2))
    found = runs.run_test(runner)
    assert metrics_beside(last) == found
    assert metrics_beside(first) is None
    runs.run_test(project.run(tmp_path / 'run', load_from=str(first), train_cfg=None))
    assert metrics_beside(last) is None
    assert set(metrics_beside(first)) == set(found)
    runs.run_test(project.run(tmp_path / 'run', load_from=str(first), train_cfg=None), options=['--tta'])
    assert metrics_beside(first) is None, 'the command of the card gives other figures'
    runs.run_test(project.run(tmp_path / 'run', train_cfg=None))
    assert metrics_beside(first) is None, 'no checkpoint was tested'


def test_a_phase_is_tested_in_the_folder_above(tmp_path, monkeypatch):
    (tmp_path / 'run' / 'finetune').mkdir(parents=True)
    tested, phase = tmp_path / 'run' / 'tested.json', tmp_path / 'run' / 'finetune'
    tested.write_text(json.dumps(dict(checkpoint='finetune/epoch_2.pth', metrics={'mAP': 51.5})))
    assert metrics_beside(phase / 'epoch_2.pth') == {'mAP': 51.5}
    assert metrics_beside(phase / 'epoch_1.pth') is None
    (phase / 'tested.json').write_text(json.dumps(dict(checkpoint='epoch_1.pth', metrics={'mAP': 50.0})))
    assert metrics_beside(phase / 'epoch_2.pth') == {'mAP': 51.5}, 'the test beside it was of another checkpoint'
    monkeypatch.chdir(phase)
    assert metrics_beside('epoch_2.pth') == {'mAP': 51.5}
    assert metrics_beside('epoch_1.pth') == {'mAP': 50.0}
    tested.write_text(json.dumps(dict(checkpoint='finetune/epoch_2.pth', metrics='none')))
    with pytest.raises(ValueError, match=r'run/tested\.json holds no metrics of a test'):
        metrics_beside('epoch_2.pth')


def test_what_is_no_checkpoint(run, tmp_path):
    project, folder, _ = run
    torch.save(dict(weights=torch.ones(2)), folder / 'other.pth')
    with pytest.raises(CheckpointError, match=r'other\.pth has no state_dict, but weights'):
        publish_model.main([str(folder / 'other.pth'), '--config', project.config, '--out', str(tmp_path / 'out')])
