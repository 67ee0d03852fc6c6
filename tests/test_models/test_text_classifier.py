"""The classifier: its three modes, what is trained, the text cache, class sets."""

import pytest
import torch
import torch.nn.functional as F

from tests.conftest import MICRO
from vlprompt.clip import build_clip
from vlprompt.clip.weights import to_openai_names
from vlprompt.engine.checkpoint import describe_model
from vlprompt.models import TextClassifier, VarietyLoss
from vlprompt.structures import ClassificationSample

NAMES = ['face', 'sea lion', 'okapi']


def build(arch, **changes):
    torch.manual_seed(0)
    kwargs = dict(
        clip=dict(arch=arch),
        class_names=NAMES,
        prompt=dict(type='vlprompt.ContextPrompt', n_prompts=2, n_ctx=4),
        alignment=dict(type='vlprompt.TransportAlignment'),
        trainable=['prompt.context'],
    )
    return TextClassifier(**{**kwargs, **changes})


def samples(labels):
    result = [ClassificationSample() for _ in labels]
    for sample, label in zip(result, labels, strict=True):
        sample.set_gt_label(label)
    return result


@pytest.fixture
def images():
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def test_the_three_modes_agree(micro_arch, images):
    model = build(micro_arch).eval()
    with torch.no_grad():
        logits = model(images, mode='tensor')
        predictions = model(images, samples([0, 2]), mode='predict')
        losses = model(images, samples([0, 2]), mode='loss')
    assert logits.shape == (2, 3)
    for row, sample in zip(logits, predictions, strict=True):
        torch.testing.assert_close(sample.pred_score, row.softmax(0))
        assert sample.pred_label.item() == row.argmax().item()
    torch.testing.assert_close(losses['loss_cls'], F.cross_entropy(logits, torch.tensor([0, 2])))
    assert 0 <= losses['accuracy'] <= 100
    assert 0 < losses['plan_entropy'] <= 1
    with pytest.raises(ValueError, match="TextClassifier: mode must be 'tensor', 'loss' or 'predict', got 'train'"):
        model(images, mode='train')


def test_zero_shot_is_cosine_with_the_template(micro_arch, images):
    model = build(
        micro_arch,
        prompt=dict(type='vlprompt.TemplatePrompt', templates='a photo of a {}.'),
        alignment=dict(type='vlprompt.CosineAlignment'),
        trainable=(),
    ).eval()
    with torch.no_grad():
        from vlprompt.clip.text.tokenizer import tokenize

        text = model.clip.text.encode_ids(tokenize([f'a photo of a {n}.' for n in NAMES]))
        image = model.clip.encode_image(images).cls
        expected = model.clip.logit_scale.exp() * F.normalize(image, dim=1) @ F.normalize(text, dim=1).T
        torch.testing.assert_close(model(images), expected, atol=1e-4, rtol=1e-4)
    assert not any(p.requires_grad for p in model.parameters())


def test_only_the_context_is_trained_and_the_towers_stay_in_eval_mode(micro_arch, images):
    model = build(micro_arch).train()
    assert [n for n, p in model.named_parameters() if p.requires_grad] == ['prompt.context']
    assert model.training
    assert not model.clip.visual.training
    assert not model.clip.text.training
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model(images, samples([0, 2]), mode='loss')['loss_cls'].backward()
    assert model.prompt.context.grad.abs().sum() > 0
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items()), 'batch statistics moved'
    with pytest.raises(ValueError, match=r'prompt\.context'):
        build(micro_arch, trainable=['prompt.contxt'])


def test_text_features_are_cached_until_something_changes(micro_rn, images, monkeypatch):
    model = build(micro_rn).eval()
    calls = []
    encode = model.prompt.encode
    monkeypatch.setattr(model.prompt, 'encode', lambda *args: calls.append(1) or encode(*args))
    with torch.no_grad():
        first = model(images)
        model(images)
        assert len(calls) == 1
        model.prompt.context.mul_(1.5)
        changed = model(images)
        assert len(calls) == 2
        assert not torch.equal(first, changed)
        model.prompt.context.data.mul_(1.5)  # invisible to autograd's version counter ...
        model.eval()  # ... as in an EMA swap, after which every loop calls eval()
        assert not torch.equal(changed, model(images))
        model.set_class_names(['okapi', 'face'])
        assert model(images).shape == (2, 2)
        model.load_state_dict(model.state_dict())
        model(images)
        assert len(calls) == 5
        model.prompt.set_class_names(NAMES)  # past the model
        assert model(images).shape == (2, 3)
        assert len(calls) == 6
    model(images)
    assert len(calls) == 7, 'with gradient nothing is cached'


