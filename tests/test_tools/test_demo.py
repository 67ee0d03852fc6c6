"""The demo's own logic; `make demo` runs all of it."""

import json
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from vlprompt.apis.demo import few_shot
from vlprompt.apis.demo.commands import Commands, clock, progress
from vlprompt.apis.demo.page import above_or_below, example_figures, gain_and_price, write_demo_page
from vlprompt.apis.demo.tour import DETECTOR, LONG_TAIL, REIDENTIFIER, SEGMENTOR, Tour


def test_progress_shows_what_a_run_learns():
    log = '11/22 07:00:00 - mmengine - INFO - '
    train = log + 'Epoch(train)  [ 3][6/6]  lr: 1.9e-03  eta: 0:00:07  time: 0.5  loss: 0.5  accuracy: 90.0000'
    assert progress(train) == 'epoch 3  lr: 1.9e-03  eta: 0:00:07  loss: 0.5  accuracy: 90.0000'
    assert progress(log + 'Epoch(test) [6/6]    accuracy/top1: 75.5000  time: 0.1') == 'test accuracy: 75.50 %'
    assert progress(log + 'Epoch(test) [3/3]  coco/bbox_mAP: 0.2710  coco/bbox_mAP_50: 0.4') == 'test bbox_mAP: 27.1 %'
    assert progress(log + 'Epoch(test) [3/3]  aAcc: 77.1500  mIoU: 25.2700') == 'test mIoU: 25.3 %'
    assert progress(log + 'Checkpoints will be saved to work_dirs') is None


def test_clock():
    assert [clock(s) for s in (0.4, 83, 601)] == ['0:00', '1:23', '10:01']


def test_data_is_made_again_if_an_image_is_missing(tmp_path):
    assert not few_shot.is_complete(tmp_path)
    (tmp_path / 'images').mkdir()
    (tmp_path / 'images' / 'a.png').touch()
    (tmp_path / 'split_scenes.json').write_text(json.dumps({'train': [['a.png', 0, 'a']], 'test': []}))
    assert few_shot.is_complete(tmp_path)
    shutil.rmtree(tmp_path / 'images')
    assert not few_shot.is_complete(tmp_path)


def test_a_command_that_fails_ends_the_demo(tmp_path, capsys):
    reason = "vlprompt has no command 'trane'. Did you mean 'train'?"
    with pytest.raises(SystemExit, match=rf'(?s){re.escape(reason)}.*vlprompt trane failed \(1\).*0_trane.log'):
        Commands(tmp_path / 'logs', steps=1)(['trane'], ['a=1'])
    assert '$ vlprompt trane --cfg-options a=1' in capsys.readouterr().out
    assert (tmp_path / 'logs' / '0_trane.log').read_text().startswith(reason)


class Calls(Commands):
    """Records commands in place of running them."""

    def __init__(self):
        super().__init__(Path('logs'), steps=1)
        self.made = []

    def __call__(self, command, options=(), show=lambda line: None):
        self.made.append(command)
        return ''


def test_data_of_a_task_are_made_once(tmp_path):
    (tmp_path / 'data' / 'reid').mkdir(parents=True)
    calls = Calls()
    for quick in (False, False, True):
        assert Tour(calls, tmp_path, quick).make_data('reid') == tmp_path / 'data' / 'reid'
    assert [command[:5] for command in calls.made] == [
        ['generate-world', '--task', 'reid', '--identities', '2'],
        ['generate-world', '--task', 'reid', '--identities', '2'],
    ]
    assert calls.made[0] != calls.made[1]


def test_words_of_the_world_are_words():
    texts = few_shot.words_of_the_world()
    assert {'purple', 'mushroom', 'the night sky'} <= set(texts)
    assert not any(set(text) & set('{}.,') for text in texts)


def test_images_of_a_small_test_set_have_their_own_texts(tmp_path):
    for number in range(3):
        (tmp_path / f'00000{number}_a.png').touch()
    figures = example_figures(
        tmp_path, 'Image, truth.', {7: ('Far', 'Away.'), 1: ('One', 'A boat.'), 2: ('Two', 'Two.')}
    )
    assert [(figure.path.name, figure.title, figure.caption) for figure in figures] == [
        ('000001_a.png', 'One', 'Image, truth. A boat.'),
        ('000002_a.png', 'Two', 'Two.'),
    ]
    (only,) = example_figures(tmp_path, 'Image, truth.', {7: ('Far', 'Away.')})
    assert (only.path.name, only.caption) == ('000000_a.png', 'Image, truth.')


