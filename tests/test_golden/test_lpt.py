"""LPT and VPT against outputs of the official implementation (fp32, synthetic weights)."""

import runpy
import sys

import numpy as np
import pytest
import torch
from mmengine.config import Config

from tests.conftest import ROOT
from vlprompt.apis import init_model
from vlprompt.engine import follow_training_length
from vlprompt.models import AGCLLoss
from vlprompt.models.losses.long_tailed import cloud_sizes

SHIPPED = ROOT / 'configs/lpt/lpt_vit-b16-in21k_official-phase1.py'
CASE = 'lpt/vpt_deep'


@pytest.fixture(scope='module')
def official(golden, tmp_path_factory):
    """The official checkpoint file, and ours that the tool makes of it."""
    folder = tmp_path_factory.mktemp('lpt')
    source, converted = folder / 'phase1.pth', folder / 'converted.pth'
    state = {f'module.{name}': tensor for name, tensor in golden.weights(CASE).items()}
    torch.save({'state_dict': state, 'val_acc': 50.07}, source)
    tool = str(ROOT / 'tools/model_converters/official.py')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', [tool, 'lpt', str(source), str(converted)])
        runpy.run_path(tool, run_name='__main__')
    return source, converted


def build(official, **options):
    source, converted = official
    options = {'model.num_classes': 30, 'model.timm.weights': str(source), **options}
    return init_model(SHIPPED, converted, options)


def test_features_logits_and_loss(golden, official):
    meta, ref = golden.load(CASE)
    model = build(official)
    images = golden.image_input(meta)
    feature, _ = model.feature(images)
    logits = model.head(feature)
    assert golden.rel(feature.detach(), ref['feature']) < 1e-5
    assert golden.rel(logits.detach(), ref['logits']) < 2e-5
    model.set_class_counts(meta['class_counts'])
    epsilon = torch.from_numpy(ref['noise_raw']).clamp(-1, 1).abs()
    loss = model.loss_cls.balanced(logits, torch.tensor(meta['labels']), epsilon)
    assert loss.item() == pytest.approx(float(ref['agcl_bal_loss']), rel=1e-5)
    prompts, head = torch.autograd.grad(loss, [model.tuner.prompt.tokens, model.head.weight])
    assert golden.rel(prompts.norm(dim=-1), ref['grad_prompts_norm']) < 3e-5
    assert golden.rel(prompts[:, 0, :64], ref['grad_prompts_first64']) < 3e-5
    assert golden.rel(head.t()[:64], ref['grad_head']) < 3e-5
    with torch.no_grad():
        model.tuner.prompt.tokens.mul_(0.2)
        assert golden.rel(model.feature(images)[0], ref['feature_small_prompts']) < 1e-5


def test_features_with_the_epsilon_of_timm(golden, official):
    meta, ref = golden.load(CASE)
    model = build(official, **{'model.timm.norm_eps': 1e-6})
    with torch.no_grad():
        feature, _ = model.feature(golden.image_input(meta))
        assert golden.rel(feature, ref['feature_eps1e-6']) < 1e-5
        assert golden.rel(model.head(feature), ref['logits_eps1e-6']) < 2e-5


@pytest.mark.parametrize('inputs', ['', 'mild_'])
def test_agcl(golden, inputs):
    meta, ref = golden.load('lpt/agcl')
    counts = torch.from_numpy(ref['in_counts'])
    np.testing.assert_allclose(cloud_sizes(counts.double()).numpy(), ref['w'], rtol=1e-12)
    names = dict(gp='gamma_pos', gn='gamma_neg', eps='label_smooth', m='margin', s='scale', nu='noise')
    for case, options in meta['constructor']['cases'].items():
        loss = AGCLLoss(**{names[key]: value for key, value in options.items()})
        loss.set_class_counts(meta['constructor']['counts'])
        for dtype, ending, tolerance in ((torch.float32, '', 5e-6), (torch.float64, '_f64', 1e-9)):
            cosine = torch.from_numpy(ref[f'{inputs}in_cosine']).to(dtype).requires_grad_()
            epsilon = torch.from_numpy(ref[f'{inputs}in_noise_raw']).to(dtype).clamp(-1, 1).abs()
            per_sample = loss.per_sample(cosine, torch.from_numpy(ref['in_labels']), epsilon)
            (gradient,) = torch.autograd.grad(per_sample.mean(), cosine)
            prefix = f'{inputs}{case}'
            assert golden.rel(per_sample.detach(), ref[f'{prefix}_per_sample{ending}']) < min(tolerance, 1e-6)
            assert per_sample.mean().item() == pytest.approx(float(ref[f'{prefix}_loss{ending}']), rel=1e-6)
            assert golden.rel(gradient, ref[f'{prefix}_grad{ending}']) < tolerance


def test_rates_and_weights_of_every_epoch(golden):
    from vlprompt.engine import LinearWarmupCosineLR
    from vlprompt.models import DualStreamLoss

    _, ref = golden.load('lpt/schedules')
    shipped = Config.fromfile(ROOT / 'configs/_base_/schedules/lpt_official_90e.py')
    schedule = shipped.param_scheduler
    follow_training_length(schedule, shipped.train_cfg)
    schedule.pop('type')
    assert not schedule.pop('convert_to_iter_based')
    assert schedule.pop('T_max') == shipped.train_cfg.max_epochs == 90
    for case, lr, epochs, warmup in (
        ('official_E90_B256', shipped.optim_wrapper.optimizer.lr, 90, schedule.pop('warmup')),
        ('E40_B256', 0.02, 40, 1),
        ('E40_B128_warm5', 0.01, 40, 5),
        ('E80_lr.002_B256', 0.002, 80, 1),
    ):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
        scheduler = LinearWarmupCosineLR(optimizer, T_max=epochs, warmup=warmup, **schedule)
        dual = DualStreamLoss(dict(type='vlprompt.AGCLLoss'), eta=0.5)
        rates, weights = [], []
        for epoch in range(epochs):
            dual.set_progress(epoch, epochs)
            rates.append(optimizer.param_groups[0]['lr'])
            weights.append(dual.weight.item())
            optimizer.step()
            scheduler.step()
        np.testing.assert_allclose(rates, ref[f'{case}_lr'], rtol=1e-12)
        np.testing.assert_allclose(weights, ref[f'{case}_eta'], rtol=1e-7)  # of float32
