"""Claims: their settings exist, verdicts follow from intervals, and the page shows what was measured."""

import json
import subprocess
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from tests.conftest import ROOT
from vlprompt.apis import seeds
from vlprompt.apis.claims import CLAIMS, Claim, Comparison, Metric, Setting, verdict
from vlprompt.apis.claims.table import (
    BEGIN,
    END,
    Result,
    effect_of,
    insert_table,
    markdown,
    read_results,
    settings_of,
    write_results,
)
from vlprompt.engine.config import load_config
from vlprompt.errors import DataError, RunError
from vlprompt.evaluation.effects import Effect, paired_effect

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
    for content in ('[]', '{"x": {}}', '{"x": 3}', '{"x": {"runs": {"a": {}}, "trains": true}}'):
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
            assert len({setting.shots for setting in pair}) == 1


def test_a_run_is_not_repeated_and_others_are_not_taken_for_it(tmp_path, monkeypatch):
    calls = []

    def finish(command):
        calls.append(command)
        (tmp_path / 'run' / seeds.METRICS_FILE).write_text(json.dumps(dict(ap=0.5)))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, 'run', finish)
    for _ in range(2):
        assert seeds.run_seed('coop_micro-rn', 1, tmp_path / 'run', True, ['--shots', '2']) == dict(ap=0.5)
    assert len(calls) == 1
    assert calls[0][-2:] == ['--shots', '2']
    with pytest.raises(RunError, match='other options'):
        seeds.run_seed('coop_micro-rn', 1, tmp_path / 'run', True, ['--shots', '4'])


def test_different_claims_share_runs():
    folders = [setting.folder for setting in settings_of(CLAIMS)]
    assert len(folders) == len(set(folders))
    assert not any(one.startswith(f'{other}/') for one, other in combinations(folders, 2))
