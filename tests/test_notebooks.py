"""The notebooks of docs/notebooks run from their first cell to their last, in kernels of their own."""

import os

import nbformat
import pytest

from dev.notebooks import NOTEBOOKS, execute, without_traces
from tests.conftest import ROOT

PAGES = sorted(path.stem for path in NOTEBOOKS.glob('*.ipynb'))
LARGEST = 200_000
"""Bytes of a file with its pictures."""


def test_every_tutorial_has_a_notebook():
    tutorials = {path.stem for path in (ROOT / 'docs/tutorials').glob('*.md')}
    assert tutorials - {'index'} == set(PAGES)


@pytest.mark.parametrize('name', PAGES)
def test_files_have_pictures_and_no_traces_of_a_machine(name):
    file = NOTEBOOKS / f'{name}.ipynb'
    notebook = nbformat.read(file, as_version=4)
    assert file.stat().st_size < LARGEST
    outputs = [output for cell in notebook.cells if cell.cell_type == 'code' for output in cell.outputs]
    assert any('image/jpeg' in output.get('data', {}) for output in outputs)
    assert without_traces(nbformat.from_dict(notebook)) == notebook


@pytest.mark.slow
@pytest.mark.parametrize('name', PAGES)
def test_all_cells_run(name, tmp_path, monkeypatch):
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')]))
    notebook = execute(NOTEBOOKS / f'{name}.ipynb', tmp_path)
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == 'code')
    assert not list(tmp_path.iterdir()), 'a notebook writes to a folder of its own'
