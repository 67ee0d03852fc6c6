"""All methods that need features alone, on every kind of tower that open_clip takes from timm."""

import json

import pytest
import torch
from mmengine.config import ConfigDict
from mmseg.structures import SegDataSample

from tests.test_models.test_head_classifier import samples, total
from tests.tiny_timm import CONFIGS, CONVOLUTIONAL, write_model
from vlprompt.apis.local_features import check_model
from vlprompt.clip import build_clip
from vlprompt.engine.checkpoint import describe_model, load_trained, trained_state
from vlprompt.errors import ConfigError, ImageSizeError
from vlprompt.models import FeatureClassifier, HeadClassifier, TextClassifier
from vlprompt.models.backbones import ClipTrunk
from vlprompt.models.reid import IdentityPromptLearner, ReIdentifier
from vlprompt.models.segmentors import ClipSegmentor
from vlprompt.structures import ReIDSample
from vlprompt.visualization.gradient_maps import gradient_maps

NAMES = ['cat', 'sea lion', 'dog']
CONTEXT = dict(type='vlprompt.ContextPrompt', n_prompts=2, n_ctx=2)
METHODS = dict(
    zero_shot=dict(prompt=dict(type='vlprompt.TemplatePrompt'), alignment=dict(type='vlprompt.CosineAlignment')),
    coop=dict(prompt=CONTEXT | dict(n_prompts=1), alignment=dict(type='vlprompt.CosineAlignment')),
    cocoop=dict(
        prompt=dict(type='vlprompt.ConditionalPrompt', n_ctx=2, reduction=4),
        alignment=dict(type='vlprompt.CosineAlignment'),
    ),
    plot=dict(prompt=CONTEXT, alignment=dict(type='vlprompt.TransportAlignment')),
)
TRAINED = dict(zero_shot=[], coop=['prompt.context'], cocoop=['prompt.*'], plot=['prompt.context'])


@pytest.fixture(params=CONFIGS)
def clip(request, tmp_path):
    """Arguments of build_clip, and images of the family's size."""
    write_model(request.param, tmp_path)
    size = CONFIGS[request.param]['vision_cfg']['image_size']
    return dict(weights=str(tmp_path)), torch.randn(4, 3, size, size)


@pytest.fixture
def conv(request):
    return request.node.callspec.params['clip'] in CONVOLUTIONAL


@pytest.mark.parametrize('method', METHODS)
def test_text_classifiers(clip, method):
    clip, images = clip
    model = TextClassifier(clip, class_names=NAMES, trainable=TRAINED[method], **METHODS[method]).train()
    losses = model.loss(images, samples([0, 1, 2, 0]))
    if method != 'zero_shot':
        total(losses).backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters() if p.requires_grad)
    model.eval()
    with torch.no_grad():
        before = model(images)
        again = TextClassifier(clip, class_names=NAMES, trainable=TRAINED[method], **METHODS[method]).eval()
        load_trained(again, dict(state_dict=trained_state(model), meta=dict(vlprompt=describe_model(model))))
        torch.testing.assert_close(again(images), before)
    assert before.shape == (4, 3)


def test_visual_prompts_of_a_classifier(clip):
    clip, images = clip
    visual = dict(type='vlprompt.VisualPrompt', length=2, depth=2)
    options = dict(METHODS['zero_shot'], class_names=NAMES, visual=visual, trainable=['visual.*'])
    if not plain(clip):
        with pytest.raises(ValueError, match=r'visual=vlprompt\.VisualPrompt: visual prompts need a plain vision'):
            TextClassifier(clip, **options)
        return
    model = TextClassifier(clip, **options).train()
    total(model.loss(images, samples([0, 1, 2, 0]))).backward()
    assert all(p.grad.abs().sum() > 0 for p in model.visual.parameters())


def plain(clip):
    """Whether the tower is a vision transformer without rotary positions."""
    return type(build_clip(**clip).visual.trunk).__name__ == 'VisionTransformer'


