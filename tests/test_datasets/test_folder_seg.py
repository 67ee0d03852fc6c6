"""Segmentation data in folders: what is listed, and errors that name the file."""

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmseg.evaluation import IoUMetric
from PIL import Image

from vlprompt.datasets import LoadImageFile, SeededDataset
from vlprompt.datasets.dense.folder_seg import FolderSegDataset, LoadMask
from vlprompt.datasets.dense.palette import voc_palette
from vlprompt.engine import load_config
from vlprompt.registry import DATASETS

NAMES = ['background', 'cat', 'dog']
PIPELINE = [dict(type='vlprompt.LoadImageFile'), dict(type='vlprompt.LoadMask'), dict(type='PackSegInputs')]


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


@pytest.fixture
def mask():
    """(6, 8) ids of three classes, with one unlabelled pixel."""
    ids = np.arange(48, dtype=np.uint8).reshape(6, 8) % 3
    ids[0, 0] = 255
    return ids


@pytest.fixture
def root(tmp_path, mask):
    """Two training images, one of them in a sub-folder, and a validation image."""
    for split, name in (('train', 'b'), ('train', 'in/a'), ('val', 'c')):
        write(tmp_path, f'images/{split}/{name}.jpg', np.full((6, 8, 3), 90, np.uint8))
        write(tmp_path, f'masks/{split}/{name}.png', mask)
    (tmp_path / 'classnames.txt').write_text('\n'.join(NAMES) + '\n')
    return tmp_path


def write(root, path, pixels):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(root / path)


def test_lists_images_with_their_masks_and_reads_them(root, mask):
    data = FolderSegDataset(str(root), pipeline=PIPELINE)
    assert data.metainfo['classes'] == NAMES
    assert data.metainfo['palette'] == [[0, 0, 0], [128, 0, 0], [0, 128, 0]]
    assert [data.get_data_info(i)['img_path'] for i in range(len(data))] == [
        str(root / 'images/train' / name) for name in ('b.jpg', 'in/a.jpg')
    ]
    sample = data[1]
    assert sample['inputs'].shape == (3, 6, 8)
    assert np.array_equal(sample['data_samples'].gt_sem_seg.data[0], mask)


def test_the_mask_keeps_the_size_of_the_file_when_the_image_is_resized_before(root, mask):
    pipeline = [PIPELINE[0], dict(type='Resize', scale=(16, 12)), *PIPELINE[1:]]
    sample = FolderSegDataset(str(root), split='val', pipeline=pipeline)[0]
    assert sample['inputs'].shape == (3, 12, 16)
    assert np.array_equal(sample['data_samples'].gt_sem_seg.data[0], mask)


def test_other_folders_names_and_colours(root, mask):
    (root / 'annotations').symlink_to(root / 'masks')
    data = FolderSegDataset(
        str(root), masks='annotations', class_names=['a', 'b', 'c'], palette=[[1, 2, 3]] * 3, pipeline=PIPELINE
    )
    assert data.metainfo['palette'] == [[1, 2, 3]] * 3
    assert 'annotations' in data.get_data_info(0)['seg_map_path']
    with pytest.raises(ValueError, match='3 class names, but 2 colours'):
        FolderSegDataset(str(root), palette=[[1, 2, 3]] * 2)


def test_another_id_of_unlabelled_pixels_becomes_255(root, mask):
    write(root, 'masks/val/c.png', np.where(mask == 255, 7, mask).astype(np.uint8))
    data = FolderSegDataset(str(root), split='val', ignore_index=7, pipeline=PIPELINE)
    assert np.array_equal(data[0]['data_samples'].gt_sem_seg.data[0], mask)
    with pytest.raises(ValueError, match=r"ignore_index=0 is the id of class 'background'.* 3 to 255"):
        FolderSegDataset(str(root), ignore_index=0)


def test_8_bits_have_room_for_255_classes(root):
    names = [str(number) for number in range(256)]
    assert len(FolderSegDataset(str(root), class_names=names[:255])) == 2
    with pytest.raises(ValueError, match='256 classes'):
        FolderSegDataset(str(root), class_names=names)


