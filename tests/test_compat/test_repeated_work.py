"""Work done once gives what mmengine gives when it repeats it."""

import pytest
from mmengine.config import Config, utils
from mmengine.fileio import load

import vlprompt.engine  # noqa: F401  which installs it
from tests.conftest import leave_unformatted
from vlprompt.compat import repeated_work
from vlprompt.engine import load_config


@pytest.fixture
def calls(monkeypatch):
    """Whether each text was formatted."""
    found, original = [], repeated_work._format_text

    def counted(cfg):
        found.append(cfg._format_python_code)
        return original(cfg)

    monkeypatch.setattr(repeated_work, '_format_text', counted)
    monkeypatch.setattr(repeated_work, '_formatted', {})
    return found


def test_a_config_is_formatted_once_until_it_changes(calls):
    cfg = Config(dict(model=dict(type='A', values=[1, 2] * 40), name='x'))
    first = cfg.pretty_text
    assert first == Config(cfg.to_dict()).pretty_text == cfg.pretty_text
    assert calls.count(True) == 1
    cfg.name = 'y'
    assert cfg.pretty_text == first.replace("'x'", "'y'")
    assert calls.count(True) == 2


def test_the_text_is_that_of_mmengine():
    cfg = load_config('coop_micro-rn')
    assert cfg.pretty_text == repeated_work._format_text(cfg)
    leave_unformatted(cfg)
    assert cfg.pretty_text == repeated_work._format_text(cfg)


def test_few_texts_are_kept(calls):
    for number in range(2 * repeated_work.KEPT):
        assert f'a = {number}\n' in Config(dict(a=number)).pretty_text
    assert len(repeated_work._formatted) == repeated_work.KEPT


def test_metafiles_of_a_package_are_read_once():
    name = 'mmdet::_base_/models/retinanet_r50_fpn.py'
    path, scope = Config._get_cfg_path(name, 'mine.py')
    before = utils.load.cache_info()
    assert Config._get_cfg_path(name, 'mine.py') == (path, scope)
    after = utils.load.cache_info()
    assert after.misses == before.misses
    assert after.hits > before.hits
    index = path.replace('configs/_base_/models/retinanet_r50_fpn.py', 'model-index.yml')
    assert utils.load(index) == load(index)
