"""Whose class names count."""

from types import SimpleNamespace

import pytest
from mmengine.runner import ValLoop

from vlprompt.engine import ConfigError
from vlprompt.engine.class_names import agree_on_class_names
from vlprompt.engine.hooks import ClassNamesHook


def model_of(names):
    model = SimpleNamespace(class_names=tuple(names))
    model.set_class_names = lambda new: setattr(model, 'class_names', tuple(new))
    return model


def test_the_data_decides_where_the_config_names_a_data_set():
    model = model_of(['face', 'leopard'])
    agree_on_class_names(model, 'caltech101', ['Faces', 'leopard'], 'data')
    assert model.class_names == ('Faces', 'leopard')


def test_listed_names_are_taken_at_their_word():
    model = model_of(['sea lion', 'face'])
    agree_on_class_names(model, ['sea lion', 'face'], ['sea_lion', 'Face'], 'data')
    assert model.class_names == ('sea lion', 'face'), 'underscores and case make no difference to a prompt'
    with pytest.raises(ValueError, match="class 1 is 'face' in the model but 'okapi' in the data"):
        agree_on_class_names(model, ['sea lion', 'face'], ['sea lion', 'okapi'], 'data')


def test_another_number_of_classes_is_an_error_either_way():
    for configured in ('caltech101', ['face']):
        with pytest.raises(ValueError, match=r'1 classes, the data 2|1 and 2 classes'):
            agree_on_class_names(model_of(['face']), configured, ['face', 'okapi'], 'data')


def loop_over(names):
    loop = ValLoop.__new__(ValLoop)
    loop.dataloader = SimpleNamespace(dataset=SimpleNamespace(metainfo=dict(classes=names)))
    return loop


@pytest.mark.parametrize('validation', [['Faces', 'leopard'], ['okapi', 'boat']])
def test_the_data_sets_of_a_run_must_agree(validation):
    """Or prompts would be trained for the names of the validation set."""
    runner = SimpleNamespace(
        bare_model=model_of(['face', 'leopard']),
        model=None,
        cfg=SimpleNamespace(model=SimpleNamespace(class_names='caltech101')),
        _train_loop=loop_over(['Faces', 'leopard']),
        _val_loop=loop_over(validation),
        _test_loop=dict(type='TestLoop'),
    )
    if validation[0] == 'Faces':
        ClassNamesHook().before_run(runner)
    else:
        with pytest.raises(ConfigError, match="class 0 is 'Faces' in the model but 'okapi' in the data"):
            ClassNamesHook().before_run(runner)
    assert runner.bare_model.class_names == ('Faces', 'leopard')
