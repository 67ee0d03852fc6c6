"""Both phases of CLIP-ReID on micro towers: feature levels, descriptors, losses, side information, checkpoints."""

import pytest
import torch
from torch.nn import functional as F

from tests.conftest import MICRO
from vlprompt.clip import build_clip
from vlprompt.engine.checkpoint import describe_model, load_trained, trained_state
from vlprompt.engine.data_arguments import arguments_of_checkpoint, completed, missing_arguments
from vlprompt.errors import CheckpointError
from vlprompt.models import FlipTTAModel
from vlprompt.models.losses.triplet import batch_hard_triplet
from vlprompt.models.reid import IdentityPromptLearner, ReIdentifier
from vlprompt.models.reid.levels import feature_levels, level_channels
from vlprompt.models.reid.side_information import SideInformation
from vlprompt.structures import ReIDSample

IDS = 5
VISION = {'vit': dict(interpolation='bilinear'), 'rn': dict(last_stride=1, interpolation='bilinear')}


def clip_config(kind, **vision):
    return dict(arch=MICRO[kind], image_size=(64, 32), vision=VISION[kind] | vision)


def build(kind='vit', vision=None, **options):
    torch.manual_seed(0)
    return ReIdentifier(clip_config(kind, **(vision or {})), **(dict(num_ids=IDS) | options))


