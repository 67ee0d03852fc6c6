"""Curves from mmengine's logs."""

import json

import pytest
from PIL import Image

from vlprompt.visualization.curves import Level, draw_curves, read_level, read_run, read_runs
from vlprompt.visualization.figures import save_figure


def write(work_dir, time, *records):
    file = work_dir / time / 'vis_data' / 'scalars.json'
    file.parent.mkdir(parents=True)
    file.write_text(''.join(json.dumps(record) + '\n' for record in records))
    return file


def step(number, epoch, loss, **more):
    return dict(lr=0.002, loss=loss, epoch=epoch, iter=number, step=number, **more)


@pytest.fixture
def work_dir(tmp_path):
    """Four iterations an epoch, logged every second; tested after each of two epochs."""
    write(
        tmp_path / 'plot',
        '20260101_000000',
        step(2, 1, 2.0, plan_entropy=1.0),
        step(4, 1, 1.5, plan_entropy=0.9),
        {'accuracy/top1': 50.0, 'step': 1},
        step(6, 2, 1.0, plan_entropy=0.8),
        step(8, 2, 0.5, plan_entropy=0.7),
        {'accuracy/top1': 75.0, 'step': 2},
    )
    return tmp_path / 'plot'


def test_positions_are_epochs(work_dir):
    run = read_run(work_dir)
    assert (run.name, run.unit) == ('plot', 'epoch')
    assert run.series['loss'] == [(0.5, 2.0), (1.0, 1.5), (1.5, 1.0), (2.0, 0.5)]
    assert run.series['accuracy/top1'] == [(1, 50), (2, 75)]
    assert [value for _, value in run.series['plan_entropy']] == [1.0, 0.9, 0.8, 0.7]
    assert not {'step', 'epoch', 'iter'} & set(run.series)


def test_epochs_whose_last_lines_are_left_out(tmp_path):
    """24 iterations, logged every tenth: mmengine leaves out the rest."""
    lines = [step(24 * (epoch - 1) + inner, epoch, 1.0) for epoch in (1, 2, 3) for inner in (10, 20)]
    write(tmp_path / 'coop', '1', *lines)
    positions = [epoch + inner / 24 for epoch in (0, 1, 2) for inner in (10, 20)]
    assert [position for position, _ in read_run(tmp_path / 'coop').series['loss']] == pytest.approx(positions)


def test_resumed_run_goes_on_where_the_second_file_begins(work_dir):
    write(work_dir, '20260102_000000', step(6, 2, 9.0), step(8, 2, 8.0), {'accuracy/top1': 80.0, 'step': 2})
    run = read_run(work_dir)
    assert run.series['loss'] == [(0.5, 2.0), (1.0, 1.5), (1.5, 9.0), (2.0, 8.0)]
    assert run.series['accuracy/top1'] == [(1, 50), (2, 80)]


def test_one_file(work_dir):
    (file,) = work_dir.glob('*/vis_data/scalars.json')
    assert read_run(file).series == read_run(work_dir).series


def test_training_by_iteration(tmp_path):
    write(tmp_path / 'seg', '1', dict(lr=0.1, loss=1.0, step=50), {'mIoU': 30.0, 'step': 50})
    run = read_run(tmp_path / 'seg')
    assert (run.unit, run.series['loss'], run.series['mIoU']) == ('iteration', [(50, 1.0)], [(50, 30.0)])


def test_phases_are_runs_of_their_own(tmp_path, work_dir):
    write(tmp_path / 'lpt' / 'shared', '20260101_000000', step(4, 1, 1.0))
    write(tmp_path / 'lpt' / 'groups', '20260102_000000', step(4, 1, 0.5))
    write(tmp_path / 'lpt' / 'shared', '20260103_000000', step(6, 2, 0.8))
    runs = read_runs(tmp_path / 'lpt')
    assert [run.name for run in runs] == ['lpt/shared', 'lpt/groups']
    assert [run.series['loss'] for run in runs] == [[(1, 1.0), (1.5, 0.8)], [(1, 0.5)]]
    assert [run.name for run in read_runs(work_dir)] == ['plot']
    with pytest.raises(FileNotFoundError, match='nowhere'):
        read_runs(tmp_path / 'nowhere')


def test_errors_name_the_place(tmp_path, work_dir):
    with pytest.raises(FileNotFoundError, match='nowhere'):
        read_run(tmp_path / 'nowhere')
    broken = write(tmp_path / 'broken', '1', step(1, 1, 1.0))
    broken.write_text(broken.read_text() + '{"lr": 1')
    with pytest.raises(ValueError, match=r'scalars.json:2: '):
        read_run(tmp_path / 'broken')
    write(tmp_path / 'test', '1', {'accuracy/top1': 1.0, 'step': 0})
    with pytest.raises(ValueError, match='no training was logged'):
        read_run(tmp_path / 'test')
    with pytest.raises(ValueError, match="'mIoU'; there are accuracy/top1, loss"):
        draw_curves([read_run(work_dir)], ['mIoU'])
    write(tmp_path / 'seg', '1', dict(lr=0.1, loss=1.0, step=50))
    with pytest.raises(ValueError, match='seg: iteration'):
        draw_curves([read_run(work_dir), read_run(tmp_path / 'seg')])


def test_levels_of_a_test(tmp_path):
    (tmp_path / 'test_metrics.json').write_text('{"accuracy/top1": 66.75}')
    assert read_level('zero-shot', tmp_path) == Level('zero-shot', {'accuracy/top1': 66.75})
    assert read_level('zero-shot', tmp_path / 'test_metrics.json').values == {'accuracy/top1': 66.75}
    (tmp_path / 'other.json').write_text('{"accuracy/top1": "high"}')
    with pytest.raises(ValueError, match=r'other.json holds no metrics of a test'):
        read_level('zero-shot', tmp_path / 'other.json')


def test_levels_are_lines_in_their_panels(work_dir):
    level = Level('zero-shot', {'accuracy/top1': 66.75, 'accuracy/macro_f1': 60.0})
    figure = draw_curves([read_run(work_dir)], ['loss', 'accuracy/top1'], levels=[level])
    loss, accuracy = figure.axes
    assert len(loss.lines) == 1
    assert [list(line.get_ydata()) for line in accuracy.lines] == [[50, 75], [66.75, 66.75]]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ['plot', 'zero-shot']
    with pytest.raises(ValueError, match=r"'zero-shot' would be in no panel: it has accuracy/top1, .* show loss"):
        draw_curves([read_run(work_dir)], ['loss'], levels=[level])


@pytest.mark.slow
def test_figure(tmp_path, work_dir):
    write(tmp_path / 'coop', '1', step(4, 1, 1.0), step(8, 2, 0.5))
    figure = draw_curves([read_run(tmp_path / 'coop'), read_run(work_dir)], title='two runs')
    shown = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title(loc='left') for axes in shown] == [
        'training loss',
        'accuracy on held-out images, %',
        'learning rate',
        'plan entropy (1 = uniform)',
    ]
    assert shown[0].lines[1].get_xydata().tolist() == [[0.5, 2], [1, 1.5], [1.5, 1], [2, 0.5]]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ['coop', 'plot']
    with Image.open(save_figure(figure, tmp_path / 'curves.png')) as picture:
        assert picture.width > 1000
