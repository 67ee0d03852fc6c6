"""FeatureClassifier: features of both kinds of towers, fitted solvers in checkpoints, other classes."""

import pytest
import torch

from vlprompt.clip import build_clip
from vlprompt.engine.checkpoint import describe_model, load_trained, trained_state
from vlprompt.errors import CheckpointError, ConfigError
from vlprompt.models import FeatureClassifier, TextClassifier

NAMES = ['okapi', 'gerenuk', 'sea_lion']
PROMPT = dict(type='vlprompt.TemplatePrompt', templates=['a photo of a {}.', '{} texture.'])
SOLVERS = dict(
    tip=dict(type='vlprompt.TipAdapter'),
    tip_f=dict(type='vlprompt.TipAdapterF', epochs=1),
    gda=dict(type='vlprompt.GDA'),
    proker=dict(type='vlprompt.ProKeR'),
    lpp=dict(type='vlprompt.LPPlusPlus', steps=2),
    clap=dict(type='vlprompt.CLAP', epochs=1),
    linear=dict(type='vlprompt.LinearProbe', max_iters=3),
)


@pytest.fixture
def build(micro_arch, tmp_path):
    """``build(solver, **options)``: a classifier on weights in a file, the same in every call."""
    torch.manual_seed(0)
    state = build_clip(arch=micro_arch).state_dict()
    path = tmp_path / 'base.pt'
    torch.save({name.removeprefix('text.'): tensor for name, tensor in state.items()}, path)

    def of(solver, class_names=NAMES, **options):
        clip = dict(arch=micro_arch, weights=str(path))
        model = FeatureClassifier(clip, PROMPT, SOLVERS[solver] | options, class_names)
        return model.eval()

    return of


