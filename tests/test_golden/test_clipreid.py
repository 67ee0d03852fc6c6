"""CLIP-ReID against outputs of the official implementation (fp32, synthetic weights)."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.conftest import ROOT
from vlprompt.apis import init_model
from vlprompt.clip.text.tokenizer import tokenize
from vlprompt.compat.official import convert, describe
from vlprompt.engine import (
    EpochWarmupStepLR,
    LinearWarmupCosineLR,
    PatternOptimWrapperConstructor,
    follow_training_length,
    load_config,
)
from vlprompt.engine.phases import phase_config
from vlprompt.models.losses.contrastive import supervised_contrastive
from vlprompt.models.losses.triplet import batch_hard_triplet, hard_distances
from vlprompt.structures import ReIDSample

CASE = 'clipreid/vit_base'
CONFIGS = ROOT / 'configs/clipreid'
SHIPPED = CONFIGS / 'clipreid_vit-b16.py'


@pytest.fixture(scope='module')
def source(golden):
    return {f'module.{key}': value for key, value in golden.weights(CASE).items()}


def converted(source, method, folder):
    """What tools/model_converters/official.py writes."""
    about, path = describe(method, source), folder / f'{method}.pth'
    torch.save(dict(meta=dict(vlprompt=about), state_dict=convert(method, source)), path)
    return path, about


def images(golden, meta, key):
    return golden.image_input({'input': meta[key]})


def samples(labels):
    made = [ReIDSample() for _ in labels]
    for sample, label in zip(made, labels, strict=True):
        sample.set_gt_label(label)
    return made


@pytest.fixture(scope='module')
def model(source, tmp_path_factory):
    path, about = converted(source, 'clip-reid', tmp_path_factory.mktemp('converted'))
    assert about == dict(data_arguments=dict(num_ids=20), geometry=dict(grid=[16, 8], stride=16))
    return init_model(SHIPPED, path, {'model.clip.weights': None})


def test_descriptors_and_training_outputs(golden, model):
    meta, ref = golden.load(CASE)
    inputs = images(golden, meta, 'input')
    with torch.no_grad():
        levels = model.levels(inputs)
        assert golden.rel(model(inputs, mode='tensor'), ref['feat_before']) < 1e-5
        model.descriptor = 'after'
        assert golden.rel(model(inputs, mode='tensor'), ref['feat_after']) < 1e-5
        model.descriptor = 'before'
        for value, key in zip(levels, ('f_last', 'f', 'f_proj'), strict=True):
            assert golden.rel(value, ref[key]) < 1e-5
        assert golden.rel(model.head(levels.final), ref['score']) < 1e-5
        assert golden.rel(model.head_proj(levels.joint), ref['score_proj']) < 1e-5
        assert golden.rel(model.prototypes, ref['text']) < 1e-5
        assert golden.rel(model.text_scores(levels.joint), ref['i2t_logits']) < 1e-5


def test_stage_2_loss_and_gradients(golden, model):
    meta, ref = golden.load(CASE)
    published = dict(id=0.25, id_proj=0.25, triplet_last=1, triplet=1, triplet_proj=1, i2t=1)
    assert model.weights == published | dict(id_both=0, centroid=1)
    assert model.centroids is None
    losses = model.loss(images(golden, meta, 'stage2_input'), samples(meta['stage2_labels']))
    loss = sum(value for name, value in losses.items() if 'loss' in name)
    assert loss.item() == pytest.approx(float(ref['stage2_loss']), rel=5e-6)
    loss.backward()
    ours = {
        'classifier.weight': 'head.classifier.weight',
        'classifier_proj.weight': 'head_proj.classifier.weight',
        'bottleneck.weight': 'head.norm.weight',
        'bottleneck_proj.weight': 'head_proj.norm.weight',
    }
    parameters = dict(model.named_parameters())
    trained = {name for name, p in parameters.items() if p.requires_grad}
    names = [ours.get(n, n.replace('image_encoder.', 'visual.')) for n in meta['stage2_grad_names']]
    assert set(names) == trained
    for i, name in enumerate(names):
        gradient = parameters[name].grad
        assert gradient.double().norm().item() == pytest.approx(float(ref['stage2_grad_norm'][i]), rel=1e-4), name
        first = gradient.flatten()[:64]
        expected = torch.from_numpy(ref['stage2_grad_first64'][i])[: len(first)]
        assert (first - expected).abs().max() <= 1e-4 * gradient.abs().max(), name


def test_batch_norms_in_training(golden, model):
    meta, ref = golden.load(CASE)
    with torch.no_grad():
        levels = model.levels(images(golden, meta, 'stage2_input'))
        for head, level, suffix in ((model.head, levels.final, ''), (model.head_proj, levels.joint, '_proj')):
            head.train()
            assert golden.rel(head(level), ref[f'bntrain_score{suffix}']) < 2e-5
            assert golden.rel(head.norm.running_mean, ref[f'bntrain_bottleneck{suffix}.running_mean']) < 1e-5
            assert golden.rel(head.norm.running_var, ref[f'bntrain_bottleneck{suffix}.running_var']) < 1e-5
            head.eval()


def test_stage_1(golden, source, tmp_path):
    meta, ref = golden.load(CASE)
    path, _ = converted(source, 'clip-reid-prompts', tmp_path)
    options = {'model.clip.weights': None, 'phases.prompts.model.noun': 'person'}
    learner = init_model(SHIPPED, path, options, phase='prompts')
    words = [t for t in ref['token_ids'].tolist() if t]
    assert tokenize('A photo of a X X X X person.')[0, : len(words)].tolist() == words
    with torch.no_grad():
        assert golden.rel(learner.text_features(torch.arange(20)), ref['text']) < 1e-5
        assert golden.rel(learner.text_prototypes(), ref['text']) < 1e-5
    features = golden.image_input({'input': {'formula': meta['stage1_features']}})
    losses = learner.loss(features, torch.from_numpy(ref['stage1_labels']))
    assert losses['loss_i2t'].item() == pytest.approx(float(ref['stage1_loss_i2t']), rel=5e-6)
    assert losses['loss_t2i'].item() == pytest.approx(float(ref['stage1_loss_t2i']), rel=5e-6)
    sum(losses.values()).backward()
    assert golden.rel(learner.prompt.context.grad, ref['stage1_grad_cls_ctx']) < 1e-4


# --------------------------------------------------------------------------------------------------------------- losses


def gradients(loss, *inputs):
    return torch.autograd.grad(loss, inputs)


def tensors(ref, *keys):
    return [torch.from_numpy(ref[key]).requires_grad_(ref[key].dtype == np.float32) for key in keys]


@pytest.mark.parametrize('case', ['sup_i2t', 'sup_t2i', 'sup_rect', 'sup_big'])
def test_contrast(golden, case):
    _, ref = golden.load('clipreid/losses')
    images, text, labels = tensors(ref, 'sup_in_V', 'sup_in_T', 'sup_labels')
    other, names = labels, ('V', 'T')
    if case == 'sup_rect':
        text, other = tensors(ref, 'sup_rect_in_K', 'sup_rect_labels_K')
        names = ('V', 'K')
    scale = 12 if case == 'sup_big' else 1
    pair = (text, images) if case == 'sup_t2i' else (images, text)
    loss = supervised_contrastive(scale * pair[0], scale * pair[1], labels, other)
    assert loss.item() == pytest.approx(float(ref[f'{case}_loss']), rel=1e-6)
    for value, name in zip(gradients(loss, images, text), names, strict=True):
        expected = ref[f'{case}_grad_{name}']
        errors = [golden.rel(value / factor, expected) for factor in (1, scale)]  # with respect to the scaled input
        assert min(errors) < 5e-6


def test_triplet(golden):
    _, ref = golden.load('clipreid/losses')
    features, labels = tensors(ref, 'tri_in_F', 'tri_labels')
    far, near = hard_distances(features, labels)
    assert golden.rel(far.detach(), ref['tri_dist_ap']) < 1e-6
    assert golden.rel(near.detach(), ref['tri_dist_an']) < 1e-6
    loss = batch_hard_triplet(features, labels)
    assert loss.item() == pytest.approx(float(ref['tri_loss']), rel=1e-6)
    assert golden.rel(gradients(loss, features)[0], ref['tri_grad_F']) < 5e-6


@pytest.mark.parametrize('total', ['tot', 'totbase'])
@pytest.mark.parametrize('recipe', ['vit', 'cnn', 'vehicleid_cnn_nosmooth', 'odd'])
def test_total(golden, total, recipe):
    meta, ref = golden.load('clipreid/losses')
    weights = meta['constructor']['total_weights'][recipe]
    smoothing = 0.1 if weights['label_smooth'] == 'on' else 0.0
    names = ['score0', 'score1', 'f_last', 'f', 'f_proj', 'i2t']
    inputs = tensors(ref, *[f'tot_in_{name}' for name in names])
    labels = torch.from_numpy(ref['tot_labels'])
    scores, features, i2t = inputs[:2], inputs[2:5], inputs[5]
    loss = weights['id'] * sum(F.cross_entropy(s, labels, label_smoothing=smoothing) for s in scores)
    loss = loss + weights['triplet'] * sum(batch_hard_triplet(f, labels, weights['margin']) for f in features)
    if total == 'tot':
        loss = loss + weights['i2t'] * F.cross_entropy(i2t, labels, label_smoothing=smoothing)
    else:
        inputs, names = inputs[:5], names[:5]
    assert loss.item() == pytest.approx(float(ref[f'{total}_{recipe}_loss']), rel=1e-6)
    for value, name in zip(gradients(loss, *inputs), names, strict=True):
        assert golden.rel(value, ref[f'{total}_{recipe}_grad_{name}']) < 5e-6


# ------------------------------------------------------------------------------------------------------------ schedules

RECIPES = {
    'person_vit': ('vit-b16', 'market1501'),
    'person_cnn': ('rn50', 'market1501'),
    'veri_vit': ('vit-b16', 'veri'),
    'veri_cnn': ('rn50', 'veri'),
    'vehicleid_vit': ('vit-b16', 'vehicleid'),
    'vehicleid_cnn': ('rn50', 'vehicleid'),
}


def rates(cfg, modules):
    """Rates of all groups, epoch by epoch, as a run of the config has them."""
    model = torch.nn.ModuleDict(modules)
    options = {key: value for key, value in cfg.optim_wrapper.items() if key not in ('constructor', 'paramwise_cfg')}
    wrapper = PatternOptimWrapperConstructor(options, cfg.optim_wrapper.get('paramwise_cfg'))(model)
    follow_training_length(cfg.param_scheduler, cfg.train_cfg)
    (schedule,) = cfg.param_scheduler
    types = {c.__name__: c for c in (EpochWarmupStepLR, LinearWarmupCosineLR)}
    schedule = types[schedule.type.split('.')[1]](wrapper, **{k: v for k, v in schedule.items() if k != 'type'})
    table = []
    for _ in range(cfg.train_cfg.max_epochs):
        table.append([group['lr'] for group in wrapper.optimizer.param_groups])
        wrapper.optimizer.step()
        schedule.step()
    return np.array(table).T


@pytest.mark.parametrize('recipe', RECIPES)
@pytest.mark.parametrize('method', ['clipreid', 'baseline'])
def test_rates(golden, recipe, method):
    _, ref = golden.load('clipreid/schedules')
    backbone, dataset = RECIPES[recipe]
    cfg = load_config(CONFIGS / f'{method}_{backbone}.py', dict(dataset=dataset))
    layer = torch.nn.Linear(1, 1)
    weight, bias = rates(phase_config(cfg), {'layer': layer})
    stage = 'stage2' if method == 'clipreid' else 'base'
    np.testing.assert_allclose(weight, ref[f'{recipe}_{stage}_lr'], rtol=1e-12)
    np.testing.assert_allclose(bias, ref[f'{recipe}_{stage}_lr_bias'], rtol=1e-12)
    if method == 'clipreid':
        (prompts,) = rates(phase_config(cfg, 'prompts'), {'layer': torch.nn.Linear(1, 1, bias=False)})
        np.testing.assert_allclose(prompts, ref[f'{recipe}_stage1_lr'], rtol=1e-12)


def test_parameter_groups(golden, model):
    """Which parameters train at which rate and decay, by name."""
    meta, _ = golden.load('clipreid/schedules')
    cfg = phase_config(load_config(SHIPPED))
    constructor = PatternOptimWrapperConstructor(cfg.optim_wrapper.copy(), cfg.optim_wrapper.paramwise_cfg)
    lr = {id(p): g.get('lr', 5e-6) for g in constructor.param_groups(model) for p in g['params']}
    theirs = {entry['name']: entry for entry in meta['param_groups']['person_vit']['stage2']}
    shorter = {'classifier.weight', 'classifier_proj.weight', 'bottleneck.weight', 'bottleneck_proj.weight', 'cv_embed'}
    compared = 0
    for name, parameter in model.named_parameters():
        official = name.replace('visual.', 'image_encoder.')
        if official in theirs:
            assert lr[id(parameter)] == pytest.approx(theirs[official]['lr'], rel=1e-12), name
            assert theirs[official]['weight_decay'] == cfg.optim_wrapper.optimizer.weight_decay
            compared += 1
    assert compared == len(set(theirs) - shorter)
