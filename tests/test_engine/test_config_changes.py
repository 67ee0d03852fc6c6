"""What a model has otherwise than in the training of its checkpoint."""

import pytest

from tests.tiny_project import TinyProject
from vlprompt.apis import init_model
from vlprompt.engine import config_changes
from vlprompt.engine.config import load_config
from vlprompt.engine.config_changes import warn_of_changed_model


@pytest.fixture
def said(monkeypatch):
    """Warnings."""
    texts = []
    monkeypatch.setattr(config_changes, 'print_log', lambda text, *_: texts.append(text))
    return texts


def checkpoint_of(cfg):
    return dict(meta=dict(cfg=cfg.pretty_text))


@pytest.mark.parametrize(
    ('config', 'option', 'told'),
    [
        ('plot_rn50', {'model.alignment.global_weight': 1.0}, 'model.alignment.global_weight 1.0 -> (not given)'),
        ('plot_rn50', {'model.prompt.position': 'middle'}, 'model.prompt.position middle -> '),
        ('coop_rn50', {'model.logit_scale': 50.0}, 'model.logit_scale 50.0 -> '),
        ('vpt_micro-vit', {'model.data_preprocessor.mean': [0, 0, 0]}, 'model.data_preprocessor.mean [0, 0, 0] -> '),
        (
            'coop_rn50',
            {'model.clip.vision.interpolation': 'area'},
            'model.clip.vision.interpolation area -> (not given)',
        ),
    ],
)
def test_what_its_tensors_do_not_tell(config, option, told, said):
    trained, now = load_config(config, option), load_config(config)
    warn_of_changed_model(now, checkpoint_of(trained))
    assert len(said) == 1
    assert told in said[0]
    warn_of_changed_model(trained, checkpoint_of(trained))
    assert len(said) == 1


@pytest.mark.parametrize(
    ('config', 'option'),
    [
        ('plot_rn50', dict(dataset='dtd')),
        ('coop_rn50', dict(dataset='eurosat', shots=1)),
        ('tip-adapter_rn50', dict(dataset='dtd', shots=2)),
        ('clap_rn50', dict(dataset='imagenet')),
        ('clipreid_vit-b16', dict(dataset='veri')),
        ('gda_rn50', {'model.solver.alpha': 3.0}),
        ('promptsrc_vit-b16', {'dataset': 'ucf101', 'model.clip.weights': None}),
        ('coop_rn50', {'optim_wrapper.optimizer.lr': 1.0}),
    ],
)
def test_nothing_is_said_of_what_follows_the_data_or_the_training(config, option, said):
    warn_of_changed_model(load_config(config), checkpoint_of(load_config(config, option)))
    assert said == []


@pytest.mark.parametrize('text', [None, 3, 'import os', 'a = (', 'model = 3', ''])
def test_configs_that_say_nothing(text, said):
    warn_of_changed_model(load_config('coop_rn50'), dict(meta=dict(cfg=text)))
    warn_of_changed_model(load_config('coop_rn50'), {})
    assert said == []


def test_tests_and_predictions_say_it_and_trainings_do_not(tmp_path, said):
    project = TinyProject.create(tmp_path)
    project.run(tmp_path / 'run').train()
    (checkpoint,) = (tmp_path / 'run').glob('epoch_*.pth')
    project.run(tmp_path / 'next', load_from=str(checkpoint), model__logit_scale=7.0).train()
    init_model(project.config, checkpoint)
    project.run(tmp_path / 'test', load_from=str(checkpoint), train_cfg=None).test()
    assert said == []
    project.run(tmp_path / 'test', load_from=str(checkpoint), train_cfg=None, model__logit_scale=7.0).test()
    init_model(project.config, checkpoint, {'model.logit_scale': 7.0})
    assert len(said) == 2
    assert said[0] == said[1]
    assert ' -> 7.0. Give the options of the training again' in said[0]
