"""``check_dataset.py`` on masks and boxes: of a config, of a layout, through wrappers, of other packages' datasets."""

import json

import numpy as np
import pytest
from PIL import Image

from tools.dataset_converters import check_dataset as tool


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(pixels, np.uint8)).save(path)


def photo(path, seed, width=4, height=2):
    save(path, np.random.default_rng(seed).integers(0, 256, (height, width, 3)))


@pytest.fixture
def scenes(tmp_path):
    """Segmentation: two training images, one of validation; a quarter of the pixels of the former is unlabelled."""
    (tmp_path / 'classnames.txt').write_text('road\ncar\nsky\n')
    masks = dict(train=[[[0, 0, 255, 255], [0, 0, 1, 1]], [[0] * 4, [0, 0, 255, 255]]], val=[[[0] * 4, [2] * 4]])
    for number, (split, found) in enumerate(masks.items()):
        for i, mask in enumerate(found):
            photo(tmp_path / f'images/{split}/{i}.png', 10 * number + i)
            save(tmp_path / f'masks/{split}/{i}.png', mask)
    return tmp_path


@pytest.fixture
def objects(tmp_path):
    """Detection: two training images with three boxes of one class, an image of validation."""
    boxes = dict(train=[(1, [0, 0, 3, 2]), (1, [1, 0, 2, 2]), (2, [0, 0, 4, 2])], val=[(1, [0, 0, 1, 1])])
    for number, (split, found) in enumerate(boxes.items()):
        ids = sorted({image for image, _ in found})
        for i in ids:
            photo(tmp_path / f'images/{split}/{i}.png', 10 * number + i, 40, 36)
        content = dict(
            images=[dict(id=i, file_name=f'{i}.png', width=40, height=36) for i in ids],
            annotations=[dict(id=n, image_id=i, category_id=1, bbox=box) for n, (i, box) in enumerate(found)],
            categories=[dict(id=1, name='cat'), dict(id=2, name='dog')],
        )
        write(tmp_path, split, content)
    return tmp_path


def write(root, split, content):
    (root / 'annotations').mkdir(exist_ok=True)
    (root / 'annotations' / f'{split}.json').write_text(json.dumps(content))


def change(root, split, edit):
    content = json.loads((root / 'annotations' / f'{split}.json').read_text())
    edit(content)
    write(root, split, content)


def check(capsys, *arguments):
    """Exit code, and lines of the output."""
    code = tool.main([str(argument) for argument in arguments])
    lines = capsys.readouterr().out.splitlines()
    return code, [line for line in lines if 'index' not in line and 'OneDL' not in line]  # of others


def problems(lines):
    return [line.removeprefix('PROBLEM: ') for line in lines if line.startswith('PROBLEM: ')]


# ------------------------------------------------------------------------------------------------------- segmentation


def test_masks_are_counted(scenes, capsys):
    code, lines = check(capsys, '--dataset', 'seg_folder', '--data-root', scenes)
    assert code == 0
    assert lines == [
        f'{scenes}/images/train, {scenes}/images/val',
        '',
        'pixels',
        'label  class            train       val',
        '    0  road                10         4',
        '    1  car                  2         0',
        '    2  sky                  0         4',
        '    3  (unlabelled)         4         0',
        '       total               16         8',
        '',
        'train: 2 images of 3 classes; 25.0 % of pixels unlabelled (in all masks)',
        'val: 1 image of 3 classes; 0.0 % of pixels unlabelled (in all masks)',
        '',
        'note: train: no pixel of 1 of 3 classes: sky',
        'note: train: 1 class has one image only: car',
        '0 problems',
    ]


def test_every_mistake_in_masks_is_listed(scenes, capsys):
    save(scenes / 'masks/train/0.png', [[0, 1, 2, 3], [0, 1, 2, 9]])
    save(scenes / 'masks/train/1.png', [[0, 1], [0, 1]])
    (scenes / 'images/val/0.png').write_bytes((scenes / 'images/train/0.png').read_bytes())
    (scenes / 'masks/val/0.png').write_text('no image')
    code, lines = check(capsys, '--dataset', 'seg_folder', '--data-root', scenes)
    assert code == 1
    ids, copy, unreadable, size = sorted(
        problems(lines), key=lambda text: ('holds' not in text, 'leak' not in text, 'read' not in text)
    )
    assert ids.startswith(f'mask {scenes}/masks/train/0.png holds the ids 3, 9, but there are 3 classes')
    assert copy == 'leak: 1 image of val is in train too (the same bytes): 0.png = 0.png'
    assert unreadable.startswith(f'mask {scenes}/masks/val/0.png cannot be read: ')
    assert (
        size == f'mask {scenes}/masks/train/1.png is 2 x 2 pixels, but its image {scenes}/images/train/1.png is 4 x 2'
    )
    assert lines[-1] == '4 problems'


def test_missing_masks_and_splits_are_problems(scenes, capsys):
    (scenes / 'masks/train/1.png').unlink()
    (scenes / 'images/val').rename(scenes / 'images/test')
    code, lines = check(capsys, '--dataset', 'seg_folder', '--data-root', scenes)
    assert code == 1
    train, val = problems(lines)[:2]
    assert '1 of 2 images in' in train
    assert train.endswith('masks/train/1.png')
    assert val == f'val: {scenes}/images/val does not exist.'


