"""A few-shot experiment small enough to run in a test: data, base weights and config in one folder."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.runner import Runner
from PIL import Image

from tests.conftest import MICRO, leave_unformatted
from vlprompt.apis import runs
from vlprompt.clip import build_clip
from vlprompt.engine import load_config

CLASSES = ('apple', 'boat', 'cup')
ARCH = dict(MICRO['rn'], image_size=32, transformer_layers=1)
CONFIGS = Path(__file__).resolve().parent.parent / 'configs'
_RUNS = count()

CONFIG = """
_base_ = ['{configs}/_base_/schedules/few_shot.py', '{configs}/_base_/default_runtime.py']
data_root = '{root}/data'
pipeline = [
    dict(type='vlprompt.LoadImage'),
    dict(type='vlprompt.RandomResizedCrop', size=32),
    dict(type='vlprompt.RandomHorizontalFlip'),
    dict(type='vlprompt.PackClassification'),
]
model = dict(
    type='vlprompt.TextClassifier',
    clip=dict(arch={arch}, weights='{root}/base.pt'),
    class_names={classes},
    prompt=dict(type='vlprompt.ContextPrompt', n_prompts=2, n_ctx=4),
    alignment=dict(type='vlprompt.CosineAlignment'),
    trainable=['prompt.context'],
)
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='vlprompt.EpochSampler', shuffle=True),
    dataset=dict(type='vlprompt.FewShotDataset', data_root='${{data_root}}', split='train', shots=4, pipeline=pipeline),
)
test_dataloader = dict(
    batch_size=6,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='vlprompt.FewShotDataset', data_root='${{data_root}}', split='test', pipeline=pipeline),
)
test_evaluator = dict(type='vlprompt.Accuracy')
test_cfg = dict()
param_scheduler = [dict(type='vlprompt.WarmupCosineLR', T_max=4, warmup_lr=1e-2)]
optim_wrapper = dict(optimizer=dict(lr=0.5))
train_cfg = dict(max_epochs=4)
auto_scale_lr = dict(base_batch_size=32)
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=1))
"""


FIT_CONFIG = """
_base_ = ['{configs}/_base_/schedules/fit.py', '{configs}/_base_/default_runtime.py']
load = dict(type='vlprompt.LoadImage')
train_pipeline = [load, dict(type='vlprompt.RandomResizedCrop', size=32), dict(type='vlprompt.PackClassification')]
test_pipeline = [load, dict(type='vlprompt.CenterCrop', size=32), dict(type='vlprompt.PackClassification')]
dataset = dict(type='vlprompt.FewShotDataset', data_root='{root}/data')
model = dict(
    type='vlprompt.FeatureClassifier',
    clip=dict(arch={arch}, weights='{root}/base.pt'),
    prompt=dict(type='vlprompt.TemplatePrompt'),
    solver=dict(type='vlprompt.GDA', views=3),
)
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='vlprompt.EpochSampler', shuffle=True),
    dataset=dict(dataset, split='train', shots=2, seed=1, pipeline=train_pipeline),
)
test_dataloader = dict(
    batch_size=6,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(dataset, split='test', pipeline=test_pipeline),
)
test_evaluator = dict(type='vlprompt.Accuracy')
test_cfg = dict()
train_cfg = dict(store='{root}/features')
del load, dataset
"""


@dataclass
class TinyProject:
    """Paths of the experiment; ``run`` builds its runner in this process."""

    root: Path
    name: str = 'tiny.py'

    @classmethod
    def create(cls, root: Path) -> TinyProject:
        """Write 3 classes x 4 images per split, random micro towers and the config into ``root``."""
        rng = np.random.default_rng(0)
        for split in ('train', 'test'):
            write_images(root / 'data' / split, 4, 150, rng)
        torch.manual_seed(0)
        state = build_clip(arch=ARCH).state_dict()
        torch.save({name.removeprefix('text.'): tensor for name, tensor in state.items()}, root / 'base.pt')
        (root / 'tiny.py').write_text(CONFIG.format(configs=CONFIGS, root=root, arch=ARCH, classes=list(CLASSES)))
        return cls(root)

    @property
    def config(self) -> str:
        return str(self.root / self.name)

    def run(self, work_dir: Path, **options: Any) -> Runner:
        """A runner; options are dotted keys with ``__`` for the dot."""
        cfg = load_config(self.config, {key.replace('__', '.'): value for key, value in options.items()})
        cfg.work_dir = str(work_dir)
        cfg.experiment_name = f'test{next(_RUNS)}'  # mmengine keeps logs of equal names in one place
        cfg.log_level = 'WARNING'
        leave_unformatted(cfg)
        return runs.build_runner(cfg)


@dataclass
class TinyFit(TinyProject):
    """The same with a validation split of 6 images per class, for a solver that is fitted at once."""

    @classmethod
    def create(cls, root: Path) -> TinyFit:
        project = super().create(root)
        write_images(root / 'data' / 'val', 6, 100, np.random.default_rng(1))
        (root / 'fit.py').write_text(FIT_CONFIG.format(configs=CONFIGS, root=root, arch=ARCH))
        return project

    @property
    def config(self) -> str:
        return str(self.root / 'fit.py')


def write_images(folder: Path, count: int, colour: int, rng: np.random.Generator) -> None:
    """``count`` noisy images of each class, whose colour it is."""
    for channel, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            image = rng.integers(0, 60, (40, 48, 3), dtype=np.uint8)
            image[..., channel] += colour
            Image.fromarray(image).save(folder / name / f'{i}.png')
