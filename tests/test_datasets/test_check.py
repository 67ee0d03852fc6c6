import importlib.util
import json
import shutil
from pathlib import Path

import pytest
from data_trees import CLASSES, make_split_json, make_tree, save_image

from vlprompt.datasets.build_reader import build_classification_reader
from vlprompt.datasets.checks.report import check_reader

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'dataset_converters' / 'check_dataset.py'


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('check_dataset_tool', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_all_is_well(tmp_path, tool, capsys):
    make_split_json(tmp_path / 'split.json', tmp_path)
    report = check_reader(build_classification_reader(tmp_path, ann_file='split.json'))
    assert report.problems == []
    assert {part.name: len(part.paths) for part in report.facts.parts} == dict(train=12, val=9, test=6)
    assert report.facts.lines[0] == 'train: 12 images of 3 classes (4 to 4 each)'
    assert tool.main(['--data-root', str(tmp_path), '--ann-file', 'split.json']) == 0
    out = capsys.readouterr().out
    assert f'    2  {CLASSES[2]}          4         3         2' in out
    assert out.endswith('0 problems\n')


def test_every_problem_is_listed_by_name(tmp_path, tool, capsys):
    content = make_split_json(tmp_path / 'split.json', tmp_path)
    train = [entry[0] for entry in content['train']]
    test = [entry[0] for entry in content['test']]
    (tmp_path / train[0]).unlink()
    (tmp_path / train[1]).write_text('no image')
    shutil.copy(tmp_path / train[2], tmp_path / test[0])
    content['test'].append(content['train'][4])
    content['val'][0][1] = 1
    (tmp_path / 'split.json').write_text(json.dumps(content))
    assert tool.main(['--data-root', str(tmp_path), '--ann-file', 'split.json']) == 1
    problems = [line for line in capsys.readouterr().out.splitlines() if line.startswith('PROBLEM: ')]
    assert len(problems) == 5
    for text in (
        f'missing: {tmp_path / train[0]}',
        f'unreadable: {tmp_path / train[1]}: ',
        f'leak: 1 image of test is in train too (the same bytes): {test[0]} = {train[2]}',
        f'leak: 1 image of test is in train too (the same path): {train[4]}',
        f"{content['val'][0][0]!r}: label 1 ('first_class') is not one of the 3 classes",
    ):
        assert any(text in problem for problem in problems), text


@pytest.mark.parametrize(
    'options',
    [
        '--dataset coco_json --data-root . --classes names.txt',
        '--dataset seg_folder --data-root . --ann-file a.json',
        '--dataset ade20k --imbalance 10',
        '--dataset market1501 --split-seed 0',
        '--reid --data-root . --classes names.txt',
        '--data-root . --split-seed 3',
        '--dataset caltech101 --classes names.txt',
        '--dataset caltech101 --ann-file a.json',
        'zero-shot_micro-rn --reid',
    ],
)
def test_options_without_effect_are_errors(options, tmp_path, tool, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=r'^check_dataset\.py: ') as error:
        tool.main(options.split())
    assert options.split('--')[-1].split()[0].replace('-', '_') in str(error.value).replace('-', '_')


def test_label_gaps_and_missing_files_are_problems(tmp_path):
    (tmp_path / 'split.json').write_text(json.dumps({'train': [['a.jpg', 0, 'a'], ['b.jpg', 2, 'b']]}))
    (problem,) = check_reader(build_classification_reader(tmp_path, ann_file='split.json')).problems
    assert '1 never occur' in problem
    (problem,) = check_reader(build_classification_reader(tmp_path, dataset='dtd')).problems
    assert 'split_zhou_DescribableTextures.json does not exist' in problem


def test_a_config_names_its_data(tmp_path, tool, capsys):
    make_tree('imagenet', tmp_path)
    make_tree('imagenet_a', tmp_path)
    base = TOOL.parents[2] / 'configs/coop/coop_rn50.py'
    config = tmp_path / 'config.py'
    train, test = (dict(dataset=dict(data_root=str(tmp_path / name))) for name in ('imagenet', 'imagenet-adversarial'))
    config.write_text(
        f'_base_ = {str(base)!r}\ntrain_dataloader = {train}\ntest_dataloader = {test}\n' + "dataset = 'imagenet_a'\n"
    )
    assert tool.main([str(config)]) == 1
    out = capsys.readouterr().out
    imagenet, adversarial = out.split(f'{tmp_path / "imagenet-adversarial"}\n')
    assert imagenet.startswith(f'{tmp_path / "imagenet"}\n')
    assert 'images/val/n00000001/0.JPEG = images/train/n00000001/0.JPEG' in imagenet
    assert 'leak' not in adversarial  # nothing is compared across sources
    assert 'labels do not mean' not in adversarial  # a benchmark has classes of its own


def test_classes_of_your_own_sources_are_compared(tmp_path, tool, capsys):
    for split, names in dict(train=('cat', 'dog'), test=('cat', 'cow')).items():
        for number, name in enumerate(names):
            save_image(tmp_path / split / split / name / '0.jpg', seed=number + 2 * (split == 'test'))
    base = TOOL.parents[2] / 'configs/coop/coop_rn50.py'
    train, test = (dict(dataset=dict(data_root=str(tmp_path / split))) for split in ('train', 'test'))
    config = tmp_path / 'config.py'
    lines = [f'_base_ = {str(base)!r}', "dataset, val_dataloader, val_evaluator = 'folder', None, None"]
    config.write_text('\n'.join([*lines, f'train_dataloader = {train}', f'test_dataloader = {test}']))
    assert tool.main([str(config)]) == 1
    problem = "test: labels do not mean the classes of train: class 1 is 'dog' in train but 'cow' in test (2 classes)"
    assert f'PROBLEM: {problem}' in capsys.readouterr().out
