"""The part of the demo that trains nothing: words in an image, then shipped adapters on tasks of the built-in world."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from vlprompt.apis.demo.commands import Commands, progress
from vlprompt.apis.demo.few_shot import metrics_of
from vlprompt.files import read_json

WORDS_MODEL = 'zero_shot/zero-shot_micro-rn'
WORDS_IMAGE, WORDS = '0012.png', ('mushroom', 'purple stalk', 'star', 'cup', 'night sky')
"""An image of the segmentation data, and what it shows."""

SEGMENTOR = 'builtin:denseclip_micro-rn'
DETECTOR = 'builtin:retinanet_denseclip-micro-rn'
REIDENTIFIER = 'builtin:clipreid_micro-vit'
LONG_TAIL = {'VPT': 'builtin:vpt_micro-vit', 'LPT': 'builtin:lpt_micro-vit'}

DATA = {
    'segmentation': (['--images', '1', '24'], ['--images', '1', '13']),
    'detection': (['--images', '1', '24'], ['--images', '1', '4']),
    'reid': (['--identities', '2', '40'], ['--identities', '2', '6']),
    'long-tailed': (['--long-tail', '150', '3', '5', '25'], ['--long-tail', '12', '3', '1', '1']),
}
"""Task -> its images, and fewer: the test images are the first ones of the task, and there is little to train on."""


class Tour:
    """Data, tests and pictures of each task.

    Args:
        commands: run the steps, of which there are ``steps``.
        out: folder of everything, data too: the folders where configs look are for whole datasets.
        quick: little data.

    Attributes:
        metrics: name of an adapter -> what its test has measured.
    """

    steps = 5

    def __init__(self, commands: Commands, out: Path, quick: bool) -> None:
        self.commands, self.out, self.quick = commands, out, quick
        self.metrics: dict[str, dict[str, float]] = {}

    def run(self) -> None:
        self.commands.announce('draw where the image tower finds words, without any training')
        image = self.make_data('segmentation') / 'images' / 'val' / WORDS_IMAGE
        words = ['--image', str(image), '--class-names', *WORDS, '--out', str(self.out / 'words.png')]
        self.commands(['compare-text-maps', WORDS_MODEL, *words])

        self.commands.announce('segment images with DenseCLIP')
        self.test(SEGMENTOR, self.data('segmentation'), '--show-dir', str(self.out / 'segmentation'))

        self.commands.announce("detect objects with DenseCLIP's RetinaNet")
        self.test(DETECTOR, self.make_data('detection'), '--show-dir', str(self.out / 'detection'))

        self.commands.announce('recognise people with CLIP-ReID')
        data = self.make_data('reid')
        self.test(REIDENTIFIER, data)
        ranks = ['--queries', '5', '--order', 'spread', '--top-k', '8', '--out', str(self.out / 'rank_lists.png')]
        self.commands(['show-rank-list', REIDENTIFIER, REIDENTIFIER, '--data-root', str(data), *ranks])

        self.commands.announce('classify rare and frequent classes with VPT and LPT')
        data = self.make_data('long-tailed')
        files: list[str] = []
        for adapter in LONG_TAIL.values():
            folder = self.work_dir(adapter)
            self.test(adapter, data, '--cfg-options', f'test_evaluator.out_dir={folder}')
            files.append(str(folder / 'shot_accuracy.json'))
        lines = ['--names', *LONG_TAIL, '--out', str(self.out / 'long_tail.png')]
        self.commands(['plot-long-tail', *files, *lines])

    def test(self, adapter: str, data: Path, *options: str) -> None:
        """Test an adapter on a folder of data."""
        folder = self.work_dir(adapter)
        command = ['test', adapter, adapter, '--data-root', str(data), '--work-dir', str(folder), *options]
        self.commands(command, show=progress)
        self.metrics[adapter] = metrics_of(folder)

    def make_data(self, task: str) -> Path:
        """The folder of a task's data, which are made unless the same command has made all of them before."""
        folder = self.data(task)
        command = ['generate-world', '--task', task, *DATA[task][self.quick], '--out', str(folder)]
        made = folder / 'made.json'
        if made.is_file() and read_json(made) == command:
            print(f'  {folder} is complete already: {shlex.join(["vlprompt", *command])}')
            return folder
        made.unlink(missing_ok=True)
        self.commands(command, show=lambda line: line)
        made.write_text(json.dumps(command) + '\n')
        return folder

    def data(self, task: str) -> Path:
        return self.out / 'data' / task

    def work_dir(self, adapter: str) -> Path:
        return self.out / adapter.removeprefix('builtin:')
