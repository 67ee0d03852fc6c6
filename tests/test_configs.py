"""Every shipped config: loads, passes the key check, builds on micro towers, and holds the published recipe."""

import re
from functools import cache

import pytest
import torch
from mmengine.config import Config

from tests.conftest import MICRO, ROOT
from vlprompt.apis import init_model
from vlprompt.engine import follow_training_length
from vlprompt.engine.config import check_config

CONFIGS = sorted(p for p in (ROOT / 'configs').rglob('*.py') if p.parent.name in ('zero_shot', 'coop', 'plot'))
FEW_SHOT = [p for p in CONFIGS if p.parent.name in ('coop', 'plot') and not p.stem.endswith(('scenes', 'custom'))]
EPOCHS = {1: 50, 2: 100, 4: 100, 8: 200, 16: 200}
SMALL_BATCH = ('oxford_flowers', 'fgvc_aircraft', 'stanford_cars')


load = cache(Config.fromfile)
BUILT = {}


def build_shrunk(path):
    """The config's model on micro towers of the same kind; configs that share a model share the build."""
    cfg = load(path)
    check_config(cfg)
    key = cfg.model.to_dict().__repr__()
    if key not in BUILT:
        kind = 'vit' if 'vit' in cfg.model.clip.arch.lower() else 'rn'
        options = {'model.clip': dict(_delete_=True, arch=MICRO[kind])}
        if cfg.model.class_names.endswith('.txt'):  # the user's own file
            options['model.class_names'] = ['okapi', 'gerenuk']
        BUILT[key] = init_model(cfg, cfg_options=options)
    return BUILT[key]


def stem(path):
    return path.stem


@pytest.mark.parametrize('path', CONFIGS, ids=stem)
def test_builds_and_classifies(path):
    cfg, model = load(path), build_shrunk(path)
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 64, 64), mode='tensor').shape == (1, len(model.class_names))
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    prompt = cfg.model.prompt
    if prompt.type == 'vlprompt.TemplatePrompt':
        assert trained == 0
    else:
        copies = len(model.class_names) if prompt.get('class_specific') else 1
        assert trained == prompt.n_prompts * prompt.n_ctx * MICRO['rn']['transformer_width'] * copies


@pytest.mark.parametrize('path', FEW_SHOT, ids=stem)
def test_holds_the_published_recipe(path):
    """CoOp and PLOT: epochs by shots, batch by data set, SGD and schedule; see the papers' scripts."""
    cfg = load(path)
    shots, dataset = re.search(r'_(\d+)shot_(\w+)$', path.stem).groups()
    epochs = 50 if dataset == 'imagenet' else EPOCHS[int(shots)]
    assert cfg.train_dataloader.dataset.shots == int(shots)
    assert cfg.val_dataloader.dataset.shots == int(shots), 'which decides the draw even where min(shots, 4) is the same'
    assert cfg.train_dataloader.dataset.dataset == dataset
    assert cfg.model.class_names.split(':')[0] == dataset
    assert cfg.train_cfg.max_epochs == epochs
    plot = path.parent.name == 'plot'
    assert cfg.train_dataloader.batch_size == (128 if plot and dataset not in SMALL_BATCH else 32)
    assert cfg.test_dataloader.batch_size == (200 if plot else 100)
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.momentum, optimizer.weight_decay) == ('SGD', 2e-3, 0.9, 5e-4)
    follow_training_length(cfg.param_scheduler, cfg.train_cfg)
    (schedule,) = cfg.param_scheduler if isinstance(cfg.param_scheduler, list) else [cfg.param_scheduler]
    assert (schedule.T_max, schedule.warmup_epochs, schedule.warmup_lr) == (epochs, 1, 1e-5)


def test_leaf_configs_hold_only_what_differs():
    long = [str(p) for p in CONFIGS if len(p.read_text().splitlines()) > 40]
    assert not long


def test_every_config_is_covered_by_its_readme():
    """File names follow the README's patterns: a folder's README names the method of each file."""
    for path in CONFIGS:
        readme = (path.parent / 'README.md').read_text()
        assert path.stem.split('_')[0] in readme, f'{path.parent.name}/README.md does not mention {path.stem}'
