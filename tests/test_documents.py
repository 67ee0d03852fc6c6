"""Documents say what is there: every file, config and dataset that they name exists, every config is described."""

import ast
import re

import pytest
import yaml
from mmengine.config import Config

from tests.conftest import ROOT
from vlprompt import cli
from vlprompt.engine import load_config
from vlprompt.engine.compose import dataset_file
from vlprompt.engine.config_files import CONFIGS, config_names, find_config

PAGES = sorted(
    [ROOT / 'README.md', ROOT / 'CHANGELOG.md', ROOT / 'data/README.md']
    + [*(ROOT / 'docs').rglob('*.md'), *(ROOT / 'configs').glob('*/README.md')]
    + [*(ROOT / 'vlprompt').rglob('*.md')]
)
FIRST = {path.parent.name: path for path in sorted(CONFIGS.glob('[!_]*/*.py'), reverse=True)}
TASKS = {folder: Config.fromfile(path).get('task') for folder, path in sorted(FIRST.items())}
COMPOSED = [folder for folder, task in TASKS.items() if task not in ('seg', 'det')]
"""Folders of methods whose datasets are arguments; those of dense tasks have a config for each published row."""
COMMANDS = {*cli.COMMANDS, *cli.tools()}
SUFFIXES = r'(?:py|sh|md|yml|toml)'
FOLDERS = r'(?:vlprompt|configs|tools|tests|dev|docs|data)'
NAMED = rf'(?<![\w./-]){FOLDERS}/[\w./{{}},-]*?[\w}}-]\.{SUFFIXES}(?!\w)'
LINKED = r'\]\(([^)#:]+)(?:#[^)]*)?\)'
COMMAND = r'(?:(?:python|bash) +(tools/[\w/.-]*\w)|(?:^ *|`|# +|\$ )vlprompt ([a-z][\w-]*))(?= |$)((?:[^\n`]|\\\n)*)'
"""A command of a document or of a comment, and its arguments."""


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
    missing = {path for path in named if not (ROOT / path).exists() and '...' not in path}
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


def check_commands(text):
    """Commands of a text: the tool, the config and the dataset exist. Their number."""
    found = re.findall(COMMAND, text, re.MULTILINE)
    for file, command, arguments in found:
        assert not file or '...' in file or (ROOT / file).is_file(), file
        assert not command or command in COMMANDS, command
        words = arguments.replace('\\\n', ' ').split(' #')[0].split()
        configs = [word for word in words if re.fullmatch(r'configs/[\w/.-]+', word)]
        if command and words and re.fullmatch(r'[a-z0-9][a-z0-9/-]*_[\w-]+', words[0]):
            configs.insert(0, words[0])
        assert all(find_config(config) for config in configs)
        if '--dataset' in words and configs:
            dataset = words[words.index('--dataset') + 1]
            if dataset.islower() and not dataset.endswith('.py'):
                assert dataset_file(Config.fromfile(find_config(configs[0])).task, dataset)
    return len(found)


@pytest.mark.parametrize('page', PAGES, ids=name)
def test_commands_name_configs_and_datasets_that_exist(page):
    check_commands(page.read_text())


def test_examples_in_configs_exist():
    assert sum(check_commands(path.read_text()) for path in CONFIGS.rglob('*.py')) > 150


def test_examples_of_tools_exist_and_need_no_checkout():
    """The one that is told as a file is for machines without this package."""
    tools = [*(ROOT / 'tools').rglob('*.py'), *(ROOT / 'vlprompt/cli').glob('[!_]*.py')]
    texts = {path.name: ast.get_docstring(ast.parse(path.read_text())) for path in tools}
    assert sum(map(check_commands, texts.values())) > 60
    assert [file for file, text in texts.items() if 'python tools/' in text] == ['onnx_inference.py']


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
    assert re.match(r'vlprompt (train|test) CONFIG --dataset NAME', meta['Command'])
    readme = (CONFIGS / folder / 'README.md').read_text()
    for dataset in meta['Datasets']:
        assert dataset_file(TASKS[folder], dataset).is_file()
        assert dataset in readme, f'{folder}/README.md does not name {dataset}'


@pytest.mark.parametrize('folder', TASKS)
def test_what_has_a_test_set_has_a_test(folder):
    cfg = load_config(FIRST[folder])
    assert cfg.test_dataloader is not None
    assert cfg.test_cfg is not None
