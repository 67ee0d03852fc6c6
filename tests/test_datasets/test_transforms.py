import random

import numpy as np
import pytest
import torch
from data_trees import save_image
from PIL import Image
from torchvision import transforms as T

from vlprompt.datasets.seeded import sample_rng
from vlprompt.datasets.transforms import (
    CenterCrop,
    KeepInMemory,
    LoadImage,
    PackClassification,
    RandomHorizontalFlip,
    RandomResizedCrop,
    ResizeShorterSide,
)
from vlprompt.errors import ImageSizeError

BICUBIC = T.InterpolationMode.BICUBIC


def run(path, *transforms):
    results = dict(img_path=str(path), gt_label=3)
    for transform in transforms:
        results = transform(results)
    return results


def test_train_and_test_recipes_are_torchvisions(tmp_path):
    save_image(tmp_path / 'a.png', size=(50, 40))
    image = Image.open(tmp_path / 'a.png').convert('RGB')
    torch.manual_seed(3)
    ours = run(
        tmp_path / 'a.png', LoadImage(), RandomResizedCrop(size=24), RandomHorizontalFlip(), PackClassification()
    )
    torch.manual_seed(3)
    official = T.Compose([T.RandomResizedCrop(24, scale=(0.08, 1), interpolation=BICUBIC), T.RandomHorizontalFlip()])
    assert np.array_equal(ours['inputs'].permute(1, 2, 0), official(image))
    for mode in ('bilinear', 'bicubic'):
        resize = ResizeShorterSide(24) if mode == 'bicubic' else ResizeShorterSide(24, interpolation=mode)
        ours = run(tmp_path / 'a.png', LoadImage(), resize, CenterCrop(24), PackClassification())
        official = T.Compose([T.Resize(24, interpolation=T.InterpolationMode(mode)), T.CenterCrop(24)])
        assert np.array_equal(ours['inputs'].permute(1, 2, 0), official(image))
    sample = ours['data_samples']
    assert (sample.ori_shape, sample.img_shape, int(sample.gt_label)) == ((40, 50), (24, 24), 3)


def test_kept_images_are_read_once(tmp_path, monkeypatch):
    read, load = [], LoadImage.transform
    monkeypatch.setattr(LoadImage, 'transform', lambda self, info: read.append(info['img_path']) or load(self, info))
    paths = [tmp_path / f'{name}.png' for name in 'abc']
    for path in paths:
        save_image(path, size=(50, 40))
    keep = KeepInMemory(dict(type='vlprompt.LoadImage'), gigabytes=13e-6)  # two images of 6,000 bytes
    steps = keep, RandomResizedCrop(size=24), RandomHorizontalFlip(), PackClassification()
    for epoch in range(3):
        for path in paths:
            torch.manual_seed(epoch)
            kept = run(path, *steps)
            torch.manual_seed(epoch)
            expected = run(path, LoadImage(), *steps[1:])
            assert torch.equal(kept['inputs'], expected['inputs'])
            assert kept['data_samples'].ori_shape == (40, 50)
    assert [read.count(str(path)) for path in paths] == [1 + 3, 1 + 3, 3 + 3], 'the reference reads three times'
    save_image(tmp_path / 'small.png', size=(10, 10))  # still fits after one that did not
    for _ in range(2):
        run(tmp_path / 'small.png', keep)
    assert read.count(str(tmp_path / 'small.png')) == 1
    decoded = Image.new('RGB', (8, 8), 'red')
    assert keep(dict(img=decoded, img_path=str(paths[0])))['ori_shape'] == (8, 8), 'another image under the same path'


@pytest.mark.parametrize('mode', ['L', 'P', 'RGBA', 'CMYK', '1'])
def test_every_colour_mode_becomes_rgb(tmp_path, mode):
    path = tmp_path / ('a.tif' if mode == 'CMYK' else 'a.png')
    Image.new(mode, (5, 4)).save(path)
    assert run(path, LoadImage(), PackClassification())['inputs'].shape == (3, 4, 5)


def test_a_line_of_pixels_is_named_and_not_blown_up(tmp_path):
    for size, fails in (((1, 60_000), True), ((3000, 2), False)):
        Image.new('L', size).save(tmp_path / 'line.png')
        steps = LoadImage(), ResizeShorterSide(64), CenterCrop(64), PackClassification()
        if fails:
            with pytest.raises(ImageSizeError, match=r'line\.png is 1 x 60000 pixels, too elongated to be'):
                run(tmp_path / 'line.png', *steps)
        else:
            assert run(tmp_path / 'line.png', *steps)['inputs'].shape == (3, 64, 64)


def test_a_crop_is_never_filled_up(tmp_path):
    Image.new('L', (40, 30)).save(tmp_path / 'a.png')
    with pytest.raises(
        ImageSizeError, match=r'a\.png is 40 x 30 pixels before a center crop of 32 x 32, .* \(resize_size\)'
    ):
        run(tmp_path / 'a.png', LoadImage(), CenterCrop(32))
    assert run(tmp_path / 'a.png', LoadImage(), CenterCrop(30), PackClassification())['inputs'].shape == (3, 30, 30)


def test_sample_rng_seeds_all_three_and_restores_them():
    def draw():
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    expected = draw()
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    with sample_rng(1, 2, 3):
        inside = draw()
    assert draw() == expected
    with sample_rng(1, 2, 3):
        assert draw() == inside
    for other in ((2, 2, 3), (1, 3, 3), (1, 2, 4), (1, 3, 2)):
        with sample_rng(*other):
            assert all(a != b for a, b in zip(draw(), inside, strict=True))
    with pytest.raises(KeyError), sample_rng(1, 2, 3):
        raise KeyError
