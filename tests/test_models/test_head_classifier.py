"""The classifier on vision transformers: one feature extraction, two streams, what is trained, what is saved."""

import pytest
import torch
import torch.nn.functional as F

from tests.conftest import MICRO
from vlprompt.clip import build_clip, tokenize
from vlprompt.errors import ConfigError
from vlprompt.models import HeadClassifier
from vlprompt.structures import ClassificationSample

TIMM = dict(arch=dict(width=32, layers=4, heads=2, patch_size=16, image_size=48))
CLIP = dict(arch=dict(MICRO['vit']))
AGCL = dict(type='vlprompt.AGCLLoss')
COUNTS = (40, 12, 5)
PROMPT = dict(type='vlprompt.VisualPrompt', length=3)
POOL = dict(type='vlprompt.PromptPool', size=5, length=3, first_block=2, topk=2)
SHARED = dict(type='vlprompt.PromptTuner', prompt=PROMPT)
GROUPED = dict(type='vlprompt.GroupedPromptTuner', prompt=PROMPT, pool=POOL)
PHASE_2 = dict(tuner=GROUPED, trainable=['tuner.pool.*', 'head.*'])


def build(**changes):
    torch.manual_seed(0)
    kwargs = dict(timm=TIMM, head=dict(type='vlprompt.CosineHead'), loss=AGCL, num_classes=3, trainable=['head.*'])
    kwargs.update(changes)
    if 'clip' in changes:
        kwargs['timm'] = None
    model = HeadClassifier(**kwargs)
    model.set_class_counts(COUNTS)
    return model


def samples(labels):
    return [ClassificationSample().set_gt_label(label) for label in labels]


@pytest.fixture
def images():
    return torch.randn(4, 3, 48, 48, generator=torch.Generator().manual_seed(0))


def total(losses):
    return sum(value for name, value in losses.items() if 'loss' in name)


def test_the_three_modes_agree(images):
    model = build(**PHASE_2).eval()
    with torch.no_grad():
        logits = model(images)
        predictions = model(images, samples([0, 1, 2, 0]), mode='predict')
        losses = model(images, samples([0, 1, 2, 0]), mode='loss')
    assert logits.shape == (4, 3)
    assert logits.abs().max() <= 1
    for row, sample in zip(logits, predictions, strict=True):
        torch.testing.assert_close(sample.pred_score, (20 * row).softmax(0))
        assert sample.matched_groups.shape == (2,)
    torch.testing.assert_close(losses['loss_cls'], model.loss_cls(logits, torch.tensor([0, 1, 2, 0])))
    with pytest.raises(ValueError, match='predict'):
        model(images, mode='train')


class TestTwoPasses:
    """Everything once, against the published two passes, in float64."""

    @pytest.mark.parametrize('trunk', [dict(timm=TIMM), dict(clip=CLIP)])
    def test_features_and_gradients(self, trunk, images):
        first_block = 2 if 'timm' in trunk else 1
        model = (
            build(**trunk, **{**PHASE_2, 'tuner': dict(GROUPED, pool=dict(POOL, first_block=first_block))})
            .double()
            .eval()
        )
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        trained = [p for p in model.parameters() if p.requires_grad]
        results = []
        for reference in (False, True):
            model.tuner.two_passes = reference
            feature, terms = model.feature(images.double())
            losses = model.loss(images.double(), samples([0, 1, 2, 0]))
            results.append((feature, terms.losses['key'], *torch.autograd.grad(total(losses), trained)))
            assert not terms.fields['matched_groups'].is_floating_point()
        for fast, plain in zip(*results, strict=True):
            assert (fast - plain).abs().max() <= 1e-6 * plain.abs().max()

    def test_in_fp32_with_prompts_of_their_real_scale(self, images):
        model = build(**PHASE_2).eval()
        torch.nn.init.normal_(model.visual.positional_embedding)
        logits, losses = [], []
        for model.tuner.two_passes in (False, True):
            logits.append(model.head(model.feature(images)[0]))
            losses.append(total(model.loss(images, samples([0, 1, 2, 0]))))
        assert (logits[0] - logits[1]).abs().max() <= 1e-5
        trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        for fast, plain in zip(*(torch.autograd.grad(loss, list(trained.values())) for loss in losses), strict=True):
            assert (fast - plain).abs().max() <= 1e-5 * plain.abs().max()

    def test_blocks_are_run_once(self, images, monkeypatch):
        model = build(**PHASE_2)
        block = type(model.visual.transformer.resblocks[0])
        calls = []
        forward = block.forward
        monkeypatch.setattr(block, 'forward', lambda self, *a, **k: calls.append(1) or forward(self, *a, **k))
        model.feature(images)
        assert len(calls) == 2 + 2 + 2
        calls.clear()
        model.tuner.two_passes = True
        model.feature(images)
        assert len(calls) == 2 * 4


