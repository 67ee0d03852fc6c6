"""EXIF orientation: images, masks, boxes and pictures agree, by one option; what cannot fit is told."""

import json
import logging
from multiprocessing import get_context

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from PIL import Image

from vlprompt.apis import ImageFiles
from vlprompt.datasets import LoadImage, LoadImageFile, exif
from vlprompt.datasets.exif import BACK, applies_exif
from vlprompt.datasets.images import load_image
from vlprompt.engine import load_config
from vlprompt.visualization import read_image

UPRIGHT = np.zeros((64, 96, 3), np.uint8)
UPRIGHT[:32, :32] = 255
SQUARE = (0, 0, 32, 32)
"""x1, y1, x2, y2 of the bright square."""


@pytest.fixture
def warnings_(monkeypatch):
    """What is said once in a run, for a new run."""
    exif._told[0] = 0
    said = []
    monkeypatch.setattr(exif, 'print_log', lambda text, logger, level: said.append((level, text)))
    yield said
    exif._told[0] = 0


def save(path, orientation, form=None, pixels=UPRIGHT):
    """A file whose pixels stand upright once they are turned by the orientation in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    if orientation != 1:
        image = image.transpose(BACK[orientation])
    tags = Image.Exif()
    tags[0x112] = orientation
    options = dict(quality=95) if path.suffix == '.jpg' else {}
    image.save(path, form, exif=tags, **options)
    return np.asarray(image)


def both(path, option=True):
    """What the loaders of all tasks, and pictures, show of a file, as (H, W, 3) RGB."""
    image = np.asarray(LoadImage(option)(dict(img_path=str(path)))['img'])
    dense = LoadImageFile(option)(dict(img_path=str(path)))
    assert np.array_equal(dense['img'][..., ::-1], image)
    assert dense['ori_shape'] == dense['img_shape'] == image.shape[:2]
    assert np.array_equal(read_image(path, option), image)
    return image


@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.tif', '.webp'])
@pytest.mark.parametrize('orientation', range(1, 9))
def test_every_loader_turns_images_upright_or_none_does(tmp_path, orientation, suffix):
    path = tmp_path / f'a{suffix}'
    stored = save(path, orientation)
    for option, expected in ((True, UPRIGHT), (False, stored)):
        seen = both(path, option)
        assert seen.shape == expected.shape
        assert np.array_equal(seen > 127, expected > 127)
    assert np.array_equal(np.asarray(load_image(path)) > 127, UPRIGHT > 127)


def test_damaged_exif_data_leave_the_pixels_as_they_are(tmp_path):
    path = tmp_path / 'a.jpg'
    Image.fromarray(UPRIGHT).save(path, exif=b'Exif\0\0no orientation')
    assert np.array_equal(both(path) > 127, UPRIGHT > 127)
    for number in (0, 9, 99):
        tags = Image.Exif()
        tags[0x112] = number
        Image.fromarray(UPRIGHT).save(path, exif=tags)
        assert np.array_equal(both(path) > 127, UPRIGHT > 127)


def segmentation(root, mask, orientation, option=True):
    save(root / 'images/train/a.jpg', orientation)
    (root / 'masks/train').mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(root / 'masks/train/a.png')
    (root / 'classnames.txt').write_text('background\nsquare\n')
    steps = [dict(type='vlprompt.LoadImageFile', exif_orientation=option), dict(type='vlprompt.LoadMask')]
    with DefaultScope.overwrite_default_scope('mmseg'):
        from vlprompt.datasets.dense.folder_seg import FolderSegDataset

        return FolderSegDataset(str(root), pipeline=steps)[0]


def detection(root, size, orientation, option=True, box=SQUARE):
    save(root / 'images/train/a.jpg', orientation)
    x1, y1, x2, y2 = box
    annotation = dict(id=1, image_id=1, category_id=1, bbox=[x1, y1, x2 - x1, y2 - y1])
    content = dict(
        images=[dict(id=1, file_name='a.jpg', width=size[0], height=size[1])],
        categories=[dict(id=1, name='square')],
        annotations=[annotation],
    )
    (root / 'annotations').mkdir(exist_ok=True)
    (root / 'annotations/train.json').write_text(json.dumps(content))
    steps = [dict(type='vlprompt.LoadImageFile', exif_orientation=option), dict(type='LoadAnnotations', with_bbox=True)]
    with DefaultScope.overwrite_default_scope('mmdet'):
        from vlprompt.datasets.dense.coco_instances import CocoInstances

        return CocoInstances(str(root), pipeline=steps)[0]


def overlap(sample):
    """Intersection over union of the bright pixels and the class 'square'."""
    bright, square = sample['img'][..., 0] > 127, sample['gt_seg_map'] == 1
    return (bright & square).sum() / (bright | square).sum()


def brightness(sample):
    x1, y1, x2, y2 = map(int, sample['gt_bboxes'].tensor[0].tolist())
    return sample['img'][y1:y2, x1:x2].mean()


@pytest.mark.parametrize('orientation', [1, 3, 6])
def test_annotations_of_the_upright_image_fit(tmp_path, orientation, warnings_):
    mask = (UPRIGHT[..., 0] > 0).astype(np.uint8)
    assert overlap(segmentation(tmp_path, mask, orientation)) > 0.99
    assert brightness(detection(tmp_path, (96, 64), orientation)) > 250
    assert len(warnings_) == (orientation == 3), 'a turned image of the same size is told'


@pytest.mark.parametrize('orientation', [3, 6])
def test_annotations_of_stored_pixels_fit_with_the_option(tmp_path, orientation, warnings_):
    stored = save(tmp_path / 'stored.jpg', orientation)
    bright = stored[..., 0] > 127
    assert overlap(segmentation(tmp_path, bright.astype(np.uint8), orientation, option=False)) > 0.99
    ys, xs = np.nonzero(bright)
    box = tuple(map(int, (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)))
    assert brightness(detection(tmp_path, stored.shape[1::-1], orientation, False, box)) > 250
    assert not warnings_


def test_annotations_of_stored_pixels_are_an_error_that_names_exif_and_the_option(tmp_path):
    mask = (UPRIGHT[..., 0] > 0).astype(np.uint8)
    message = (
        'The image has EXIF orientation 6 and was turned upright; the annotations are for its stored pixels. Make them '
        r'for the upright image, or set --cfg-options load_image\.exif_orientation=False'
    )
    with pytest.raises(ValueError, match=rf'a\.png is 64 x 96 pixels, but its image .*a\.jpg is 96 x 64\. {message}'):
        segmentation(tmp_path, mask.T.copy(), 6)
    with pytest.raises(ValueError, match=rf'a\.jpg is 96 x 64 pixels, but its annotations are for 64 x 96\. {message}'):
        detection(tmp_path, (64, 96), 6)
    message = 'The image has EXIF orientation 8, which exif_orientation=False ignores; .* leave that option out'
    with pytest.raises(ValueError, match=rf'a\.png is 96 x 64 pixels, but its image .* is 64 x 96\. {message}'):
        segmentation(tmp_path, mask, 8, option=False)
    with pytest.raises(ValueError, match=rf'a\.jpg is 64 x 96 pixels, but its annotations are for 96 x 64\. {message}'):
        detection(tmp_path, (96, 64), 8, option=False)
    with pytest.raises(ValueError, match=r'annotations are for 10 x 20$'):
        detection(tmp_path, (10, 20), 6, box=(0, 0, 5, 5))


def test_a_turned_image_of_the_same_size_is_told_once(tmp_path, warnings_):
    for name, orientation, pixels in (
        ('quarter.jpg', 6, UPRIGHT),
        ('upright.jpg', 1, UPRIGHT),
        ('square.jpg', 6, UPRIGHT[:, :64]),
        ('mirrored.jpg', 2, UPRIGHT),
    ):
        save(tmp_path / name, orientation, pixels=pixels)
        for annotated in (dict(), dict(seg_map_path='a.png'), dict(instances=[])):
            LoadImageFile()(dict(img_path=str(tmp_path / name), **annotated))
    ((level, text),) = warnings_
    assert level == logging.WARNING
    assert f'image {tmp_path}/square.jpg has EXIF orientation 6' in text
    assert 'load_image.exif_orientation=False' in text


def test_worker_processes_do_not_repeat_it(tmp_path, warnings_):
    save(tmp_path / 'a.jpg', 3)
    sample = dict(img_path=str(tmp_path / 'a.jpg'), instances=[])
    worker = get_context('fork').Process(target=LoadImageFile(), args=(sample,))
    worker.start()
    worker.join()
    assert worker.exitcode == 0
    LoadImageFile()(sample)
    assert not warnings_, 'it was told in the worker'


def test_pictures_follow_the_pipeline():
    assert applies_exif([dict(type='LoadImageFromFile'), dict(type='vlprompt.LoadImageFile')])
    assert applies_exif([])
    assert not applies_exif([dict(type='vlprompt.LoadImage', exif_orientation=False)])
    assert applies_exif([object(), LoadImage()])
    assert not applies_exif([object(), LoadImageFile(exif_orientation=False)])


@pytest.mark.parametrize(
    'config',
    [
        'coop/coop_micro-rn',
        'lpt/lpt_vit-b16-in21k',
        'vpt/vpt_vit-b16-in21k_official',
        'clipreid/clipreid_micro-vit',
        'denseclip/denseclip_r50_fpn_80k_ade20k-512x512',
        'denseclip/denseclip_micro-rn_fpn_200i_camvid-192x192',
        'denseclip_det/mask-rcnn_denseclip-r50_fpn_1x_coco',
        'denseclip_det/retinanet_denseclip-micro-rn_fpn_300i_coco128-384x256',
    ],
)
def test_one_option_sets_every_pipeline_of_every_task(config):
    def loading_steps(node):
        if isinstance(node, dict):
            if str(node.get('type')).rsplit('.', 1)[-1].startswith('LoadImage'):
                yield node
            node = list(node.values())
        if isinstance(node, (list, tuple)):
            for value in node:
                yield from loading_steps(value)

    for options, expected in (({}, None), ({'load_image.exif_orientation': False}, False)):
        steps = list(loading_steps(load_config(config, options)._cfg_dict.to_dict()))
        assert len(steps) >= 2
        assert {step['type'] for step in steps} <= {'vlprompt.LoadImage', 'vlprompt.LoadImageFile'}
        assert {step.get('exif_orientation') for step in steps} == {expected}


def test_decoded_images_are_turned_too(tmp_path):
    save(tmp_path / 'a.jpg', 6)
    for option, shape in ((True, (64, 96)), (False, (96, 64))):
        with Image.open(tmp_path / 'a.jpg') as image:
            steps = [dict(type='vlprompt.LoadImage', exif_orientation=option)]
            sample = ImageFiles([image], steps)[0]
        assert sample['ori_shape'] == shape
