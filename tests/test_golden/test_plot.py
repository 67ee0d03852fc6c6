"""CLIP RN50, CoOp and PLOT against outputs of the official implementations (fp32, synthetic weights)."""

import numpy as np
import pytest
import torch

from tests.conftest import ROOT, run_tool
from tools.model_converters import official
from vlprompt.alignment import sinkhorn
from vlprompt.apis import init_model
from vlprompt.clip.text.tokenizer import tokenize
from vlprompt.structures import ClassificationSample

SHIPPED = {
    'clip': 'configs/zero_shot/zero-shot_rn50.py',
    'coop': 'configs/coop/coop_rn50.py',
    'plot': 'configs/plot/plot_rn50_official.py',
    'plot_imagenet': 'configs/plot/plot_rn50_official.py',
}
DATASET = {'plot_imagenet': 'imagenet'}


@pytest.fixture(scope='module')
def build(golden, tmp_path_factory):
    """``build(config key, case, **options)``: the shipped config on the case's weights and class names."""
    folder = tmp_path_factory.mktemp('weights')

    def _build(key, case, **options):
        meta, _ = golden.load(case)
        state = golden.weights(case)
        context = state.pop('ctx', None)
        path = folder / f'{case.replace("/", "_")}.pt'
        if not path.exists():
            torch.save(state, path)
        options = {'model.clip.weights': str(path), 'model.class_names': meta['classnames'], **options}
        if key in DATASET:
            options['dataset'] = DATASET[key]
        if context is None:
            return init_model(ROOT / SHIPPED[key], cfg_options=options)
        source, converted = folder / 'model.pth.tar-200', folder / 'converted.pth'
        torch.save({'state_dict': {'ctx': context}, 'epoch': 200}, source)
        run_tool(official.main, key.split('_')[0], source, converted)
        return init_model(ROOT / SHIPPED[key], converted, options)

    return _build


def samples(labels):
    result = [ClassificationSample() for _ in labels]
    for sample, label in zip(result, labels, strict=True):
        sample.set_gt_label(label)
    return result


def loss_and_gradient(model, images, labels):
    """Eval-mode loss with gradient: the official runs keep CLIP in eval mode."""
    loss = model.loss(images, samples(labels))['loss_cls']
    (gradient,) = torch.autograd.grad(loss, model.prompt.context)
    return loss.item(), gradient


def test_towers_and_zero_shot(golden, build):
    case = 'plot/clip_rn50_g'
    meta, ref = golden.load(case)
    model = build('clip', case, **{'model.prompt.templates': 'a photo of a {}.'})
    images = golden.image_input(meta)
    with torch.no_grad():
        features = model.clip.encode_image(images)
        text = model.text_features()[0]
        logits = model(images, mode='tensor')
    ids = tokenize([f'a photo of a {n.replace("_", " ")}.' for n in meta['classnames']])
    assert np.array_equal(ids.numpy(), ref['token_ids'])
    assert golden.rel(features.cls, ref['image_global']) < 1e-5
    assert golden.rel(features.local.transpose(0, 1), ref['image_local']) < 1e-5
    assert golden.rel(features.maps[-1], ref['layer4_map']) < 1e-5
    assert golden.rel(text, ref['text_features']) < 1e-5
    assert golden.rel(logits, ref['logits_zeroshot']) < 1e-5


@pytest.mark.parametrize(
    ('case', 'position'),
    [('coop_rn50_g', 'end'), ('coop_rn50_g', 'middle'), ('coop_rn50_g', 'front'), ('coop_rn50_csc_g', 'end')],
)
def test_coop(golden, build, case, position):
    case = f'plot/{case}'
    meta, ref = golden.load(case)
    model = build('coop', case, **{'model.prompt.position': position, 'model.prompt.class_specific': 'csc' in case})
    images = golden.image_input(meta)
    with torch.no_grad():
        assert golden.rel(model.text_features()[0], ref[f'{position}.text_features']) < 1e-5
        tokens = model.prompt(model.clip.text)
        norms = tokens.embeddings(77)[0].norm(dim=-1)
        for row, eot, expected in zip(norms, tokens.eot[0], ref[f'{position}.prompt_norms'], strict=True):
            assert golden.rel(row[: eot + 1], expected[: eot + 1]) < 1e-5
        assert golden.rel(model(images, mode='tensor'), ref[f'{position}.logits']) < 1e-5
    loss, gradient = loss_and_gradient(model, images, meta['labels'])
    assert loss == pytest.approx(float(ref[f'{position}.loss']), rel=1e-5)
    assert golden.rel(gradient.squeeze(0), ref[f'{position}.ctx_grad']) < 1e-4


