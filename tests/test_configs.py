"""Few-shot configs: every method builds on micro towers, every published row is one command and holds its recipe."""

from functools import cache

import pytest
import torch

from tests.conftest import MICRO
from vlprompt.apis import init_model
from vlprompt.engine import list_configs, load_config
from vlprompt.engine.config_files import CONFIGS, config_names
from vlprompt.engine.phases import phase_config

FOLDERS = ('zero_shot', 'coop', 'plot', 'cocoop', 'maple', 'ivlp', 'plotpp', 'promptsrc')
METHODS = [name for name in list_configs() if name.split('/')[0] in FOLDERS]
BENCHMARKS = [
    'imagenet',
    'caltech101',
    'oxford_pets',
    'stanford_cars',
    'oxford_flowers',
    'food101',
    'fgvc_aircraft',
    'sun397',
    'dtd',
    'eurosat',
    'ucf101',
]
SHIFTED = ['imagenetv2', 'imagenet_sketch', 'imagenet_a', 'imagenet_r']
EPOCHS = {1: 50, 2: 100, 4: 100, 8: 200, 16: 200}
SMALL_BATCH = ('oxford_flowers', 'fgvc_aircraft', 'stanford_cars')
PUBLISHED = ['coop/coop_rn50', 'coop/coop_vit-b16', 'plot/plot_rn50']

load = cache(lambda name, dataset, shots: load_config(name, dict(dataset=dataset, shots=shots)))


def shrunk(cfg):
    """Options that put micro towers of the same kind, and two class names, into a config; all else is as shipped."""
    kind = 'vit' if 'vit' in cfg.model.clip.arch.lower() else 'rn'
    layers = max(part.get('depth', 1) for part in (cfg.model.prompt, cfg.model.get('visual') or {}, dict(depth=2)))
    arch = dict(MICRO[kind], transformer_layers=layers) | (dict(vision_layers=layers) if kind == 'vit' else {})
    return {'model.clip': dict(_delete_=True, arch=arch), 'model.class_names': ['okapi', 'gerenuk']}


@pytest.mark.parametrize('name', METHODS)
def test_builds_and_classifies(name):
    """On micro towers of the same kind, two class names."""
    cfg = load_config(name)
    options = shrunk(cfg)
    model = init_model(name, cfg_options=options)
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 64, 64), mode='tensor').shape == (1, 2)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    arch = options['model.clip']['arch']
    assert trained == text_parameters(cfg.model.prompt, arch) + visual_parameters(cfg.model, arch)


def text_parameters(prompt, arch):
    if prompt.type == 'vlprompt.TemplatePrompt':
        return 0
    copies = 2 if prompt.get('class_specific') else prompt.get('depth', 1)
    init = prompt.get('init')
    words = 4 if init is None or isinstance(init, str) else len(init[0].removeprefix('{}').split())
    width, joint = arch['transformer_width'], arch['embed_dim']
    parameters = prompt.get('n_prompts', 1) * prompt.get('n_ctx', words) * width * copies
    if prompt.type == 'vlprompt.ConditionalPrompt':
        hidden = joint // prompt.reduction
        parameters += (joint + 1) * hidden + (hidden + 1) * width
    return parameters


def visual_parameters(model, arch):
    visual, width = model.get('visual'), arch['vision_width']
    if visual is None:
        return 0
    if visual.type == 'vlprompt.CoupledPrompt':
        return model.prompt.depth * (arch['transformer_width'] + 1) * width
    return visual.depth * visual.get('sets', 1) * visual.length * width


PUBLISHED_COUNTS = {
    'coop/coop_rn50': 8_192,
    'coop/coop_vit-b16_ctx4': 2_048,
    'cocoop/cocoop_vit-b16': 35_360,
    'maple/maple_vit-b16': 3_555_072,
    'maple/maple_vit-b16_cross-dataset': 1_185_024,
    'plot/plot_rn50': 32_768,
    'plotpp/plotpp_vit-b16': 14_336,
    'ivlp/ivlp_vit-b16': 30_720,
    'ivlp/vpt-deep_vit-b16': 73_728,
    'ivlp/language-deep_vit-b16': 24_576,
    'promptsrc/promptsrc_vit-b16': 46_080,
    'promptsrc/promptsrc_vit-b16_cross-dataset': 15_360,
}


def parameters_of(name, **options):
    """By the rule that the micro towers above confirm, with the widths of RN50 and ViT-B/16."""
    model = load_config(name, dict(dataset='caltech101') | options).model
    joint = 512 if 'vit' in name else 1024
    arch = dict(transformer_width=512, vision_width=768, embed_dim=joint)
    return text_parameters(model.prompt, arch) + visual_parameters(model, arch)


