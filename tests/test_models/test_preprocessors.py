import numpy as np
import pytest
import torch
from PIL import Image
from torch._subclasses.fake_tensor import FakeTensorMode
from torchvision import transforms as T

from tests.host_reads import CopiesToGpu
from vlprompt.models.preprocessors import CLIP_MEAN, CLIP_STD, ClipPreprocessor
from vlprompt.models.reid import CachedFeaturePreprocessor
from vlprompt.structures import ClassificationSample, ReIDSample


@pytest.fixture
def photos():
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (10, 12, 3), dtype=np.uint8)) for _ in range(2)]


def as_uint8(photo):
    return torch.from_numpy(np.array(photo)).permute(2, 0, 1)


def test_equals_to_tensor_and_normalize_bit_for_bit(photos):
    official = T.Compose([T.ToTensor(), T.Normalize(CLIP_MEAN, CLIP_STD)])
    expected = torch.stack([official(photo) for photo in photos])
    samples = [ClassificationSample().set_gt_label(i) for i in range(2)]
    images = [as_uint8(photo) for photo in photos]
    out = ClipPreprocessor()(dict(inputs=images, data_samples=samples))
    assert torch.equal(out['inputs'], expected)
    assert [int(sample.gt_label) for sample in out['data_samples']] == [0, 1]
    stacked = ClipPreprocessor()(dict(inputs=torch.stack(images)))
    assert torch.equal(stacked['inputs'], expected)
    assert stacked['data_samples'] is None


def erased(photo, index, box=(1, 2, 4, 3), noise=torch.float32):
    sample = ReIDSample(metainfo=dict(img_path=f'{index}.jpg'), pid=index, camid=0).set_gt_label(index)
    if box is not None:
        sample.set_data(dict(erased_box=torch.tensor(box), erased_noise=torch.randn(3, *box[2:]).to(noise)))
    return as_uint8(photo), sample


def test_rectangles_of_several_sizes_are_erased(photos, seeded):
    boxes = [(1, 2, 4, 3), None, (0, 0, 1, 7), (3, 1, 6, 2)]
    batch = [erased(photos[index % 2], index, box) for index, box in enumerate(boxes)]
    images, samples = map(list, zip(*batch, strict=True))
    out = ClipPreprocessor()(dict(inputs=images, data_samples=samples))
    expected = ClipPreprocessor()(dict(inputs=images))['inputs']
    for image, sample in zip(expected, samples, strict=True):
        if 'erased_box' in sample:
            top, left, height, width = sample.erased_box.tolist()
            image[:, top : top + height, left : left + width] = sample.erased_noise
    assert torch.equal(out['inputs'], expected)
    for index, (sample, before) in enumerate(zip(out['data_samples'], samples, strict=True)):
        assert (sample.pid, sample.img_path, sample.gt_label.tolist()) == (index, f'{index}.jpg', [index])
        assert set(sample.keys()) == {'pid', 'camid', 'gt_label'}
        assert ('erased_noise' in before) == (boxes[index] is not None), 'the samples of the loader stay as they are'


def on_gpu(**kwargs):
    preprocess = ClipPreprocessor(**kwargs)
    preprocess.mean, preprocess.std = preprocess.mean.to('cuda'), preprocess.std.to('cuda')
    preprocess._device = torch.device('cuda')
    return preprocess


@pytest.mark.parametrize('non_blocking', [True, False])
def test_a_batch_goes_to_a_gpu_by_three_copies(photos, monkeypatch, non_blocking):
    """Images, labels, noise; whatever the number of images.  Without waiting they come from pinned memory."""
    batch = [erased(photos[0], index, (1, 2, 3 + index % 2, 3) if index % 3 else None) for index in range(12)]
    boxes = iter([sample.erased_box.tolist() for _, sample in batch if 'erased_box' in sample])
    pinned, empty = [], torch.empty

    def record(*args, pin_memory=False, **kwargs):
        tensor = empty(*args, **kwargs)
        if pin_memory:
            pinned.append(tensor)
        return tensor

    monkeypatch.setattr(torch, 'empty', record)
    monkeypatch.setattr('vlprompt.models.transfer.memory_can_be_pinned', lambda: True)
    monkeypatch.setattr(torch.Tensor, 'tolist', lambda box: next(boxes))  # boxes are numbers of the host
    with FakeTensorMode(allow_non_fake_inputs=True):
        preprocess = on_gpu(non_blocking=non_blocking)
        with CopiesToGpu() as copies:
            images, samples = map(list, zip(*batch, strict=True))
            out = preprocess(dict(inputs=images, data_samples=samples))
        assert out['inputs'].device.type == 'cuda'
        assert {sample.gt_label.device.type for sample in out['data_samples']} == {'cuda'}
    noise = sum(3 * height * 3 for height in (4, 3) * 4)
    assert [shape for shape, _ in copies.found] == [(12, 3, 10, 12), (noise,), (12, 1)]
    assert {waits for _, waits in copies.found} == {not non_blocking}
    assert len(pinned) == (3 if non_blocking else 0)
    assert next(boxes, None) is None


def test_features_and_labels_go_to_a_gpu_by_two_copies():
    with FakeTensorMode():
        preprocess = CachedFeaturePreprocessor()
        preprocess._device = torch.device('cuda')
        with CopiesToGpu() as copies:
            out = preprocess(dict(inputs=torch.rand(4, 8), data_samples=torch.arange(4)))
        assert {value.device.type for value in out.values()} == {'cuda'}
    assert len(copies.found) == 2


def test_fields_that_differ_are_moved_one_by_one():
    samples = [
        ClassificationSample(note='a').set_gt_label(1).set_pred_score(torch.rand(3)),
        ClassificationSample(note='b').set_gt_label(2).set_pred_score(torch.rand(4)),
        ClassificationSample(),
    ]
    images = torch.zeros(3, 3, 4, 4, dtype=torch.uint8)
    moved = ClipPreprocessor()(dict(inputs=images, data_samples=samples))['data_samples']
    for sample, before in zip(moved, samples, strict=True):
        assert set(sample.keys()) == set(before.keys())
        assert all(torch.equal(sample.get(name), value) for name, value in before.items() if name != 'note')
    assert [sample.get('note') for sample in moved] == ['a', 'b', None]


def test_what_cannot_be_a_batch_is_named(photos):
    image = as_uint8(photos[0])
    samples = [ClassificationSample(metainfo=dict(img_path=name)) for name in ('a.jpg', 'b.jpg')]
    preprocess = ClipPreprocessor()
    with pytest.raises(TypeError, match=r'b\.jpg is torch\.float32.*directly'):
        preprocess(dict(inputs=[image, image.float()], data_samples=samples))
    with pytest.raises(ValueError, match=r'b\.jpg is \(5, 12\).*crop'):
        preprocess(dict(inputs=[image, image[:, :5]], data_samples=samples))
    with pytest.raises(ValueError, match=r'a\.jpg has \(1, 10, 12\)'):
        preprocess(dict(inputs=[image[:1], image], data_samples=samples))
    with pytest.raises(ValueError, match='divide values'):
        ClipPreprocessor(mean=(123.7, 116.3, 103.5))
