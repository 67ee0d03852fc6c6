"""The segmentor on micro towers: modes, derived channels, switches, freezing, caching, checkpoints, mistakes."""

import copy

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from tests.conftest import MICRO
from vlprompt.engine.checkpoint import describe_model, load_trained, trained_state
from vlprompt.engine.data_arguments import missing_arguments
from vlprompt.errors import CheckpointError, ConfigError, ImageSizeError
from vlprompt.models.dense.class_names import dense_class_names
from vlprompt.models.segmentors import DenseCLIP, OpenDenseCLIP

NAMES = ['wall', 'chest of drawers', 'bed ', 'sky', 'tree']
HEAD = dict(
    type='FPNHead',
    in_index=[0, 1, 2, 3],
    feature_strides=[4, 8, 16, 32],
    channels=16,
    norm_cfg=dict(type='BN'),
    loss_decode=dict(type='CrossEntropyLoss'),
)


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


def build(kind=DenseCLIP, **changes):
    """A model; of its backbone, ``changes`` replace ``clip``, ``score_concat`` and the arguments of the matching."""
    torch.manual_seed(0)
    matching = dict(
        prompt=dict(type='vlprompt.ContextPrompt', n_ctx=8, ending='', context_length=13),
        context_decoder=dict(type='vlprompt.ContextDecoder', width=16, heads=2, layers=1),
    )
    backbone = dict(
        type='vlprompt.TextGuidedBackbone',
        clip=dict(arch=MICRO['rn'], vision=dict(interpolation='bilinear')),
        trunk=dict(type='vlprompt.ClipTrunk', joint=True),
        matching=matching,
        score_concat=dict(stage=3),
    )
    for part, keys in ((matching, ('context_decoder', 'prompting')), (backbone, ('clip', 'score_concat'))):
        part.update({key: changes.pop(key) for key in keys if key in changes})
    kwargs = dict(
        backbone=backbone,
        class_names=NAMES,
        pixel_text_loss=dict(type='vlprompt.PixelTextLoss'),
        neck=dict(type='FPN', out_channels=16, num_outs=4),
        decode_head=HEAD,
        data_preprocessor=dict(type='SegDataPreProcessor'),
        train_cfg=ConfigDict(),
        test_cfg=ConfigDict(mode='whole'),
    )
    return kind(**{**kwargs, **changes})


def batch(size=64):
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 5, (2, 1, size, size), generator=generator)
    samples = [SegDataSample(gt_sem_seg=PixelData(data=label)) for label in labels]
    return torch.randn(2, 3, size, size, generator=generator), samples


SWITCHES = {
    'published': {},
    'pre': dict(prompting='pre'),
    'no decoder': dict(context_decoder=None),
    'no concatenation': dict(score_concat=None),
    'no auxiliary loss': dict(pixel_text_loss=None),
}


@pytest.mark.parametrize('switch', SWITCHES)
def test_every_part_can_be_switched_off(switch):
    model = build(**SWITCHES[switch]).train()
    images, samples = batch()
    losses = model(images, samples, mode='loss')
    assert ('pixel_text.loss_ce' in losses) == (switch != 'no auxiliary loss')
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    missing = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not missing, 'distributed training would wait for these'
    in_channels = model.neck.lateral_convs[3].conv.in_channels
    assert in_channels == 256 + (0 if switch == 'no concatenation' else 5)
    assert not any(p.requires_grad for p in model.backbone.matching.text.parameters())
    assert not model.backbone.matching.text.training


def test_modes():
    model = build().eval()
    images, _ = batch()
    with torch.no_grad():
        logits = model(images, mode='tensor')
        assert logits.shape == (2, 5, 16, 16)
        assert model.score_map(images).shape == (2, 5, 2, 2)
        samples = model(images, mode='predict')
    resized = torch.nn.functional.interpolate(logits, size=(64, 64), mode='bilinear')
    for row, sample in zip(resized, samples, strict=True):
        assert torch.equal(sample.pred_sem_seg.data[0], row.argmax(0))


