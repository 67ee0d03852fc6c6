"""Batches for segmentors, against mmseg's preprocessor, and on a GPU that is not there."""

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.models import SegDataPreProcessor
from mmseg.structures import SegDataSample
from torch._subclasses import FakeTensorMode

from tests.host_reads import CopiesToGpu
from vlprompt.engine.dry_run import fake_copy
from vlprompt.models.segmentors import SegPreprocessor

NORMALISED = dict(mean=[122.0, 116.0, 104.0], std=[68.0, 66.0, 70.0], bgr_to_rgb=True, seg_pad_val=255)


def batch(*sizes, labels=True):
    generator = torch.Generator().manual_seed(0)
    images, samples = [], []
    for height, width in sizes:
        images.append(torch.randint(256, (3, height, width), generator=generator, dtype=torch.uint8))
        sample = SegDataSample(metainfo=dict(img_path=f'{len(images)}.png', img_shape=(height, width)))
        if labels:
            own = torch.randint(9, (1, height, width), generator=generator)
            sample.gt_sem_seg = PixelData(data=own)
        samples.append(sample)
    return dict(inputs=images, data_samples=samples)


@pytest.mark.parametrize('options', [dict(size=(8, 8)), dict(size=(10, 9)), dict(size_divisor=4)])
@pytest.mark.parametrize(
    ('sizes', 'training'),
    [([(8, 6), (8, 6)], True), ([(8, 6), (8, 6)], False), ([(8, 8)], True), ([(8, 6), (5, 8)], True)],
)
def test_batches_are_those_of_mmseg(options, sizes, training):
    ours = SegPreprocessor(**NORMALISED, **options)(batch(*sizes), training)
    theirs = SegDataPreProcessor(**NORMALISED, **options)(batch(*sizes), training)
    assert torch.equal(ours['inputs'], theirs['inputs'])
    for own, other in zip(ours['data_samples'], theirs['data_samples'], strict=True):
        assert torch.equal(own.gt_sem_seg.data, other.gt_sem_seg.data)
        assert own.metainfo == other.metainfo


@pytest.mark.parametrize('odd', ['edge', 'depth', 'type', 'none'])
def test_other_maps_are_those_of_mmseg(odd):
    """Padded as the images: maps of edges and depth, label maps of several types, and where one image has none."""

    def made():
        data = batch((8, 6), (8, 6))
        second = data['data_samples'][1]
        if odd in ('edge', 'depth'):
            setattr(second, f'gt_{odd}_map', PixelData(data=torch.ones(1, 8, 6)))
        elif odd == 'type':
            second.gt_sem_seg.data = second.gt_sem_seg.data.byte()
        else:
            del second.gt_sem_seg
        return data

    options = NORMALISED | dict(size=(10, 9))
    ours, theirs = (kind(**options)(made(), True) for kind in (SegPreprocessor, SegDataPreProcessor))
    assert torch.equal(ours['inputs'], theirs['inputs'])
    for own, other in zip(ours['data_samples'], theirs['data_samples'], strict=True):
        assert own.metainfo == other.metainfo
        assert own.keys() == other.keys()
        for name in sorted(own.keys()):
            assert torch.equal(own.get(name).data, other.get(name).data)
            assert own.get(name).data.dtype == other.get(name).data.dtype


def test_what_a_batch_may_lack():
    preprocess = SegPreprocessor(**NORMALISED, size=(8, 8))
    without = preprocess(batch((8, 8), (8, 8), labels=False))
    assert without['inputs'].shape == (2, 3, 8, 8)
    assert 'gt_sem_seg' not in without['data_samples'][0]
    assert preprocess(dict(inputs=torch.zeros(2, 3, 8, 8)))['data_samples'] is None
    plain = SegPreprocessor(size=(8, 8))(batch((8, 8)))['inputs']
    assert torch.equal(plain[0], batch((8, 8))['inputs'][0].float())


def test_the_batch_of_the_loader_stays():
    data = batch((6, 6), (6, 6))
    before = [sample.clone() for sample in data['data_samples']]
    SegPreprocessor(**NORMALISED, size=(8, 8))(data, True)
    for sample, own in zip(data['data_samples'], before, strict=True):
        assert sample.metainfo == own.metainfo
        assert torch.equal(sample.gt_sem_seg.data, own.gt_sem_seg.data)


def test_two_copies_without_waiting():
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    preprocess = fake_copy(SegPreprocessor(**NORMALISED, size=(8, 8)), mode, 'cuda')
    preprocess._non_blocking = True  # the runner's choice
    preprocess._device = torch.device('cuda')
    with mode, CopiesToGpu() as copies:
        made = preprocess(batch((8, 6), (8, 6)), True)
    assert made['inputs'].device.type == made['data_samples'][0].gt_sem_seg.data.device.type == 'cuda'
    assert copies.found == [((2, 3, 8, 6), False), ((2, 1, 8, 6), False)]
