"""PromptSRC's classifier: what its terms measure, and what cannot be regulated."""

import pytest
import torch

from tests.conftest import MICRO
from vlprompt.models import SelfRegulatedClassifier
from vlprompt.structures import ClassificationSample

NAMES = ['face', 'sea lion', 'okapi']
TERMS = ('loss_text', 'loss_image', 'loss_logits')


def build(**changes):
    torch.manual_seed(0)
    kwargs = dict(
        clip=dict(arch=MICRO['vit']),
        class_names=NAMES,
        prompt=dict(type='vlprompt.ContextPrompt', init='a photo of a'),
        alignment=dict(type='vlprompt.CosineAlignment'),
        trainable=['prompt.*'],
        teacher=dict(type='vlprompt.TemplatePrompt', templates='a photo of a {}.'),
    )
    return SelfRegulatedClassifier(**{**kwargs, **changes})


def losses(model):
    samples = [ClassificationSample() for _ in range(4)]
    for label, sample in enumerate(samples):
        sample.set_gt_label(label % 3)
    return model(torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0)), samples, mode='loss')


def test_a_student_that_is_its_teacher_has_the_cross_entropy_alone():
    found = losses(build())
    assert all(found[term].item() == pytest.approx(0, abs=1e-5) for term in TERMS)
    assert found['loss_cls'] > 0.1


def test_each_prompt_moves_its_terms():
    visual = dict(type='vlprompt.VisualPrompt', length=2, after_norm=False)
    text = losses(build(prompt=dict(type='vlprompt.ContextPrompt', n_ctx=4)))
    image = losses(build(visual=visual, trainable=['visual.*']))
    assert text['loss_text'] > 0.01
    assert text['loss_image'].item() == pytest.approx(0, abs=1e-5)
    assert image['loss_image'] > 0.01
    assert image['loss_text'].item() == pytest.approx(0, abs=1e-5)
    assert min(text['loss_logits'], image['loss_logits']) > 0
    twice = losses(build(visual=visual, trainable=['visual.*'], image_weight=20.0, logit_weight=0.0))
    torch.testing.assert_close(twice['loss_image'], 2 * image['loss_image'])
    assert twice['loss_logits'] == 0


def test_the_teacher_takes_no_part_in_a_test_and_follows_the_classes():
    model = build()
    text = model.teacher_text()
    assert text.shape == (3, 8 * 3)
    assert model.teacher_text() is text, 'computed once'
    model.set_class_names(NAMES[1:])
    torch.testing.assert_close(model.teacher_text(), text[1:])
    assert not any('teacher' in name for name in model.trained_state_dict())


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(prompt=dict(type='vlprompt.ContextPrompt', n_ctx=2, n_prompts=2)), 'n_prompts=1'),
        (dict(prompt=dict(type='vlprompt.ConditionalPrompt', n_ctx=2, reduction=3)), 'does not depend on the image'),
        (dict(trainable=['prompt.*', 'clip.visual.ln_post.*']), r'must be frozen; .*clip\.visual\.ln_post'),
    ],
)
def test_what_cannot_be_regulated(changes, message):
    with pytest.raises(ValueError, match=message):
        build(**changes)
