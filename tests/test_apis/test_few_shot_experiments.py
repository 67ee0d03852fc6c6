"""Few-shot experiments: which runs a protocol has, their tables, and that nothing is repeated or lost."""

import json

import pytest

from tests.conftest import run_tool
from tests.tiny_project import TinyProject
from tools import few_shot as tool
from vlprompt.apis.few_shot import execute, report
from vlprompt.apis.few_shot.execute import Result, commands, result_of
from vlprompt.apis.few_shot.protocols import TRAINED, FewShotRun, FurtherTest, plan
from vlprompt.errors import ConfigError, RunError

METHODS = ['zero-shot_micro-rn', 'coop_micro-rn']


class TestPlan:
    def test_all_classes(self):
        runs = plan('all', METHODS, ['scenes'], [1, 4], [1, 2], options=['train_cfg.max_epochs=1'])
        assert [run.folder for run in runs] == [
            'zero-shot_micro-rn/scenes',
            *(f'coop_micro-rn/scenes/{k}shot/seed{seed}' for seed in (1, 2) for k in (1, 4)),
        ]
        assert str(runs[1]) == 'coop_micro-rn, scenes, 1-shot, seed 1'
        expected = '--dataset scenes --cfg-options train_cfg.max_epochs=1 --shots 1 --seed 1'
        assert ' '.join(runs[1].arguments) == expected
        assert dict(runs[1].models)['micro-rn:scenes']
        assert not any(run.tests for run in runs)

    def test_base_to_new(self):
        zero_shot, coop = plan('base-to-new', METHODS, ['scenes'], [16], [1])
        assert coop.arguments[:4] == ('--dataset', 'scenes', '--cfg-options', 'subset=base')
        new = ('--dataset', 'scenes', '--cfg-options', 'subset=new')
        assert coop.tests == (FurtherTest('new', (*new, '--other-classes')),)
        assert zero_shot.tests == (FurtherTest('new', new),), 'there is no checkpoint of other classes'

    def test_transfer(self, tmp_path):
        (run,) = plan('transfer', ['coop_rn50'], ['imagenet'], [16], [1], targets=['dtd', 'imagenetv2'])
        first, *others = commands(run, tmp_path)
        assert first[0] == 'train.py'
        assert {'--test', '--resume'} < set(first)
        assert [other[2] for other in others] == ['CHECKPOINT'] * 2
        assert [other[other.index('--dataset') + 1] for other in others] == ['dtd', 'imagenetv2']

    @pytest.mark.parametrize(
        ('arguments', 'message'),
        [
            (('all', ['coop_micro-nr'], ['scenes'], [1], [1]), 'coop_micro-rn'),
            (('all', ['vpt_micro-vit'], ['scenes_lt'], [1], [1]), 'is no few-shot method'),
            (('all', METHODS, ['scene'], [1], [1]), 'scenes'),
            (('transfer', METHODS, ['scenes'], [1], [1]), 'name them with --targets'),
            (('all', METHODS, ['scenes'], [1], [1], ['dtd']), "not to 'all'"),
        ],
    )
    def test_what_cannot_be_planned(self, arguments, message):
        with pytest.raises((ConfigError, FileNotFoundError), match=message):
            plan(*arguments)


def result(method, dataset, shots, seed, seconds=1.0, tests=(), **accuracy):
    tests = tuple(FurtherTest(name, ()) for name in tests)
    return Result(FewShotRun(method, '', dataset, shots, seed, tests=tests), accuracy, seconds)