@pytest.mark.parametrize('name', PUBLISHED_COUNTS)
def test_published_parameter_counts(name):
    assert parameters_of(name) == PUBLISHED_COUNTS[name]


def test_published_parameter_counts_of_variants():
    """Longer context of CoCoOp, other numbers of prompts, templates of PLOT++ with five and six words."""
    sixteen = {'model.prompt.init': None, 'model.prompt.n_ctx': 16}
    assert parameters_of('cocoop/cocoop_vit-b16', **sixteen) == 41_504
    counts = [parameters_of('plot/plot_rn50', **{'model.prompt.n_prompts': number}) for number in (1, 2, 8)]
    assert counts == [8_192, 16_384, 65_536]
    datasets = ('imagenet', 'caltech101', 'dtd', 'oxford_pets', 'ucf101')
    counts = [parameters_of('plotpp/plotpp_vit-b16', dataset=dataset) for dataset in datasets]
    assert counts == [14_336, 14_336, 16_384, 16_384, 18_432]
    assert all(parameters_of(f'zero_shot/zero-shot_{tower}') == 0 for tower in ('rn50', 'vit-b16'))


@pytest.mark.parametrize('shots', EPOCHS)
@pytest.mark.parametrize('dataset', BENCHMARKS)
@pytest.mark.parametrize('name', PUBLISHED)
def test_every_published_row_is_one_command_and_holds_its_recipe(name, dataset, shots):
    """CoOp and PLOT: epochs by shots, batch by dataset, SGD and schedule; see the papers' scripts."""
    cfg = load(name, dataset, shots)
    epochs = 50 if dataset == 'imagenet' else EPOCHS[shots]
    assert cfg.train_dataloader.dataset.shots == shots
    assert cfg.val_dataloader.dataset.shots == shots, 'which decides the draw even where min(shots, 4) is the same'
    loaders = (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader)
    assert {loader.dataset.dataset for loader in loaders} == {dataset}
    assert cfg.train_cfg.max_epochs == epochs
    plot = name == 'plot/plot_rn50'
    batch = 128 if plot and dataset not in SMALL_BATCH else 32
    assert cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size == batch
    assert cfg.test_dataloader.batch_size == (200 if plot else 100)
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.momentum, optimizer.weight_decay) == ('SGD', 2e-3, 0.9, 5e-4)
    (schedule,) = cfg.param_scheduler
    assert (schedule.T_max, schedule.warmup_epochs, schedule.warmup_lr) == (epochs, 1, 1e-5)
    if plot:
        assert cfg.model.alignment.get('global_weight', 0.0) == (1.0 if dataset == 'imagenet' else 0.0)
    assert init_model(cfg, cfg_options=shrunk(cfg)).class_names == ('okapi', 'gerenuk')


@pytest.mark.parametrize(
    ('name', 'batch', 'epochs', 'lr'),
    [
        ('cocoop/cocoop', 1, 10, 2e-3),
        ('maple/maple', 4, 5, 3.5e-3),
        ('ivlp/ivlp', 4, 5, 3.5e-3),
        ('ivlp/language-deep', 4, 5, 2.5e-3),
        ('ivlp/vpt-deep', 4, 5, 2.5e-3),
    ],
)
@pytest.mark.parametrize('dataset', BENCHMARKS)
def test_base_to_new_recipes(name, batch, epochs, lr, dataset):
    """CoCoOp, MaPLe and its relatives: published for 16 shots of the base classes, the same for every dataset."""
    cfg = load_config(f'{name}_vit-b16', dict(dataset=dataset, subset='base'))
    assert {loader.dataset.subset for loader in (cfg.train_dataloader, cfg.test_dataloader)} == {'base'}
    assert cfg.train_dataloader.dataset.shots == 16
    assert (cfg.train_dataloader.batch_size, cfg.train_cfg.max_epochs) == (batch, epochs)
    assert cfg.auto_scale_lr.base_batch_size == batch
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.momentum, optimizer.weight_decay) == ('SGD', lr, 0.9, 5e-4)
    (schedule,) = cfg.param_scheduler
    assert (schedule.T_max, schedule.warmup_epochs, schedule.warmup_lr) == (epochs, 1, 1e-5)


