"""PLOT-Adapter against outputs of the official implementation (fp32, synthetic weights): two steps, two tests."""

import torch

from tests.conftest import ROOT
from vlprompt.alignment import sinkhorn
from vlprompt.apis import init_model
from vlprompt.solvers import Shots
from vlprompt.solvers.plot_adapter import key_similarity


def test_plot_adapter(golden, tmp_path):
    meta, ref = golden.load('plot/plot_adapter_g')
    state = golden.weights('plot/plot_adapter_g')
    context = state.pop('ctx')
    torch.save(state, tmp_path / 'clip.pt')
    recipe = meta['config']
    options = {
        'model.clip.weights': str(tmp_path / 'clip.pt'),
        'model.class_names': meta['classnames'],
        'phases.adapter.model.zero_shot.templates': recipe['template'],
        'phases.adapter.model.solver.alpha': recipe['init_alpha'],
        'phases.adapter.model.solver.beta': recipe['init_beta'],
        'phases.adapter.model.solver.eps': recipe['thre'],
        'phases.adapter.model.solver.lr': recipe['lr'],
        'phases.adapter.model.solver.method': 'legacy',
        'phases.adapter.model.solver.max_iters': 100,
    }
    model = init_model(ROOT / 'configs/plot_adapter/plot-adapter_rn50.py', cfg_options=options, phase='adapter')
    model.prompt.load_state_dict(dict(context=context), strict=False)
    inputs = {name: dict(meta, input=meta['input'][name]) for name in ('batch', 'cache')}
    with torch.no_grad():
        images = model.image_features(golden.image_input(inputs['batch']))
        cache = model.image_features(golden.image_input(inputs['cache'])).unflatten(0, (2, 20)).transpose(0, 1)
        text = model.text_features()
    labels, scale = torch.arange(20) // 2, 100.0  # the published constant; PLOT's logits have the towers' scale
    shots = Shots(cache, labels, text, scale)
    solver = model.solver

    keys = solver.start_keys(shots)
    assert golden.rel(keys, ref['adapter_init']) < 1e-5
    assert golden.rel(text[0].t(), ref['clip_weights']) < 1e-5
    normalised = torch.nn.functional.normalize(images, dim=-1)
    assert golden.rel(normalised[:, 0], ref['test_features']) < 1e-5
    similarity = key_similarity(images[:, 1:], keys, labels, solver.beta, 10)
    assert golden.rel(similarity[0], ref['sim_train0_img0']) < 1e-5
    solved = sinkhorn(1 - similarity, recipe['thre'], 'legacy', 100, 1e-2)
    assert solved.iterations == int(ref['sinkhorn_iters'])
    assert golden.rel(solved.plan[0], ref['T_train0_img0']) < 1e-4
    zero = solver.zero_shot(images, text, scale)
    assert golden.rel(solver.cached(images, keys, labels, solver.beta, zero, scale), ref['train_cache_logits']) < 1e-5
    with torch.no_grad():
        prior = solver.prior(images, text, model.scale)
    assert golden.rel(prior / solver.prompt_weight, ref['test_plot_logits']) < 1e-5

    batches = [(images, torch.tensor(meta['labels']), float(lr)) for lr in ref['lr']]
    for epoch, (logits, gradient) in enumerate(solver.descend(shots, keys, batches)):
        assert golden.rel(logits, ref['train_logits' if epoch == 0 else 'train_logits_epoch1']) < 1e-5
        if epoch == 0:
            assert golden.rel(gradient, ref['adapter_grad_step0']) < 1e-4
            assert golden.rel(solver.keys, ref['adapter_after_step1']) < 1e-4
        with torch.no_grad():
            tested = solver(images, text, scale) - solver.prior(images, text, scale) + prior
        assert golden.rel(tested, ref[f'test_logits_epoch{epoch}']) < 1e-5
