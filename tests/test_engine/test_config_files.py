"""Configs are found by path and by name, and none repeats another."""

import pytest

from tests.conftest import ROOT
from vlprompt.engine import find_config, list_configs

CONFIGS = ROOT / 'configs'


def test_configs_are_found_by_name():
    wanted = CONFIGS / 'plot/plot_rn50.py'
    names = ('configs/plot/plot_rn50.py', 'plot/plot_rn50', 'plot_rn50', 'plot_rn50.py', 'vlprompt::plot/plot_rn50.py')
    assert all(find_config(name).resolve() == wanted for name in names)


def test_a_misspelt_config_gets_a_suggestion():
    with pytest.raises(
        FileNotFoundError, match=r'config configs/plot/plot_r50\.py does not exist\. Did you mean .*rn50'
    ):
        find_config('configs/plot/plot_r50.py')


def test_listing_by_word_and_by_pattern():
    assert 'coop/coop_rn50' in list_configs()
    assert not [name for name in list_configs() if '_base_' in name]
    assert {name.split('/')[0] for name in list_configs('plot/')} == {'plot'}
    assert list_configs('coop_*_ctx4') == ['coop/coop_vit-b16_ctx4']
    assert list_configs('nothing') == []


def test_no_config_repeats_another():
    bodies = {}
    for name in list_configs():
        lines = (CONFIGS / f'{name}.py').read_text().splitlines()
        body = '\n'.join(line for line in lines if not line.lstrip().startswith('#'))
        assert body not in bodies, f'{name} repeats {bodies[body]}'
        bodies[body] = name
