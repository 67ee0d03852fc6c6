"""Masks of mmseg's own datasets are compared with their images, as those of a folder are."""

from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.datasets import BaseSegDataset
from PIL import Image

import vlprompt.datasets.dense.load_annotations  # noqa: F401  registers the transform
from tests.test_datasets.test_exif import UPRIGHT, save

MASK = (UPRIGHT[..., 0] > 0).astype(np.uint8)


def sample(root, mask, orientation=1, load=None, option=True):
    """The first sample of a dataset of mmseg, as the segmentation configs load it."""
    save(root / 'images/a.jpg', orientation)
    (root / 'masks').mkdir(exist_ok=True)
    path = root / 'masks/a.png'
    path.write_bytes(mask) if isinstance(mask, bytes) else Image.fromarray(mask).save(path)
    steps = [
        dict(type='vlprompt.LoadImageFile', exif_orientation=option),
        dict(type='Resize', scale=(30, 20), keep_ratio=False),
        load or dict(type='vlprompt.CheckedLoadAnnotations'),
    ]
    with DefaultScope.overwrite_default_scope('mmseg'):
        return BaseSegDataset(
            data_root=str(root),
            data_prefix=dict(img_path='images', seg_map_path='masks'),
            metainfo=dict(classes=['background', 'square']),
            pipeline=steps,
        )[0]


def test_a_mask_of_the_image_is_read_as_mmseg_reads_it(tmp_path):
    ours, theirs = (sample(tmp_path, MASK, 6, load) for load in (None, dict(type='LoadAnnotations')))
    assert np.array_equal(ours['gt_seg_map'], MASK)
    assert np.array_equal(ours['gt_seg_map'], theirs['gt_seg_map'])
    assert ours['seg_fields'] == theirs['seg_fields'] == ['gt_seg_map']


def test_a_mask_of_stored_pixels_is_an_error_that_names_exif_and_the_option(tmp_path):
    message = (
        r'masks/a\.png is 64 x 96 pixels, but its image .*images/a\.jpg is 96 x 64\. The image has EXIF orientation 6 '
        r'and was turned upright; .* load_image\.exif_orientation=False'
    )
    with pytest.raises(ValueError, match=message):
        sample(tmp_path, MASK.T.copy(), 6)
    assert sample(tmp_path, MASK.T.copy(), 6, option=False)['gt_seg_map'].shape == (96, 64)


@pytest.mark.parametrize(
    ('mask', 'message'),
    [
        (MASK[:44], r'masks/a\.png is 96 x 44 pixels, but its image .*images/a\.jpg is 96 x 64$'),
        (UPRIGHT, r'masks/a\.png has 3 channels'),
        (b'no picture', r'mask .*masks/a\.png cannot be read: '),
        (b'', r'mask .*masks/a\.png cannot be read: '),
    ],
)
def test_wrong_masks_are_named(tmp_path, mask, message):
    with pytest.raises((ValueError, OSError), match=message):
        sample(tmp_path, mask)


@pytest.mark.parametrize(
    'path', sorted(Path('configs/_base_/datasets/seg').glob('[!_]*.py')), ids=lambda path: path.stem
)
def test_every_segmentation_config_compares_masks_with_images(path):
    cfg = Config.fromfile(path)
    assert cfg.load_mask['type'] in ('vlprompt.LoadMask', 'vlprompt.CheckedLoadAnnotations')
    assert "'LoadAnnotations'" not in path.read_text()
    for pipeline in (cfg.train_pipeline, cfg.test_pipeline):
        assert '${load_mask}' in pipeline
