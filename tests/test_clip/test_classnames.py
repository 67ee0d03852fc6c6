import pytest
from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES, OPENAI_IMAGENET_TEMPLATES

from vlprompt.clip.classnames import FEW_SHOT_DATASETS, check_class_names, imagenet_wnids, resolve_class_names
from vlprompt.clip.templates import ENSEMBLE_7, HAND, templates

COUNTS = dict(
    imagenet=(1000, 500),
    caltech101=(100, 50),
    oxford_pets=(37, 19),
    stanford_cars=(196, 98),
    oxford_flowers=(102, 51),
    food101=(101, 51),
    fgvc_aircraft=(100, 50),
    sun397=(397, 199),
    dtd=(47, 24),
    eurosat=(10, 5),
    ucf101=(101, 51),
)


@pytest.mark.parametrize('key', FEW_SHOT_DATASETS)
def test_counts_of_all_base_and_new_classes(key):
    total, base = COUNTS[key]
    names = resolve_class_names(key)
    assert len(names) == total
    assert resolve_class_names(f'{key}:base') == names[:base]
    assert resolve_class_names(f'{key}:new') == names[base:]
    assert all(name == name.strip() and name for name in names)
    if key != 'imagenet':  # which has 'missile' and 'sunglasses' twice
        assert len(set(names)) == total


@pytest.mark.parametrize(
    ('key', 'label', 'name'),
    [
        ('caltech101', 0, 'face'),
        ('caltech101', 4, 'airplane'),
        ('caltech101', 99, 'yin_yang'),
        ('oxford_pets', 1, 'american_bulldog'),
        ('stanford_cars', 0, '2000 AM General Hummer SUV'),
        ('oxford_flowers', 0, 'pink primrose'),
        ('food101', 0, 'apple_pie'),
        ('fgvc_aircraft', 0, '707-320'),
        ('sun397', 8, 'outdoor apartment_building'),
        ('dtd', 30, 'polka-dotted'),
        ('eurosat', 9, 'Sea or Lake'),
        ('ucf101', 0, 'Apply_Eye_Makeup'),
    ],
)
def test_label_order_and_spelling(key, label, name):
    assert resolve_class_names(key)[label] == name


def test_imagenet_names_are_open_clips_and_variants_are_subsets():
    names = resolve_class_names('imagenet')
    assert names == list(IMAGENET_CLASSNAMES)
    assert (
        resolve_class_names('imagenetv2')
        == resolve_class_names('imagenet_sketch')
        == resolve_class_names('imagenet_lt')
        == names
    )
    wnids = imagenet_wnids()
    assert wnids == sorted(wnids)
    assert (wnids[0], names[0]) == ('n01440764', 'tench')
    for variant, first in (('imagenet_a', 'stingray'), ('imagenet_r', 'goldfish')):
        subset = resolve_class_names(variant)
        assert len(subset) == 200
        assert subset[0] == first
        assert [names.index(name) for name in subset] == sorted(names.index(name) for name in subset)


def test_names_of_cifar100():
    names = resolve_class_names('cifar100_lt')
    assert names == sorted(set(names))
    assert (len(names), names[0], names[99]) == (100, 'apple', 'worm')


def test_lists_and_files(tmp_path):
    assert resolve_class_names(('a', 'b')) == ['a', 'b']
    file = tmp_path / 'classnames.txt'
    file.write_text('fire_truck\n\ncat\ndog\n')
    assert resolve_class_names(str(file)) == ['fire_truck', 'cat', 'dog']
    assert resolve_class_names(f'{file}:new') == ['dog']
    with pytest.raises(FileNotFoundError, match=r'absent\.txt'):
        resolve_class_names(str(tmp_path / 'absent.txt'))
    with pytest.raises(ValueError, match='caltech101'):
        resolve_class_names('caltech')


def test_check_class_names_compares_what_prompts_see():
    check_class_names(['Yin Yang', 'cat'], ['yin_yang', 'cat'], 'test')
    with pytest.raises(ValueError, match=r"test: class 1 is 'cat' in the model but 'dog' in the data"):
        check_class_names(['a', 'cat'], ['a', 'dog'], 'test')
    with pytest.raises(ValueError, match='the model has 1 classes, the data 2'):
        check_class_names(['a'], ['a', 'b'], 'test')


def test_ensemble_80_is_the_published_set():
    published = {template('{}') for template in OPENAI_IMAGENET_TEMPLATES}
    assert set(templates('ensemble-80')) == published
    assert len(templates('ensemble-80')) == 80
    first = [template('{}') for template in OPENAI_IMAGENET_TEMPLATES[:60]]
    assert sorted(templates('ensemble-60')) == sorted(first)


def test_templates_of_datasets_and_ensemble_7():
    assert templates('dtd') == ['{} texture.']
    assert templates('food101') == ['a photo of {}, a type of food.']
    assert set(FEW_SHOT_DATASETS) <= set(HAND)
    assert templates('ensemble-7') == list(ENSEMBLE_7)
    assert templates('ensemble-7:imagenet') == list(ENSEMBLE_7)
    assert templates('ensemble-7:dtd') == [*ENSEMBLE_7, '{} texture.']
    templates('ensemble-7').append('changed by the caller')
    assert len(templates('ensemble-7')) == 7
    for unknown in ('ensemble-8', 'ensemble-7:nothing', 'ensemble-80:dtd'):
        with pytest.raises(ValueError, match='unknown templates'):
            templates(unknown)


def test_the_built_in_world_draws_the_classes_that_are_listed():
    from vlprompt.datasets.generated import LONG_TAILED_CLASSES, SCENE_CLASSES, SEGMENTATION_CLASSES

    drawn = dict(scenes=SCENE_CLASSES, scenes_lt=LONG_TAILED_CLASSES, scenes_seg=SEGMENTATION_CLASSES)
    for key, names in drawn.items():
        assert resolve_class_names(key) == list(names)


def test_a_file_of_names_is_read_anew(tmp_path):
    file = tmp_path / 'names.txt'
    for names in (['a', 'b'], ['c']):
        file.write_text('\ufeff' + '\n\n'.join(names))
        assert resolve_class_names(str(file)) == names