def test_a_pool_of_zero_groups_changes_nothing_but_attention(images):
    """Group prompts equal to the shared ones only repeat keys and values."""
    model = build(**PHASE_2).eval()
    with torch.no_grad():
        model.tuner.pool.tokens.copy_(model.tuner.prompt.tokens[2:].expand(5, -1, -1, -1))
        feature, terms = model.feature(images)
        query = model.frozen_features(images)
        assert not torch.allclose(feature, query)
        expected = F.normalize(query, dim=1) @ F.normalize(model.tuner.pool.keys, dim=1).T
    torch.testing.assert_close(terms.losses['key'], 1 - expected.topk(2).values.mean(1))
    assert torch.equal(terms.fields['matched_groups'], expected.topk(2).indices)


def test_dual_streams_are_two_weighted_losses(images):
    dual = dict(type='vlprompt.DualStreamLoss', balanced=AGCL, uniform=dict(AGCL, gamma_pos=0.5, gamma_neg=8.0))
    model = build(**PHASE_2, loss=dual).eval()
    labels = torch.tensor([0, 1, 2, 0])
    model.loss_cls.set_progress(10, 40)
    assert model.loss_cls.weight == pytest.approx(0.375)
    losses = model(images, samples(labels.tolist()), mode='loss')
    logits = model(images)
    torch.testing.assert_close(losses['loss_balanced'], model.loss_cls.balanced(logits[:2], labels[:2]))
    torch.testing.assert_close(losses['loss_uniform'], 0.375 * model.loss_cls.uniform(logits[2:], labels[2:]))
    assert model.loss_cls.uniform.gamma_neg == 8
    key = model.feature(images)[1].losses['key']
    torch.testing.assert_close(losses['loss_key'], key[:2].mean() + 0.375 * key[2:].mean())
    assert losses['stream_weight'] == pytest.approx(0.375)
    with pytest.raises(ValueError, match='DualStreamBatchSampler'):
        model(images[:3], samples([0, 1, 2]), mode='loss')


@pytest.mark.parametrize(
    ('parts', 'trained'),
    [
        (dict(head=dict(type='vlprompt.LinearHead', dropout=0.1)), {'head'}),
        (dict(tuner=SHARED, trainable=['tuner.*', 'head.*']), {'tuner.prompt', 'head'}),
        (
            dict(tuner=dict(SHARED, prompt=dict(PROMPT, depth=1)), trainable=['tuner.*', 'head.*']),
            {'tuner.prompt', 'head'},
        ),
        (PHASE_2, {'tuner.pool', 'head'}),
        (
            dict(tuner=dict(type='vlprompt.AdaptFormer', rank=2), trainable=['tuner.*', 'head.*']),
            {'tuner.branches', 'head'},
        ),
        (dict(trainable=['visual.*', 'head.*']), {'visual', 'head'}),
    ],
    ids=['linear', 'vpt-deep', 'vpt-shallow', 'phase-2', 'adaptformer', 'full'],
)
def test_a_step_moves_what_is_trained_and_nothing_else(parts, trained, images):
    model = build(**parts).train()
    if 'tuner.branches' in trained:
        for branch in model.tuner.branches:  # at their zero start only the last layer has a gradient
            torch.nn.init.normal_(branch.up.weight)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    total(model(images, samples([0, 1, 2, 0]), mode='loss')).backward()
    torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0).step()
    for name, parameter in model.named_parameters():
        moved = not torch.equal(parameter, before[name])
        assert moved == any(name.startswith(f'{part}.') for part in trained), name