PROMPT = dict(type='vlprompt.VisualPrompt', length=2)
LOSS = dict(type='vlprompt.LogitAdjustedLoss')
POOL = dict(type='vlprompt.PromptPool', size=3, length=2, first_block=1, topk=2)
HEADS = dict(
    linear=dict(trainable=['head.*']),
    fine_tuning=dict(trainable=['visual.*', 'head.*']),
    text=dict(trainable=['head.*'], head=dict(type='vlprompt.CosineHead', start='text')),
    vpt=dict(trainable=['tuner.*', 'head.*'], tuner=dict(type='vlprompt.PromptTuner', prompt=PROMPT)),
    lpt=dict(
        trainable=['tuner.pool.*', 'head.*'],
        tuner=dict(type='vlprompt.GroupedPromptTuner', prompt=PROMPT, pool=POOL),
    ),
)


@pytest.mark.parametrize('method', HEADS)
def test_head_classifiers(clip, method):
    clip, images = clip
    options = dict(head=dict(type='vlprompt.CosineHead'), loss=LOSS, class_names=NAMES)
    if method in ('vpt', 'lpt') and not plain(clip):
        with pytest.raises(ValueError, match='visual prompts need a plain vision transformer'):
            HeadClassifier(clip=clip, **options | HEADS[method])
        return
    model = HeadClassifier(clip=clip, **options | HEADS[method])
    model.set_class_counts([3, 2, 1])
    if method == 'lpt':
        with torch.no_grad():
            model.start_from_features(model.frozen_features(images), torch.tensor([0, 1, 2, 0]), torch.Generator())
    total(model.train().loss(images, samples([0, 1, 2, 0]))).backward()
    assert sum(float(p.grad.abs().sum()) for p in model.parameters() if p.grad is not None) > 0
    with torch.no_grad():
        assert model.eval()(images).shape == (4, 3)


@pytest.mark.parametrize('solver', ['TipAdapter', 'GDA', 'LinearProbe'])
def test_classifiers_of_features(clip, solver):
    clip, images = clip
    prompt = dict(type='vlprompt.TemplatePrompt', templates=['a photo of a {}.'])
    model = FeatureClassifier(clip, prompt, dict(type=f'vlprompt.{solver}'), NAMES).eval()
    with torch.no_grad():
        features = model.image_features(images[[0, 1, 2, 3, 0, 1]]).unflatten(0, (6, 1))
        model.fit(features, torch.arange(3).repeat(2), seed=1)
        assert model(images).shape == (4, 3)