class TestTables:
    def test_by_shots_with_the_mean_over_datasets(self):
        results = [result('zero', name, None, None, trained=value) for name, value in (('a', 50.0), ('b', 70.0))]
        results += [
            result('coop', name, shots, seed, trained=base + shots + seed)
            for name, base in (('a', 50.0), ('b', 60.0))
            for shots in (1, 4)
            for seed in (1, 3)
            if (name, shots) != ('b', 4)
        ]
        first, _, mean = report.tables_of('all', results)
        assert (first.title, first.columns) == ('a: accuracy', ('1-shot', '4-shot'))
        assert [cell.mean for cell in first.rows['zero']] == [50, 50]
        assert [(cell.mean, cell.std) for cell in first.rows['coop']] == [(53, 1), (56, 1)]
        assert mean.rows['coop'][0].mean == 58
        assert mean.rows['coop'][0].std == 1, 'over seeds, not over datasets'
        assert mean.rows['coop'][1] is None, 'a dataset is missing'
        assert [cell.mean for cell in mean.rows['zero']] == [60, 60]

    def test_harmonic_mean_of_the_means_and_mean_of_the_harmonic_means(self):
        pairs = (('a', 80.0, 40.0), ('b', 60.0, 60.0))
        results = [
            result('coop', name, 16, seed, trained=base, new=new) for name, base, new in pairs for seed in (1, 2)
        ]
        table, _, overall = report.tables_of('base-to-new', results)
        assert table.rows['coop'][2].mean == pytest.approx(2 * 80 * 40 / 120)
        assert overall.columns[2:] == ('harmonic mean', 'mean of the harmonic means')
        base, new, of_means, of_harmonics = (cell.mean for cell in overall.rows['coop'])
        assert (base, new) == (70, 50)
        assert of_means == pytest.approx(2 * 70 * 50 / 120)
        assert of_harmonics == pytest.approx((2 * 80 * 40 / 120 + 60) / 2)

    def test_other_datasets_and_their_mean_without_the_source(self):
        results = [result('coop', 'imagenet', 16, 1, trained=70.0, dtd=40.0, eurosat=50.0, tests=('dtd', 'eurosat'))]
        (table,) = report.tables_of('transfer', results)
        assert table.columns == ('imagenet', 'dtd', 'eurosat', 'mean without the source')
        assert [cell.mean for cell in table.rows['coop']] == [70, 40, 50, 45]

    def test_formats(self):
        results = [result('a_b', 'x', 1, seed, trained=50.0 + seed) for seed in (1, 2)]
        results.append(result('c', 'x', 2, 1, trained=60.0))
        tables = report.tables_of('all', results)
        assert '| a_b | 51.50 ± 0.50 |  |\n| c |  | 60.00 |' in report.markdown(tables)
        assert r'a\_b & 51.50 $\pm$ 0.50 &  \\' in report.latex(tables)
        assert 'x: accuracy,a_b,1-shot,51.5000,0.5000,2\n' in report.comma_separated(tables)

    def test_pictures(self):
        results = [result('coop', name, k, seed, trained=50.0 + k) for name in 'ab' for k in (1, 2) for seed in (1, 2)]
        results.append(result('zero', 'a', None, None, trained=40.0))
        curves = report.draw_curves(results)
        assert [panel.get_title() for panel in curves.axes] == ['a', 'b']
        assert len(curves.axes[0].lines) == 2
        assert len(report.draw_costs(results, 2).axes[0].texts) == 2


def test_a_result_of_other_options_is_not_taken(tmp_path):
    run = plan('all', METHODS, ['scenes'], [1], [1])[1]
    folder = tmp_path / run.folder
    folder.mkdir(parents=True)
    assert result_of(run, tmp_path) is None
    content = dict(accuracy={TRAINED: 50.0}, seconds=1, asked=json.loads(json.dumps(execute._asked(run))))
    (folder / 'result.json').write_text(json.dumps(content))
    assert result_of(run, tmp_path) == Result(run, {TRAINED: 50.0}, 1)
    content['asked']['models'] = {'micro-rn:scenes': 'other'}
    (folder / 'result.json').write_text(json.dumps(content))
    with pytest.raises(RunError, match='other options or built-in models'):
        result_of(run, tmp_path)


def test_one_command(tmp_path):
    """Two methods, one of which fails at first: the other goes on, and the same command repeats nothing."""
    data = TinyProject.create(tmp_path / 'project').root / 'data'
    command = [*METHODS, '--datasets', 'folder', '--shots', '1', '--seeds', '1', '2', '--jobs', '2']
    command += [
        '--work-dir',
        tmp_path / 'work',
        '--cfg-options',
        'train_cfg.max_epochs=1',
        'train_dataloader.num_workers=0',
    ]
    command += ['test_dataloader.num_workers=0', 'image_size=64']
    with pytest.raises(RunError, match=r'3 of 3 runs failed, the first: .*output\.log'):
        run_tool(tool.main, *command, f'data_root={tmp_path / "absent"}')
    assert 'absent' in (tmp_path / 'work/coop_micro-rn/folder/1shot/seed1/output.log').read_text()
    command.append(f'data_root={data}')
    command[command.index('--work-dir') + 1] = tmp_path / 'again'
    shown = run_tool(tool.main, *command)
    assert '3 runs, 0 of them have finished before' in shown
    results = {path.parent.name: json.loads(path.read_text()) for path in (tmp_path / 'again').rglob('result.json')}
    assert set(results) == {'folder', 'seed1', 'seed2'}
    for name in ('results.md', 'results.csv', 'results.tex', 'curves.png', 'costs.png'):
        assert (tmp_path / 'again' / name).stat().st_size > 100
    table = (tmp_path / 'again/results.md').read_text()
    mean = (results['seed1']['accuracy'][TRAINED] + results['seed2']['accuracy'][TRAINED]) / 2
    assert f'| coop_micro-rn | {mean:.2f} ±' in table
    assert '3 runs, 3 of them have finished before' in run_tool(tool.main, *command)