def test_palette_png_and_binary_masks_hold_indices(root, mask):
    image = Image.fromarray(mask, mode='P')
    image.putpalette([7] * 768)
    image.save(root / 'masks/val/c.png')
    data = FolderSegDataset(str(root), split='val', pipeline=PIPELINE)
    assert np.array_equal(data[0]['data_samples'].gt_sem_seg.data[0], mask)
    write(root, 'masks/val/c.png', mask == 1)
    assert np.array_equal(data[0]['data_samples'].gt_sem_seg.data[0], mask == 1)


@pytest.mark.parametrize(
    ('split', 'remove', 'message'),
    [
        ('test', None, 'images/test does not exist'),
        ('train', 'masks/train/in/a.png', r'1 of 2 images .* have no mask, .*masks/train/in/a.png'),
        ('val', 'images/val/c.jpg', 'images/val holds no image'),
        ('val', 'classnames.txt', 'classnames.txt does not exist'),
    ],
)
def test_what_is_missing_is_named(root, split, remove, message):
    if remove:
        (root / remove).unlink()
    with pytest.raises(FileNotFoundError, match=message):
        FolderSegDataset(str(root), split=split)


@pytest.mark.parametrize(
    ('pixels', 'message'),
    [
        (np.zeros((8, 6), np.uint8), r'masks/val/c.png is 6 x 8 pixels, but its image .*c.jpg is 8 x 6'),
        (np.full((6, 8), 3, np.uint8), r'masks/val/c.png holds the ids 3, but there are 3 classes: ids are 0 to 2'),
        (np.full((6, 8), 256, np.uint16), r'masks/val/c.png holds the ids 256'),  # not 0, as 8 bits would have it
        (np.zeros((6, 8, 3), np.uint8), r'masks/val/c.png has 3 channels'),
    ],
)
def test_wrong_masks_are_named(root, pixels, message):
    write(root, 'masks/val/c.png', pixels)
    with pytest.raises(ValueError, match=message):
        FolderSegDataset(str(root), split='val', pipeline=PIPELINE)[0]


@pytest.mark.parametrize('content', [b'', b'no picture'])
@pytest.mark.parametrize('path', ['images/val/c.jpg', 'masks/val/c.png'])
def test_unreadable_files_are_named(root, path, content):
    (root / path).write_bytes(content)
    with pytest.raises(OSError, match=f'{path} cannot be read'):
        FolderSegDataset(str(root), split='val', pipeline=PIPELINE)[0]


def test_a_file_that_vanished_is_named(root):
    info = dict(seg_map_path=str(root / 'gone.png'), img_path=str(root / 'gone.jpg'))
    with pytest.raises(FileNotFoundError, match=r'gone\.png'):
        LoadMask()(info)
    with pytest.raises(FileNotFoundError, match=r'gone\.jpg'):
        LoadImageFile()(info)


def test_palette_is_that_of_pascal_voc():
    """Checked against the colours that mmseg lists for VOC's 21 classes."""
    from mmseg.utils import get_palette

    assert voc_palette(21) == get_palette('voc')
    assert len({tuple(colour) for colour in voc_palette(255)}) == 255


def test_camvid(realdata):
    data = FolderSegDataset(str(realdata / 'camvid'), split='test', masks='annotations', pipeline=PIPELINE)
    assert len(data) == 80
    assert data.metainfo['classes'][:2] == ['sky', 'building']
    assert data[0]['inputs'].shape == (3, 240, 320)


def test_zero_may_be_unlabelled(root, mask):
    """Masks as in ADE20K: classes count from 1; what is predicted and measured counts from 0."""
    shifted = np.where(mask == 255, 0, mask + 1).astype(np.uint8)
    shifted[5, 5] = 255
    for name in ('train/b', 'train/in/a', 'val/c'):
        write(root, f'masks/{name}.png', shifted)
    expected = mask.copy()
    expected[5, 5] = 255
    data = FolderSegDataset(str(root), split='val', reduce_zero_label=True, pipeline=PIPELINE)
    truth = data[0]['data_samples'].gt_sem_seg.data
    assert np.array_equal(truth[0], expected)
    assert data.metainfo['classes'] == NAMES
    assert data.metainfo['palette'] == voc_palette(4)[1:], 'the colours of the ids in the files'

    metric = IoUMetric(iou_metrics=['mIoU'])
    metric.dataset_meta = data.metainfo
    for wrong in (0, 1):
        prediction = truth.clone()
        prediction[truth == 255] = 0
        prediction[0, 0, 1:4] = torch.where(torch.tensor(wrong) == 1, 2, prediction[0, 0, 1:4])
        sample = dict(pred_sem_seg=dict(data=prediction), gt_sem_seg=dict(data=truth), img_path='c.jpg')
        metric.process({}, [sample])
        measured = metric.evaluate(size=1)
        right = (prediction == truth).sum() / (truth != 255).sum()
        assert measured['aAcc'] == pytest.approx(100 * float(right), abs=0.01)
        assert (measured['mIoU'] == 100) == (wrong == 0)


