"""The few-shot task on disk: complete, balanced, without overlap, and the same every time."""

import hashlib
import json

import cv2
import numpy as np
import pytest

from tools.dataset_converters import generate_world
from vlprompt.apis.command_line import call
from vlprompt.clip.classnames import resolve_class_names
from vlprompt.datasets import LongTailedDataset
from vlprompt.datasets.generated import LONG_TAILED_CLASSES, SCENE_CLASSES, SEGMENTATION_CLASSES
from vlprompt.datasets.generated.tasks import few_shot_scene, long_tailed_scene, segmentation_scene

COUNTS = {'train': 2, 'val': 1, 'test': 3}


def generate(folder, *options):
    generate_world.main(
        [
            '--task',
            'few-shot',
            '--out',
            str(folder),
            '--size',
            '32',
            '--per-class',
            '2',
            '1',
            '3',
            '--workers',
            '1',
            *options,
        ]
    )
    return json.loads((folder / 'split_scenes.json').read_text())


def digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob('*.png'))
    }


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp('scenes')
    return folder, generate(folder)


@pytest.mark.parametrize(('split', 'count'), COUNTS.items())
def test_every_class_has_the_same_number_of_images(world, split, count):
    labels = [label for _, label, _ in world[1][split]]
    assert np.bincount(labels).tolist() == [count] * len(SCENE_CLASSES)
    assert all(name == SCENE_CLASSES[label] for _, label, name in world[1][split])


def test_no_image_is_listed_twice_and_none_is_missing(world):
    folder, lists = world
    paths = [path for items in lists.values() for path, _, _ in items]
    images = digests(folder / 'images')
    assert sorted(paths) == sorted(images)
    assert len(set(images.values())) == len(paths)


def test_files_hold_the_scenes(world):
    folder, lists = world
    path, label, _ = lists['test'][7]
    image = cv2.cvtColor(cv2.imread(str(folder / 'images' / path)), cv2.COLOR_BGR2RGB)
    assert np.array_equal(image, few_shot_scene('test', label, 7 % COUNTS['test'], size=32).image)


def test_a_second_run_writes_the_same_files_and_another_seed_others(world, tmp_path):
    folder, lists = world
    assert generate(tmp_path / 'again') == lists
    assert digests(tmp_path / 'again') == digests(folder)
    generate(tmp_path / 'other', '--seed', '1')
    assert not set(digests(tmp_path / 'other').values()) & set(digests(folder).values())


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--size', '8'], '--size must be at least 32'),
        (['--workers', '0'], 'argument --workers: must be at least 1, got 0'),
        (['--per-class', '4', '0', '4'], 'argument --per-class: must be at least 1, got 0'),
        (['--cameras', '1'], '--cameras must be at least 2'),
        (['--seed', '-1'], 'argument --seed: must be 0 or more, got -1'),
        (['--long-tail', '2', '3', '1', '1'], 'HEAD must not be less than TAIL'),
    ],
)
def test_impossible_numbers_are_rejected(options, message, tmp_path, capsys):
    with pytest.raises(SystemExit):
        generate_world.main(['--out', str(tmp_path), *options])
    assert message in capsys.readouterr().err


def test_lists_of_another_task_leave_with_the_images_that_they_name(world, tmp_path):
    few = generate(tmp_path)
    (tmp_path / 'own.txt').touch()
    options = ['--size', '32', '--workers', '1', '--out', str(tmp_path)]
    generate_world.main(['--task', 'reid', '--identities', '1', '1', '--cameras', '2', *options])
    assert not (tmp_path / 'earlier').exists(), 'people share no folder with scenes'
    generate_world.main(['--task', 'long-tailed', '--long-tail', '1', '1', '1', '1', *options])
    (target,) = (tmp_path / 'earlier').iterdir()
    assert sorted(path.name for path in target.iterdir()) == ['images', 'split_scenes.json']
    assert json.loads((target / 'split_scenes.json').read_text()) == few
    assert digests(target / 'images') == digests(world[0] / 'images')
    assert (tmp_path / 'own.txt').exists()
    assert (tmp_path / 'query').exists()
    generate_world.main(['--task', 'detection', '--images', '1', '1', *options])
    assert not list(tmp_path.glob('t*.txt')), 'lists of the long-tailed task'
    (tmp_path / 'plain' / 'masks').mkdir(parents=True)
    generate(tmp_path / 'plain')
    assert (tmp_path / 'plain' / 'masks').exists(), 'nothing that was there is replaced'