def test_the_data_of_a_config_are_found_in_wrappers(scenes, capsys):
    code, lines = check(capsys, 'denseclip_micro-rn_fpn_200i_scenes-160x160', '--data-root', scenes)
    assert code == 0
    assert 'train: 2 images of 3 classes; 25.0 % of pixels unlabelled (in all masks)' in lines


def test_a_dataset_of_mmseg_is_checked_too(tmp_path, capsys):
    """ADE20K: 0 is unlabelled, and the classes count from 1."""
    for split in ('training', 'validation'):
        photo(tmp_path / f'images/{split}/a.jpg', len(split))
        save(tmp_path / f'annotations/{split}/a.png', [[0, 0, 1, 1], [1, 1, 150, 150]])
    _, lines = check(capsys, '--dataset', 'ade20k', '--data-root', tmp_path)
    assert 'train: 1 image of 150 classes; 25.0 % of pixels unlabelled (in all masks)' in lines
    assert any(line.split() == ['0', 'wall', '4', '4'] for line in lines)
    assert any(line.split() == ['149', 'flag', '2', '2'] for line in lines)


# ---------------------------------------------------------------------------------------------------------- detection


def test_boxes_are_counted(objects, capsys):
    code, lines = check(capsys, '--dataset', 'coco_json', '--data-root', objects)
    assert code == 0
    assert lines[2:] == [
        'boxes',
        'label  class     train       val',
        '    0  cat           3         1',
        '    1  dog           0         0',
        '       total         3         1',
        '',
        'train: 2 images with 3 boxes of 2 classes (0 to 3 each)',
        'val: 1 image with 1 box of 2 classes (0 to 1 each)',
        '',
        'note: train: no box of 1 of 2 classes: dog',
        '0 problems',
    ]


def test_every_mistake_in_annotations_is_listed(objects, capsys):
    def edit(content):
        content['annotations'][0]['bbox'] = [0, 0, -3, 2]
        content['annotations'][1]['category_id'] = 9
        content['images'][1]['width'] = 41

    change(objects, 'train', edit)
    (objects / 'images/val/1.png').write_text('no image')
    code, lines = check(capsys, '--dataset', 'coco_json', '--data-root', objects)
    assert code == 1
    assert problems(lines)[:2] == [
        'train: annotation 0: its bbox [0, 0, -3, 2] is empty',
        'train: annotation 1: there is no category 9',
    ]
    unreadable, size = problems(lines)[2:]
    assert unreadable.startswith(f'unreadable: {objects}/images/val/1.png: ')
    assert size == f'image {objects}/images/train/2.png is 40 x 36 pixels, but its annotations are for 41 x 36'


def test_categories_of_both_files_are_compared_by_name(objects, capsys):
    change(objects, 'val', lambda content: content['categories'].reverse())
    code, lines = check(capsys, '--dataset', 'coco_json', '--data-root', objects)
    assert code == 0
    assert '    0  cat           3         1' in lines
    change(objects, 'val', lambda content: content['categories'].append(dict(id=3, name='cow')))
    code, lines = check(capsys, '--dataset', 'coco_json', '--data-root', objects)
    assert code == 1
    assert problems(lines)[0].startswith(
        f'val: {objects}/annotations/val.json: its categories are not those of {objects}'
    )


def test_corners_and_copies_of_entries(objects, capsys):
    change(objects, 'train', lambda content: [a.update(bbox=[20, 10, 30, 30]) for a in content['annotations']])
    change(objects, 'val', lambda content: content['images'].append(dict(content['images'][0], id=7)))
    code, lines = check(capsys, '--dataset', 'coco_json', '--data-root', objects)
    assert code == 1
    assert problems(lines) == [
        f"val: {objects}/annotations/val.json: images 1 and 7 are the same file '1.png'. Give an image one entry, and "
        'its id to all of its annotations',
        'train: 3 of 3 boxes reach beyond their image by up to 10 px: x1, y1, x2, y2? They must be x, y, width, height',
    ]


def test_a_detection_config_of_your_own_files(objects, capsys):
    code, lines = check(
        capsys, 'retinanet_denseclip-micro-rn_fpn_600i_scenes-160x160', '--dataset', 'coco_json', '--data-root', objects
    )
    assert code == 0
    assert 'train: 2 images with 3 boxes of 2 classes (0 to 3 each)' in lines


def test_a_dataset_of_another_kind_is_refused(tmp_path, capsys, monkeypatch):
    from mmengine.dataset import BaseDataset
    from mmengine.registry import DATASETS

    monkeypatch.setitem(
        DATASETS._module_dict, 'Words', type('Words', (BaseDataset,), dict(load_data_list=lambda self: [{}]))
    )
    (tmp_path / 'c.py').write_text("train_dataloader = dict(dataset=dict(type='mmengine.Words', pipeline=[]))")
    with pytest.raises(SystemExit, match=r'c\.py: this tool cannot check it: samples of Words have no img_path'):
        tool.main([str(tmp_path / 'c.py')])
