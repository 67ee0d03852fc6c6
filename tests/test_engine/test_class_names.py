"""Whose class names count."""

from types import SimpleNamespace

import pytest
from mmengine.runner import ValLoop

from vlprompt.clip.builtin import unseen_names
from vlprompt.clip.classnames import GENERATED_TASKS, resolve_class_names
from vlprompt.engine import DataHook
from vlprompt.errors import ConfigError
from vlprompt.models.agreement import agree_on_class_names, warn_of_unseen_words


def model_of(names, follow=False):
    model = SimpleNamespace(class_names=tuple(names), names_follow_data=follow)
    model.set_class_names = lambda new: setattr(model, 'class_names', tuple(new))
    model.meet_data = lambda metainfo, what, training: agree_on_class_names(model, metainfo['classes'], what)
    return model


def test_the_data_decides_where_the_config_names_a_dataset():
    model = model_of(['face', 'leopard'], follow=True)
    agree_on_class_names(model, ['Faces', 'leopard'], 'data')
    assert model.class_names == ('Faces', 'leopard')


def test_listed_names_are_taken_at_their_word():
    model = model_of(['sea lion', 'face'])
    agree_on_class_names(model, ['sea_lion', 'Face'], 'data')
    assert model.class_names == ('sea lion', 'face'), 'underscores and case make no difference to a prompt'
    with pytest.raises(ValueError, match="class 1 is 'face' in the model but 'okapi' in the data"):
        agree_on_class_names(model, ['sea lion', 'okapi'], 'data')


def test_another_number_of_classes_is_an_error_either_way():
    for follow in (True, False):
        with pytest.raises(ValueError, match=r'1 classes, the data 2|1 and 2 classes'):
            agree_on_class_names(model_of(['face'], follow), ['face', 'okapi'], 'data')


def loop_over(names):
    loop = ValLoop.__new__(ValLoop)
    loop.dataloader = SimpleNamespace(dataset=SimpleNamespace(metainfo=dict(classes=names)))
    return loop


def run_of(model, train, val):
    return SimpleNamespace(
        model=model,
        _train_loop=dict(type='TrainLoop'),
        _val_loop=loop_over(train),
        _test_loop=loop_over(val),
    )


def test_a_segmentor_without_text_must_have_as_many_classes_as_the_data():
    segmentor = SimpleNamespace(decode_head=SimpleNamespace(num_classes=2))
    DataHook().before_run(run_of(segmentor, ['road', 'tree'], ['Road', 'Tree']))
    with pytest.raises(ConfigError, match='num_classes=2, but SimpleNamespace of ValLoop has 3 classes'):
        DataHook().before_run(run_of(segmentor, ['road', 'tree'], ['road', 'tree', 'car']))
    DataHook().before_run(run_of(SimpleNamespace(), ['road'], ['tree', 'car']))


@pytest.mark.parametrize('validation', [['Faces', 'leopard'], ['okapi', 'boat']])
def test_the_datasets_of_a_run_must_agree(validation):
    """Or prompts would be trained for the names of the validation set."""
    runner = run_of(model_of(['face', 'leopard'], follow=True), ['Faces', 'leopard'], validation)
    if validation[0] == 'Faces':
        DataHook().before_run(runner)
    else:
        with pytest.raises(ConfigError, match="class 0 is 'Faces' in the model but 'okapi' in the data"):
            DataHook().before_run(runner)
    assert runner.model.class_names == ('Faces', 'leopard')


def test_words_that_the_built_in_weights_never_saw(monkeypatch):
    said = []
    monkeypatch.setattr('vlprompt.models.agreement.print_log', lambda text, **_: said.append(text))
    for weights in ('micro-vit:scenes', 'RN50:openai', 'micro-vit:labels', 'RN50:scenes', None):
        model = model_of(['cup', 'tiger', 'palm_tree'])
        model.base_source = weights and SimpleNamespace(name=weights)
        warn_of_unseen_words(model)
        warn_of_unseen_words(model)
    assert len(said) == 1
    assert said[0].startswith('2 of 3 class names (tiger, palm_tree) have words that the built-in weights')


@pytest.mark.parametrize('arch', ['micro-rn', 'micro-vit'])
@pytest.mark.parametrize('dataset', GENERATED_TASKS)
def test_the_built_in_world_has_been_seen(arch, dataset):
    assert unseen_names(f'{arch}:scenes', resolve_class_names(dataset)) == []