def test_long_tailed_task(tmp_path):
    options = ['--task', 'long-tailed', '--size', '32', '--long-tail', '6', '1', '1', '2', '--workers', '1']
    for folder in ('first', 'again'):
        generate_world.main([*options, '--out', str(tmp_path / folder)])
    world = tmp_path / 'first'
    assert digests(world) == digests(tmp_path / 'again')
    test = LongTailedDataset(str(tmp_path), ann_file='first/{split}.txt', data_prefix='first', split='test')
    counts = test.metainfo['cls_num_list']
    assert counts == sorted(counts, reverse=True)
    assert (counts[0], counts[-1], np.bincount(test.labels).tolist()) == (6, 1, [2] * len(LONG_TAILED_CLASSES))
    assert len(digests(world)) == sum(counts) + 3 * len(LONG_TAILED_CLASSES)
    named = LongTailedDataset(str(world), ann_file='{split}.txt')
    assert named.metainfo['classes'] == list(LONG_TAILED_CLASSES) == resolve_class_names('scenes_lt')
    read = cv2.cvtColor(cv2.imread(test.get_data_info(9)['img_path']), cv2.COLOR_BGR2RGB)
    assert np.array_equal(read, long_tailed_scene('test', 4, 1, size=32).image)


def test_segmentation_task(tmp_path):
    options = ['--task', 'segmentation', '--size', '48', '--images', '3', '2', '--workers', '1']
    for folder in ('first', 'again'):
        generate_world.main([*options, '--out', str(tmp_path / folder)])
    assert digests(tmp_path / 'first') == digests(tmp_path / 'again')
    assert (tmp_path / 'first' / 'classnames.txt').read_text().splitlines() == list(SEGMENTATION_CLASSES)
    for split, count in (('train', 3), ('val', 2)):
        masks = sorted((tmp_path / 'first' / 'masks' / split).iterdir())
        assert [path.name for path in masks] == [f'{index:04d}.png' for index in range(count)]
        image, mask = segmentation_scene(split, 1, size=48)
        assert np.array_equal(cv2.imread(str(masks[1]), cv2.IMREAD_UNCHANGED), mask)
        read = cv2.cvtColor(cv2.imread(str(tmp_path / 'first' / 'images' / split / '0001.png')), cv2.COLOR_BGR2RGB)
        assert np.array_equal(read, image)
        assert 2 <= len(np.unique(mask)) <= 5
        assert mask.max() < len(SEGMENTATION_CLASSES)


def test_runs_in_a_process_that_has_used_the_threads_of_opencv(tmp_path):
    threads = cv2.getNumThreads()
    cv2.setNumThreads(4)
    cv2.resize(np.zeros((2000, 2000, 3), np.uint8), (900, 900), interpolation=cv2.INTER_CUBIC)  # starts them
    options = ['--images', '1', '1', '--size', '32', '--workers', '2']
    generate_world.main(['--task', 'detection', '--out', str(tmp_path), *options])
    assert cv2.getNumThreads() == 4
    assert (tmp_path / 'images' / 'val' / '0000.png').is_file()
    cv2.setNumThreads(threads)


def test_a_full_disk_ends_in_one_message(tmp_path, monkeypatch):
    monkeypatch.setattr(cv2, 'imwrite', lambda *arguments: False)
    with pytest.raises(SystemExit, match=r'^RunError: could not write .*\.png: check that the folder is writable'):
        call(lambda: generate(tmp_path))
