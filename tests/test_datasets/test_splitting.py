"""A folder per class, split."""

import json

import pytest
from PIL import Image

from vlprompt.datasets.classification.splitting import split_folder


@pytest.fixture
def photos(tmp_path):
    for name, number in (('cat', 10), ('fire_truck', 3)):
        for i in range(number):
            (tmp_path / name / 'garden').mkdir(parents=True, exist_ok=True)
            Image.new('RGB', (2, 2)).save(tmp_path / name / ('garden' if i == 0 else '') / f'{i}.png')
    return tmp_path


def test_every_image_is_in_one_split(photos):
    splits = split_folder(photos, val=0.1, test=0.3)
    counts = {split: [sum(item.label == k for item in items) for k in (0, 1)] for split, items in splits.items()}
    assert counts == dict(train=[6, 1], val=[1, 1], test=[3, 1])
    paths = [item.path for items in splits.values() for item in items]
    assert len(paths) == len(set(paths)) == 13
    assert all((photos / path).is_file() for path in paths)
    assert {item.name for item in splits['test']} == {'cat', 'fire_truck'}


def test_the_draw_depends_on_the_seed_and_its_class_alone(photos):
    first = split_folder(photos, 0, 0.3)
    assert split_folder(photos, 0, 0.3) == first
    assert split_folder(photos, 0, 0.3, seed=1) != first
    assert set(first) == {'train', 'test'}
    (photos / 'fire_truck' / '9.png').write_bytes((photos / 'cat' / '1.png').read_bytes())
    cats = [
        [item.path for item in split['test'] if item.name == 'cat'] for split in (first, split_folder(photos, 0, 0.3))
    ]
    assert cats[0] == cats[1]


def test_the_reader_takes_what_the_tool_writes(photos):
    from vlprompt.datasets.classification.readers.split_json import JsonReader

    splits = split_folder(photos, 0.1, 0.3)
    (photos / 'split.json').write_text(json.dumps(splits))
    reader = JsonReader(photos / 'split.json', photos, '')
    assert reader.classes == ['cat', 'fire_truck']
    assert {split: reader.load(split) for split in reader.splits} == splits


@pytest.mark.parametrize(
    ('val', 'test', 'message'),
    [
        (0, 0, 'above 0'),
        (0.5, 0.5, 'below 1'),
        (-0.1, 0.3, 'shares'),
        (0.3, 0.3, r'fire_truck: 2 images; .*train, val, test'),
    ],
)
def test_shares_that_leave_nothing(photos, val, test, message):
    if 'fire_truck' in message:
        (photos / 'fire_truck' / '1.png').unlink()
    with pytest.raises(ValueError, match=message):
        split_folder(photos, val, test)


def test_folders_without_classes_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='is no folder'):
        split_folder(tmp_path / 'nowhere', 0, 0.3)
    (tmp_path / 'train').mkdir()
    with pytest.raises(ValueError, match='split already'):
        split_folder(tmp_path, 0, 0.3)
