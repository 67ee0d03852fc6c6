"""Whose class names count."""

from types import SimpleNamespace

import pytest
from mmengine.runner import ValLoop

from vlprompt.engine.class_names import agree_on_class_names
from vlprompt.engine.hooks import ClassNamesHook
from vlprompt.errors import ConfigError


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


def run_of(model, train, val, class_names=None):
    return SimpleNamespace(
        bare_model=model,
        model=None,
        cfg=SimpleNamespace(model=dict(class_names=class_names)),
        _train_loop=loop_over(train),
        _val_loop=loop_over(val),
        _test_loop=dict(type='TestLoop'),
    )


def test_a_segmentor_without_text_must_have_as_many_classes_as_the_data():
    segmentor = SimpleNamespace(decode_head=SimpleNamespace(num_classes=2))
    ClassNamesHook().before_run(run_of(segmentor, ['road', 'tree'], ['Road', 'Tree']))
    with pytest.raises(ConfigError, match='num_classes=2, but SimpleNamespace of ValLoop has 3 classes'):
        ClassNamesHook().before_run(run_of(segmentor, ['road', 'tree'], ['road', 'tree', 'car']))
    ClassNamesHook().before_run(run_of(SimpleNamespace(), ['road'], ['tree', 'car']))


@pytest.mark.parametrize('validation', [['Faces', 'leopard'], ['okapi', 'boat']])
def test_the_data_sets_of_a_run_must_agree(validation):
    """Or prompts would be trained for the names of the validation set."""
    runner = run_of(model_of(['face', 'leopard']), ['Faces', 'leopard'], validation, 'caltech101')
    if validation[0] == 'Faces':
        ClassNamesHook().before_run(runner)
    else:
        with pytest.raises(ConfigError, match="class 0 is 'Faces' in the model but 'okapi' in the data"):
            ClassNamesHook().before_run(runner)
    assert runner.bare_model.class_names == ('Faces', 'leopard')