def test_differences_in_words():
    assert [above_or_below(points) for points in (4.52, -20.25)] == ['4.5 points above', '20.2 points below']


def test_the_table_has_a_line_for_each_method(finished):
    first, _ = finished
    first.coop.checkpoint = first.out / 'index.png'
    first.coop.checkpoint.write_bytes(bytes(16_000))
    first.coop.parameters, first.coop.seconds = 2048, 83
    head, zero_shot, coop, _ = few_shot.methods_table(first.methods).splitlines()
    assert head.endswith('  time')
    assert zero_shot.split() == ['zero-shot', 'CLIP', '0', '60.00', '%', '-', '0:00']
    assert coop == 'CoOp, 16 shots                 2,048         64.50 %      16.0 kB    1:23'
    assert len(head) == len(zero_shot) == len(coop)


@pytest.fixture
def finished(tmp_path):
    """The files of a demo that the page reads, and its two parts as they are when all has run."""
    commands = Commands(tmp_path / 'logs', steps=1)
    first, tour = few_shot.FewShot(commands, tmp_path, Path('data'), False, []), Tour(commands, tmp_path, False)
    pictures = ['curves', 'compared/predictions', 'compared/confusions', 'nearest_words/nearest_words', 'words']
    pictures += ['transport_plans/000_a', 'transport_plans/001_b', 'rank_lists', 'long_tail']
    pictures += [f'{task}/{number:06}_a' for task in ('segmentation', 'detection') for number in range(24)]
    for name in pictures:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new('RGB', (4, 4)).save(tmp_path / f'{name}.png')
    groups = [
        dict(title=title, images=number, drawn=[]) for number, title in enumerate(('mended', 'broken', 'both'), 7)
    ]
    (tmp_path / 'compared' / 'comparison.json').write_text(json.dumps(dict(images=800, groups=groups)))
    plans = [
        dict(image='a.png', classes=[dict(name='<boat>', note=note, score=0.5)])
        for note in ('true, predicted', 'true, rank 2')
    ]
    (tmp_path / 'transport_plans' / 'transport_plans.json').write_text(json.dumps(plans))
    first.zero_shot.accuracy, first.coop.accuracy, first.plot.accuracy = 60.0, 64.5, 40.0
    tour.metrics = {
        SEGMENTOR: dict(aAcc=77.0, mIoU=25.0),
        DETECTOR: {'coco/bbox_mAP': 0.25},
        REIDENTIFIER: {'reid/rank1': 80.0},
    } | {adapter: {'shot/overall': 50.0, 'shot/many': 90.0, 'shot/few': 20.0} for adapter in LONG_TAIL.values()}
    return first, tour


def test_the_page_tells_the_numbers_of_the_run(tmp_path, finished):
    written = write_demo_page(tmp_path, *finished, seconds=83).read_text(encoding='utf-8')
    for text in (
        '1:23 minutes',
        '4.5 points above',
        '20.0 points below',
        'corrects 7 mistakes',
        '25.0 %.',
        '80.0 % of the queries',
    ):
        assert text in written
    assert 'claims.md#why' in written
    assert '&lt;boat&gt;' in written
    assert 'quick run' not in written
    shown = re.findall(r'<img src="([^"]+)"', written)
    assert len(shown) == 14
    assert all((tmp_path / name).is_file() for name in shown)


def test_the_page_says_only_what_is_true(tmp_path, finished):
    first, tour = finished
    first.plot.accuracy, first.quick = 61.0, True
    written = write_demo_page(tmp_path, first, tour, seconds=83).read_text(encoding='utf-8')
    assert 'claims.md#why' not in written
    assert 'quick run' in written
    assert 'pays for' not in written
    tour.metrics[LONG_TAIL['VPT']] = {'shot/many': 95.0, 'shot/few': 10.0}
    assert 'pays for' in gain_and_price(tour)
    del tour.metrics[LONG_TAIL['VPT']]['shot/many']
    assert gain_and_price(tour) == ''
