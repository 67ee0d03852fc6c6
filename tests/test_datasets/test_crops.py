"""Five crops of a test, and squares that grow with the epochs: places, sizes, and what data workers see."""

import copy
import math
import os
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms as T

from vlprompt.datasets import FiveCrop, KeepInMemory, LoadImage, MinimalistCrop, PackClassification, transforms
from vlprompt.datasets.seeded import sample_rng
from vlprompt.datasets.transforms import follow_progress
from vlprompt.errors import ImageSizeError

CONVEX = (0.08, 0.109, 0.203, 0.391, 1.0)


def placed(height, width):
    """An image whose red and green are row and column, modulo 256, and whose blue is column // 256."""
    rows, columns = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([rows % 256, columns % 256, columns // 256], -1).astype(np.uint8))


class TestFiveCrop:
    def test_the_boxes_are_torchvisions(self):
        results = FiveCrop(224)(dict(img=placed(248, 331)))
        corners = [np.array(view)[0, 0].astype(int) for view in results['img']]
        boxes = [(row, column + 256 * more) for row, column, more in corners]
        assert boxes == [(0, 0), (0, 107), (24, 0), (24, 107), (12, 54)]
        assert {view.size for view in results['img']} == {(224, 224)}

    @pytest.mark.parametrize('mode', ['bilinear', 'bicubic'])
    @pytest.mark.parametrize('size', [(50, 40), (30, 70), (32, 32)])
    def test_the_shorter_side_is_resized_first(self, size, mode):
        image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))
        views = FiveCrop(32, expand=8, interpolation=mode)(dict(img=image))['img']
        official = T.Compose([T.Resize(40, interpolation=T.InterpolationMode(mode)), T.FiveCrop(32)])(image)
        assert all(np.array_equal(*pair) for pair in zip(views, official, strict=True))

    def test_views_are_stacked(self):
        image = placed(40, 50)
        packed = PackClassification()(FiveCrop(32, expand=8)(dict(img=image, gt_label=2, ori_shape=(40, 50))))
        assert packed['inputs'].dtype == torch.uint8
        assert packed['inputs'].shape == (5, 3, 32, 32)
        centre = np.array(image)[4:36, 9:41]
        assert np.array_equal(packed['inputs'][4].permute(1, 2, 0), centre)
        sample = packed['data_samples']
        assert (sample.ori_shape, sample.img_shape, int(sample.gt_label)) == ((40, 50), (32, 32), 2)

    def test_wrong_options_and_images(self):
        with pytest.raises(ValueError, match='FiveCrop: expand=-8 would make images smaller than their crops; give'):
            FiveCrop(224, expand=-8)
        with pytest.raises(ImageSizeError, match='too elongated to be resized to 248'):
            FiveCrop(224)(dict(img=Image.new('RGB', (1, 60_000))))
        assert len(FiveCrop(32, expand=0)(dict(img=placed(40, 50)))['img']) == 5


def boxes_of(crop, image, monkeypatch, count=300):
    """(count, 4) top, left, height and width of random crops."""
    boxes = []
    resized_crop = transforms.F.resized_crop

    def spy(image, *box_and_rest):
        boxes.append(box_and_rest[:4])
        return resized_crop(image, *box_and_rest)

    with monkeypatch.context() as patch:
        patch.setattr(transforms.F, 'resized_crop', spy)
        for index in range(count):
            with sample_rng(1, 0, index):
                assert crop(dict(img=image))['img'].size == (crop.size, crop.size)
    return np.array(boxes)


