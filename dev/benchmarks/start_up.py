"""Seconds of the processor from the start of a tool to its first batch.

`tools/train.py` with PLOT, `tools/test.py` and `tools/predict.py` with zero-shot CLIP, on `micro-rn` and images of the
built-in world, which are generated into a temporary folder. Each is started several times, with one thread; the least
counts, since other programs only add to it. Data workers are not counted.

    python dev/benchmarks/start_up.py
    python dev/benchmarks/start_up.py --repeats 1  # shows that it runs
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
_base_ = '{base}'
custom_imports = dict(imports=['dev.benchmarks.first_batch'])
test_cfg = dict(store=None)
"""


def commands(folder: Path) -> dict[str, list[str]]:
    """Arguments of Python, by the name of the tool; the data are in ``folder``, where configs are written."""
    configs = {}
    for name in ('plot/plot_micro-rn', 'zero_shot/zero-shot_micro-rn'):
        path = folder / f'{Path(name).name}.py'
        path.write_text(CONFIG.format(base=ROOT / 'configs' / f'{name}.py'))
        configs[path.stem] = str(path)
    zero_shot, image = configs['zero-shot_micro-rn'], str(next(folder.rglob('*.png')))
    options = ['--data-root', str(folder), '--work-dir', str(folder / 'work')]
    return {
        'tools/train.py': [configs['plot_micro-rn'], *options],
        'tools/test.py': [zero_shot, *options],
        'tools/predict.py': [zero_shot, 'none', image, '--out', str(folder / 'pictures')],
    }


def seconds_to_first_batch(tool: str, arguments: Sequence[str]) -> float:
    """Of the processor, in the process of the tool.

    Raises:
        RuntimeError: it has ended before its first batch.
    """
    environment = dict(os.environ, OMP_NUM_THREADS='1', PYTHONPATH=str(ROOT))
    command = [sys.executable, tool, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    found = re.search(r'first batch: (\S+)', done.stdout)
    if found is None:
        raise RuntimeError(f'{tool} had no batch:\n{done.stdout}{done.stderr}')
    return float(found[1])


def main(argv: list[str] | None = None) -> dict[str, float]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--repeats', type=int, default=5, help='the least is reported')
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        generate = ['tools/dataset_converters/generate_world.py', '--out', folder, '--per-class', '16', '4', '4']
        subprocess.run([sys.executable, *generate], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        found = {
            tool: min(seconds_to_first_batch(tool, arguments) for _ in range(args.repeats))
            for tool, arguments in commands(Path(folder)).items()
        }
    for tool, seconds in found.items():
        print(f'{tool:<20}{seconds:6.2f} s')
    return found


if __name__ == '__main__':
    main()