def test_text_of_frozen_prompts_is_computed_once_in_training(images, monkeypatch):
    """As in PLOT++'s first phase and in VPT; the gradient of the visual tokens is the same."""
    visual = dict(type='vlprompt.VisualPrompt', length=2, depth=1, after_norm=False, sets=2)
    model = build(MICRO['vit'], visual=visual, trainable=['visual.*']).train()
    calls, gradients = [], []
    encode = model.prompt.encode
    monkeypatch.setattr(model.prompt, 'encode', lambda *args: calls.append(1) or encode(*args))
    for _ in range(2):
        model.zero_grad()
        model(images, samples([0, 2]), mode='loss')['loss_cls'].backward()
        gradients.append(model.visual.tokens.grad.clone())
    assert len(calls) == 1
    assert gradients[0].abs().max() > 0
    assert torch.equal(*gradients)
    model.prompt.context.requires_grad_()
    model(images, samples([0, 2]), mode='loss')['loss_cls'].backward()
    assert len(calls) == 2, 'trained from now on'
    assert model.prompt.context.grad.abs().max() > 0


def test_text_of_each_image_is_never_cached(micro_rn, images, monkeypatch):
    prompt = dict(type='vlprompt.ConditionalPrompt', n_prompts=2, n_ctx=4, reduction=3)
    variety = [dict(type='vlprompt.VarietyLoss')]
    model = build(micro_rn, prompt=prompt, trainable=['prompt.*'], auxiliary_losses=variety).eval()
    calls = []
    encode = model.prompt.encode
    monkeypatch.setattr(model.prompt, 'encode', lambda *args: calls.append(1) or encode(*args))
    with torch.no_grad():
        aligned = model.align(images)
        alone = [model.align(image[None]) for image in images]
    assert len(calls) == 3
    assert aligned.text.shape == (2, 2, 3, 24)
    assert not torch.allclose(*aligned.text)
    torch.testing.assert_close(aligned.logits, torch.cat([a.logits for a in alone]), atol=1e-4, rtol=1e-4)
    losses = model(images, samples([0, 1]), mode='loss')
    expected = torch.stack([VarietyLoss()(text) for text in aligned.text]).mean()
    torch.testing.assert_close(losses['loss_variety'], expected)
    model.set_class_names(['okapi', 'face'])
    assert model(images).shape == (2, 2)


def test_visual_prompt_acts_on_the_image_alone(images):
    from tests.conftest import MICRO

    model = build(MICRO['vit'], visual=dict(type='vlprompt.VisualPrompt', length=2), trainable=['visual.*']).eval()
    plain = model.clip.encode_image(images, maps=False)
    features = model.image_features(images)
    assert features.local.shape == plain.local.shape
    assert not torch.allclose(features.cls, plain.cls)
    torch.testing.assert_close(model.align(images).text, model.prompt.encode(model.clip.text))
    assert [n for n, p in model.named_parameters() if p.requires_grad] == ['visual.tokens']


def test_what_a_checkpoint_holds(micro_rn, tmp_path):
    model = build(micro_rn)
    assert set(model.trained_state_dict()) == set(model.state_dict()), 'random towers cannot be read again'
    path = tmp_path / 'base.pt'
    torch.save({k.removeprefix('text.'): v for k, v in model.clip.state_dict().items()}, path)
    model = build(micro_rn, clip=dict(arch=micro_rn, weights=str(path)))
    assert list(model.trained_state_dict()) == ['prompt.context']
    assert model.base_source.sha256


