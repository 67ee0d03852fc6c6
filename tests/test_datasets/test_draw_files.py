"""Files of draws: written and read back, and what is wrong in them."""

import json

import pytest

from tests.conftest import run_tool
from tools.dataset_converters import export_draws
from vlprompt.apis.draws import write_draw
from vlprompt.datasets import FewShotDataset
from vlprompt.errors import ConfigError, DataError


@pytest.fixture
def source(tmp_path):
    """A split file of 3 classes x 5 training images, 2 validation and 2 test images each, below data/toy."""
    split = {
        name: [[f'{name}/{label}_{i}.jpg', label, f'class_{label}'] for label in range(3) for i in range(count)]
        for name, count in (('train', 5), ('val', 2), ('test', 2))
    }
    folder = tmp_path / 'data/toy/images'
    folder.mkdir(parents=True)
    (folder.parent / 'split.json').write_text(json.dumps(split))
    return folder.parent


def dataset(source, split='train', **options):
    options = dict(shots=2, seed=1) | options
    return FewShotDataset(
        str(source), ann_file='split.json', data_prefix='images', split=split, lazy_init=True, **options
    )


@pytest.mark.parametrize('split', ['train', 'val'])
def test_what_is_written_is_read_back(source, tmp_path, split):
    drawn = dataset(source, split).drawn()
    write_draw(tmp_path / f'shot_2-seed_1_{split}.jsonl', drawn, source / 'images', tmp_path / 'data')
    first = json.loads((tmp_path / f'shot_2-seed_1_{split}.jsonl').read_text().splitlines()[0])
    assert first == dict(
        _impath=f'toy/images/{drawn[0].path}', _label=drawn[0].label, _domain=-1, _classname=drawn[0].name
    )
    pattern = str(tmp_path / 'shot_{shots}-seed_{seed}_{split}.jsonl')
    assert dataset(source, split, draw=pattern).drawn() == drawn
    with pytest.raises(FileNotFoundError, match=r'shot_2-seed_7'):
        dataset(source, split, draw=pattern, seed=7).drawn()


def test_files_in_the_folder_of_the_dataset(source, tmp_path, monkeypatch):
    """As the published ones lie after unpacking, so that one pattern serves several datasets."""
    drawn = dataset(source).drawn()
    write_draw(source / 'split_fewshot/shot_2-seed_1_train.jsonl', drawn, source / 'images', tmp_path / 'data')
    pattern = '{folder}/split_fewshot/shot_{shots}-seed_{seed}_{split}.jsonl'
    assert dataset(source, draw=pattern).drawn() == drawn
    monkeypatch.chdir(tmp_path)
    benchmark = FewShotDataset(dataset='caltech101', shots=2, draw=pattern, lazy_init=True)
    assert str(benchmark.folder) == 'data/caltech-101'
    with pytest.raises(ValueError, match=r'may have \{split\}, \{shots\}, \{seed\}, \{folder\} and no other braces'):
        dataset(source, draw='{dataset}.jsonl').drawn()


def line(path='toy/images/train/0_0.jpg', label=0, name='class 0'):
    return json.dumps(dict(_impath=path, _label=label, _domain=0, _classname=name))


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('no json', r'x\.jsonl:1: no JSON object with _impath'),
        (json.dumps(dict(_impath='a', _label=0)), 'no JSON object with _impath, _label and _classname'),
        (line(label='0'), '_label a whole number'),
        (line('toy/images/test/0_0.jpg'), r"x\.jsonl:1: toy/images/test/0_0\.jpg is an image of the split 'test'"),
        (line('elsewhere/0_0.jpg'), 'is no image of this dataset'),
        (line(label=1), r"has label 1 \('class 0'\), but in .* it is 0 \('class_0'\)"),
        (line(name='class 1'), r'class 1'),
        ('\n'.join(line(f'toy/images/train/0_{i}.jpg') for i in range(3)), "3 images of class 'class_0', but shots=2"),
        (line(), r"1 images of class 'class_0', but shots=2 and the dataset has 5: set shots"),
    ],
)
def test_what_is_wrong_in_a_file(source, tmp_path, content, message):
    file = tmp_path / 'x.jsonl'
    file.write_text(f'{content}\n')
    with pytest.raises(DataError, match=message):
        dataset(source, draw=str(file)).drawn()


def test_a_draw_that_is_no_file(source):
    with pytest.raises(ValueError, match=r'must be one of coop, clip-lora, or a file of draws \(\.jsonl\)'):
        dataset(source, draw='draws.json')


def test_images_outside_of_the_root(tmp_path):
    with pytest.raises(ConfigError, match='not below'):
        write_draw(tmp_path / 'x.jsonl', [], tmp_path / 'a', tmp_path / 'b')


def test_the_tool(source, tmp_path):
    options = ['--dataset', 'split_json', '--data-root', source, '--shots', 1, 2, '--seeds', 1, 2, '--root', tmp_path]
    shown = run_tool(export_draws.main, 'coop_micro-rn', *options, '--out', tmp_path / 'draws')
    assert len(list((tmp_path / 'draws').iterdir())) == 8
    assert 'shot_2-seed_1_train.jsonl: 6 images' in shown
