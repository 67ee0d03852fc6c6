import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms as T

from vlprompt.models.preprocessors import CLIP_MEAN, CLIP_STD, ClipPreprocessor
from vlprompt.structures import ClassificationSample


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
