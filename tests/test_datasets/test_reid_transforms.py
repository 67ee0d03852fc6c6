"""Augmentation of re-identification: sizes, random erasing with noise in normalised space, reproducibility."""

import numpy as np
import pytest
import torch
from PIL import Image
from reid_trees import make_market
from torch.utils.data import DataLoader
from torchvision.transforms import functional as F

from vlprompt.datasets import PackReIDInputs, PaddedRandomCrop, RandomErasing, ReIDDataset, ResizeImage
from vlprompt.models.preprocessors import ClipPreprocessor

TRAIN = [
    dict(type='vlprompt.LoadImage'),
    dict(type='vlprompt.ResizeImage', size=(32, 16), interpolation='bicubic'),
    dict(type='vlprompt.RandomHorizontalFlip'),
    dict(type='vlprompt.PaddedRandomCrop', size=(32, 16), padding=3),
    dict(type='vlprompt.RandomErasing', prob=0.7),
    dict(type='vlprompt.PackReIDInputs'),
]


def image(height=24, width=10):
    pixels = np.random.default_rng(0).integers(1, 256, (height, width, 3), dtype=np.uint8)
    return dict(img=Image.fromarray(pixels))


@pytest.mark.parametrize('interpolation', ['bilinear', 'bicubic'])
def test_resize_is_pillows(interpolation):
    expected = image()['img'].resize((8, 40), getattr(Image.Resampling, interpolation.upper()))
    resized = ResizeImage((40, 8), interpolation)(image())['img']
    assert np.array_equal(np.asarray(resized), np.asarray(expected))


def test_crop_shows_black_where_it_leaves_the_image(seeded):
    original = np.asarray(image()['img'])
    offsets = set()
    for _ in range(40):
        crop = np.asarray(PaddedRandomCrop((24, 10), 4)(image())['img'])
        padded = np.pad(original, ((4, 4), (4, 4), (0, 0)))
        matches = [(y, x) for y in range(9) for x in range(9) if np.array_equal(padded[y : y + 24, x : x + 10], crop)]
        assert len(matches) == 1
        offsets.add(matches[0])
    assert len(offsets) > 20


def test_erased_rectangles_follow_their_distribution(seeded):
    """Shares of area uniform in [0.02, 1/3] but for what does not fit, aspects in [0.3, 1 / 0.3], places uniform."""
    erase, boxes = RandomErasing(prob=0.5), []
    picture = dict(img=Image.new('RGB', (128, 256)))
    for _ in range(1500):
        results = erase(dict(picture))
        if 'erased_box' in results:
            top, left, height, width = results['erased_box'].tolist()
            assert results['erased_noise'].shape == (3, height, width)
            assert 0 <= top <= 256 - height
            assert 0 <= left <= 128 - width
            boxes.append((top / (256 - height), left / (128 - width), height * width / 2**15, height / width))
    boxes = np.array(boxes)
    assert abs(len(boxes) / 1500 - 0.5) < 0.04
    assert boxes[:, 2].min() >= 0.019
    assert boxes[:, 2].max() <= 0.34
    assert boxes[:, 3].min() > 0.28
    assert boxes[:, 3].max() < 3.5
    assert np.abs(boxes[:, :2].mean(0) - 0.5).max() < 0.04
    assert abs(boxes[:, 2].mean() - 0.17) < 0.02


def test_noise_replaces_normalised_pixels(seeded):
    results = PackReIDInputs()(RandomErasing(prob=1)(dict(image(), pid=3, camid=1, viewid=0, role='train')))
    sample = results['data_samples']
    (top, left, height, width), noise = sample.erased_box.tolist(), sample.erased_noise
    batch = ClipPreprocessor(mean=[0.5] * 3, std=[0.5] * 3)(
        dict(inputs=[results['inputs']], data_samples=[sample]), training=True
    )
    expected = F.normalize(F.to_tensor(image()['img']), [0.5] * 3, [0.5] * 3)
    expected[:, top : top + height, left : left + width] = noise
    assert torch.equal(batch['inputs'][0], expected)
    assert 'erased_noise' not in batch['data_samples'][0]


def test_augmentation_belongs_to_the_sample(tmp_path):
    """The same batch from the process itself and from two workers; another one in the next epoch."""
    make_market(tmp_path, 'bounding_box_train', 'query', 'bounding_box_test')
    dataset, preprocess = ReIDDataset(str(tmp_path), pipeline=TRAIN, seed=4), ClipPreprocessor()

    def load(epoch, workers):
        loader = DataLoader(dataset, batch_size=4, num_workers=workers, collate_fn=list,
                            sampler=range(18 * epoch, 18 * epoch + 8))  # fmt: skip
        batches = [{key: [item[key] for item in batch] for key in batch[0]} for batch in loader]
        return torch.cat([preprocess(batch)['inputs'] for batch in batches])

    alone = load(2, 0)
    assert torch.equal(load(2, 2), alone)
    assert not torch.equal(load(3, 0), alone)


def test_impossible_arguments():
    for options in (dict(prob=1.5), dict(area=(0.5, 0.2)), dict(area=(0.1, 1.0)), dict(min_aspect=0)):
        with pytest.raises(ValueError, match='RandomErasing: prob must be in'):
            RandomErasing(**options)
