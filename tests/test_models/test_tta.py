"""Test-time ensembling: the mean of the logits over views, of every kind of classifier."""

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.registry import MODEL_WRAPPERS

from tests.conftest import MICRO
from vlprompt.errors import ConfigError
from vlprompt.models import CropTTAModel, FeatureClassifier, HeadClassifier, TextClassifier
from vlprompt.structures import ClassificationSample

NAMES = ['face', 'sea lion', 'okapi']
PROMPT = dict(type='vlprompt.VisualPrompt', length=3)
POOL = dict(type='vlprompt.PromptPool', size=5, length=3, first_block=1, topk=2)
GROUPED = dict(type='vlprompt.GroupedPromptTuner', prompt=PROMPT, pool=POOL)


def text_classifier(alignment='vlprompt.TransportAlignment'):
    return TextClassifier(
        clip=dict(arch=MICRO['vit']),
        class_names=NAMES,
        prompt=dict(type='vlprompt.ContextPrompt', n_prompts=2, n_ctx=4),
        alignment=dict(type=alignment),
        trainable=['prompt.context'],
    )


def head_classifier(**options):
    settings = dict(
        clip=dict(arch=MICRO['vit']),
        head=dict(type='vlprompt.CosineHead', scale=25.0),
        loss=dict(type='vlprompt.LogitAdjustedLoss'),
        num_classes=3,
        trainable=['tuner.*', 'head.*'],
        tuner=dict(type='vlprompt.AdaptFormer'),
    )
    return HeadClassifier(**settings | options)


def feature_classifier():
    model = FeatureClassifier(
        dict(arch=MICRO['vit']), dict(type='vlprompt.TemplatePrompt'), dict(type='vlprompt.LPPlusPlus', steps=2), NAMES
    ).eval()
    with torch.no_grad():
        features = model.image_features(torch.randn(6, 3, 64, 64))
    model.fit(features.unflatten(0, (6, 1)), torch.arange(3).repeat(2), seed=1)
    return model


MODELS = dict(
    text=text_classifier,
    cosine=lambda: text_classifier('vlprompt.CosineAlignment'),
    adaptformer=head_classifier,
    lpt=lambda: head_classifier(
        tuner=GROUPED, loss=dict(type='vlprompt.AGCLLoss'), head=dict(type='vlprompt.CosineHead')
    ),
    features=feature_classifier,
)


def views(count=2, number=5):
    generator = torch.Generator().manual_seed(0)
    return list(torch.randint(256, (count, number, 3, 64, 64), dtype=torch.uint8, generator=generator))


def samples(count=2):
    return [ClassificationSample(metainfo=dict(img_path=f'{i}.jpg')).set_gt_label(i) for i in range(count)]


@pytest.mark.parametrize('name', MODELS)
@torch.no_grad()
def test_the_mean_of_the_logits_equals_a_loop(name, seeded):
    model = MODELS[name]().eval()
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.3)
    images = views()
    predicted = CropTTAModel(model).eval().test_step(dict(inputs=images, data_samples=samples()))
    for number, (image, sample) in enumerate(zip(images, predicted, strict=True)):
        logits = [model(model.data_preprocessor(dict(inputs=[view]))['inputs'])[0] for view in image]
        mean = sum(logits) / len(logits)
        (alone,) = model.predict(model.data_preprocessor(dict(inputs=[image[0]]))['inputs'])
        scale = (alone.pred_score[0] / alone.pred_score[1]).log() / (logits[0][0] - logits[0][1])  # of the softmax
        torch.testing.assert_close(sample.pred_score, (scale * mean).softmax(0), rtol=1e-3, atol=1e-5)
        assert int(sample.pred_label) == int(mean.argmax())
        assert (sample.img_path, int(sample.gt_label)) == (f'{number}.jpg', number)
        assert 'matched_groups' not in sample
    assert not torch.equal(predicted[0].pred_score, predicted[1].pred_score)


@MODEL_WRAPPERS.register_module()
class Wrapper(torch.nn.Module):
    """As around models of several processes."""

    def __init__(self, module):
        super().__init__()
        self.module = module


class Outvoted(HeadClassifier):
    """One view is sure of class 0, the others lean to class 1."""

    def __init__(self):
        BaseModel.__init__(self, dict(type='vlprompt.ClipPreprocessor'))
        self.loss_cls = torch.nn.Module()
        self.loss_cls.scale = 1.0

    def logits(self, inputs):
        bright = (inputs.mean((1, 2, 3)) > 0).float()
        return torch.stack([30 * bright, 1 - bright], 1)


def test_logits_are_averaged_and_not_probabilities():
    images = torch.zeros(1, 5, 3, 8, 8, dtype=torch.uint8)
    images[:, 0] = 255
    (sample,) = CropTTAModel(Outvoted()).test_step(dict(inputs=list(images), data_samples=samples(1)))
    torch.testing.assert_close(sample.pred_score, torch.tensor([30 / 5, 4 / 5]).softmax(0))
    assert int(sample.pred_label) == 0, 'the mean of the probabilities says 1'


def test_views_of_other_models_and_models_without_views(seeded):
    message = 'tta_model.type=CropTTAModel averages logits of a classifier, which Linear is not: set tta_model and'
    with pytest.raises(ConfigError, match=message):
        CropTTAModel(torch.nn.Linear(1, 1))
    model = CropTTAModel(head_classifier())
    assert isinstance(CropTTAModel(Wrapper(model.module)).module, HeadClassifier)
    message = (
        r'several views \(V, 3, H, W\) of an image, but 0\.jpg has shape \(3, 64, 64\): tta_pipeline needs dict\(typ'
    )
    with pytest.raises(ConfigError, match=message):
        model.test_step(dict(inputs=[image[0] for image in views()], data_samples=samples()))