def test_ids_that_count_from_1_are_told(root, mask):
    hint = 'If 0 is unlabelled and the classes are 1 to K, set reduce_zero_label=True in the datasets'
    for unlabelled in (0, 1):
        write(root, 'masks/val/c.png', np.where(mask == 255, unlabelled, mask + 1).astype(np.uint8))
        with pytest.raises(
            ValueError, match=rf'c\.png holds the ids 3, but there are 3 classes: ids are 0 to 2.*{hint}'
        ):
            FolderSegDataset(str(root), split='val', pipeline=PIPELINE)[0]
    write(root, 'masks/val/c.png', np.where(mask == 2, 4, mask).astype(np.uint8))
    with pytest.raises(ValueError, match=r'holds the ids 4, .* and 255 where nothing is labelled$'):
        FolderSegDataset(str(root), split='val', pipeline=PIPELINE)[0]
    with pytest.raises(ValueError, match=r'ids 4, .* ids are 1 to 3, and 0 or 255 where nothing is labelled$'):
        FolderSegDataset(str(root), split='val', reduce_zero_label=True, pipeline=PIPELINE)[0]
    with pytest.raises(
        ValueError, match=r"ignore_index=0 is the id of class 'background'.* set reduce_zero_label=True$"
    ):
        FolderSegDataset(str(root), ignore_index=0)
    with pytest.raises(ValueError, match=r"ignore_index=3 is the id of class 'dog'; .* 0 or 4 to 255$"):
        FolderSegDataset(str(root), reduce_zero_label=True, ignore_index=3)
    assert len(FolderSegDataset(str(root), reduce_zero_label=True, ignore_index=0)) == 2


def test_one_option_of_the_config_sets_it_everywhere(root, mask):
    write(root, 'masks/val/c.png', np.where(mask == 255, 0, mask + 1).astype(np.uint8))
    options = dict(dataset='seg_folder', data_root=str(root), reduce_zero_label=True)
    cfg = load_config('denseclip/denseclip_micro-rn_fpn_200i_scenes-160x160', options)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        dataset = loader.dataset.get('dataset', loader.dataset)
        assert dataset.reduce_zero_label is True
    sample = DATASETS.build(cfg.test_dataloader.dataset)[0]['data_samples']
    assert set(np.unique(sample.gt_sem_seg.data)) == {0, 1, 2, 255}


def test_an_image_that_cannot_be_resized_is_named(root):
    write(root, 'images/val/c.jpg', np.zeros((1, 3000, 3), np.uint8))
    write(root, 'masks/val/c.png', np.zeros((1, 3000), np.uint8))
    pipeline = [PIPELINE[0], dict(type='Resize', scale=(512, 128), keep_ratio=True), *PIPELINE[1:]]
    dataset = FolderSegDataset(str(root), split='val', pipeline=pipeline)
    for reader in (dataset, SeededDataset(dataset)):
        with pytest.raises(ValueError, match=rf'^image {root}/images/val/c\.jpg: '):
            reader[0]


def test_files_that_are_left_out_are_counted(root, mask):
    assert FolderSegDataset(str(root)).notes() == []
    write(root, 'masks/train/in/z.png', mask)
    for name in ('a.heic', 'in/b.heic', 'notes.txt', '.hidden.heic'):
        (root / 'images/train' / name).touch()
    write(root, 'images/train/.checkpoints/b.jpg', np.full((6, 8, 3), 90, np.uint8))
    data = FolderSegDataset(str(root))
    assert data.notes() == [
        f'{root}/images/train: 2 files .heic are left out',
        f'{root}/masks/train: masks without an image are left out: 1, the first is in/z.png',
    ]
    assert len(data) == 2