def test_published_parameter_counts():
    base = dict(width=768, layers=12, heads=12, patch_size=16, image_size=224)
    with torch.device('meta'):
        model = HeadClassifier(
            timm=dict(arch=base),
            head=dict(type='vlprompt.CosineHead'),
            loss=AGCL,
            num_classes=365,
            tuner=dict(
                type='vlprompt.GroupedPromptTuner',
                prompt=dict(type='vlprompt.VisualPrompt'),
                pool=dict(type='vlprompt.PromptPool'),
            ),
            trainable=['tuner.pool.*', 'head.*'],
        )
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    assert sum(n for name, n in sizes.items() if name.startswith('visual.')) == 85798656
    assert sizes['tuner.prompt.tokens'] == 92160
    assert sizes['tuner.prompt.tokens'] + sizes['tuner.pool.tokens'] == 1013760
    assert sizes['tuner.prompt.tokens'] + sizes['tuner.pool.tokens'] + sizes['tuner.pool.keys'] == 1029120
    assert sizes['head.weight'] == 280320


def test_a_checkpoint_holds_prompts_keys_and_head(tmp_path):
    path = tmp_path / 'trunk.pth'
    from timm.models.vision_transformer import VisionTransformer

    torch.save(VisionTransformer(img_size=48, embed_dim=32, depth=4, num_heads=2, num_classes=0).state_dict(), path)
    model = build(timm=dict(TIMM, weights=str(path)), **PHASE_2)
    assert set(model.trained_state_dict()) == {
        'tuner.prompt.tokens',
        'tuner.pool.tokens',
        'tuner.pool.keys',
        'head.weight',
    }
    assert model.base_source.name == 'file:trunk.pth'
    assert any(name.startswith('visual.') for name in build(**PHASE_2).trained_state_dict()), 'random trunks are saved'


class TestTextStart:
    NAMES = ('sea_lion', 'okapi', 'gerenuk')
    HEAD = dict(type='vlprompt.CosineHead', start='text', scale=25.0)

    def test_head_is_the_text_features_brought_back(self):
        model = build(clip=CLIP, head=self.HEAD, class_names=self.NAMES, num_classes=None)
        clip = build_clip(**CLIP)
        clip.load_state_dict(
            {f'visual.{k}': v for k, v in model.visual.state_dict().items()}
            | {f'text.{k}': v for k, v in model.text.state_dict().items()},
            strict=False,
        )
        with torch.no_grad():
            ids = tokenize([f'a photo of a {name}.' for name in ('sea lion', 'okapi', 'gerenuk')])
            expected = F.normalize(clip.encode_text(ids), dim=1) @ clip.visual.proj.T
        torch.testing.assert_close(model.head.weight.detach(), F.normalize(expected, dim=1))

    def test_names_may_come_from_the_data(self, images):
        model = build(clip=CLIP, head=self.HEAD)
        with pytest.raises(ValueError, match='class names'):
            model.loss(images, samples([0, 1, 2, 0]))
        before = model.head.weight.clone()
        model.set_class_names(self.NAMES)
        assert not torch.equal(model.head.weight, before)
        with pytest.raises(ValueError, match='3 classes, got 2'):
            model.set_class_names(self.NAMES[:2])