def samples(n=4, cameras=(0, 1, 0, 2)):
    made = [ReIDSample(pid=i // 2, camid=cameras[i], viewid=i % 2) for i in range(n)]
    for i, sample in enumerate(made):
        sample.set_gt_label(i // 2)
    return made


@pytest.fixture
def images():
    torch.manual_seed(1)
    return torch.randn(4, 3, 64, 32)


# --------------------------------------------------------------------------------------------------------------- levels


def test_levels_of_a_vit(images):
    """Against all tokens computed everywhere."""
    visual = build_clip(**clip_config('vit', out_indices=(0, 1))).visual
    tokens, _ = visual.embed(images)
    x, (first, _) = visual.encode(tokens, out_indices=(0, 1))
    levels = feature_levels(visual, images)
    torch.testing.assert_close(levels.last, first[:, 0])
    torch.testing.assert_close(levels.final, visual.ln_post(x)[:, 0])
    torch.testing.assert_close(levels.joint, visual(images).cls)
    assert level_channels(visual) == (64, 64, 24)


def test_triplets_need_several_identities(images):
    model, batch = build(weights=dict(i2t=0)), samples()
    for sample in batch:
        sample.pid = 7
    with pytest.raises(ValueError, match='all 4 samples are of one'):
        model.loss(images, batch)
    build(weights=dict(i2t=0, triplet=0, triplet_last=0, triplet_proj=0)).loss(images, batch)


class TestTimm:
    """A ViT of timm has no joint space: two levels, one head."""

    TIMM = dict(arch=dict(width=64, layers=3, heads=2, patch_size=16, image_size=(64, 32)))
    WEIGHTS = dict(id_proj=0, triplet_proj=0, i2t=0)

    def build(self, **options):
        torch.manual_seed(0)
        return ReIdentifier(timm=self.TIMM, **(dict(num_ids=IDS, weights=self.WEIGHTS) | options))

    def test_levels_and_descriptor(self, images):
        model = self.build().eval()
        levels = model.levels(images)
        assert levels.joint is None
        assert level_channels(model.visual) == (64, 64, None)
        assert torch.equal(model(images), levels.final)
        after = self.build(descriptor='after').eval()(images)
        torch.testing.assert_close(after, model.head.norm(levels.final))

    def test_losses(self, images):
        model = self.build(margin=None, label_smoothing=0.0)
        levels = model.levels(images)
        labels = torch.tensor([0, 0, 1, 1])
        losses = model.loss(images, samples())
        assert set(losses) == {'loss_id', 'loss_triplet_last', 'loss_triplet', 'accuracy'}
        torch.testing.assert_close(losses['loss_triplet'], batch_hard_triplet(levels.final, labels, None))
        torch.testing.assert_close(losses['loss_triplet_last'], batch_hard_triplet(levels.last, labels, None))
        torch.testing.assert_close(losses['loss_id'], F.cross_entropy(model.head(levels.final), labels))

    def test_side_information(self, images):
        model = self.build(sie=dict(camera=True), num_cameras=3)
        assert not torch.equal(model(images, samples()), model(images, samples(cameras=(1, 1, 1, 1))))

    def test_centroids(self, images):
        weights = dict(self.WEIGHTS, triplet_last=0, triplet=0)
        model = self.build(weights=weights, centroids=dict(), descriptor='after')
        model.centroids.fill(torch.randn(IDS, 64), torch.arange(IDS))
        assert set(model.loss(images, samples())) == {'loss_id', 'loss_centroid', 'accuracy'}

    def test_refusals(self):
        with pytest.raises(ValueError, match='either clip=dict'):
            ReIdentifier()
        with pytest.raises(ValueError, match='either clip=dict'):
            ReIdentifier(clip_config('vit'), timm=self.TIMM)
        with pytest.raises(ValueError, match=r'weights id_proj, i2t need .* set model\.weights\.id_proj=0, model'):
            self.build(weights=dict(triplet_proj=0))


def test_levels_of_a_resnet(images):
    visual = build_clip(**clip_config('rn')).visual
    *_, third, fourth = visual.stages(images)
    levels = feature_levels(visual, images)
    torch.testing.assert_close(levels.last, third.flatten(2).mean(2))
    torch.testing.assert_close(levels.final, fourth.flatten(2).mean(2))
    torch.testing.assert_close(levels.joint, visual.attnpool(fourth)[:, 0])
    assert fourth.shape[-2:] == (4, 2)  # last stride 1: total stride 16
    assert level_channels(visual) == (128, 256, 24)
    with pytest.raises(ValueError, match='only a ViT of CLIP has a class token'):
        feature_levels(visual, images, torch.zeros(64))


@pytest.mark.parametrize(
    ('size', 'stride', 'grid'),
    [((256, 128), 16, (16, 8)), ((256, 128), 12, (21, 10)), ((256, 256), 16, (16, 16)), ((256, 256), 12, (21, 21))],
)
def test_grids(size, stride, grid):
    clip = clip_config('vit', patch_stride=stride) | dict(image_size=size)
    visual = build_clip(**clip).visual
    assert visual.grid_size == grid
    assert len(visual.positional_embedding) == 1 + grid[0] * grid[1]


# ---------------------------------------------------------------------------------------------------------- descriptors


@pytest.mark.parametrize('kind', ['vit', 'rn'])
def test_descriptors(kind, images):
    model = build(kind).eval()
    levels = feature_levels(model.visual, images)
    for head in (model.head, model.head_proj):
        head.norm.running_mean.normal_()
    with torch.no_grad():
        before = model(images)
        torch.testing.assert_close(before, torch.cat([levels.final, levels.joint], 1))
        model.descriptor = 'after'
        after = model(images, mode='tensor')
        predicted = model(images, samples(), mode='predict')
    torch.testing.assert_close(after[:, -24:], model.head_proj.norm(levels.joint).detach())
    torch.testing.assert_close(torch.stack([s.feature for s in predicted]), after)
    assert before.shape == after.shape == (4, model.head.norm.num_features + 24)
    with pytest.raises(ValueError, match='mode must be'):
        model(images, mode='x')
    assert len(model(images, mode='predict')) == 4


def test_mirrored_views_are_averaged():
    model = build().eval()
    pictures = list(torch.randint(0, 256, (2, 3, 64, 32), dtype=torch.uint8))
    batch = dict(inputs=pictures, data_samples=samples(2))
    with torch.no_grad():
        (first, _) = FlipTTAModel(module=model).test_step(batch)
        views = model.data_preprocessor(dict(inputs=[pictures[0], pictures[0].flip(-1)]))['inputs']
        torch.testing.assert_close(first.feature, model(views).mean(0))


def test_without_numbers_a_model_only_describes(images):
    model = build(num_ids=None).eval()
    assert model(images).shape == (4, 88)
    with pytest.raises(ValueError, match=r'needs model\.num_ids'):
        model(images, samples(), mode='loss')


# --------------------------------------------------------------------------------------------------------------- losses


@pytest.mark.parametrize('kind', ['vit', 'rn'])
def test_losses(kind, images):
    weights = dict(id=0.25, id_proj=0.5, triplet_last=0.1, triplet=0.2, triplet_proj=0.3, i2t=2.0)
    model = build(kind, weights=weights).eval()
    model.prototypes.copy_(torch.randn(IDS, 24))
    labels = torch.tensor([0, 0, 1, 1])
    losses = model(images, samples(), mode='loss')
    levels = model.levels(images)
    scores = model.head.classifier(model.head.norm(levels.final))
    expected = dict(
        id=0.25 * F.cross_entropy(scores, labels, label_smoothing=0.1),
        id_proj=0.5 * F.cross_entropy(model.head_proj(levels.joint), labels, label_smoothing=0.1),
        triplet_last=0.1 * batch_hard_triplet(levels.last, labels),
        triplet=0.2 * batch_hard_triplet(levels.final, labels),
        triplet_proj=0.3 * batch_hard_triplet(levels.joint, labels),
        i2t=2 * F.cross_entropy(levels.joint @ model.prototypes.T, labels, label_smoothing=0.1),
    )
    assert set(losses) == {f'loss_{name}' for name in expected} | {'accuracy'}
    for name, value in expected.items():
        torch.testing.assert_close(losses[f'loss_{name}'], value)
    sum(v for k, v in losses.items() if 'loss' in k).backward()
    unused = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not unused
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {'head.norm.bias', 'head_proj.norm.bias'}


def test_the_baseline_has_no_text(images):
    model = build(weights=dict(i2t=0))
    assert model.prototypes is None
    assert 'loss_i2t' not in model(images, samples(), mode='loss')


def test_forgotten_prototypes(images):
    with pytest.raises(ValueError, match='run both phases'):
        build()(images, samples(), mode='loss')


def test_official_rounds_the_text_scores(images):
    model = build(official=True)
    model.prototypes.copy_(torch.randn(IDS, 24))
    joint = torch.randn(3, 24)
    expected = (joint.half() @ model.prototypes.half().T).float()
    torch.testing.assert_close(model.text_scores(joint), expected, rtol=0, atol=0)


def test_unknown_options():
    with pytest.raises(ValueError, match=r"unknown weights \['tri'\]"):
        build(weights=dict(tri=1))
    with pytest.raises(ValueError, match='descriptor must be'):
        build(descriptor='both')
    with pytest.raises(ValueError, match=r"not \['cam'\]"):
        build(sie=dict(cam=True))


def test_mixed_precision(images):
    """Under autocast the tower rounds, the losses do not."""
    model = build()
    model.prototypes.copy_(torch.randn(IDS, 24))
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = model(images, samples(), mode='loss')
        assert model.text_scores(torch.randn(2, 24, dtype=torch.bfloat16)).dtype == torch.float32
    exact = model(images, samples(), mode='loss')
    for name, value in losses.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, exact[name], atol=0.2, rtol=0.1)


# ----------------------------------------------------------------------------------------------------- side information


def test_rows_of_side_information():
    side = SideInformation(8, num_cameras=3, num_views=2, coefficient=2.0)
    assert side.embedding.shape == (6, 8)
    result = side(side.rows([2, 0], [1, 1]))
    torch.testing.assert_close(result, 2 * side.embedding[[5, 1]])
    only_view = SideInformation(8, num_views=2)
    torch.testing.assert_close(only_view(only_view.rows(None, [1])), only_view.embedding[[1]])
    assert side.embedding.std() < 0.03
    with pytest.raises(ValueError, match='camera 3'):
        side.rows([3], [0])
    with pytest.raises(ValueError, match='cameras, viewpoints or both'):
        SideInformation(8)
    with pytest.raises(ValueError, match='at_test'):
        SideInformation(8, num_views=2, at_test='none')


def test_side_information_moves_the_class_token(images):
    model = build(num_cameras=3, sie=dict(camera=True)).eval()
    model.sie.embedding.data *= 50
    tokens, _ = model.visual.embed(images)
    tokens = torch.cat([tokens[:, :1] + model.sie.embedding[[0, 1, 0, 2]].unsqueeze(1), tokens[:, 1:]], 1)
    x, _ = model.visual.encode(tokens)
    torch.testing.assert_close(model(images, samples())[:, :64], model.visual.ln_post(x)[:, 0])
    with pytest.raises(ValueError, match='give data_samples'):
        model(images)
    with pytest.raises(ValueError, match=r"camera 7 .* trained on 3: .*at_test='mean'"):
        model(images, samples(cameras=(0, 7, 1, 1)))
    model.sie.at_test = 'mean'
    assert model(images).shape == model(images, samples(cameras=(0, 7, 1, 1))).shape
    model.train()
    with pytest.raises(ValueError, match='camera 7'):  # which training never replaces
        model(images, samples(cameras=(0, 7, 1, 1)))


def test_side_information_needs_a_vit_and_numbers():
    with pytest.raises(ValueError, match='a ResNet does not have'):
        build('rn', num_cameras=2, sie=dict(camera=True))
    with pytest.raises(ValueError, match=r'needs model\.num_views'):
        build(num_cameras=2, sie=dict(camera=True, view=True))


def test_data_must_fit():
    model = build(num_cameras=3, num_views=1, sie=dict(camera=True))
    fitting = dict(num_ids=IDS, num_cameras=3, num_views=4)
    model.meet_data(fitting, 'data', training=True)
    model.meet_data(fitting | dict(num_ids=99), 'data', training=False)
    with pytest.raises(ValueError, match='data has num_ids=99, but the model was built for 5'):
        model.meet_data(fitting | dict(num_ids=99), 'data', training=True)
    with pytest.raises(ValueError, match=r"num_cameras=8, but the model was built for 3: .*at_test='mean'"):
        model.meet_data(fitting | dict(num_cameras=8), 'data', training=False)
    model.sie.at_test = 'mean'
    model.meet_data(fitting | dict(num_cameras=8), 'data', training=False)


# ---------------------------------------------------------------------------------------------------------- checkpoints


def checkpoint(model):
    return dict(meta=dict(vlprompt=describe_model(model)), state_dict=trained_state(model))


def test_numbers_come_from_the_checkpoint():
    saved = checkpoint(build(num_cameras=3, num_views=1))
    model = dict(type='vlprompt.ReIdentifier', num_views=2)
    missing = missing_arguments(model, 'vlprompt')
    assert missing == ['num_ids', 'num_cameras']
    whole = completed(model, missing, arguments_of_checkpoint(saved))
    assert (whole['num_ids'], whole['num_cameras'], whole['num_views']) == (IDS, 3, 2)
    saved['meta']['vlprompt']['data_arguments'] = dict(num_ids=IDS)  # a converted one may not know all
    assert completed(model, missing, arguments_of_checkpoint(saved))['num_cameras'] is None


def test_a_checkpoint_of_other_identities(images):
    saved = checkpoint(build(num_ids=9))
    model = build().eval()
    with pytest.raises(CheckpointError, match=r'classifier.weight has shape \(9, 64\)'):
        load_trained(model, saved)
    load_trained(model, saved, other_classes=True)
    source = build(num_ids=9).eval()
    load_trained(source, saved)
    torch.testing.assert_close(model(images), source(images))
    load_trained(build(weights=dict(i2t=0)), saved, other_classes=True)  # a baseline has no prototypes


# -------------------------------------------------------------------------------------------------------------- phase 1


@pytest.fixture(params=['vit', 'rn'])
def learner(request):
    torch.manual_seed(0)
    return IdentityPromptLearner(clip_config(request.param), num_ids=IDS, noun='person')


def test_prompt_learner(learner, images):
    learner.train()
    assert [n for n, p in learner.named_parameters() if p.requires_grad] == ['prompt.context']
    assert not learner.clip.visual.training
    features = learner(images)
    torch.testing.assert_close(features, learner.clip.encode_image(images).cls)
    labels = torch.tensor([3, 1, 3, 3])
    text = learner.prompt.encode(learner.clip.text, reference=True)[0]
    torch.testing.assert_close(learner.text_features(labels), text[labels], atol=1e-5, rtol=1e-4)
    losses = learner(features.detach(), labels, mode='loss')
    sum(losses.values()).backward()
    grad = learner.prompt.context.grad.flatten(1).norm(dim=1)
    assert (grad > 0).tolist() == [False, True, False, True, False]
    assert learner(images, mode='predict')[0].feature.shape == (24,)


def test_prototypes_follow_the_prompts(learner):
    first = trained_state(learner)['prototypes']
    torch.testing.assert_close(first, learner.prompt.encode(learner.clip.text)[0].detach())
    with torch.no_grad():
        learner.prompt.context.add_(1)
    assert not torch.equal(trained_state(learner)['prototypes'], first)


def test_preprocessor_lets_features_pass(learner):
    features = torch.randn(3, 24)
    batch = learner.data_preprocessor(dict(inputs=features, data_samples=torch.arange(3)), training=True)
    torch.testing.assert_close(batch['inputs'], features)
    pictures = learner.data_preprocessor(dict(inputs=[torch.zeros(3, 64, 32, dtype=torch.uint8)]))
    assert pictures['inputs'].shape == (1, 3, 64, 32)


def test_prompt_learner_needs_numbers():
    with pytest.raises(ValueError, match=r'model\.num_ids and model\.noun must be known.*--cfg-options model\.num'):
        IdentityPromptLearner(clip_config('rn'))
    with pytest.raises(ValueError, match=r'IdentityPromptLearner: model\.noun must be known'):
        IdentityPromptLearner(clip_config('rn'), num_ids=IDS)
