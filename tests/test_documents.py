"""Documents say what is there: every file, config and dataset that they name exists, every config is described."""

import re

import pytest
import yaml
from mmengine.config import Config

from tests.conftest import ROOT
from vlprompt.engine import load_config
from vlprompt.engine.compose import dataset_file
from vlprompt.engine.config_files import CONFIGS, config_names, find_config

PAGES = sorted(
    [ROOT / 'README.md', ROOT / 'CHANGELOG.md', ROOT / 'data/README.md']
    + [*(ROOT / 'docs').glob('*.md'), *(ROOT / 'configs').glob('*/README.md')]
    + [*(ROOT / 'vlprompt').rglob('*.md')]
)
FIRST = {path.parent.name: path for path in sorted(CONFIGS.glob('[!_]*/*.py'), reverse=True)}
TASKS = {folder: Config.fromfile(path).get('task') for folder, path in sorted(FIRST.items())}
COMPOSED = [folder for folder, task in TASKS.items() if task not in ('seg', 'det')]
"""Folders of methods whose datasets are arguments; those of dense tasks have a config for each published row."""
SUFFIXES = r'(?:py|sh|md|yml|toml)'
FOLDERS = r'(?:vlprompt|configs|tools|tests|dev|docs|data)'
NAMED = rf'(?<![\w./-]){FOLDERS}/[\w./{{}},-]*?[\w}}-]\.{SUFFIXES}(?!\w)'
LINKED = r'\]\(([^)#:]+)(?:#[^)]*)?\)'
COMMAND = r'(?:python|bash) +(tools/\S+)((?:[^\n`]|\\\n)*)'


def braces(path):
    """Shell's ``{a,b}``, written out."""
    group = re.search(r'\{([^{}]*)\}', path)
    if not group:
        return [path]
    return [p for part in group[1].split(',') for p in braces(path[: group.start()] + part + path[group.end() :])]


def name(page):
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize('page', PAGES, ids=name)
def test_named_files_exist(page):
    text = page.read_text()
    named = [path for found in re.findall(NAMED, text) for path in braces(found)]
    missing = {path for path in named if not (ROOT / path).exists()}
    missing |= {link for link in re.findall(LINKED, text) if not (page.parent / link).exists()}
    assert not missing


@pytest.mark.parametrize('page', PAGES, ids=name)
def test_nothing_is_left_to_be_filled_in(page):
    assert not re.search(r'\b(?:TODO|TBD|FIXME)\b', page.read_text())


def test_every_row_of_the_overview_names_files():
    """Also the short names: after ``vlprompt/clip/vit.py``, ``weights.py`` lies in the same folder."""
    text = (ROOT / 'docs/overview.md').read_text().split('## Where is', 1)[1].split('\n## ')[0]
    rows = [line for line in text.splitlines() if line.startswith('| ')][2:]
    assert len(rows) > 40
    for row in rows:
        folders = [ROOT]
        found = 0
        for path in re.findall(r'`([\w./-]+(?:\.py|/))`', row):
            places = [folder / path for folder in folders if (folder / path).exists()]
            assert places, f'{path} in {row}'
            place = places[0]
            folders += [place if place.is_dir() else place.parent, *place.parents]
            found += 1
        assert found or '](' in row, row


@pytest.mark.parametrize('page', PAGES, ids=name)
def test_commands_name_configs_and_datasets_that_exist(page):
    for tool, arguments in re.findall(COMMAND, page.read_text()):
        words = arguments.replace('\\\n', ' ').split('#')[0].split()
        configs = [word for word in words if re.fullmatch(r'configs/[\w/.-]+', word)]
        assert all(find_config(config) for config in configs), tool
        if '--dataset' in words and configs:
            dataset = words[words.index('--dataset') + 1]
            if dataset.islower() and not dataset.endswith('.py'):
                assert dataset_file(Config.fromfile(find_config(configs[0])).task, dataset)


@pytest.mark.parametrize('folder', COMPOSED)
def test_readme_and_metafile_describe_every_config(folder):
    names = set(config_names(CONFIGS / folder))
    readme = (CONFIGS / folder / 'README.md').read_text()
    described = set(re.findall(r'`([\w-]+)`', readme))
    assert names <= described, names - described
    meta = yaml.safe_load((CONFIGS / folder / 'metafile.yml').read_text())
    assert {model['Name'] for model in meta['Models']} == names
    assert {model['Config'] for model in meta['Models']} == {f'configs/{folder}/{config}.py' for config in names}
    (collection,) = meta['Collections']
    assert {model['In Collection'] for model in meta['Models']} == {collection['Name']}
    assert (ROOT / collection['README']).is_file()
    assert (ROOT / collection['Code']).is_file()


def test_the_model_index_lists_every_metafile():
    listed = yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']
    assert listed == sorted(str(path.relative_to(ROOT)) for path in CONFIGS.glob('*/metafile.yml'))


@pytest.mark.parametrize('folder', COMPOSED)
def test_every_published_row_is_one_command(folder):
    """Of the config's own task, with datasets that exist and are named in the README."""
    meta = yaml.safe_load((CONFIGS / folder / 'metafile.yml').read_text())['Collections'][0]['Metadata']
    assert re.match(r'python tools/(train|test)\.py CONFIG --dataset NAME', meta['Command'])
    readme = (CONFIGS / folder / 'README.md').read_text()
    for dataset in meta['Datasets']:
        assert dataset_file(TASKS[folder], dataset).is_file()
        assert dataset in readme, f'{folder}/README.md does not name {dataset}'


@pytest.mark.parametrize('folder', TASKS)
def test_what_has_a_test_set_has_a_test(folder):
    cfg = load_config(FIRST[folder])
    assert cfg.test_dataloader is not None
    assert cfg.test_cfg is not None