def test_images_that_are_too_small_are_named():
    model = build().eval()
    images, samples = batch()
    for name, sample in zip('ab', samples, strict=True):
        sample.set_metainfo(dict(img_path=f'{name}.jpg', ori_shape=(4, 64), img_shape=(4, 64)))
    message = r'^a\.jpg, b\.jpg: images of 4x64 pixels are smaller than one cell of 32$'
    for mode in ('predict', 'loss'):
        with pytest.raises(ImageSizeError, match=message):
            model(images[..., :4, :], samples, mode=mode)
    with pytest.raises(ImageSizeError, match=r'^images of 4x64'):
        model(images[..., :4, :])


def views(sizes):
    """What a pipeline of several scales gives for one image of 80 x 64: every size, as it is and mirrored."""
    inputs, samples = [], []
    for size in sizes:
        for flip in (False, True):
            meta = dict(ori_shape=(80, 64), img_shape=size, flip=flip, flip_direction='horizontal' if flip else None)
            inputs.append([torch.full((3, *size), 90, dtype=torch.uint8)])
            samples.append([SegDataSample(metainfo=meta | dict(img_path='a.jpg'))])
    return dict(inputs=inputs, data_samples=samples)


@pytest.mark.parametrize(('prompting', 'runs'), [('post', 1), ('pre', 26)])
def test_one_run_of_the_text_tower_for_all_windows_scales_and_images(prompting, runs):
    """Windows of 64 by 32: 1 of an image of 64 x 48, 3 x 2 of 128 x 96, 2 x 2 of 96 x 72 and so on; both mirrored."""
    from mmseg.models import SegTTAModel

    model = build(test_cfg=ConfigDict(mode='slide', crop_size=(64, 64), stride=(32, 32)), prompting=prompting)
    tta = SegTTAModel(module=model).eval()
    calls = []
    model.backbone.matching.text.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        (merged,) = tta.test_step(views([(64, 48), (96, 72), (128, 96)]))
        model(torch.randn(1, 3, 96, 96), mode='predict')
    assert merged.pred_sem_seg.shape == (80, 64)
    assert len(calls) == runs


def test_text_head_gets_the_text_first(monkeypatch):
    model = build(text_head=True, decode_head=dict(HEAD, in_index=[1, 2, 3, 4])).eval()
    seen = []
    forward = model.decode_head.forward
    monkeypatch.setattr(model.decode_head, 'forward', lambda inputs: seen.extend(inputs) or forward(inputs))
    model(batch()[0], mode='tensor')
    assert [x.shape[1:] for x in seen[:2]] == [(5, 24), (16, 16, 16)]


def test_auxiliary_head_without_a_neck_sees_maps_without_scores():
    auxiliary = dict(type='FCNHead', in_index=3, channels=8, num_convs=1, norm_cfg=dict(type='BN'))
    model = build(neck=None, auxiliary_head=auxiliary).train()
    assert model.decode_head.in_channels == [32, 64, 128, 256 + 5]
    assert model.auxiliary_head.in_channels == 256
    assert 'aux.loss_ce' in model(*batch(), mode='loss')


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (
            dict(neck=dict(type='FPN', in_channels=[32, 64, 128, 256], out_channels=16, num_outs=4)),
            r'neck.in_channels.*261',
        ),
        (dict(decode_head=dict(HEAD, num_classes=19)), 'decode_head.num_classes=19.*require 5'),
        (dict(neck=dict(type='FPN', num_outs=4)), 'neck: give out_channels.* FPN'),
        (dict(decode_head=dict(HEAD, in_index=[1, 2, 3, 4])), r'decode_head.in_index=.*4\], .*inputs 0 to 3'),
        (dict(score_concat=None, pixel_text_loss=None), 'nothing uses the text'),
        (dict(score_concat=dict(stage=4)), 'stage=4'),
        (dict(class_names=['wall', 'wall']), "'wall' more than once"),
        (dict(class_names=[]), 'empty'),
        (dict(class_names='ade21k'), 'ade20k'),
        (
            dict(class_names=['wall', 'traffic light pole with sign']),
            r"'traffic light pole with sign'.*context_length=15",
        ),
        (dict(frozen=['backbone.matching.txt.*']), 'matching'),
    ],
)
def test_mistakes_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        build(**changes)


