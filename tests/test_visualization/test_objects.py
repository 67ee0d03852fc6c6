"""Boxes and masks over images."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmcv.transforms import LoadImageFromFile
from mmengine.structures import BaseDataElement, InstanceData
from PIL import Image

from tests.conftest import Images
from vlprompt.datasets import LoadImageFile
from vlprompt.engine.hooks import DetectionImageHook
from vlprompt.visualization import Objects, draw_objects, objects_of, paint_objects, read_image
from vlprompt.visualization.figures import new_figure

PALETTE = [(255, 0, 0), (0, 0, 255)]


def objects(scores=None):
    masks = np.zeros((2, 20, 30), bool)
    masks[0, 4:10, 4:12] = masks[1, 10:18, 16:28] = True
    return Objects(np.array([[4.0, 4, 12, 10], [16, 10, 28, 18]]), np.array([0, 1]), scores, masks)


def test_weak_predictions_are_left_out_and_the_best_drawn_last():
    found = objects(np.array([0.9, 0.4]))
    assert found.above(0.3).scores.tolist() == [0.4, 0.9]
    assert found.above(0.5).labels.tolist() == [0]
    assert found.above(0.5).masks.shape == (1, 20, 30)
    assert found.above(0.95).boxes.shape == (0, 4)
    assert found.above(0.3).last(1).scores.tolist() == [0.9]
    assert objects().last(5).boxes.shape == (2, 4)
    truth = objects()
    assert truth.above(0.5) is truth


def test_painted_where_the_objects_are():
    image = np.full((20, 30, 3), 100, np.uint8)
    painted = paint_objects(image, objects(), PALETTE)
    assert painted[4, 4].tolist() == [255, 0, 0]
    assert painted[17, 27].tolist() == [0, 0, 255]
    inside, outside = painted[7, 8], painted[2, 20]
    assert inside[0] > 100 > inside[2]
    assert outside.tolist() == [100] * 3
    nothing = Objects(np.zeros((0, 4)), np.zeros(0, int))
    assert np.array_equal(paint_objects(image, nothing, PALETTE), image)


def test_figures_name_what_they_show():
    image = np.full((20, 30, 3), 100, np.uint8)
    panels = {'predicted': objects(np.array([0.9, 0.4])), 'ground truth': objects()}
    figure = draw_objects(image, panels, ['cat', 'a dog with a name that is longer than the others'], PALETTE, 'a.png')
    assert [axes.get_title(loc='left') for axes in figure.axes] == ['predicted: 2', 'ground truth: 2']
    names = [text.get_text() for text in figure.axes[0].texts]
    assert names[0] == 'cat 90'
    assert names[1].startswith('a dog with')
    assert '…' in names[1]
    assert len(figure.axes[1].patches) == 2


def test_containers_of_mmdet():
    from mmdet.structures.bbox import HorizontalBoxes
    from mmdet.structures.mask import BitmapMasks

    plain = InstanceData(bboxes=torch.ones(1, 4), labels=torch.tensor([1]), scores=torch.tensor([0.5]))
    assert objects_of(plain).scores.tolist() == [0.5]
    own = InstanceData(
        bboxes=HorizontalBoxes(torch.tensor([[0.0, 0, 2, 2]])),
        labels=torch.tensor([1]),
        masks=BitmapMasks(np.ones((1, 3, 4), np.uint8), 3, 4),
    )
    found = objects_of(own)
    assert found.boxes.tolist() == [[0, 0, 2, 2]]
    assert found.masks.dtype == bool
    assert found.scores is None


def test_images_are_turned_as_the_pipelines_turn_them(tmp_path):
    """Photographs from telephones lie on their side and say so."""
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[:, :10] = [250, 0, 0]
    lying = Image.fromarray(pixels)
    exif = lying.getexif()
    exif[274] = 6  # a quarter turn to the right
    lying.save(tmp_path / 'a.png', exif=exif)
    shown = read_image(tmp_path / 'a.png')
    assert np.array_equal(shown, np.rot90(pixels, -1))
    assert np.array_equal(shown, LoadImageFromFile()(dict(img_path=str(tmp_path / 'a.png')))['img'][..., ::-1])


def test_the_hook_writes_every_nth_image(tmp_path):
    Image.new('RGB', (30, 20)).save(tmp_path / 'a.png')
    hook = DetectionImageHook(str(tmp_path / 'out'), interval=2)
    data = Images(3, classes=('cat', 'dog'), palette=PALETTE)
    runner = SimpleNamespace(test_dataloader=SimpleNamespace(dataset=data), rank=0, world_size=1)
    empty = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long), scores=torch.zeros(0))
    sample = BaseDataElement(metainfo=dict(img_path=str(tmp_path / 'a.png')), pred_instances=empty)
    hook.before_test(runner)
    hook.after_test_iter(runner, 0, {}, [sample] * 3)
    assert sorted(p.name for p in (tmp_path / 'out').iterdir()) == ['000000_a.png', '000002_a.png']
    with pytest.raises(ValueError, match='interval'):
        DetectionImageHook('x', interval=0)


@pytest.mark.parametrize('name', ['b' * 251 + '.png', 'M\udce4rz $x^$\n.png', 'line.png'])
def test_the_hook_draws_whatever_the_file_is_called(tmp_path, name):
    Image.new('RGB', (3000, 1) if name == 'line.png' else (30, 20)).save(tmp_path / name, 'PNG')
    hook = DetectionImageHook(str(tmp_path / 'out'))
    meta = dict(classes=('cat', 'dog'), palette=PALETTE)
    dataset = Images(5, **meta)
    hook.before_test(SimpleNamespace(test_dataloader=SimpleNamespace(dataset=dataset), rank=0, world_size=1))
    boxes = InstanceData(bboxes=torch.tensor([[1.0, 0, 9, 1]]), labels=torch.tensor([1]), scores=torch.tensor([0.9]))
    sample = BaseDataElement(metainfo=dict(img_path=str(tmp_path / name)), pred_instances=boxes)
    hook.after_test_iter(SimpleNamespace(rank=0, world_size=1), 0, {}, [sample])
    (picture,) = (tmp_path / 'out').iterdir()
    assert picture.name.startswith(f'000000_{name[:200].removesuffix(".png")}')
    assert max(Image.open(picture).size) < 2000


@pytest.mark.parametrize('upright', [True, False])
def test_the_hook_draws_the_pixels_that_the_pipeline_loads(tmp_path, upright, monkeypatch):
    exif = Image.Exif()
    exif[0x112] = 6
    Image.new('RGB', (30, 20)).save(tmp_path / 'a.jpg', exif=exif)
    hook = DetectionImageHook(str(tmp_path / 'out'))
    steps = SimpleNamespace(transforms=[LoadImageFile(exif_orientation=upright)])
    dataset = Images(1, classes=('cat',), palette=PALETTE)
    dataset.pipeline = steps
    shapes = []
    monkeypatch.setattr(hook, 'draw', lambda sample, image, title: shapes.append(image.shape) or new_figure(1, 1))
    hook.before_test(SimpleNamespace(test_dataloader=SimpleNamespace(dataset=dataset), rank=0, world_size=1))
    sample = BaseDataElement(metainfo=dict(img_path=str(tmp_path / 'a.jpg')))
    hook.after_test_iter(SimpleNamespace(rank=0, world_size=1), 0, {}, [sample])
    assert shapes == [(30, 20, 3) if upright else (20, 30, 3)]
