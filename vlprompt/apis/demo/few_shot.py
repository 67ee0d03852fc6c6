"""The part of the demo that trains: zero-shot CLIP, CoOp and PLOT on the built-in scenes."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vlprompt.apis.demo.commands import Commands, clock, progress
from vlprompt.files import METRICS_FILE, read_json

SCENES = Path('data/scenes')
"""Where the configs look."""
SHOTS = 16
COLUMNS = ('', 'trained parameters', 'test accuracy', 'checkpoint', 'time')
"""Of the table that compares the methods."""


@dataclass
class Method:
    """One line of the table.

    Attributes:
        name: for readers.
        config: name of the config.
        seconds: of training and test.
        checkpoint: of the training.
        accuracy: on the test set, in percent.
        parameters: that are trained.
    """

    name: str
    config: str
    seconds: float = 0.0
    checkpoint: Path | None = None
    accuracy: float = 0.0
    parameters: int = 0

    @property
    def title(self) -> str:
        """Its name, with the number of images that it is trained on."""
        return f'{self.name}, {SHOTS} shots' if self.checkpoint else self.name

    @property
    def cells(self) -> list[str]:
        """Its line of the table, under :data:`COLUMNS`."""
        size = f'{self.checkpoint.stat().st_size / 1000:.1f} kB' if self.checkpoint else '-'
        return [self.title, f'{self.parameters:,}', f'{self.accuracy:.2f} %', size, clock(self.seconds)]


def methods_table(methods: Sequence[Method]) -> str:
    """The table for the terminal."""
    rows = (COLUMNS, *(method.cells for method in methods))
    return '\n'.join(
        f'{name:<16}{count:>20}{share:>16}{size:>13}{taken:>8}' for name, count, share, size, taken in rows
    )


class FewShot:
    """Data, trainings, tests and pictures.

    Args:
        commands: run the steps, of which there are ``steps``.
        out: folder of everything but the data.
        scenes: folder of the built-in dataset.
        quick: little data and one epoch.
        cfg_options: passed on to every command.
    """

    steps = 10

    def __init__(self, commands: Commands, out: Path, scenes: Path, quick: bool, cfg_options: list[str]) -> None:
        self.commands, self.out, self.scenes, self.quick = commands, out, scenes, quick
        self.cfg_options = cfg_options
        self.zero_shot = Method('zero-shot CLIP', 'zero_shot/zero-shot_micro-rn')
        self.coop = Method('CoOp', 'coop/coop_micro-rn')
        self.plot = Method('PLOT', 'plot/plot_micro-rn')

    @property
    def methods(self) -> tuple[Method, Method, Method]:
        return self.zero_shot, self.coop, self.plot

    def run(self) -> None:
        self.make_data()
        self.test(self.zero_shot)
        for method in (self.coop, self.plot):
            self.train(method)
            self.test(method)
        self.compare()
        self.draw_curves()
        self.draw_plans()
        self.list_words()

    # ------------------------------------------------------------------------------------------------------- steps

    def make_data(self) -> None:
        self.commands.announce('make the data: drawn scenes of 16 classes')
        if is_complete(self.scenes):
            print(f'  {self.scenes} is complete already')
            return
        command = ['generate-world', '--task', 'few-shot', '--out', str(self.scenes)]
        self.commands(command + (['--per-class', '16', '4', '4'] if self.quick else []), show=lambda line: line)

    def train(self, method: Method) -> None:
        self.commands.announce(f'train {method.name} with {SHOTS} images of each class')
        work_dir = self.work_dir(method)
        options = ['val_cfg.type=ValLoop', f'train_cfg.val_interval={1 if self.quick else 5}']
        options += ['train_cfg.max_epochs=1'] if self.quick else []
        command = ['train', method.config, '--work-dir', str(work_dir)]
        self.timed(method, command, options + self.options('train', 'val'))
        method.checkpoint = Path((work_dir / 'last_checkpoint').read_text().strip())

    def test(self, method: Method) -> None:
        self.commands.announce(f'test {method.name}')
        work_dir = self.work_dir(method) / 'test'
        checkpoint = [str(method.checkpoint)] if method.checkpoint else []
        command = ['test', method.config, *checkpoint, '--work-dir', str(work_dir)]
        log = self.timed(method, command, self.options('test'))
        method.parameters = int(re.search(r' trained: ([\d,]+) in', log)[1].replace(',', ''))
        method.accuracy = metrics_of(work_dir)['accuracy/top1']

    def compare(self) -> None:
        self.commands.announce('compare CoOp with zero-shot CLIP, image by image')
        names = ['--names', self.zero_shot.name, self.coop.name, '--out', str(self.out / 'compared')]
        models = [self.zero_shot.config, f'{self.coop.config}={self.coop.checkpoint}']
        self.commands(['compare-predictions', *models, *names], self.options('test'))

    def draw_curves(self) -> None:
        self.commands.announce('draw the curves of training, beside zero-shot CLIP on the same validation images')
        same = ('split=val', f'shots={SHOTS}', 'draw=coop', 'seed=1')  # those that the trainings validate on
        images = [f'test_dataloader.dataset.{option}' for option in same]
        folder = self.work_dir(self.zero_shot) / 'validation'
        command = ['test', self.zero_shot.config, '--work-dir', str(folder)]
        self.commands(command, images + self.options('test'), show=progress)
        trained = (self.coop, self.plot)
        command = ['plot-curves', *(str(self.work_dir(method)) for method in trained)]
        command += ['--names', *(method.name for method in trained), '--keys', 'loss', 'accuracy', 'accuracy/top1']
        self.commands([*command, '--line', f'{self.zero_shot.name}={folder}', '--out', str(self.out / 'curves.png')])

    def draw_plans(self) -> None:
        self.commands.announce("draw PLOT's transport plans")
        plans = ['--from-test-set', '2' if self.quick else '8', '--out', str(self.out / 'transport_plans')]
        model = [self.plot.config, str(self.plot.checkpoint)]
        self.commands(['show-transport-plan', *model, *plans], self.options('test'))

    def list_words(self) -> None:
        """Words of the captions of the built-in world, since the built-in model has learned of no others."""
        self.commands.announce('list the words nearest to the context vectors of CoOp')
        folder = self.out / 'nearest_words'
        folder.mkdir(parents=True, exist_ok=True)
        texts = folder / 'words_of_the_world.txt'
        texts.write_text('\n'.join(words_of_the_world()) + '\n')
        words = ['--words', str(texts), '--out', str(folder)]
        self.commands(['nearest-words', self.coop.config, str(self.coop.checkpoint), *words], self.cfg_options)

    # ----------------------------------------------------------------------------------------------------- helpers

    def work_dir(self, method: Method) -> Path:
        return self.out / Path(method.config).name

    def options(self, *splits: str) -> list[str]:
        """Options of every tool that reads these splits of the data."""
        moved = [f'{s}_dataloader.dataset.data_root={self.scenes}' for s in splits]
        return (moved if self.scenes != SCENES else []) + self.cfg_options

    def timed(self, method: Method, command: list[str], options: list[str]) -> str:
        start = time.monotonic()
        log = self.commands(command, options, show=progress)
        method.seconds += time.monotonic() - start
        return log


def metrics_of(work_dir: Path) -> dict[str, float]:
    """What the last test there has measured."""
    return read_json(work_dir / METRICS_FILE)


def is_complete(folder: Path) -> bool:
    """Whether every image in the dataset's list exists."""
    split = folder / 'split_scenes.json'
    if not split.is_file():
        return False
    images = {path for items in read_json(split).values() for path, *_ in items}
    return all((folder / 'images' / path).is_file() for path in images)


def words_of_the_world() -> list[str]:
    """Texts with the words of the built-in captions."""
    from vlprompt.datasets.generated.vocabulary import BACKGROUNDS, COLOURS, FILLS, PARTS, SHAPES, STYLES

    tables = (SHAPES, PARTS, COLOURS, FILLS, BACKGROUNDS, STYLES)
    texts = (text for table in tables for words in table.values() for text in words)
    return sorted({re.sub(r'\{\w*\}|\W', ' ', text).strip() for text in texts})
