"""Run the notebooks of docs/notebooks, and store them with what they show.

    python -m dev.notebooks                      # all
    python -m dev.notebooks few_shot reid

Pictures and printed results stay in the files, for readers who do not run them; progress and logs, which name folders,
do not. The extra ``test`` has what is needed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).resolve().parents[1] / 'docs' / 'notebooks'


def execute(file: Path, folder: Path, timeout: int = 600) -> nbformat.NotebookNode:
    """Run all cells of a notebook in a new kernel.

    Args:
        file: the notebook.
        folder: where its kernel starts.
        timeout: seconds for each cell.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell fails; the message has the cell and its traceback.
    """
    notebook = nbformat.read(file, as_version=4)
    resources = dict(metadata=dict(path=str(folder)))
    return NotebookClient(notebook, timeout=timeout, kernel_name='python3', resources=resources).execute()


def without_traces(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook without stderr, logs, times of execution and running numbers, which differ from run to run."""
    for cell in notebook.cells:
        cell.metadata.pop('execution', None)
        if cell.cell_type == 'code':
            cell.execution_count = None
            cell.outputs = [output for output in cell.outputs if not _is_log(output)]
            for output in cell.outputs:
                if 'execution_count' in output:
                    output.execution_count = None
    return notebook


def _is_log(output: nbformat.NotebookNode) -> bool:
    """Whether it is of stderr, of mmengine's logger or of COCO's evaluation, which both write to stdout."""
    text = output.get('text', '')
    return output.get('name') == 'stderr' or ' - mmengine - ' in text or 'creating index' in text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('names', nargs='*', help='notebooks without .ipynb; all by default')
    args = parser.parse_args()
    for name in args.names or sorted(path.stem for path in NOTEBOOKS.glob('*.ipynb')):
        file = NOTEBOOKS / f'{name}.ipynb'
        nbformat.write(without_traces(execute(file, NOTEBOOKS)), file)
        print(f'{name}: {file.stat().st_size / 1000:.0f} kB')


if __name__ == '__main__':
    main()