def test_score_maps_ignore_what_the_decode_head_ignores():
    assert build().pixel_text_loss.ignore_index == 255
    assert build(decode_head=dict(HEAD, ignore_index=7)).pixel_text_loss.ignore_index == 7


def test_initialisation_of_neck_and_head():
    """mmseg's by default; without ``init_cfg``, as published, what PyTorch and mmcv give the layers."""
    model = build()
    model.init_weights()
    assert model.decode_head.conv_seg.weight.std() < 0.015
    assert not model.neck.lateral_convs[0].conv.bias.any()
    neck = dict(type='FPN', out_channels=16, num_outs=4, init_cfg=None)
    model = build(decode_head=dict(HEAD, init_cfg=None), neck=neck)
    before = {name: p.clone() for name, p in model.named_parameters()}
    model.init_weights()
    assert model.decode_head.conv_seg.weight.std() > 0.1
    kept = ('backbone.', 'decode_head.conv_seg')
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters() if name.startswith(kept))


def test_class_lists_of_datasets():
    assert [len(dense_class_names(name, 'mmseg')) for name in ('ade20k', 'cityscapes', 'voc')] == [150, 19, 21]


def test_class_names_must_come_from_somewhere():
    with pytest.raises(ValueError, match='class_names is missing'):
        build(class_names=None)


def test_nothing_of_a_step_is_kept():
    """A copy, as of weights that are averaged, can be made after any mode."""
    model = build().train()
    for mode in ('tensor', 'loss'):
        model(*batch(), mode=mode)
        assert model.backbone.matched is None
        copy.deepcopy(model)


def test_names_agree_with_the_data():
    spelled = [name.upper() for name in dense_class_names('cityscapes', 'mmseg')]
    model = build(class_names='cityscapes')
    model.meet_data(dict(classes=spelled), 'training set', training=True)
    assert model.class_names == tuple(spelled), 'the data decide where the config names a dataset'
    with pytest.raises(ConfigError, match='test set: the model has 19 classes, the data 18'):
        model.meet_data(dict(classes=spelled[:-1]), 'test set', training=False)
    assert missing_arguments(dict(type='vlprompt.DenseCLIP'), 'mmseg') == ['class_names']


def test_new_class_names_at_test_time():
    model = build().eval()
    images, _ = batch()
    with torch.no_grad():
        before = model.score_map(images)
        model.set_class_names(['sky', 'wall'])
        after = model.score_map(images)
        assert after.shape == (2, 2, 2, 2)
        with pytest.raises(ValueError, match='built for 5 classes, but there are 2'):
            model(images, mode='predict')
    assert not torch.allclose(before[:, :2], after)


