"""Zero-shot CLIP, CoOp and PLOT on built-in data with a built-in model.

    vlprompt demo
    vlprompt demo --quick --out work_dirs/demo_quick --data-root data/scenes_quick

Runs the same commands a user would type, prints every command, and ends with a table and pictures. Needs no download.
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vlprompt.apis.command_line import HelpFormatter, call
from vlprompt.compat.environment import check_environment
from vlprompt.files import EARLIER, read_json

SCENES = Path('data/scenes')  # where the configs look
N_STEPS = 10


@dataclass
class Method:
    """One line of the table."""

    name: str
    config: str
    seconds: float = 0.0
    checkpoint: Path | None = None
    accuracy: float = 0.0
    parameters: int = 0


class Demo:
    """The steps, and the folders of their files.

    Args:
        out: folder of everything but the data.
        scenes: folder of the built-in dataset.
        quick: little data and one epoch: shows that every step runs, not the quality of the methods.
        cfg_options: passed on to every tool.
    """

    def __init__(self, out: Path, scenes: Path, quick: bool, cfg_options: list[str]) -> None:
        self.out, self.scenes, self.quick = out, scenes, quick
        self.cfg_options = cfg_options
        self.zero_shot = Method('zero-shot CLIP', 'zero_shot/zero-shot_micro-rn')
        self.coop = Method('CoOp, 16 shots', 'coop/coop_micro-rn')
        self.plot = Method('PLOT, 16 shots', 'plot/plot_micro-rn')
        self.step = 0

    def run(self) -> None:
        start = time.monotonic()
        self.make_data()
        self.test(self.zero_shot)
        for method in (self.coop, self.plot):
            self.train(method)
            self.test(method)
        self.draw()
        self.print_results(time.monotonic() - start)

    # ------------------------------------------------------------------------------------------------------- steps

    def make_data(self) -> None:
        self.announce('make the data')
        if is_complete(self.scenes):
            print(f'  {self.scenes} is complete already')
            return
        command = ['generate-world', '--task', 'few-shot', '--out', str(self.scenes)]
        self.call(command + (['--per-class', '16', '4', '4'] if self.quick else []), show=lambda line: line)

    def train(self, method: Method) -> None:
        self.announce(f'train {method.name}')
        work_dir = self.work_dir(method)
        options = ['val_cfg.type=ValLoop', 'train_cfg.val_interval=5']
        options += ['train_cfg.max_epochs=1'] if self.quick else []
        command = ['train', method.config, '--work-dir', str(work_dir)]
        self.timed(method, command, options + self.options('train', 'val'))
        method.checkpoint = Path((work_dir / 'last_checkpoint').read_text().strip())

    def test(self, method: Method) -> None:
        self.announce(f'test {method.name}')
        work_dir = self.work_dir(method) / 'test'
        checkpoint = [str(method.checkpoint)] if method.checkpoint else []
        command = ['test', method.config, *checkpoint, '--work-dir', str(work_dir)]
        from vlprompt.apis.runs import METRICS_FILE  # takes seconds, which --help need not wait for

        log = self.timed(method, command, self.options('test'))
        method.parameters = int(re.search(r' trained: ([\d,]+) in', log)[1].replace(',', ''))
        method.accuracy = read_json(work_dir / METRICS_FILE)['accuracy/top1']

    def draw(self) -> None:
        self.announce("draw PLOT's transport plans")
        plans = ['--from-test-set', '2' if self.quick else '6', '--out', str(self.out / 'transport_plans')]
        model = [self.plot.config, str(self.plot.checkpoint)]
        self.call(['show-transport-plan', *model, *plans], self.options('test'))
        self.announce('draw where the image tower finds what a text names')
        images = ['--images', '8', '--pictures', '1'] if self.quick else ['--images', '48', '--pictures', '4']
        maps = ['--data', 'segmentation', '--local', 'native', *images, '--out', str(self.out / 'maps_of_names')]
        self.call(['local-features', self.zero_shot.config, 'none', *maps], self.cfg_options)
        self.announce('list the words nearest to the context vectors')
        for method in (self.coop, self.plot):
            words = ['--out', str(self.out / 'nearest_words' / Path(method.config).name)]
            model = [method.config, str(method.checkpoint)]
            self.call(['nearest-words', *model, *words], self.cfg_options)
        self.announce('draw the curves of training')
        runs = [str(self.work_dir(method)) for method in (self.coop, self.plot)]
        self.call(['plot-curves', *runs, '--out', str(self.out / 'curves.png')])

    def print_results(self, seconds: float) -> None:
        print(f'\n{"":<16}{"trained parameters":>20}{"test accuracy":>16}{"checkpoint":>13}{"time":>8}')
        for method in (self.zero_shot, self.coop, self.plot):
            size = f'{method.checkpoint.stat().st_size / 1000:.1f} kB' if method.checkpoint else '-'
            print(
                f'{method.name:<16}{method.parameters:>20,}{method.accuracy:>14.2f} %{size:>13}'
                f'{clock(method.seconds):>8}'
            )
        print(f'\nWritten in {clock(seconds)} minutes, worth opening:')
        for path in sorted(self.out.rglob('*.png')):
            if EARLIER not in path.parts:
                print(f'  {path}')
        print('Raw output of every step: ' + str(self.out / 'logs'))
        if self.quick:
            print('\n--quick: one epoch on little data, so the accuracies mean nothing.')

    # ----------------------------------------------------------------------------------------------------- helpers

    def work_dir(self, method: Method) -> Path:
        return self.out / Path(method.config).name

    def announce(self, what: str) -> None:
        self.step += 1
        print(f'\n[{self.step}/{N_STEPS}] {what}', flush=True)

    def options(self, *splits: str) -> list[str]:
        """Options of every tool that reads these splits of the data."""
        moved = [f'{s}_dataloader.dataset.data_root={self.scenes}' for s in splits]
        return (moved if self.scenes != SCENES else []) + self.cfg_options

    def timed(self, method: Method, command: list[str], options: list[str]) -> str:
        start = time.monotonic()
        log = self.call(command, options, show=progress)
        method.seconds += time.monotonic() - start
        return log

    def call(
        self,
        command: list[str],
        options: list[str] | tuple = (),
        show: Callable[[str], str | None] = lambda line: None,
    ) -> str:
        """Run a command of ``vlprompt``, print it and ``show(line)`` of each line, return all of its output.

        A command that fails ends the demo.
        """
        command = [*command, *(['--cfg-options', *options] if options else [])]
        print(f'  $ {shlex.join(["vlprompt", *command])}', flush=True)
        log = self.out / 'logs' / f'{self.step}_{command[0]}.log'
        log.parent.mkdir(parents=True, exist_ok=True)
        lines = []
        with subprocess.Popen(
            [sys.executable, '-m', 'vlprompt', *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            for line in process.stdout:
                lines.append(line)
                short = show(line.rstrip())
                if short:
                    print(f'  {short}', flush=True)
        output = ''.join(lines)
        log.write_text(output)
        if process.returncode:
            last, status = ''.join(lines[-25:]), process.returncode
            sys.exit(f'\n{last}\nvlprompt {command[0]} failed ({status}); all of its output: {log}')
        return output


def progress(line: str) -> str | None:
    """The part of a log line about progress; None for other lines.

    >>> progress('11/22 07:00:00 - mmengine - INFO - Epoch(train)  [3][6/6]  lr: 1.9e-03  eta: 0:00:07  loss: 0.5')
    'epoch 3  lr: 1.9e-03  eta: 0:00:07  loss: 0.5'
    """
    trained = re.search(r'Epoch\(train\)\s+\[\s*(\d+)\].*', line)
    if trained:
        wanted = re.findall(r'(?:lr|eta|loss|accuracy|images/s|plan_entropy): \S+', line)
        return '  '.join([f'epoch {trained[1]}', *wanted])
    held_out = re.search(r'Epoch\((val|test)\).*?accuracy/top1: (\S+)', line)
    return f'{held_out[1]} accuracy: {float(held_out[2]):.2f} %' if held_out else None


def is_complete(folder: Path) -> bool:
    """Whether every image in the dataset's list exists."""
    split = folder / 'split_scenes.json'
    if not split.is_file():
        return False
    images = {path for items in read_json(split).values() for path, *_ in items}
    return all((folder / 'images' / path).is_file() for path in images)


def clock(seconds: float) -> str:
    """Minutes and seconds.

    >>> clock(83)
    '1:23'
    """
    return f'{int(seconds) // 60}:{int(seconds) % 60:02d}'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument('--out', type=Path, default=Path('work_dirs/demo'), help='folder of runs and pictures')
    parser.add_argument('--data-root', type=Path, default=SCENES, help='folder of the data, created if necessary')
    parser.add_argument('--quick', action='store_true', help='one epoch on little data, to see that everything runs')
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='passed on to every tool')
    args = parser.parse_args()
    check_environment()
    Demo(args.out, args.data_root, args.quick, args.cfg_options).run()


if __name__ == '__main__':
    call(main)