@pytest.mark.parametrize(('name', 'lr', 'epochs'), [('maple', 2.6e-3, 2), ('promptsrc', 2.5e-3, 20)])
def test_cross_dataset_recipes(name, lr, epochs):
    """Trained on ImageNet with prompts in three blocks, tested elsewhere with the same model."""
    cfg = load_config(f'{name}_vit-b16_cross-dataset')
    loaders = (cfg.train_dataloader, cfg.test_dataloader)
    assert {loader.dataset.dataset for loader in loaders} == {'imagenet'}
    assert (cfg.train_dataloader.dataset.shots, cfg.train_dataloader.batch_size) == (16, 4)
    assert cfg.model.prompt.depth == 3
    assert cfg.optim_wrapper.optimizer.lr == lr
    assert cfg.train_cfg.max_epochs == cfg.param_scheduler[0].T_max == epochs
    if name == 'promptsrc':
        (hook,) = cfg.custom_hooks
        assert (hook.mean, hook.std) == (6, 10)
    elsewhere = load_config(f'{name}_vit-b16_cross-dataset', dict(dataset='dtd', recipe_dataset='imagenet'))
    assert elsewhere.model == cfg.model


@pytest.mark.parametrize('shots', EPOCHS)
@pytest.mark.parametrize('dataset', ['imagenet', 'dtd'])
@pytest.mark.parametrize('name', ['plotpp_vit-b16', 'plotpp_vit-b16_official'])
def test_both_phases_of_plotpp_hold_their_recipe(name, dataset, shots):
    cfg = load(name, dataset, shots)
    for phase, trainable, weight in (('visual', ['visual.*'], 1.0), ('joint', ['prompt.context', 'visual.*'], None)):
        single = phase_config(cfg, phase)
        epochs = 50 if dataset == 'imagenet' else EPOCHS[shots]
        assert single.train_cfg.max_epochs == single.param_scheduler[0].T_max == epochs
        assert (single.train_dataloader.batch_size, single.optim_wrapper.optimizer.lr) == (32, 2e-3)
        assert (single.model.trainable, single.model.alignment.get('global_weight')) == (trainable, weight)


@pytest.mark.parametrize('dataset', BENCHMARKS)
def test_words_of_plotpp(dataset):
    """The words of a dataset are four different ones of the same length; four published lists have defects."""
    prompt = load('plotpp_vit-b16', dataset, 16).model.prompt
    assert len(set(prompt.init)) == 4
    assert len({len(words.split()) for words in prompt.init}) == 1
    differs = dataset in ('imagenet', 'eurosat', 'oxford_flowers', 'oxford_pets')
    assert (prompt != load('plotpp_vit-b16_official', dataset, 16).model.prompt) == differs


@pytest.mark.parametrize('dataset', SHIFTED)
@pytest.mark.parametrize(
    'name', [*PUBLISHED, 'coop_vit-b16_ctx4', 'plotpp_vit-b16', 'plotpp_vit-b16_official', 'plot-adapter_rn50']
)
def test_shifted_test_sets_are_trained_for_as_imagenet_is(name, dataset):
    shifted, plain = load(name, dataset, 16), load(name, 'imagenet', 16)
    assert shifted.train_cfg == plain.train_cfg
    assert shifted.model == plain.model
    assert shifted.get('phases') == plain.get('phases')
    assert shifted.train_dataloader.dataset.dataset == 'imagenet'


@pytest.mark.parametrize('dataset', BENCHMARKS + SHIFTED)
def test_zero_shot_has_the_template_of_every_dataset(dataset):
    from vlprompt.clip.templates import HAND

    cfg = load_config('zero_shot/zero-shot_rn50', dict(dataset=dataset))
    assert cfg.model.prompt.templates == HAND[dataset]
    assert cfg.test_dataloader.dataset.dataset == dataset
    assert cfg.test_dataloader.dataset.pipeline[1].size == 224


@pytest.mark.parametrize('name', ['plot_micro-rn', 'coop_micro-vit', 'zero-shot_micro-rn'])
@pytest.mark.parametrize('dataset', ['scenes', 'folder', 'list', 'split_json'])
def test_micro_models_see_all_data_at_their_own_size(name, dataset):
    cfg = load_config(name, dict(dataset=dataset, data_root='mine'))
    loaders = (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader)
    assert all(loader.dataset.pipeline[1].size == 160 for loader in loaders)
    assert {loader.dataset.data_root for loader in loaders} == {'mine'}


@pytest.mark.parametrize('name', ['plot_rn50_g', 'plot_rn50_m', 'plot_rn50_gv'])
def test_ablations_without_transport_add_no_global_logits_on_imagenet(name):
    assert 'global_weight' not in load_config(name, dict(dataset='imagenet')).model.alignment


def test_shapes_of_the_datasets_are_complete():
    names = [name for name in config_names(CONFIGS / '_base_/datasets/few_shot') if not name.startswith('_')]
    assert sorted(names) == sorted([*BENCHMARKS, *SHIFTED, 'scenes', 'folder', 'list', 'split_json'])
