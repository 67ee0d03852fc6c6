"""Claims: their settings exist, verdicts follow from intervals, and the page shows what was measured."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from tests.conftest import ROOT
from tools import claims as tool
from vlprompt.apis import seeds
from vlprompt.apis.claims import CLAIMS, Claim, Comparison, Metric, Setting, verdict
from vlprompt.apis.claims.table import (
    BEGIN,
    END,
    Result,
    effect_of,
    insert_table,
    markdown,
    merged,
    read_results,
    settings_of,
    write_results,
)
from vlprompt.apis.versions import are_current, digest, models_of
from vlprompt.engine.config import load_config
from vlprompt.errors import DataError, RunError
from vlprompt.evaluation.effects import Effect, paired_effect
from vlprompt.files import METRICS_FILE

OURS, THEIRS = Setting('new', 'plot_micro-rn', shots=4), Setting('old', 'coop_micro-rn', ('seed=3',))
CLAIM = Claim('better', 'New is above old', 'Methods', Metric('ap', 'AP', 100), (Comparison(OURS, THEIRS, '2 / 1'),))


def results(ours, theirs, **options):
    def runs(values):
        return {seed: dict(ap=value) for seed, value in enumerate(values, 1)}

    return {OURS.folder: Result(runs(ours)), THEIRS.folder: Result(runs(theirs), **options)}


@pytest.mark.parametrize('setting', settings_of(CLAIMS), ids=lambda setting: setting.folder)
def test_settings_are_configs_of_the_built_in_world(setting):
    options = dict(option.split('=', 1) for option in setting.options)
    options = {key: int(value) if value.isdigit() else value for key, value in options.items()}
    if setting.shots is not None:
        options['shots'] = setting.shots
    cfg = load_config(setting.config, options)
    assert cfg['dataset'].startswith('scenes')


def test_names_of_claims_and_folders_are_unique():
    assert len({claim.name for claim in CLAIMS}) == len(CLAIMS)
    settings = {
        (setting.config, *setting.arguments): setting.folder
        for claim in CLAIMS
        for comparison in claim.comparisons
        for setting in (comparison.ours, comparison.theirs)
    }
    assert len(set(settings.values())) == len(settings)


def test_interval_is_that_of_a_paired_t_test():
    rng = np.random.RandomState(0)
    for count in (2, 3, 8):
        ours, theirs = rng.normal(60, 2, (2, count))
        reference = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
        found = paired_effect(ours, theirs)
        assert (found.low, found.high) == pytest.approx((reference.low, reference.high))
    with pytest.raises(ValueError, match='cannot be paired'):
        paired_effect([1, 2], [1])
    with pytest.raises(ValueError, match='at least two seeds'):
        paired_effect([1], [1])


@pytest.mark.parametrize(
    ('low', 'high', 'expected'), [(0.1, 2, 'holds'), (-2, -0.1, 'reversed'), (-1, 3, 'too small to tell')]
)
def test_verdict_follows_from_the_interval(low, high, expected):
    assert verdict(Effect((low + high) / 2, low, high)) == expected


def test_a_line_of_the_table():
    line = markdown([CLAIM], results([0.6, 0.62, 0.61], [0.5, 0.51, 0.52])).splitlines()[-1]
    assert line == (
        '| New is above old, AP (`better`) | new: 61.0 ± 0.8 | old: 51.0 ± 0.8 | +10.0 [+7.5, +12.5] | holds | 2 / 1 |'
    )


def test_only_seeds_of_both_are_compared():
    ours, theirs, effect = effect_of(CLAIM, CLAIM.comparisons[0], results([0.6, 0.62, 0.61], [0.5, 0.5]))
    assert (len(ours), len(theirs)) == (2, 2)
    assert effect.mean == pytest.approx(11)
    fixed = effect_of(CLAIM, CLAIM.comparisons[0], results([0.6, 0.62], [0.5], trains=False))
    assert fixed[1] == [50, 50], 'what trains nothing is the same for every seed'


@pytest.mark.parametrize('found', [{}, results([0.6], [0.5, 0.5])])
def test_what_was_not_run_is_said(found):
    assert '| not run |' in markdown([CLAIM], found)


def test_record_of_results(tmp_path):
    file = tmp_path / 'claims.json'
    assert read_results(file) == {}
    write_results(file, results([0.6, 0.62], [0.5], trains=False))
    assert read_results(file) == results([0.6, 0.62], [0.5], trains=False)
    for content in ('[]', '{"x": {}}', '{"x": 3}', '{"x": {"runs": {"a": {}}, "trains": true, "models": {}}}'):
        file.write_text(content)
        with pytest.raises(DataError, match='is no record of'):
            read_results(file)


def test_table_lies_between_its_marks():
    page = f'text\n{BEGIN}\nold\n{END}\nmore\n'
    assert insert_table(page, 'new\n') == f'text\n{BEGIN}\n\nnew\n\n{END}\nmore\n'
    assert insert_table(insert_table(page, 'x'), 'new') == insert_table(page, 'new')
    with pytest.raises(DataError, match='lacks the lines'):
        insert_table('text', 'new')


def test_the_page_shows_the_record():
    page = (ROOT / 'docs/claims.md').read_text()
    assert insert_table(page, markdown(CLAIMS, read_results(ROOT / 'docs/claims.json'))) == page


def test_methods_are_compared_on_equal_data():
    """Both settings of a comparison read the same dataset with the same shots."""
    for claim in CLAIMS:
        for comparison in claim.comparisons:
            pair = (comparison.ours, comparison.theirs)
            assert len({load_config(setting.config)['dataset'] for setting in pair}) == 1
            trained = [setting for setting in pair if seeds.trains_something(load_config(setting.config))]
            assert len({setting.shots for setting in trained}) == 1


@pytest.fixture
def ran(monkeypatch):
    """Commands of runs, each of which writes metrics in place of a training."""
    commands = []

    def finish(command):
        commands.append(command)
        write_metrics(command[command.index('--work-dir') + 1], ap=len(commands) / 2)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, 'run', finish)
    return commands


def write_metrics(folder, **metrics):
    Path(folder).mkdir(parents=True, exist_ok=True)
    Path(folder, METRICS_FILE).write_text(json.dumps(metrics))


INPUTS = dict(config='1', weights='a')


def run_coop(folder, options=('--shots', '2'), inputs=INPUTS):
    return seeds.run_seed('coop_micro-rn', 1, folder, True, options, inputs)


def test_a_run_is_not_repeated_and_others_are_not_taken_for_it(tmp_path, ran):
    folder = tmp_path / 'run'
    assert not seeds.has_finished(folder)
    for _ in range(2):
        assert run_coop(folder) == dict(ap=0.5)
    assert len(ran) == 1
    assert ran[0][-2:] == ['--shots', '2']
    assert seeds.has_finished(folder)
    for options, inputs, told in (
        (['--shots', '4'], INPUTS, '--shots 2 there, 4 here'),
        (['--shots', '2'], INPUTS | dict(weights='new'), 'weights'),
        (['--shots', '2'], INPUTS | dict(config='edited'), 'config'),
    ):
        with pytest.raises(RunError, match=rf'other options, config or built-in models \({told}; see .*/command.json'):
            run_coop(folder, options, inputs)
    write_metrics(folder, other=1.0)  # by a test of something else
    assert run_coop(folder) == dict(ap=0.5)


@pytest.mark.parametrize('file', [METRICS_FILE, 'last_checkpoint', 'prompts/last_checkpoint'])
def test_a_run_of_another_command_is_neither_taken_nor_continued(tmp_path, ran, file):
    place = tmp_path / 'run' / file
    place.parent.mkdir(parents=True)
    place.write_text('{"ap": 1}')
    with pytest.raises(RunError, match=rf'run holds a run of another command \({file}, but no command.json\): choose'):
        run_coop(tmp_path / 'run')
    assert not ran


def test_a_run_that_left_nothing_may_be_another_one_next_time(tmp_path, ran, monkeypatch):
    """As after a mistake in the config; what has begun goes on, and is no other run."""
    folder = tmp_path / 'run'
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, 'run', lambda command: subprocess.CompletedProcess(command, 1))
        with pytest.raises(RunError, match='seed 1 failed'):
            run_coop(folder)
    run_coop(tmp_path / 'run', inputs=INPUTS | dict(config='mended'))
    record = json.loads((folder / seeds.COMMAND_FILE).read_text())
    assert record.pop('metrics') == dict(ap=0.5)
    (folder / seeds.COMMAND_FILE).write_text(json.dumps(record))  # killed between test and record
    with pytest.raises(RunError, match=r'\(config; see'):
        run_coop(folder)
    assert run_coop(folder, inputs=INPUTS | dict(config='mended')) == dict(ap=1.0)


def test_different_claims_share_runs():
    same = Setting('another name', THEIRS.config, THEIRS.options)
    other = Claim('other', '', '', CLAIM.metric, (Comparison(OURS, same), Comparison(Setting('third', 'x'), OURS)))
    assert [setting.name for setting in settings_of([CLAIM, other])] == ['old', 'new', 'third']


def test_models_of_a_config():
    found = models_of(load_config('denseclip_labels-micro-rn_fpn_200i_scenes-160x160'))
    assert list(found) == ['micro-rn:labels', 'micro-rn:scenes']
    assert are_current(found)
    assert not are_current(found | {'micro-rn:labels': 'of other weights'})
    assert models_of(load_config('linear_micro-vit')) == {'micro-vit:scenes': digest('micro-vit:scenes')}
    assert models_of(load_config('coop_rn50')) == {}


def test_results_of_other_weights_do_not_count(tmp_path):
    file, today = tmp_path / 'claims.json', {'micro-rn:scenes': digest('micro-rn:scenes')}
    kept, stale = Result({1: dict(ap=1)}, True, today), Result({1: dict(ap=1)}, True, {'micro-rn:scenes': 'old'})
    write_results(file, dict(kept=kept, stale=stale))
    assert read_results(file) == dict(kept=kept)


def test_new_seeds_join_the_old_ones():
    old, new = results([0.6, 0.62], [0.5, 0.5]), {OURS.folder: Result({2: dict(ap=0.7), 3: dict(ap=0.8)})}
    found = merged(old, new)
    assert found[OURS.folder].runs == {1: dict(ap=0.6), 2: dict(ap=0.7), 3: dict(ap=0.8)}
    assert found[THEIRS.folder] == old[THEIRS.folder]


def test_recorded_runs_of_the_same_weights_are_taken(tmp_path, monkeypatch, ran):
    monkeypatch.setattr(tool, 'make_if_missing', lambda dataset: None)
    models = models_of(load_config(OURS.config))
    recorded = Result({1: dict(ap=0.6)}, True, models)
    assert tool.run_setting(OURS, [1, 2], tmp_path, recorded).runs == {1: dict(ap=0.6), 2: dict(ap=0.5)}
    found = tool.run_setting(OURS, [1, 2], tmp_path, Result(recorded.runs, True, dict.fromkeys(models, 'old')))
    assert (found.runs, found.models) == ({1: dict(ap=1.0), 2: dict(ap=0.5)}, models)
    assert [command[command.index('--seed') + 1] for command in ran] == ['2', '1']


def test_runs_of_an_edited_config_stop_the_claims(tmp_path, monkeypatch, ran):
    monkeypatch.setattr(tool, 'make_if_missing', lambda dataset: None)
    tool.run_setting(OURS, [1, 2], tmp_path)
    read = []

    def edited(config, options):
        read.append(options)
        return load_config(config, options | {'train_cfg.max_epochs': 1})

    monkeypatch.setattr(tool, 'load_config', edited)
    with pytest.raises(RunError, match=r'seed1 holds a run with other options, config .* \(config; see'):
        tool.run_setting(OURS, [1, 2], tmp_path)
    assert read == [dict(shots=4)]
    assert len(ran) == 2