class TestMinimalistCrop:
    def test_the_schedule_of_five_epochs(self):
        growth = dict(
            min=(0, 0, 0, 0, 0),
            linear=(0, 0.25, 0.5, 0.75, 1),
            convex=[(share - 0.08) / 0.92 for share in CONVEX],
            concave=(0, 0.661, 0.866, 0.968, 1),
            max=(1, 1, 1, 1, 1),
        )
        for schedule, expected in growth.items():
            crop, shares = MinimalistCrop(8, schedule=schedule), []
            for epoch in range(5):
                crop.set_progress(epoch, 5)
                shares.append(crop.smallest)
            assert shares == pytest.approx([0.08 + 0.92 * f for f in expected], abs=1e-3)

    @pytest.mark.parametrize(('schedule', 'share'), [('convex', 0.08), ('concave', 0.08), ('max', 1.0)])
    def test_a_single_epoch_is_a_first_one(self, schedule, share):
        crop = MinimalistCrop(8, schedule=schedule)
        assert MinimalistCrop(8).smallest == 0.08, 'before anything is told'
        crop.set_progress(0, 1)
        assert crop.smallest == pytest.approx(share)

    @pytest.mark.parametrize('size', [(640, 480), (480, 640)])
    @pytest.mark.parametrize('epoch', [0, 2, 3, 4])
    def test_squares_within_the_bounds(self, size, epoch, monkeypatch):
        """The largest square of 640 x 480 is 480 x 480, three quarters of the image."""
        crop = MinimalistCrop(8)
        crop.set_progress(epoch, 5)
        top, left, height, width = boxes_of(crop, Image.new('RGB', size), monkeypatch).T
        assert np.array_equal(height, width)
        smallest = math.sqrt(min(crop.smallest, 0.75) * 640 * 480)
        assert smallest - 0.5 <= height.min() <= smallest + 20
        assert 460 <= height.max() <= 480
        for start, whole in ((top, size[1]), (left, size[0])):
            assert start.min() >= 0
            assert (start + height).max() <= whole
        along = left if size[0] > size[1] else top
        assert along.max() - along.min() > 120, 'anywhere'
        if epoch == 0:
            area = height**2 / (640 * 480)
            assert np.mean(area) == pytest.approx((0.08 + 0.75) / 2, abs=0.03), 'uniform in the area, not in the side'
        if epoch == 4:
            assert set(height) == {480}

    def test_pixels_are_those_of_torchvision(self):
        image = placed(48, 64)
        torch.manual_seed(3)
        ours = MinimalistCrop(16, schedule='max')(dict(img=image))['img']
        expected = [
            image.crop((left, 0, left + 48, 48)).resize((16, 16), Image.Resampling.BICUBIC) for left in range(17)
        ]
        assert sum(np.array_equal(ours, other) for other in expected) == 1

    def test_own_range_and_tiny_images(self, monkeypatch):
        crop = MinimalistCrop(8, scale=(0.5, 0.9))
        sides = boxes_of(crop, Image.new('RGB', (100, 100)), monkeypatch)[:, 2]
        assert sides.min() >= round(math.sqrt(5000))
        assert sides.max() <= round(math.sqrt(9000))
        crop.set_progress(9, 10)
        assert set(boxes_of(crop, Image.new('RGB', (100, 100)), monkeypatch, 20)[:, 2]) == {95}
        for size in ((1, 1), (1, 300), (2, 3)):
            assert MinimalistCrop(8)(dict(img=Image.new('RGB', size)))['img'].size == (8, 8)

    @pytest.mark.parametrize(
        ('options', 'message'),
        [
            (dict(schedule='cosine'), r"MinimalistCrop: schedule='cosine' must be one of \('min', 'linear', 'convex'"),
            (dict(scale=(0, 1)), r'MinimalistCrop: scale=\(0, 1\) must be the smallest and the largest share'),
            (dict(scale=(0.5, 0.2)), r'scale=\(0.5, 0.2\)'),
            (dict(scale=(0.5,)), r'scale=\(0.5,\)'),
            (dict(scale=(0.5, 8)), r'scale=\(0.5, 8\)'),
        ],
    )
    def test_wrong_options(self, options, message):
        with pytest.raises(ValueError, match=message):
            MinimalistCrop(8, **options)

    def test_copies_have_epochs_of_their_own(self):
        crop = MinimalistCrop(8)
        for other in (copy.deepcopy(crop), pickle.loads(pickle.dumps(crop))):
            other.set_progress(4, 5)
            assert (crop.smallest, other.smallest) == (0.08, 1.0)


class Shares(Dataset):
    """The smallest share of the crop as a data worker sees it, and its process."""

    def __init__(self, crop):
        self.pipeline = T.Compose([LoadImage(), crop])

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return self.pipeline.transforms[1].smallest, os.getpid()


@pytest.mark.parametrize('start', ['fork', pytest.param('spawn', marks=pytest.mark.slow)])
def test_workers_that_persist_see_the_schedule(start):
    dataset = Shares(MinimalistCrop(8))
    loader = DataLoader(dataset, 1, num_workers=2, persistent_workers=True, multiprocessing_context=start)
    seen, workers = [], set()
    for epoch in range(5):
        follow_progress(dataset, epoch, 5)
        shares, processes = zip(*loader, strict=True)
        assert len(set(torch.cat(shares).tolist())) == 1
        seen.append(shares[0].item())
        workers |= set(torch.cat(processes).tolist())
    assert seen == pytest.approx(CONVEX, abs=1e-3)
    assert len(workers) == 2, 'the same two in all epochs'


def test_progress_reaches_transforms_through_wrappers():
    crops = [MinimalistCrop(8) for _ in range(3)]
    inside = T.Compose([KeepInMemory(dict(type='vlprompt.LoadImage')), T.RandomApply([crops[1]])])
    parts = [Shares(crops[0]), torch.utils.data.Subset(Shares(crops[2]), [0])]
    parts[0].pipeline.transforms.append(inside)
    dataset = torch.utils.data.ConcatDataset(parts)
    assert set(follow_progress(dataset, 4, 5)) == set(crops)
    assert [crop.smallest for crop in crops] == [1.0] * 3
    assert follow_progress(torch.utils.data.TensorDataset(torch.zeros(2)), 0, 1) == []