def test_parts_are_checked(images):
    with pytest.raises(ValueError, match='either clip'):
        build(timm=None)
    with pytest.raises(ValueError, match='shared prompts in every block'):
        build(tuner=dict(GROUPED, prompt=dict(PROMPT, depth=1)))
    with pytest.raises(ValueError, match='ResNet'):
        build(clip=dict(arch=MICRO['rn']))
    with pytest.raises(ValueError, match='text tower'):
        build(head=TestTextStart.HEAD)
    with pytest.raises(ValueError, match='2 class names'):
        build(class_names=['a', 'b'])
    with pytest.raises(ValueError, match='training data 2'):
        build().set_class_counts([1, 2])


def test_mixed_precision_keeps_the_loss_in_fp32(images):
    model = build(**PHASE_2, loss=dict(type='vlprompt.DualStreamLoss', balanced=AGCL)).train()
    with torch.autocast('cpu', torch.bfloat16):
        losses = model(images, samples([0, 1, 2, 0]), mode='loss')
    assert all(value.dtype == torch.float32 for name, value in losses.items() if 'loss' in name)
    total(losses).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.requires_grad)


class TestMeetingTheData:
    """What a dataset of the run tells the model, before anything is loaded."""

    NAMES = ('red', 'green', 'blue')

    def test_names_and_counts(self):
        dual = dict(type='vlprompt.DualStreamLoss', balanced=AGCL, uniform=dict(AGCL, gamma_neg=8.0))
        model = HeadClassifier(
            timm=TIMM, head=dict(type='vlprompt.CosineHead'), loss=dual, num_classes=3, trainable=['head.*']
        )
        model.meet_data(dict(classes=self.NAMES, cls_num_list=COUNTS), 'training set', training=True)
        assert model.class_names == self.NAMES
        assert model.loss_cls.balanced.counts.tolist() == model.loss_cls.uniform.counts.tolist() == list(COUNTS)
        model.meet_data(dict(classes=self.NAMES, cls_num_list=(1, 1, 1)), 'test set', training=False)
        assert model.loss_cls.balanced.counts.tolist() == list(COUNTS), 'those of the training data'
        with pytest.raises(ConfigError, match="test set: class 0 is 'red' in the model but 'grey' in the data"):
            model.meet_data(dict(classes=('grey', 'green', 'blue')), 'test set', training=False)

    def test_counts_are_asked_for_where_the_loss_needs_them(self):
        build().meet_data(dict(classes=self.NAMES), 'test set', training=False)
        with pytest.raises(ConfigError, match=r'AGCLLoss needs class counts.*LongTailedDataset'):
            build().meet_data(dict(classes=self.NAMES), 'training set', training=True)
        model = build(loss=dict(type='vlprompt.LogitAdjustedLoss', tau=0.0))
        model.meet_data(dict(classes=self.NAMES), 'training set', training=True)

    def test_what_starts_from_features(self, images):
        pool = dict(POOL, key_init='kmeans', center=True)
        model = build(
            head=dict(type='vlprompt.CosineHead', start='class_mean'),
            tuner=dict(GROUPED, pool=pool),
            trainable=['head.*'],
        )
        assert model.needs_features()
        assert not model.needs_features({'tuner.pool.keys', 'head.weight'})
        assert not build(**PHASE_2).needs_features()
        features, labels = torch.randn(30, 32), torch.arange(30) % 3
        keys = model.tuner.pool.keys.clone()
        generator = torch.Generator().manual_seed(0)
        (weight,) = model.start_from_features(features, labels, generator, loaded={'tuner.pool.keys'})
        assert weight is model.head.weight
        means = torch.stack([features[labels == label].mean(0) for label in range(3)])
        torch.testing.assert_close(weight.detach(), F.normalize(means, dim=1))
        assert torch.equal(model.tuner.pool.keys, keys), 'it was loaded'
        started = model.start_from_features(features, labels, generator)
        assert [t.shape for t in started] == [(5, 32), (32,), (3, 32)]
        assert not torch.equal(model.tuner.pool.keys, keys)