class TestFreeClasses:
    """Pixels are compared with text to the end, so that no part belongs to a class."""

    HEAD = HEAD | dict(type='vlprompt.TextFPNHead', in_index=[1, 2, 3, 4])

    def build(self, **changes):
        return build(OpenDenseCLIP, **(dict(score_concat=None, decode_head=self.HEAD) | changes))

    def test_no_tensor_depends_on_the_number_of_classes(self):
        shapes = [
            {key: value.shape for key, value in self.build(class_names=names).state_dict().items()}
            for names in (NAMES, NAMES[:2])
        ]
        assert shapes[0] == shapes[1]

    @pytest.mark.parametrize('prompting', ['post', 'pre'])
    def test_other_names_after_a_step(self, prompting):
        model = self.build(prompting=prompting).train()
        images, samples = batch()
        losses = model(images, samples, mode='loss')
        assert {'decode.loss_ce', 'pixel_text.loss_ce'} <= set(losses)
        sum(value for name, value in losses.items() if 'loss' in name).backward()
        assert model.decode_head.conv_seg.weight.grad.abs().sum() > 0
        assert model.decode_head.logit_scale.grad != 0
        model.eval()
        with torch.no_grad():
            before = model(images)
            model.set_class_names(['zebra', 'sky', 'tall grass', 'tree', 'bed ', 'owl', 'wall'])
            assert model.num_classes == 7
            after = model(images)
        assert (before.shape[1], after.shape[1]) == (5, 7)
        torch.testing.assert_close(after[:, [1, 3, 4, 6]], before[:, [3, 4, 2, 0]])  # the logits of the same names

    def test_logits_are_scaled_cosines(self):
        model, (images, _) = self.build().eval(), batch()
        with torch.no_grad():
            assert model(images).abs().max() <= 1 / 0.07 + 1e-4

    def test_windows_have_a_score_for_every_name(self):
        model = self.build(test_cfg=ConfigDict(mode='slide', crop_size=(64, 64), stride=(32, 32))).eval()
        model.set_class_names(['zebra', 'sky'])
        sample = SegDataSample(metainfo=dict(ori_shape=(96, 64), img_shape=(96, 64)))
        with torch.no_grad():
            (found,) = model(torch.randn(1, 3, 96, 64), [sample], mode='predict')
        assert found.seg_logits.data.shape == (2, 96, 64)
        assert int(found.pred_sem_seg.data.max()) < 2

    def test_a_single_name_is_refused(self):
        with pytest.raises(ValueError, match='at least two names, got zebra'):
            self.build().set_class_names(['zebra'])

    @pytest.mark.parametrize('part', [dict(score_concat=dict(stage=3)), dict(auxiliary_head=dict(type='FCNHead'))])
    def test_parts_of_one_set_of_classes_are_refused(self, part):
        with pytest.raises(ValueError, match=rf'OpenDenseCLIP: .*{next(iter(part))} has channels for one set'):
            self.build(**part)


def test_checkpoint_holds_what_was_trained_and_nothing_of_the_frozen_text(tmp_path):
    path = tmp_path / 'base.pt'
    base = build()
    state = {f'visual.{k}': v for k, v in base.backbone.trunk.visual.state_dict().items()}
    from vlprompt.clip import build_clip

    torch.manual_seed(1)
    torch.save(state | {k.removeprefix('text.'): v for k, v in build_clip(arch=MICRO['rn']).state_dict().items()}, path)
    clip = dict(arch=MICRO['rn'], weights=str(path), vision=dict(interpolation='bilinear'))
    model = build(clip=clip).train()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    losses = model(*batch(), mode='loss')
    (losses['decode.loss_ce'] + losses['pixel_text.loss_ce']).backward()
    optimizer.step()
    saved = trained_state(model)
    assert not any(name.startswith('backbone.matching.text.') for name in saved)
    assert 'backbone.trunk.visual.bn1.running_mean' in saved
    fresh = build(clip=clip)
    load_trained(fresh, dict(state_dict=saved, meta=dict(vlprompt=describe_model(model))))
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, fresh.state_dict()[name]), name
    with pytest.raises(CheckpointError, match='random base weights'):
        load_trained(build(), dict(state_dict=saved, meta=dict(vlprompt=describe_model(model))))


def test_frozen_backbone_keeps_its_statistics():
    model = build(frozen=['backbone.*']).train()
    before = {k: v.clone() for k, v in model.backbone.state_dict().items()}
    model(*batch(), mode='loss')
    assert all(torch.equal(v, before[k]) for k, v in model.backbone.state_dict().items())