@pytest.mark.parametrize(('key', 'prefix'), [('plot', ''), ('plot_imagenet', 'imagenet.')])
@pytest.mark.parametrize(('case', 'prompts'), [('plot_rn50_g', 4), ('plot_rn50_n1_g', 1)])
def test_plot(golden, build, key, prefix, case, prompts):
    case = f'plot/{case}'
    meta, ref = golden.load(case)
    model = build(key, case, **{'model.prompt.n_prompts': prompts})
    images = golden.image_input(meta)
    with torch.no_grad():
        aligned = model.align(images)
        features = model.clip.encode_image(images)
    assert golden.rel(model.text_features().detach(), ref['text_features']) < 1e-5
    assert golden.rel(aligned.logits, ref[f'{prefix}logits']) < 1e-5
    for image in (0, 1):
        assert golden.rel(aligned.plan[image], ref[f'T_img{image}']) < 1e-4
    local = torch.nn.functional.normalize(features.local, dim=-1)
    with torch.no_grad():
        prompts = torch.nn.functional.normalize(model.text_features(), dim=-1)
    similarity = torch.einsum('bmd,pkd->bkmp', local, prompts)
    assert golden.rel(similarity[0], ref['sim_img0']) < 1e-5
    solved = sinkhorn(1 - similarity, 0.1, 'legacy', 100, 1e-2)
    assert solved.iterations == int(ref['sinkhorn_iters'])
    # Errors are means of differences of numbers near 1000, whose rounding differs between CPUs.
    np.testing.assert_allclose(solved.errors, ref['sinkhorn_errs'], rtol=1e-3, atol=1e-5)
    loss, gradient = loss_and_gradient(model, images, meta['labels'])
    assert loss == pytest.approx(float(ref[f'{prefix}loss']), rel=1e-5)
    assert golden.rel(gradient, ref[f'{prefix}ctx_grad']) < 1e-4


@pytest.mark.parametrize('letter', 'abcdefgh')
def test_sinkhorn(golden, letter):
    meta, ref = golden.load('plot/sinkhorn')
    cost, eps = torch.from_numpy(ref[f'{letter}.cost']), meta['diagnostics'][letter]['eps']
    legacy = sinkhorn(cost, eps, 'legacy', 100, 1e-2)
    assert legacy.iterations == int(ref[f'{letter}.iters'])
    assert golden.rel(legacy.plan, ref[f'{letter}.plan']) < 1e-5
    assert golden.rel((legacy.plan * cost).sum((1, 2)), ref[f'{letter}.dist']) < 1e-5
    for method in ('fixed', 'log'):
        converged = sinkhorn(cost, eps, method, 3000, dtype=torch.float64).plan
        assert golden.rel(converged, ref[f'{letter}.plan_converged']) < 1e-6
        assert golden.rel((converged * cost).sum((1, 2)), ref[f'{letter}.dist_converged']) < 1e-6
    # Entropy costs at most eps log min(M, N) against the exact optimum; 1e-3 for the iterations that are still missing.
    nearly_exact = sinkhorn(cost, 0.01, 'log', 1000, dtype=torch.float64).plan
    gap = (nearly_exact * cost).sum((1, 2)) - torch.from_numpy(ref[f'{letter}.emd'])
    assert gap.min() > -1e-3
    assert gap.max() < 0.01 * np.log(min(cost.shape[1:])) + 1e-3
