"""Configs of the feature-space family: every one builds, is fitted and classifies on micro towers; recipes by shots."""

from functools import cache

import pytest
import torch

from tests.conftest import MICRO
from tests.test_configs import BENCHMARKS
from vlprompt.apis import init_model
from vlprompt.clip.templates import ENSEMBLE_7, HAND
from vlprompt.engine import list_configs, load_config
from vlprompt.engine.phases import phase_config
from vlprompt.registry import MODELS

FOLDERS = ('tip_adapter', 'gda', 'proker', 'lpp', 'clap', 'linear_probe', 'plot_adapter')
METHODS = [name for name in list_configs() if name.split('/')[0] in FOLDERS]
QUICK = dict(LPPlusPlus=dict(steps=2), TipAdapterF=dict(epochs=1), CLAP=dict(epochs=1), PlotAdapter=dict(epochs=1))

load = cache(lambda name, dataset, shots: load_config(name, dict(dataset=dataset, shots=shots)))


def solver_of(name, dataset, shots):
    return phase_config(load(name, dataset, shots)).model.solver


@pytest.mark.parametrize('name', METHODS)
def test_builds_is_fitted_and_classifies(name):
    """On micro towers of the same kind, two class names."""
    cfg = phase_config(load_config(name))
    kind = 'vit' if 'vit' in cfg.model.clip.arch.lower() else 'rn'
    cfg.model.clip = dict(arch=MICRO[kind])
    cfg.model.class_names = ['okapi', 'gerenuk']
    cfg.model.solver.update(QUICK.get(cfg.model.solver.type.removeprefix('vlprompt.'), {}))
    model = init_model(cfg)
    views = model.solver.views or 1
    with torch.no_grad():
        features = model.image_features(torch.randn(4 * views, 3, 64, 64)).unflatten(0, (4, views))
    found = model.fit(features, torch.tensor([0, 1, 0, 1]), seed=1)
    assert set(found) == {'accuracy'}
    assert model(torch.zeros(1, 3, 64, 64), mode='tensor').shape == (1, 2)
    assert not any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(
    ('name', 'dataset', 'classes', 'numbers'),
    [
        ('tip_adapter/tip-adapter-f_rn50', 'imagenet', 1000, 16_384_000),
        ('plot_adapter/plot-adapter_rn50', 'caltech101', 100, 3_276_800),
        ('clap/clap_rn50', 'imagenet', 1000, 1_024_000),
        ('lpp/lpp_rn50', 'imagenet', 1000, 1_026_000),
        ('gda/gda_rn50', 'imagenet', 1000, 0),
    ],
)
def test_published_numbers_of_trained_parameters(name, dataset, classes, numbers):
    """With 16 shots on RN50, whose joint space has 1024 channels: D K k, 2 D K k, K D, K (D + 2), none."""
    assert MODELS.build(solver_of(name, dataset, 16)).trained_numbers(16 * classes, classes, 1024) == numbers


@pytest.mark.parametrize('name', METHODS)
def test_hyper_parameters_are_chosen_by_nothing_unless_the_published_code_does(name):
    cfg = phase_config(load_config(name))
    assert cfg.train_cfg.type == 'vlprompt.FitLoop'
    assert cfg.train_cfg.tune == ('shots' if name.endswith('_official') else 'none')
    crop = next((step.scale for step in cfg.train_dataloader.dataset.pipeline if 'scale' in step), None)
    gentle = not name.startswith(('clap', 'linear')) or 'micro' in name
    assert tuple(crop) == ((0.5, 1.0) if gentle else (0.08, 1.0))


@pytest.mark.parametrize(
    ('shots', 'alpha', 'beta', 'lambda_'),
    [(1, 0.01, 3.0, 0.05), (2, 0.1, 2.6, 0.05), (4, 1.0, 1.5, 0.05), (8, 1.0, 1.66, 0.07), (16, 10.0, 1.7, 0.1)],
)
@pytest.mark.parametrize('dataset', ['dtd', 'imagenet'])
def test_closed_forms_take_what_was_chosen_on_imagenet(dataset, shots, alpha, beta, lambda_):
    assert solver_of('gda/gda_vit-b16', dataset, shots).alpha == alpha
    proker = solver_of('proker/proker_vit-b16', dataset, shots)
    assert (proker.beta, proker.lambda_) == (beta, lambda_)
    assert proker.views == (1 if dataset == 'imagenet' else 10)