def test_local_features_of_another_form_meet_the_text(micro_arch, images):
    local = 'value' if micro_arch['vision_patch_size'] is None else 'naclip'
    native, other = (
        build(dict(micro_arch)).eval(),
        build(micro_arch, clip=dict(arch=micro_arch, vision=dict(local=local))),
    )
    other.eval().load_state_dict(native.state_dict())
    with torch.no_grad():
        a, b = native.align(images), other.align(images)
        features = other.clip.encode_image(images)
        expected = F.normalize(features.local, dim=-1) @ F.normalize(other.text_features(), dim=-1).mean(0).t()
    assert (native.local_form, other.local_form) == ('native', local)
    torch.testing.assert_close(b.maps.flatten(2).transpose(1, 2), expected)
    assert not a.logits.allclose(b.logits, atol=1e-2)
    assert describe_model(other)['local'] == local


@pytest.mark.parametrize('kind', ['UniformAlignment', 'TransportAlignment'])
def test_marginals_follow_the_towers_attention(micro_arch, images, kind):
    model = build(micro_arch, alignment=dict(type=f'vlprompt.{kind}', marginals='class_token')).eval()
    with torch.no_grad():
        saliency = model.clip.encode_image(images, saliency=True).saliency
        plan = model.align(images).plan
    assert plan.shape[1] == 3
    torch.testing.assert_close(plan.sum(-1), saliency[:, None].expand(-1, 3, -1), atol=1e-4, rtol=1e-3)


def test_class_names_are_checked(micro_rn):
    with pytest.raises(ValueError, match='empty'):
        build(micro_rn, class_names=[])
    with pytest.raises(ValueError, match='very very'):
        build(micro_rn, class_names=['face', 'very ' * 80 + 'long'])


def test_variety_loss_is_the_mean_pairwise_cosine():
    text = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(0))
    pairs = [F.cosine_similarity(text[n], text[m], dim=1) for n in range(3) for m in range(n + 1, 3)]
    torch.testing.assert_close(VarietyLoss(0.5)(text), 0.5 * torch.stack(pairs).mean())
    with pytest.raises(ValueError, match='2 prompts'):
        VarietyLoss()(text[:1])


def test_variety_loss_joins_the_losses(micro_rn, images):
    model = build(micro_rn, auxiliary_losses=[dict(type='vlprompt.VarietyLoss', weight=0.1)])
    assert set(model(images, samples([0, 1]), mode='loss')) == {
        'loss_cls',
        'loss_variety',
        'accuracy',
        'plan_entropy',
    }


def test_a_constant_logit_scale(micro_arch):
    """In place of that of the weights, which is not changed."""
    options = dict(
        clip=dict(arch=micro_arch),
        class_names=['face', 'okapi'],
        prompt=dict(type='vlprompt.TemplatePrompt'),
        alignment=dict(type='vlprompt.CosineAlignment'),
    )
    torch.manual_seed(0)
    own = TextClassifier(**options).eval()
    torch.manual_seed(0)
    constant = TextClassifier(**options, logit_scale=100.0).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = own.logits(images) * 100 / own.clip.logit_scale.exp()
        torch.testing.assert_close(constant.logits(images), expected)


def test_tensors_that_an_earlier_phase_trained_stay_in_checkpoints(tmp_path, micro_arch):
    torch.save(to_openai_names(build_clip(arch=micro_arch).state_dict()), tmp_path / 'base.pt')

    def build(**options):
        return TextClassifier(
            clip=dict(arch=micro_arch, weights=str(tmp_path / 'base.pt'), quick_gelu=True),
            class_names=['face', 'okapi'],
            prompt=dict(type='vlprompt.ClassWeights'),
            alignment=dict(type='vlprompt.CosineAlignment'),
            trainable=['prompt.weight'],
            **options,
        )

    prompt = {'prompt.weight', 'prompt.known'}
    assert set(build().trained_state_dict()) == prompt
    model = build(trained_before=['clip.text.*.ln_1.weight'])
    norms = {f'clip.text.transformer.resblocks.{i}.ln_1.weight' for i in (0, 1)}
    assert set(model.trained_state_dict()) == prompt | norms
    assert not any(p.requires_grad for name, p in model.named_parameters() if name in norms)
    with pytest.raises(ValueError, match=r"trained_before: the pattern 'clip\.norms' matches none"):
        build(trained_before=['clip.norms'])