def test_re_identification(clip):
    clip, images = clip
    people = [ReIDSample(pid=i // 2, camid=0, viewid=0) for i in range(4)]
    for i, sample in enumerate(people):
        sample.set_gt_label(i // 2)
    model = ReIdentifier(clip, num_ids=2, weights=dict(i2t=0)).train()
    total(model.loss(images, people)).backward()
    assert sum(float(p.grad.abs().sum()) for p in model.visual.trunk.parameters() if p.grad is not None) > 0
    assert model.eval()(images).shape == (4, model.visual.width + 32)
    learner = IdentityPromptLearner(clip, num_ids=2, noun='person').eval()
    assert learner.image_features(images).shape == (4, 32)
    assert learner.text_features(torch.tensor([0, 1, 1, 0])).shape == (4, 32)


def test_segmentation_by_words(clip, conv):
    clip, images = clip
    slide = ConfigDict(mode='slide', crop_size=tuple(images.shape[2:]), stride=(16, 16))
    model = ClipSegmentor(clip, NAMES, templates=['a {}.'], test_cfg=slide).eval()
    sample = SegDataSample(metainfo=dict(ori_shape=(90, 100), img_shape=(45, 50)))
    larger = torch.randn(1, 3, images.shape[2] + 13, images.shape[3] + 18)
    with torch.no_grad():
        (found,) = model(larger, [sample], mode='predict')
    assert found.pred_sem_seg.data.shape == (1, 90, 100)
    whole = ClipSegmentor(clip, NAMES, templates=['a {}.']).eval()
    if not conv:
        with pytest.raises(
            ImageSizeError, match=r'windows of (45 x 50|77 x 82) pixels, but a tower of timm .* takes .* alone'
        ):
            whole(larger, [sample], mode='predict')


def test_what_needs_other_towers_says_so(clip):
    clip, _ = clip
    with pytest.raises(ValueError, match=r"ClipTrunk takes CLIP's ResNets and ViTs; .* has a tower of timm"):
        ClipTrunk(clip)
    options = dict(head=dict(type='vlprompt.CosineHead'), loss=LOSS, trainable=['head.*'])
    with pytest.raises(ValueError, match=r'AdaptFormer: a tower of timm .* take a ViT of CLIP'):
        HeadClassifier(clip=clip, class_names=NAMES, tuner=dict(type='vlprompt.AdaptFormer'), **options)


def test_tools_for_other_towers_say_so(clip):
    clip, images = clip
    classifier = TextClassifier(clip, class_names=NAMES, **METHODS['plot'])
    with pytest.raises(ConfigError, match=r'x\.py: a tower of timm .* has one form of local features alone'):
        check_model(classifier, 'x.py')
    model = ReIdentifier(clip, num_ids=2, weights=dict(i2t=0))
    with pytest.raises(ValueError, match=r"gradient maps need CLIP's ResNet or ViT, the model has a tower of timm"):
        gradient_maps(model, images, torch.zeros(4, model.visual.width + 32))


WAY = dict(mean=[0.1, 0.2, 0.3], std=[0.4, 0.5, 0.6])
BY_PYTHON = dict(
    text=lambda clip: TextClassifier(clip, class_names=NAMES, **METHODS['zero_shot']),
    features=lambda clip: FeatureClassifier(
        clip, dict(type='vlprompt.TemplatePrompt', templates=['a {}.']), dict(type='vlprompt.GDA'), NAMES
    ),
    head=lambda clip: HeadClassifier(
        clip=clip, head=dict(type='vlprompt.CosineHead'), loss=LOSS, class_names=NAMES, trainable=['head.*']
    ),
    head_from_text=lambda clip: HeadClassifier(clip=clip, loss=LOSS, class_names=NAMES, **HEADS['text']),
    reid=lambda clip: ReIdentifier(clip, num_ids=2, weights=dict(i2t=0)),
    prompts=lambda clip: IdentityPromptLearner(clip, num_ids=2, noun='person'),
    segmentor=lambda clip: ClipSegmentor(clip, NAMES, templates=['a {}.']),
)


@pytest.mark.parametrize('kind', BY_PYTHON)
def test_a_model_normalises_as_its_weights_want(kind, tmp_path):
    write_model('eva02', tmp_path)
    content = dict(model_cfg=CONFIGS['eva02'], preprocess_cfg=WAY)
    (tmp_path / 'open_clip_config.json').write_text(json.dumps(content))
    model = BY_PYTHON[kind](dict(weights=str(tmp_path)))
    unit = 255 if kind == 'segmentor' else 1
    pixels = torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8)
    found = model.data_preprocessor(dict(inputs=[pixels.flip(0) if kind == 'segmentor' else pixels]))['inputs'][0]
    mean, std = (unit * torch.tensor(WAY[name]).view(3, 1, 1) for name in ('mean', 'std'))
    torch.testing.assert_close(found, (pixels * (unit / 255) - mean) / std)


@pytest.mark.parametrize('kind', ['head', 'reid'])
def test_a_trunk_of_timm_normalises_as_its_name_says(kind):
    timm = dict(name='vit_tiny_patch16_224.augreg_in21k')
    if kind == 'head':
        options = dict(head=dict(type='vlprompt.CosineHead'), loss=LOSS, class_names=NAMES, trainable=['head.*'])
        model = HeadClassifier(timm=timm, **options)
    else:
        weights = dict.fromkeys(('id_proj', 'triplet_proj', 'i2t'), 0)
        model = ReIdentifier(timm=timm, num_ids=2, weights=weights)
    assert model.data_preprocessor.mean.flatten().tolist() == [0.5] * 3