def fit(model, shots=2, views=2):
    images = torch.randn(3 * shots * views, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        features = model.image_features(images).unflatten(0, (3 * shots, views))
    return model.fit(features, torch.arange(3).repeat(shots), seed=1)


def checkpoint_of(model):
    return dict(state_dict=trained_state(model), meta=dict(vlprompt=describe_model(model)))


IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize('solver', SOLVERS)
def test_a_checkpoint_restores_a_fitted_solver(build, solver):
    model = build(solver)
    with pytest.raises(ConfigError, match='has not been fitted: train it'):
        model(IMAGES)
    assert fit(model)['accuracy'] > 0
    model.fit_report = dict(solver=solver, images=6, views=2, tune='none', tuning_images=0)
    checkpoint = checkpoint_of(model)
    assert set(checkpoint['state_dict']) == {f'solver.{name}' for name in model.solver.fitted}
    restored = build(solver)
    load_trained(restored, checkpoint)
    assert torch.equal(restored(IMAGES), model(IMAGES))
    assert restored.fit_report == model.fit_report
    for sample in restored(IMAGES, mode='predict'):
        assert sample.pred_score.sum() == pytest.approx(1)


def test_other_templates_than_those_of_the_fit_are_named(build, monkeypatch):
    said = []
    monkeypatch.setattr('vlprompt.models.classifiers.feature_classifier.print_log', lambda text, *_: said.append(text))
    model = build('linear')
    fit(model)
    model.fit_report = dict(solver='linear', images=6, views=2, tune='none', tuning_images=0, templates=['{}.'])
    load_trained(build('linear'), checkpoint_of(model))
    assert "fitted with the templates ['{}.'], the model has ['a photo of a {}.'" in said[-1]


def test_logits_are_those_of_zero_shot_beside_a_weak_cache(build):
    model = build('tip', alpha=1e-9)
    fit(model)
    clip = dict(arch=model.clip.arch)
    text = TextClassifier(clip, PROMPT, dict(type='vlprompt.CosineAlignment'), NAMES).eval()
    text.clip.load_state_dict(model.clip.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(model(IMAGES), text(IMAGES), rtol=1e-5, atol=1e-5)


def test_scores_of_cosine_logits_are_as_sharp_as_those_of_clip(build):
    model = build('proker')
    fit(model)
    (sample, _) = model(IMAGES, mode='predict')
    torch.testing.assert_close(sample.pred_score, (model(IMAGES) * model.scale).softmax(1)[0])


def test_nothing_is_trained_by_steps(build):
    model = build('gda')
    assert not any(parameter.requires_grad for parameter in model.parameters())
    with pytest.raises(ConfigError, match=r"set train_cfg\.type='vlprompt\.FitLoop'"):
        model(IMAGES, mode='loss')


def test_a_checkpoint_of_another_solver_or_tower(build):
    model = build('gda')
    fit(model)
    checkpoint = checkpoint_of(model)
    with pytest.raises(CheckpointError, match=r'holds no fitted ProKeR: it lacks solver\.coefficients'):
        load_trained(build('proker'), checkpoint)
    checkpoint['meta']['vlprompt']['base'] = dict(name='RN50:openai', sha256='0' * 64)
    with pytest.raises(CheckpointError, match='trained on RN50:openai'):
        load_trained(build('gda'), checkpoint)


def test_other_classes_are_refused_or_made_from_text(build):
    new = ['clover', 'daisy']
    plain, keeping = build('gda'), build('gda', keep_rows=True, neighbours=4)
    for model in (plain, keeping):
        fit(model)
    with pytest.raises(ConfigError, match=r"GDA was fitted to 3 classes.*'clover', 'daisy' are not among them"):
        load_trained(build('gda', new), checkpoint_of(plain), other_classes=True)
    with pytest.raises(ConfigError, match='keep_rows=True'):
        plain.set_class_names(new)
    restored = build('gda', new, keep_rows=True, neighbours=4)
    load_trained(restored, checkpoint_of(keeping), other_classes=True)
    keeping.set_class_names(new)
    with torch.no_grad():
        assert restored(IMAGES).shape == (2, 2)
        assert torch.equal(restored(IMAGES), keeping(IMAGES))
        own = keeping.solver.for_other_classes(keeping.text_features())
        assert torch.equal(
            restored(IMAGES), own(keeping.image_features(IMAGES), keeping.text_features(), keeping.scale)
        )
        keeping.set_class_names(NAMES)
        assert keeping(IMAGES).shape == (2, 3)


def test_known_classes_among_other_ones_keep_their_images(build):
    model = build('gda', keep_rows=True, neighbours=4)
    fit(model)
    with torch.no_grad():
        features = model.image_features(IMAGES)
        before = model.solver._gaussian(features)
        model.set_class_names(['clover', NAMES[2], NAMES[0]])
        text = model.text_features()
        shape = model(IMAGES)
        own = model._solver_of(text)
    torch.testing.assert_close(own._gaussian(features)[:, 1:], before[:, [2, 0]])
    assert shape.shape == (2, 3)


def test_some_of_the_classes_are_chosen_from_the_logits_of_all(build):
    """As published for ImageNet-A and -R: 200 of the 1000 classes."""
    some = [NAMES[2], NAMES[0]]
    model = build('proker')
    fit(model)
    every = model(IMAGES)
    restored = build('proker', some)
    load_trained(restored, checkpoint_of(model), other_classes=True)
    model.set_class_names(some)
    for chosen in (model, restored):
        assert chosen.class_names == tuple(some)
        assert torch.equal(chosen(IMAGES), every[:, [2, 0]])
    model.set_class_names(NAMES)
    assert torch.equal(model(IMAGES), every)
    twins = build('proker', ['missile', 'okapi', 'missile'])
    fit(twins)
    every = twins(IMAGES)
    twins.set_class_names(['missile', 'okapi'])
    assert torch.equal(twins(IMAGES), torch.stack([every[:, [0, 2]].amax(1), every[:, 1]], 1))


def test_a_class_without_an_image_and_tuning_of_nothing(build):
    with pytest.raises(ConfigError, match='no image of class 2'):
        build('gda').fit(torch.randn(4, 2, 24), torch.tensor([0, 1, 0, 1]), seed=1)
    with pytest.raises(ConfigError, match=r'CLAP has nothing to tune: set train_cfg\.tune=none'):
        build('clap').fit(torch.randn(3, 2, 24), torch.arange(3), 1, (torch.randn(3, 24), torch.arange(3)))


def test_plot_adapter_keeps_prompts_and_keys(build, micro_arch):
    """Of both towers: training without PLOT's logits, prediction with them, a checkpoint with the prompts."""
    plot = dict(type='vlprompt.PlotAdapter', epochs=1, views=2)
    context, base = dict(type='vlprompt.ContextPrompt', n_prompts=2, n_ctx=4), build('gda')
    models = []
    for _ in range(2):
        model = FeatureClassifier(dict(arch=micro_arch), context, plot, NAMES, zero_shot=PROMPT).eval()
        model.clip.load_state_dict(base.clip.state_dict())
        model.clip.source = base.clip.source
        models.append(model)
    model, restored = models
    fit(model)
    tokens = 1 + (4 if model.clip.arch.vision_patch_size is None else 16)
    features, text = model.image_features(IMAGES).detach(), model.text_features().detach()
    assert (features.shape, text.shape) == ((2, tokens, 24), (3, 3, 24))
    assert model.solver.keys.shape == (2 * 6, 24)
    assert not torch.equal(model.prompt.context, restored.prompt.context)
    checkpoint = checkpoint_of(model)
    assert 'prompt.context' in checkpoint['state_dict']
    load_trained(restored, checkpoint)
    assert torch.equal(restored(IMAGES), model(IMAGES))
    solver = model.solver
    alone = TextClassifier(
        dict(arch=micro_arch), context, dict(type='vlprompt.TransportAlignment', global_weight=1.0), NAMES
    ).eval()
    alone.load_state_dict(dict(base.clip.state_dict(prefix='clip.')) | {'prompt.context': model.prompt.context})
    with torch.no_grad():
        torch.testing.assert_close(solver.prior(features, text, model.scale), alone(IMAGES) / 4, rtol=1e-4, atol=1e-5)
        zero = solver.zero_shot(features, text, model.scale)
        cached = solver.cached(features, solver.keys, solver.labels, solver.beta, zero, model.scale)
        expected = zero + solver.alpha * cached + solver.prior(features, text, model.scale)
        torch.testing.assert_close(model(IMAGES), expected)
    with pytest.raises(ValueError, match=r'PlotAdapter needs learned prompts as model\.prompt and templates'):
        FeatureClassifier(dict(arch=micro_arch), context, plot, NAMES)
    with pytest.raises(ValueError, match=r'GDA has no use for model\.zero_shot'):
        FeatureClassifier(dict(arch=micro_arch), PROMPT, SOLVERS['gda'], NAMES, zero_shot=PROMPT)


def test_text_that_is_learned_is_refused(micro_rn):
    with pytest.raises(ValueError, match=r'ContextPrompt learns them: take vlprompt\.TemplatePrompt'):
        FeatureClassifier(dict(arch=micro_rn), dict(type='vlprompt.ContextPrompt'), SOLVERS['gda'], NAMES)
    with pytest.raises(ValueError, match='FeatureClassifier: class_names is empty'):
        FeatureClassifier(dict(arch=micro_rn), PROMPT, SOLVERS['gda'])