def test_published_tables():
    """Of the start of Tip-Adapter's search, and of PLOT-Adapter's."""
    alphas = dict(caltech101=3.0, dtd=2.0, eurosat=2.0, fgvc_aircraft=5.0, oxford_flowers=10.0)
    alphas |= dict(stanford_cars=3.0, ucf101=3.0)
    epochs = dict(eurosat=(100, 100), food101=(20, 5), oxford_flowers=(20, 80))
    for dataset in BENCHMARKS:
        for name in ('tip-adapter', 'tip-adapter-f'):
            solver = solver_of(f'tip_adapter/{name}_rn50', dataset, 16)
            assert (solver.alpha, solver.beta) == (alphas.get(dataset, 1.17), 1.0)
        assert solver.epochs == epochs.get(dataset, (20, 20))[0]
        assert solver_of('plot_adapter/plot-adapter_rn50', dataset, 16).epochs == epochs.get(dataset, (20, 20))[1]
    solver = solver_of('plot_adapter/plot-adapter_rn50', 'dtd', 16)
    assert (solver.beta, solver.alpha, solver.search_scale, solver.search_step) == (0.1, 7.2, (13, 13), (200, 20))


@pytest.mark.parametrize('shots', [1, 4, 8])
def test_prompts_of_plot_adapter_are_those_of_plot(shots):
    for dataset in ('oxford_flowers', 'imagenet'):
        ours = phase_config(load('plot_adapter/plot-adapter_rn50', dataset, shots), 'prompts')
        plot = load('plot/plot_rn50', dataset, shots)
        for key in ('optim_wrapper', 'param_scheduler', 'train_cfg', 'train_dataloader', 'auto_scale_lr'):
            assert ours[key] == plot[key], key
        assert ours.model.prompt == plot.model.prompt
        assert ours.model.alignment == plot.model.alignment, 'global logits on ImageNet alone'


@pytest.mark.parametrize('dataset', ['ucf101', 'imagenet'])
@pytest.mark.parametrize('name', ['gda/gda_rn50', 'clap/clap_vit-b16', 'plot_adapter/plot-adapter_rn50'])
def test_templates_are_those_of_the_dataset_and_seven_on_imagenet(name, dataset):
    model = phase_config(load(name, dataset, 16)).model
    templates = model.get('zero_shot', model.prompt).templates
    if dataset != 'imagenet':
        assert templates == HAND[dataset]
    elif 'clap' in name:
        assert list(templates) == [*ENSEMBLE_7, 'a photo of a {}.']
    else:
        assert templates == 'ensemble-7'


def test_settings_that_differ_from_the_corrected_ones():
    official = load_config('lpp/lpp_rn50_official').model.solver
    assert (official.alpha_gradient, official.bias) == ('accumulated', 'random')
    assert load_config('clap/zs-lp_rn50').model.solver.constraint == 'none'
    cfg = load_config('gda/gda_vit-b16_base-to-new', dict(dataset='dtd'))
    assert {loader.dataset.subset for loader in (cfg.train_dataloader, cfg.test_dataloader)} == {'base'}
    solver = cfg.model.solver
    assert (solver.covariance, solver.shrinkage, solver.keep_rows, solver.alpha) == ('class_mean', False, True, 0.1)


@pytest.mark.parametrize('dataset', ['places_lt', 'imagenet_lt', 'cifar100_lt', 'scenes_lt'])
@pytest.mark.parametrize('tower', ['vit-b16', 'micro-vit'])
def test_gda_takes_all_images_of_long_tailed_data(tower, dataset):
    cfg = load_config(f'gda/gda_{tower}_long-tailed', dict(dataset=dataset))
    loaders = cfg.train_dataloader, cfg.test_dataloader
    assert {loader.dataset.type for loader in loaders} == {'vlprompt.LongTailedDataset'}
    assert {loader.dataset.dataset for loader in loaders} == {dataset}
    assert cfg.test_evaluator.type == 'vlprompt.ShotAccuracy'
    assert 'shots' not in cfg
    solver = cfg.model.solver
    assert (solver.prior, solver.covariance, solver.alpha) == ('uniform', 'class_mean', 10.0)
    size = 160 if 'micro' in tower else 224
    assert {step['size'] for step in loaders[0].dataset.pipeline + loaders[1].dataset.pipeline if 'size' in step} == {
        size
    }
