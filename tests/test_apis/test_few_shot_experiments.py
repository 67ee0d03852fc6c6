"""Few-shot experiments: which runs a protocol has, their tables, and that nothing is repeated or lost."""

import json
import os
import shutil
import signal
import sys
import threading
import time
from contextlib import closing, nullcontext
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from tests.conftest import ROOT, run_tool
from tests.tiny_project import TinyProject
from vlprompt.apis.few_shot import execute, figures, protocols, report
from vlprompt.apis.few_shot.execute import Result, check_work_dir, commands, finished_before, result_of
from vlprompt.apis.few_shot.protocols import TRAINED, WITH_SHOTS, FewShotRun, FurtherTest, notes_on_data, plan
from vlprompt.apis.few_shot.record import add_to_record, take_recorded
from vlprompt.apis.few_shot.slurm import SlurmPool
from vlprompt.cli import few_shot as tool
from vlprompt.engine.work_dir import FIT_FILE
from vlprompt.errors import ConfigError, DataError, RunError
from vlprompt.files import METRICS_FILE

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
        assert set(dict(runs[1].inputs)) == {'config', WITH_SHOTS, 'micro-rn:scenes'}
        assert not any(run.tests for run in runs)

    def test_options_in_any_order_are_the_same_run(self):
        options = ['train_cfg.max_epochs=1', 'randomness.deterministic=True', 'train_cfg.max_epochs=2']
        first, second = (
            plan('all', ['coop_micro-rn'], ['scenes'], [1], [1], options=given)
            for given in (options, [options[2], options[1]])
        )
        assert first == second

    def test_what_a_result_depends_on(self, tmp_path):
        """The rows of recipes for its number of shots, targets, the built-in models of the options, files of draws."""
        (tmp_path / 'mine.py').write_text(
            f"_base_ = '{ROOT}/configs/coop/coop_micro-rn.py'\nrecipes = [dict(train_cfg=dict(max_epochs=9)), "
            'dict(max_shots=2, train_cfg=dict(max_epochs=3))]\n'
        )
        mine, draws = str(tmp_path / 'mine.py'), f"draw='{tmp_path}/shot_{{shots}}-seed_{{seed}}_{{split}}.jsonl'"
        (tmp_path / 'shot_1-seed_1_train.jsonl').write_text('{}')

        def inputs(shots, file=mine, **changes):
            (run,) = plan('all', [file], ['scenes'], [shots], [1], **changes)
            return dict(run.inputs)

        before = inputs(1), inputs(4), inputs(1, options=[draws])
        assert before[0]['config'] == before[1]['config']
        assert inputs(1, options=['model.clip.arch=micro-vit']).keys() - before[0].keys() == {'micro-vit:scenes'}
        assert before[2].keys() - before[0].keys() == {f'{tmp_path}/shot_1-seed_1_train.jsonl'}
        text = (tmp_path / 'mine.py').read_text()
        (tmp_path / 'mine.py').write_text(text.replace('max_epochs=3', 'max_epochs=5'))
        (tmp_path / 'shot_1-seed_1_train.jsonl').write_text('{"a": 1}')
        protocols.composed.cache_clear()
        assert inputs(1) != before[0]
        assert inputs(4) == before[1]
        assert inputs(1, options=[draws])[f'{tmp_path}/shot_1-seed_1_train.jsonl'] != list(before[2].values())[-1]

    def test_base_to_new(self):
        zero_shot, coop = plan('base-to-new', METHODS, ['scenes'], [16], [1])
        assert coop.arguments[:4] == ('--dataset', 'scenes', '--cfg-options', 'subset=base')
        new = ('--dataset', 'scenes', '--cfg-options', 'subset=new')
        assert [(test.name, test.arguments) for test in coop.tests] == [('new', (*new, '--other-classes'))]
        assert [(test.name, test.arguments) for test in zero_shot.tests] == [('new', new)], 'there is no checkpoint'

    def test_transfer(self, tmp_path):
        (run,) = plan('transfer', ['coop_rn50'], ['imagenet'], [16], [1], targets=['dtd', 'imagenetv2'])
        first, *others = commands(run, tmp_path)
        assert first[0] == 'train.py'
        assert {'--test', '--resume'} < set(first)
        assert [other[2] for other in others] == ['CHECKPOINT'] * 2
        assert [other[other.index('--dataset') + 1] for other in others] == ['dtd', 'imagenetv2']

    def test_targets_are_tested_once_and_never_the_source(self, tmp_path):
        runs = plan('transfer', ['coop_rn50'], ['dtd', 'eurosat'], [16], [1], targets=['dtd', 'eurosat', 'dtd'])
        assert [[test.name for test in run.tests] for run in runs] == [['eurosat'], ['dtd']]
        with pytest.raises(ConfigError, match=r'^dtd is trained on, and the only target: name another'):
            plan('transfer', ['coop_rn50'], ['dtd'], [16], [1], targets=['dtd'])

    def test_datasets_in_files(self, tmp_path):
        for name in ('mine', 'target', 'other/target', 'trained'):
            (tmp_path / f'{name}.py').parent.mkdir(exist_ok=True)
            (tmp_path / f'{name}.py').write_text(f"_base_ = '{ROOT}/configs/_base_/datasets/few_shot/scenes.py'\n")
        mine, target, other = (str(tmp_path / f'{name}.py') for name in ('mine', 'target', 'other/target'))
        (run,) = plan(
            'transfer', ['coop_rn50'], [mine], [1], [1], targets=[target, 'dtd'], options=['data_root=a', 'draw=coop']
        )
        assert run.folder == 'coop_rn50/mine/1shot/seed1'
        assert [test.name for test in run.tests] == ['target', 'dtd']
        assert 'data_root=a' in run.arguments
        assert all('draw=coop' in test.arguments and 'data_root=a' not in test.arguments for test in run.tests)
        with pytest.raises(ConfigError, match=r'target\.py and .*target\.py are different configs of the same name'):
            plan('all', ['coop_rn50'], [target, other], [1], [1])
        with pytest.raises(ConfigError, match="trained' is the name of the test after the training"):
            plan('all', ['coop_rn50'], [str(tmp_path / 'trained.py')], [1], [1])

    def test_solvers_of_fixed_classes_have_no_part_in_tests_on_others(self):
        for method, solver in (
            ('proker_micro-rn', 'ProKeR'),
            ('gda_micro-rn', 'GDA'),
            ('plot-adapter_rn50', 'PlotAdap'),
        ):
            message = (
                rf"^{method} has no part in the protocol 'base-to-new': {solver}.* for the second half of the classes"
            )
            with pytest.raises(ConfigError, match=message):
                plan('base-to-new', ['coop_micro-rn', method], ['scenes'], [16], [1])
            with pytest.raises(
                ConfigError, match=rf"{method} .* 'transfer': {solver}.* no rule for dtd\. Leave it out"
            ):
                plan('transfer', [method], ['imagenet'], [16], [1], targets=['imagenet_a', 'dtd'])
            assert len(plan('transfer', [method], ['imagenet'], [16], [1], targets=['imagenet_a', 'imagenetv2'])) == 1
        keeping = ['model.solver.keep_rows=True']
        assert len(plan('base-to-new', ['gda_micro-rn'], ['scenes'], [16], [1], options=keeping)) == 1
        assert len(plan('base-to-new', ['gda_vit-b16_base-to-new'], ['dtd'], [16], [1])) == 1

    def test_an_option_that_a_method_does_not_take(self):
        options = ['train_cfg.max_epochs=2']
        assert plan('all', ['coop_micro-rn'], ['scenes'], [1], [1], options=options)
        with pytest.raises(ConfigError, match=r"gda_micro-rn\.py:\s+FitLoop does not take 'train_cfg\.max_epochs'"):
            plan('all', ['coop_micro-rn', 'gda_micro-rn'], ['scenes'], [1], [1], options=options)
        with pytest.raises(ConfigError, match=r"zero-shot_micro-rn\.py:.*\s+.*'model\.prompt\.n_ctx'"):
            plan('all', METHODS, ['scenes'], [1], [1], options=['model.prompt.n_ctx=4'])

    @pytest.mark.parametrize(
        ('option', 'instead'),
        [
            ('shots=4', '--shots'),
            ('dataset=dtd', '--datasets'),
            ('randomness.seed=7', '--seeds'),
            ('train_dataloader.dataset.seed=9', '--seeds'),
            ('train_dataloader.dataset.shots=9', '--shots'),
        ],
    )
    def test_what_the_experiment_chooses_is_no_option(self, option, instead):
        with pytest.raises(ConfigError, match=f'^{option} has no place here: the experiment chooses it, by {instead}$'):
            plan('all', ['coop_micro-rn'], ['scenes'], [1], [1], options=[option])

    def test_vectors_of_every_class_have_no_part_in_tests_on_others(self):
        message = r"^coop_rn50_csc has no part in the protocol 'base-to-new': .* none for the second half .*=False$"
        with pytest.raises(ConfigError, match=message):
            plan('base-to-new', ['coop_rn50', 'coop_rn50_csc'], ['dtd'], [16], [1])
        targets = ['imagenetv2', 'imagenet_a', 'dtd']
        with pytest.raises(ConfigError, match=r'none for imagenet_a, dtd\.'):  # the former has 200 of the classes
            plan('transfer', ['coop_rn50_csc'], ['imagenet'], [16], [1], targets=targets)
        assert len(plan('transfer', ['coop_rn50_csc'], ['imagenet'], [16], [1], targets=['imagenetv2'])) == 1
        assert len(plan('all', ['coop_rn50_csc'], ['dtd'], [16], [1])) == 1

    @pytest.mark.parametrize(
        ('arguments', 'message'),
        [
            (('all', ['coop_micro-nr'], ['scenes'], [1], [1]), 'coop_micro-rn'),
            (('all', ['vpt_micro-vit'], ['scenes_lt'], [1], [1]), 'is no few-shot method'),
            (('all', METHODS, ['scene'], [1], [1]), 'scenes'),
            (('transfer', METHODS, ['scenes'], [1], [1]), 'name them with --targets'),
            (('all', METHODS, ['scenes'], [1], [1], ['dtd']), "not to 'all'"),
            (('transfer', METHODS, ['scenes'], [1], [1], ['scenes', 'dtt']), 'dtd'),
            (('base-to-new', METHODS, ['scenes'], [1], [1], [], ['subset=new']), '^subset=new has no effect'),
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

    def test_no_mean_over_datasets_of_different_seeds(self):
        results = [result('coop', name, 1, seed, trained=50.0) for name, seed in (('a', 1), ('b', 2))]
        assert report.tables_of('all', results)[-1].rows['coop'] == (None,)
        results += [result('coop', name, 1, seed, trained=60.0) for name, seed in (('a', 2), ('b', 1))]
        mean = report.tables_of('all', results)[-1].rows['coop'][0]
        assert (mean.mean, mean.std, mean.values) == (55, 0, (55, 55)), 'each seed with its own'

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
        shown = report.comma_separated([table, overall]).splitlines()
        assert shown[1:4:2] == [
            '"a: base to new, 16 shots",coop,base,80.0000,0.0000,2',
            '"a: base to new, 16 shots",coop,harmonic mean,53.3333,,',
        ]
        unequal = report.tables_of('base-to-new', results[:3])[-1]
        assert unequal.rows['coop'] == (None,) * 4, 'datasets of different seeds'

    def test_other_datasets_and_their_mean_without_the_source(self):
        results = [result('coop', 'imagenet', 16, 1, trained=70.0, dtd=40.0, eurosat=50.0, tests=('dtd', 'eurosat'))]
        (table,) = report.tables_of('transfer', results)
        assert table.columns == ('imagenet', 'dtd', 'eurosat', 'mean without the source')
        assert [cell.mean for cell in table.rows['coop']] == [70, 40, 50, 45]

    def test_targets_of_several_commands_in_one_work_dir(self):
        results = [
            result('coop', 'imagenet', 16, 1, trained=70.0, dtd=40.0, tests=['dtd']),
            result('plot', 'imagenet', 16, 1, trained=72.0, eurosat=50.0, tests=['eurosat']),
        ]
        (table,) = report.tables_of('transfer', results)
        assert table.columns == ('imagenet', 'dtd', 'eurosat', 'mean without the source')
        assert [cell and cell.mean for cell in table.rows['coop']] == [70, 40, None, None]
        assert [cell and cell.mean for cell in table.rows['plot']] == [72, None, 50, None]

    def test_what_chose_hyper_parameters_stands_beside_the_name(self):
        plain, tuned = (result(name, 'a', 1, 1, trained=50.0) for name in ('coop', 'gda'))
        (table,) = report.tables_of('all', [plain, replace(tuned, tune='few')])
        assert list(table.rows) == ['coop', 'gda, tune=few']

    def test_formats(self):
        results = [result('a_b', 'x', 1, seed, trained=50.0 + seed) for seed in (1, 2)]
        results.append(result('c', 'x', 2, 1, trained=60.0))
        tables = report.tables_of('all', results)
        assert '| a_b | 51.50 ± 0.50 |  |\n| c |  | 60.00 (1 seed) |' in report.markdown(tables)
        assert r'a\_b & 51.50 $\pm$ 0.50 &  \\' in report.latex(tables)
        assert 'x: accuracy,a_b,1-shot,51.5000,0.5000,2\n' in report.comma_separated(tables)

    def test_pictures(self):
        results = [result('coop', name, k, seed, trained=50.0 + k) for name in 'ab' for k in (1, 2) for seed in (1, 2)]
        results.append(result('zero', 'a', None, None, trained=40.0))
        curves = figures.draw_curves(results)
        assert [panel.get_title() for panel in curves.axes] == ['a', 'b']
        assert len(curves.axes[0].lines) == 2
        assert [text.get_text() for text in curves.axes[1].get_legend().texts] == ['coop', 'zero'], 'the better first'

    def test_costs_are_means_over_the_same_datasets(self):
        results = [
            result(method, name, 2, seed, trained=accuracy + seed, seconds=seconds)
            for method, name, accuracy, seconds in (('coop', 'a', 50.0, 3.0), ('coop', 'b', 70.0, 5.0))
            for seed in (1, 3)
        ]
        results += [result('zero', name, None, None, trained=40.0, seconds=2.0) for name in 'ab']
        results.append(result('plot', 'b', 2, 1, trained=90.0))  # the others have not finished yet
        (panel,) = figures.draw_costs(results, 2).axes
        assert [text.get_text() for text in panel.texts] == ['coop', 'zero']
        assert [(*line.get_xdata(), *line.get_ydata()) for line in panel.lines] == [(4, 62), (2, 40)]

    def test_twenty_methods_can_be_told_apart(self):
        """Colour and marker of each are its own; their names are as far apart as a line of text is high."""
        methods = [f'method {n}' for n in range(20)]
        results = [
            result(name, 'a', k, seed, trained=60.0 + n * 0.01, seconds=1.0 + n)
            for n, name in enumerate(methods)
            for k in (1, 2)
            for seed in (1, 2)
        ]
        lines = [line for line in figures.draw_curves(results).axes[0].lines if line.get_label() in methods]
        assert len({(line.get_color(), line.get_marker()) for line in lines}) == 20
        costs = figures.draw_costs(results, 2)
        names = costs.axes[0].texts
        heights = sorted(name.xyann[1] * costs.axes[0].get_position().height * costs.get_figheight() for name in names)
        assert len(heights) == 20
        assert min(b - a for a, b in pairwise(heights)) > 8 / 72
        order = sorted(names, key=lambda name: name.xyann[1])
        assert [name.get_text() for name in order] == methods

    @pytest.mark.parametrize(
        ('places', 'gap', 'expected'),
        [
            ([0.5, 0.1], 0.2, [0.5, 0.1]),
            ([0.5, 0.5, 0.5], 0.1, [0.4, 0.5, 0.6]),
            ([0.1, 0.9, 0.2], 0.3, [0.0, 0.9, 0.3]),
            ([1.0, 0.95], 0.2, [1.0, 0.8]),
            ([0.0, 0.0, 0.0], 0.9, [0.0, 0.5, 1.0]),
        ],
    )
    def test_spread_apart(self, places, gap, expected):
        assert figures.spread_apart(places, gap) == pytest.approx(expected)

    def test_names_in_latex_and_methods_without_seeds(self):
        results = [
            result('zero_shot', 'imagenet', None, None, trained=60.0, fgvc_aircraft=20.0, tests=['fgvc_aircraft'])
        ]
        tables = report.tables_of('transfer', results)
        assert r'method & imagenet & fgvc\_aircraft & mean' in report.latex(tables)
        assert '| zero_shot | 60.00 | 20.00 | 20.00 |' in report.markdown(tables)


@pytest.fixture
def run():
    return plan('all', METHODS, ['scenes'], [1], [1])[1]


def finish(folder, tool, arguments):
    """In place of a tool: metrics in its work dir."""
    place = arguments[arguments.index('--work-dir') + 1]
    Path(place).mkdir(parents=True, exist_ok=True)
    Path(place, METRICS_FILE).write_text(json.dumps({'accuracy/top1': 50.0}))


def test_a_run_of_other_options_is_not_taken_nor_continued(run, tmp_path, monkeypatch):
    assert result_of(run, tmp_path) is None
    monkeypatch.setattr(execute, '_call_tool', lambda *_: (_ for _ in ()).throw(RunError('killed')))
    with pytest.raises(RunError, match='killed'):
        execute.execute(run, tmp_path)
    other = replace(run, arguments=(*run.arguments, '--amp'))
    assert result_of(run, tmp_path) is result_of(other, tmp_path) is None, 'it has left nothing'
    (tmp_path / run.folder / TRAINED).mkdir()
    (tmp_path / run.folder / TRAINED / 'last_checkpoint').touch()
    assert result_of(run, tmp_path) is None, 'it has begun'
    changed = dict(run.inputs)
    for other, told in (
        (replace(run, arguments=(*run.arguments, '--amp')), '--amp here alone'),
        (replace(run, protocol='transfer'), '--protocol all there, transfer here'),
        (replace(run, inputs=tuple((changed | {'micro-rn:scenes': 'other'}).items())), 'micro-rn:scenes'),
        (replace(run, inputs=tuple((changed | {'config': 'edited'}).items())), 'config'),
    ):
        for use in (result_of, execute.execute):
            with pytest.raises(RunError, match=rf'other options, config or built-in models \({told}; see'):
                use(other, tmp_path)
    monkeypatch.setattr(execute, '_call_tool', partial(finish, tmp_path))
    execute.execute(run, tmp_path)
    assert result_of(run, tmp_path).accuracy == {TRAINED: 50.0}
    (kept,) = finished_before(tmp_path, 'all')
    assert (kept.run.method, kept.run.seed, kept.accuracy) == ('coop_micro-rn', 1, {TRAINED: 50.0})
    assert finished_before(tmp_path, 'transfer') == []


def test_results_know_what_chose_hyper_parameters(run, tmp_path, monkeypatch):
    def tuned(tool, arguments):
        finish(tmp_path, tool, arguments)
        place = tmp_path / run.folder / TRAINED / 'adapter'  # the folder of a phase
        place.mkdir(parents=True)
        (place / FIT_FILE).write_text('{"tune": "few"}')

    monkeypatch.setattr(execute, '_call_tool', tuned)
    execute.execute(run, tmp_path)
    monkeypatch.setattr(execute, '_call_tool', partial(finish, tmp_path))
    assert result_of(run, tmp_path).tune == finished_before(tmp_path, 'all')[0].tune == 'few'
    other = replace(run, seed=2)
    execute.execute(other, tmp_path)
    assert result_of(other, tmp_path).tune == 'none'


def test_a_record_continues_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(execute, '_call_tool', partial(finish, tmp_path))
    runs, record = plan('all', METHODS, ['scenes'], [1], [1, 2]), tmp_path / 'record.json'
    zero_shot, first, second = runs
    first_place, second_place = tmp_path / 'a', tmp_path / 'b'
    assert take_recorded(record, runs, first_place) == 0
    for run in (zero_shot, first):
        execute.execute(run, first_place)
        add_to_record(record, [run], first_place)
    assert [entry['method'] for entry in json.loads(record.read_text())] == ['coop_micro-rn', 'zero-shot_micro-rn']
    edited = replace(first, inputs=(('config', 'edited'),))
    assert take_recorded(record, [edited, second], second_place) == 0
    assert take_recorded(record, runs, second_place) == 2
    assert take_recorded(record, runs, second_place) == 0, 'they have results'
    begun = second_place / first.folder / execute.RUN_FILE
    begun.write_text(json.dumps(json.loads(begun.read_text()) | dict(accuracy={})))
    assert take_recorded(record, runs, second_place) == 1, 'one has only begun'
    assert result_of(first, second_place).accuracy == {TRAINED: 50.0}
    assert result_of(second, second_place) is None
    record.write_text('{"a": 1}')
    with pytest.raises(RunError, match=r'record\.json is no record of few-shot runs'):
        take_recorded(record, runs, second_place)


def test_finished_parts_are_not_repeated(tmp_path, monkeypatch):
    run = plan('base-to-new', METHODS, ['scenes'], [16], [1])[0]
    calls = []
    monkeypatch.setattr(
        execute, '_call_tool', lambda tool, arguments: calls.append(tool) or finish(tmp_path, tool, arguments)
    )
    monkeypatch.setattr(execute, 'last_checkpoint', lambda folder: 'x.pth')
    execute.execute(run, tmp_path)
    assert calls == ['test.py', 'test.py']
    record = tmp_path / run.folder / execute.RUN_FILE
    content = json.loads(record.read_text())
    del content['accuracy']['new']
    record.write_text(json.dumps(content))
    execute.execute(run, tmp_path)
    assert len(calls) == 3
    assert result_of(run, tmp_path).accuracy == {TRAINED: 50.0, 'new': 50.0}


def test_a_target_is_added(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(
        execute, '_call_tool', lambda tool, arguments: calls.append(tool) or finish(tmp_path, tool, arguments)
    )
    monkeypatch.setattr(execute, 'last_checkpoint', lambda folder: 'x.pth')
    one, two = (
        plan('transfer', ['coop_rn50'], ['imagenet'], [1], [1], targets=targets)[0]
        for targets in (['dtd'], ['eurosat', 'dtd'])
    )
    execute.execute(one, tmp_path)
    assert result_of(two, tmp_path) is None
    execute.execute(two, tmp_path)
    assert calls == ['train.py', 'test.py', 'test.py']
    assert result_of(one, tmp_path).accuracy.keys() == {TRAINED, 'dtd', 'eurosat'}
    (kept,) = finished_before(tmp_path, 'transfer')
    assert [test.name for test in kept.run.tests] == ['dtd', 'eurosat']
    record = tmp_path / one.folder / execute.RUN_FILE
    content = json.loads(record.read_text())
    content['asked']['tests']['failed'] = dict(arguments=[], config='with a mistake')
    record.write_text(json.dumps(content))
    (kept,) = finished_before(tmp_path, 'transfer')
    assert [test.name for test in kept.run.tests] == ['dtd', 'eurosat'], 'the others are shown'
    mended = replace(one, tests=(replace(one.tests[0], name='failed', version='mended'),))
    assert result_of(mended, tmp_path) is None
    execute.execute(mended, tmp_path)
    assert result_of(mended, tmp_path).accuracy['failed'] == 50
    edited = replace(one, tests=(replace(one.tests[0], version='edited'),))
    with pytest.raises(RunError, match=r'\(the test dtd; see'):
        result_of(edited, tmp_path)


def test_means_are_of_the_same_runs(tmp_path, monkeypatch):
    """Other seeds and shots may join a work dir, other options and configs may not."""
    monkeypatch.setattr(execute, '_call_tool', partial(finish, tmp_path))

    def planned(shots, seed, *options):
        return plan('all', ['coop_micro-rn'], ['scenes'], [shots], [seed], options=options)

    execute.execute(planned(1, 1)[0], tmp_path)
    for shots, seed in ((1, 1), (1, 2), (4, 2)):
        check_work_dir(planned(shots, seed), tmp_path)
        with pytest.raises(RunError, match=r'seed1 holds a run with other options.*train_cfg\.max_epochs 2 here alone'):
            check_work_dir(planned(shots, seed, 'train_cfg.max_epochs=2'), tmp_path)
        (run,) = planned(shots, seed)
        edited = dict(run.inputs) | ({'config': 'edited'} if shots == 4 else {WITH_SHOTS: 'edited'})
        with pytest.raises(RunError, match=r'\(config'):
            check_work_dir([replace(run, inputs=tuple(edited.items()))], tmp_path)
    check_work_dir(plan('base-to-new', ['coop_micro-rn'], ['scenes'], [1], [1]), tmp_path)


def test_files_that_are_no_records(run, tmp_path, monkeypatch):
    file = tmp_path / run.folder / execute.RUN_FILE
    file.parent.mkdir(parents=True)
    for text in (
        '{}',
        '[]',
        '{"asked": {}}',
        '{"asked": {"arguments": [], "tests": {}, "inputs": {}}, "accuracy": {}}',
    ):
        file.write_text(text)
        for use in (partial(result_of, run), partial(check_work_dir, [run])):
            with pytest.raises(RunError, match=r'run\.json is no record of a few-shot run'):
                use(tmp_path)
    file.unlink()
    (file.parent / TRAINED).mkdir()
    with pytest.raises(RunError, match=rf'a run of unknown options, without run\.json: remove {file.parent}'):
        result_of(run, tmp_path)


def test_what_ended_a_run(run, tmp_path):
    log = tmp_path / 'output.log'
    log.write_text('first attempt: error\n--- second\n')
    assert str(execute.outcome_of(run, tmp_path, log, 1)).endswith(f'failed: --- second; its output is in {log}')
    killed = str(execute.outcome_of(run, tmp_path, log, -signal.SIGKILL))
    assert 'seed 1 was ended by SIGKILL, as the system does when memory runs out' in killed
    assert 'ended by SIGTERM; its output' in str(execute.outcome_of(run, tmp_path, log, -signal.SIGTERM))


@pytest.mark.parametrize(('named', 'expected'), [(None, ['0', '1']), ('2,3', ['2', '3']), ('5,-1', ['5']), ('', [])])
def test_gpus_are_those_that_this_process_may_use(named, expected, monkeypatch):
    monkeypatch.setattr(execute.torch.cuda, 'device_count', lambda: len(expected))
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    if named is not None:
        monkeypatch.setenv('CUDA_VISIBLE_DEVICES', named)
    assert execute.visible_gpus() == expected


def test_more_shots_than_a_class_has_are_told_before_the_first_run(tmp_path):
    data = TinyProject.create(tmp_path / 'project').root / 'data'
    runs = plan('all', METHODS, ['folder'], [1, 50], [1], options=[f'data_root={data}'])
    few, words = notes_on_data(runs)
    assert few.startswith('folder, train: ')
    assert 'fewer than 50 images and are taken whole' in few
    assert 'have words that the built-in weights micro-rn:scenes never saw' in words
    assert notes_on_data(runs[:1]) == [words]


def test_an_image_that_is_not_there_is_told_before_the_first_run(tmp_path):
    for split in ('train', 'test'):
        (tmp_path / f'{split}.txt').write_text('images/a.png 0\nimages/b.png 1\n')
    (tmp_path / 'classnames.txt').write_text('cup\nboat\n')
    runs = plan('all', METHODS, ['list'], [1], [1], options=[f'data_root={tmp_path}'])
    with pytest.raises(DataError, match=rf'image {tmp_path}/.*a\.png does not exist, the first of 2'):
        notes_on_data(runs)


def test_one_folder_is_not_that_of_several_datasets():
    with pytest.raises(ConfigError, match=r'^data_root=a is the folder of one dataset, but there are folder, list'):
        plan('all', METHODS, ['folder', 'list'], [1], [1], options=['data_root=a'])


def test_runs_that_have_not_begun_never_do_when_the_caller_ends():
    begun = []

    def one(run):
        begun.append(run)
        time.sleep(0.05)
        return run

    for found, _ in execute.as_finished(one, list(range(20)), 2):
        assert found in begun
        break
    time.sleep(0.3)
    assert len(begun) < 8


def test_sigterm_ends_the_runs_of_a_pool(tmp_path, monkeypatch):
    ended, before = [], signal.getsignal(signal.SIGTERM)

    def finished(one, runs, jobs):
        pool._running.add(Mock(terminate=lambda: ended.append(True)))
        yield os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(execute, 'as_finished', finished)
    pool = execute.Pool(tmp_path, jobs=1)
    with pytest.raises(SystemExit) as stop, closing(pool([])) as results:
        list(results)
    assert stop.value.code == 128 + signal.SIGTERM
    assert ended
    assert signal.getsignal(signal.SIGTERM) is before


class Executor:
    """Of a cluster that runs jobs at once."""

    def __init__(self, folder, cluster):
        self.cluster, self.parameters = cluster, {}
        made.append(self)

    def update_parameters(self, **parameters):
        self.parameters = parameters

    batch = nullcontext

    def submit(self, function, *arguments):
        return Job(lambda: function(*arguments) or True)


class Job:
    """Of submitit: its methods that are used."""

    paths = SimpleNamespace(stderr='err')

    def __init__(self, done):
        self._done, self.cancelled = done, []

    def done(self, force_check=False):
        return self._done()

    def cancel(self, check=True):
        self.cancelled.append(check)


made: list[Executor] = []


def test_jobs_of_a_cluster(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'submitit', SimpleNamespace(AutoExecutor=Executor))
    monkeypatch.setattr(execute, '_call_tool', partial(finish, tmp_path))
    pool = SlurmPool(tmp_path, 'gpu', ['timeout_min=30', 'slurm_account=vision'])
    assert made[-1].parameters == dict(
        timeout_min=30, gpus_per_node=1, tasks_per_node=1, slurm_partition='gpu', slurm_account='vision'
    )
    ((found, result),) = pool([run])
    assert (found, result.accuracy) == (run, {TRAINED: 50.0})
    assert list(pool([])) == []
    content = json.loads((tmp_path / run.folder / execute.RUN_FILE).read_text())
    content['asked']['arguments'].append('--amp')
    (tmp_path / run.folder / execute.RUN_FILE).write_text(json.dumps(content))
    monkeypatch.setattr(Executor, 'submit', lambda *_: Job(lambda: True))
    found = dict(pool([run, replace(run, seed=2)]))
    assert 'other options' in str(found[run])
    assert str(found[replace(run, seed=2)]).endswith('seed 2 failed; its output is in err')
    with pytest.raises(ConfigError, match="'minutes' is not KEY=VALUE"):
        SlurmPool(tmp_path, 'gpu', ['minutes'])
    monkeypatch.setitem(sys.modules, 'submitit', None)
    with pytest.raises(ConfigError, match='pip install submitit'):
        SlurmPool(tmp_path, 'gpu')


@pytest.mark.parametrize('how', ['close', 'between', 'while waiting'])
def test_jobs_of_a_cluster_are_cancelled_when_the_caller_ends(run, tmp_path, monkeypatch, how):
    """By Ctrl-C or SIGTERM, and although the cluster takes its time to end a job."""
    monkeypatch.setitem(sys.modules, 'submitit', SimpleNamespace(AutoExecutor=Executor))
    gone, before, main = threading.Event(), signal.getsignal(signal.SIGTERM), threading.main_thread().ident
    waits = []

    def never():
        if how == 'while waiting' and threading.get_ident() != main:
            waits.append(True)
            if len(waits) == 1:
                signal.pthread_kill(main, signal.SIGINT)
        return gone.is_set()

    runs = [run, *(replace(run, seed=seed) for seed in (2, 3))]
    jobs = [Job(lambda: how != 'while waiting'), Job(never), Job(never)]
    submitted = iter(jobs)
    monkeypatch.setattr(Executor, 'submit', lambda *_: next(submitted))
    others = set(threading.enumerate())
    stop = {
        'close': nullcontext(),
        'between': pytest.raises(SystemExit),
        'while waiting': pytest.raises(KeyboardInterrupt),
    }
    try:
        with stop[how], closing(SlurmPool(tmp_path, 'gpu')(runs)) as results:
            for found, _ in results:
                assert found == run
                if how == 'close':
                    break
                os.kill(os.getpid(), signal.SIGTERM)
        for thread in set(threading.enumerate()) - others:
            thread.join(5)
            assert not thread.is_alive(), 'it waits for its job'
    finally:
        gone.set()
    assert [job.cancelled for job in jobs[1:]] == [[False], [False]]
    assert jobs[0].cancelled == ([False] if how == 'while waiting' else [])
    assert signal.getsignal(signal.SIGTERM) is before


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
    with pytest.raises(FileNotFoundError, match='absent does not exist'):
        run_tool(tool.main, *command, '--data-root', tmp_path / 'absent')
    assert not list((tmp_path / 'work').iterdir()), 'known before the first run'
    shutil.copytree(data, tmp_path / 'broken')
    for image in (tmp_path / 'broken' / 'test').rglob('*.png'):
        image.write_text('no image')
    with pytest.raises(RunError, match=r'3 of 3 runs failed, the first: .*output\.log'):
        run_tool(tool.main, *command, '--data-root', tmp_path / 'broken')
    log = (tmp_path / 'work/coop_micro-rn/folder/1shot/seed1/output.log').read_text()
    assert log.startswith('--- coop_micro-rn, folder, 1-shot, seed 1, begun 20')
    assert 'broken' in log
    command += ['--data-root', data]
    command[command.index('--work-dir') + 1] = tmp_path / 'again'
    shown = run_tool(tool.main, *command)
    assert '3 runs, 0 of them have finished before' in shown
    results = {path.parent.name: json.loads(path.read_text()) for path in (tmp_path / 'again').rglob('run.json')}
    assert set(results) == {'folder', 'seed1', 'seed2'}
    for name in ('results.md', 'results.csv', 'results.tex', 'curves.png', 'costs.png'):
        assert (tmp_path / 'again' / name).stat().st_size > 100
    table = (tmp_path / 'again/results.md').read_text()
    mean = (results['seed1']['accuracy'][TRAINED] + results['seed2']['accuracy'][TRAINED]) / 2
    assert f'| coop_micro-rn | {mean:.2f} ±' in table
    assert '3 runs, 3 of them have finished before' in run_tool(tool.main, *command)
