"""The documentation site: built without a warning, with every page; pages that say what code and records say."""

import ast
import json
import os
import re
import statistics
import subprocess
import sys
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from mkdocs.config import load_config as load_site

from tests.conftest import ROOT
from vlprompt import cli

DOCS = ROOT / 'docs'


@cache
def texts():
    """Every string of the package, one a line; what an f-string puts in is left out, as a page's ``...`` does."""
    found = []
    for path in (ROOT / 'vlprompt').rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.JoinedStr):
                found.append(''.join(part.value if isinstance(part, ast.Constant) else '\0' for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return '\n'.join(found)


def table(page, heading):
    """Rows of the first table below a heading, as lists of cells, without the two lines of its head."""
    text = (DOCS / page).read_text().split(f'## {heading}\n', 1)[1].split('\n## ')[0]
    rows = [line for line in text.splitlines() if line.startswith('|')][2:]
    return [[cell.strip() for cell in row.strip('|').split('|')] for row in rows]


def spread(values, digits):
    """Mean ± the population's standard deviation, or the value alone."""
    mean = f'{statistics.mean(values):.{digits}f}'
    return mean if len(values) == 1 else f'{mean} ± {statistics.pstdev(values):.{digits}f}'


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    """The built site."""
    folder = tmp_path_factory.mktemp('site')
    command = [sys.executable, '-m', 'mkdocs', 'build', '--quiet', '--strict', '--site-dir', str(folder)]
    environment = os.environ | dict(NO_MKDOCS_2_WARNING='1')
    done = subprocess.run(command, cwd=ROOT, env=environment, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == '', 'a warning'
    return folder


@pytest.mark.slow
def test_the_site_has_every_page(site):
    """Of docs/, of the configs, and those linked elsewhere: mkdocs reports dead links and pages in no navigation."""
    pages = [path.relative_to(DOCS).with_suffix('.html') for path in DOCS.rglob('*.md')]
    assert len(pages) > 30
    assert [page for page in pages if not (site / page).is_file()] == []
    assert len(list((site / 'configs').glob('*/index.html'))) == len(list((ROOT / 'configs').glob('*/README.md')))
    assert '<h1' in (site / 'data/index.html').read_text()
    home = (site / 'index.html').read_text()
    assert all(f'href="notebooks/{path.stem}.html"' in home for path in DOCS.glob('notebooks/*.ipynb'))
    plot = (site / 'plot.html').read_text()
    assert 'href="configs/plot/index.html"' in plot, 'a link between files of the repository leads to its page'


@pytest.mark.slow
def test_the_reference_has_the_docstrings(site):
    page = (site / 'api/apis.html').read_text()
    for name in ('init_inferencer', 'init_model', 'from_pretrained', 'GalleryIndex', 'ReIDInferencer'):
        assert f'id="vlprompt.apis.{name}"' in page
    assert 'Build the model of a config, ready for inference.' in page
    prompts = (site / 'api/prompts.html').read_text()
    assert 'sets of context vectors per class (CoOp 1, PLOT 4)' in prompts
    for path in (site / 'api').rglob('*.html'):
        text = re.sub(r'<(pre|code)\b.*?</\1>|<[^>]*>', '', path.read_text(), flags=re.DOTALL)
        assert not re.search(r':(?:class|func|meth|mod|math):|====|::', text), (
            f'{path}: reStructuredText stayed as it is'
        )


@pytest.mark.slow
def test_nothing_is_loaded_from_elsewhere(site):
    loaded = r'<(?:script|img|iframe)[^>]*\ssrc="https?:|<link[^>]*rel="(?:stylesheet|preconnect)"[^>]*href="https?:'
    pages = list(site.rglob('*.html'))
    assert [page for page in pages if re.search(loaded, page.read_text())] == []


@pytest.fixture(scope='module')
def hooks():
    return load_site(str(ROOT / 'mkdocs.yml')).plugins['dev/site/hooks.py']


def test_links_of_code_are_left_alone(hooks):
    kinds = [match['path'] for match in hooks.CODE_OR_LINK.finditer('`a[0](b.md)` [c](d.md#e)\n```\n[f](g.md)\n```\n')]
    assert kinds == [None, 'd.md', None]


def test_a_notebook_becomes_a_page(hooks):
    outputs = [dict(output_type='stream', text=['2\n']), dict(data={'image/png': 'aGk=\n', 'text/plain': ['<Figure>']})]
    cells = [
        dict(cell_type='markdown', source=['# Title\n', '\n', 'Text.']),
        dict(cell_type='code', source='print(1 + 1)', outputs=outputs),
    ]
    page = hooks._cells(Path('docs/notebooks/sums.ipynb'), dict(cells=cells))
    assert page.startswith('# Title\n\nText.\n\nThis page is the notebook <a href="sums.ipynb" download>')
    assert '````python\nprint(1 + 1)\n````\n\n````text\n2\n````\n\n' in page
    assert page.endswith('![output of the cell above](data:image/png;base64,aGk=)\n')


def test_docstrings_become_markdown():
    spec = spec_from_file_location('docstrings', ROOT / 'dev/site/docstrings.py')
    docstrings = module_from_spec(spec)
    spec.loader.exec_module(docstrings)
    table = '====  ======\nname  use\n====  ======\na     b\n      c\n====  ======\n'
    roles = 'See :meth:`fit`, :class:`~vlprompt.apis.Inferencer`:'
    text = f'{roles}\n\n{table}\nWith :math:`w`::\n\n    code\n\nExample:\n'
    said = docstrings.as_markdown(text, 'vlprompt.solvers.GDA')
    assert '<autoref identifier="vlprompt.solvers.GDA.fit" optional><code>fit</code></autoref>' in said
    assert '<autoref identifier="vlprompt.apis.Inferencer" optional><code>Inferencer</code></autoref>' in said
    assert '| name | use |\n| --- | --- |\n| a | b c |\n' in said
    assert '<mi>w</mi>' in said
    assert '</span>:\n\n    code\n\nExamples:' in said
    formula = docstrings.as_markdown('So\n\n.. math::\n    a = b\n    + c\n\nThen.', 'vlprompt')
    assert re.fullmatch(r'So\n\n<math[^\n]*display="block">[^\n]*</math>\n\nThen\.', formula)


def test_troubleshooting_quotes_messages_of_the_package():
    """Clause by clause, since what a message is made of may stand in several places."""
    page = (DOCS / 'troubleshooting.md').read_text()
    messages = [line for block in re.findall(r'^```text\n(.*?)^```', page, re.M | re.S) for line in block.splitlines()]
    assert len(messages) > 25
    for message in messages:
        said = re.sub(r'^(?:\w+(?:Error|Problem)|WARNING|\.\.\.): ', '', message)
        clauses = [part.strip(' .:,;()[]') for part in re.split(r'\.\.\.|[.:;,)](?= )| \(', said)]
        clauses = [clause for clause in clauses if len(clause) > 3]
        assert max(map(len, clauses)) > 8, f'{message}: nothing in it is distinctive'
        assert [clause for clause in clauses if clause not in texts()] == [], message


def test_the_command_line_page_shows_the_help():
    assert cli.overview() in (DOCS / 'command_line.md').read_text(), 'replace it by what "vlprompt --help" prints'


def test_results_are_those_of_the_records():
    runs = json.loads((DOCS / 'few_shot_scenes.json').read_text())
    photographs = {row[0]: row[-1] for row in table('benchmarks.md', 'Few-shot classification on photographs')}
    rows = table('results.md', 'Few-shot classification')
    assert {row[0].strip('`') for row in rows} == {run['method'] for run in runs}
    for name, _, one, sixteen, photos in rows:
        mine = [run for run in runs if run['method'] == name.strip('`')]
        shots = {run['shots'] for run in mine}
        for shown, count in ((one, 1), (sixteen, 16)):
            values = [run['accuracy']['trained'] for run in mine if run['shots'] == count or len(shots) == 1]
            assert shown == spread(values, 2), name
        assert photos == photographs.get(name.strip('`'), 'not re-run'), name


def test_results_of_other_tasks_are_those_of_the_claims():
    claims = json.loads((DOCS / 'claims.json').read_text())
    keys = {
        'mIoU': 'mIoU',
        'box AP': 'coco/bbox_mAP',
        'mask AP': 'coco/segm_mAP',
        'mAP': 'reid/mAP',
        'accuracy': 'shot/overall',
    }
    rows = table('results.md', 'Other tasks')
    assert len(rows) > 15
    key = ''
    for task, config, _, shown, *_ in rows:
        key = keys[task.split(', ')[1]] if task else key
        factor = 100 if key.startswith('coco/') else 1
        assert shown == spread([factor * run[key] for run in claims[config.strip('`')]['runs'].values()], 1), config


def test_published_results_are_those_of_the_linked_pages():
    links = [
        cell
        for heading in ('Few-shot classification', 'Other tasks')
        for row in table('results.md', heading)
        for cell in row
    ]
    links = [match for cell in links for match in re.findall(r'\[([^]]+)\]\(([^)]+)\)', cell)]
    assert len(links) > 40
    for said, page in links:
        text = (DOCS / page).read_text()
        assert all(number in text for number in re.findall(r'\d+\.\d+', said)), f'{said} is not in {page}'
