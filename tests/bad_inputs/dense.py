"""Masks and annotations in the form of COCO."""

from __future__ import annotations

import json

import numpy as np
from PIL import Image

from tests.bad_inputs.case import add

SMALL = (
    'train_cfg.max_iters=1',
    'train_dataloader.batch_size=2',
    'train_dataloader.num_workers=0',
    'val_dataloader.num_workers=0',
    'test_dataloader.num_workers=0',
)
SEGMENTOR = 'denseclip/denseclip_micro-rn_fpn_200i_scenes-160x160'
DETECTOR = 'denseclip_det/retinanet_denseclip-micro-rn_fpn_300i_coco128-384x256'
SIZE = (64, 64)


def picture(path, size=SIZE, seed=0, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)


def write_masks(root) -> None:
    for split in ('train', 'val'):
        for i in range(2):
            picture(root / f'images/{split}/{i}.png', seed=i + 10 * (split == 'val'))
            mask = np.zeros(SIZE[::-1], np.uint8)
            mask[:20], mask[40:], mask[30] = 1, 2, 255
            path = root / f'masks/{split}/{i}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask).save(path)
    (root / 'classnames.txt').write_text('sky\nroad\ntree\n')


def masks(name, change, refused, says=None, *options) -> None:
    def make(folder):
        root = folder / 'mine'
        write_masks(root)
        change(root)
        config = ['train', SEGMENTOR, '--dataset', 'seg_folder', '--data-root', root, '--work-dir', folder / 'run']
        return [*config, '--no-validate', '--cfg-options', *SMALL, *options]

    add('masks', name, make, refused, says)

    def check(folder):
        root = folder / 'mine'
        write_masks(root)
        change(root)
        return ['check', '--dataset', 'seg_folder', '--data-root', root]

    if not options:
        add(
            'masks, check_dataset',
            name,
            check,
            refused and f'PROBLEM: .*({refused})|check_dataset.*({refused})',
            None if refused else '0 problems',
        )


def mask(root) -> np.ndarray:
    return np.array(Image.open(root / 'masks/train/0.png'))


def save(root, pixels, **options) -> None:
    Image.fromarray(pixels).save(root / 'masks/train/0.png', **options)


def _foreign(root):
    save(root, mask(root) + 10 * (mask(root) == 1).astype(np.uint8))


def _palette(root):
    image = Image.fromarray(mask(root), 'P')
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0] + [0] * (3 * 253))
    image.save(root / 'masks/train/0.png')


def _from_one(root):
    for path in sorted((root / 'masks').rglob('*.png')):
        pixels = np.array(Image.open(path))
        Image.fromarray(np.where(pixels == 255, 0, pixels + 1).astype(np.uint8)).save(path)


def _exif(root):
    exif = Image.Exif()
    exif[0x0112] = 6
    (root / 'images/train/0.png').unlink()
    picture(root / 'images/train/0.jpg', (64, 48), exif=exif)
    save(root, mask(root)[:48])


TRAINED = r'Iter\(train\) *\[1/1\]'
masks('as they should be', lambda root: None, None, TRAINED)
masks('a foreign id', _foreign, r'masks/train/0\.png holds the ids 11')
masks('another size', lambda root: save(root, mask(root)[:50]), r'masks/train/0\.png is 64 x 50 pixels')
masks('three channels', lambda root: save(root, np.stack([mask(root)] * 3, 2)), r'masks/train/0\.png has 3 channels')
masks('16 bit', lambda root: save(root, mask(root).astype(np.uint16)), None, TRAINED)
masks('a palette', _palette, None, TRAINED)
masks('missing', lambda root: (root / 'masks/train/0.png').unlink(), r'1 of 2 images .* have no mask')
masks(
    'truncated',
    lambda root: (root / 'masks/train/0.png').write_bytes((root / 'masks/train/0.png').read_bytes()[:50]),
    r'masks/train/0\.png cannot be read',
)
masks('no class names', lambda root: (root / 'classnames.txt').unlink(), r'classnames\.txt')
masks(
    'all ignored',
    lambda root: [Image.fromarray(np.full(SIZE, 255, np.uint8)).save(p) for p in (root / 'masks/train').iterdir()],
    'no labelled|all .*ignored|ignored|unlabelled',
)
masks('0 for unlabelled', _from_one, 'reduce_zero_label')
masks(
    '0 for unlabelled, with the option',
    _from_one,
    None,
    TRAINED,
    'train_dataloader.dataset.dataset.reduce_zero_label=True',
)
masks('no images', lambda root: [p.unlink() for p in (root / 'images/train').iterdir()], 'holds no images')
masks('a flat image', lambda root: picture(root / 'images/train/0.png', (64, 2)), r'0\.png')
masks('rotated by EXIF', _exif, 'EXIF')


# ---------------------------------------------------------------------------------------------------------------- COCO


def write_coco(root, change=lambda content: None, changed='train') -> None:
    for split in ('train', 'val'):
        content = dict(
            images=[dict(id=i, file_name=f'{i}.png', width=SIZE[0], height=SIZE[1]) for i in (1, 2)],
            categories=[dict(id=3, name='cat'), dict(id=7, name='dog')],
            annotations=[
                dict(
                    id=10 * i + j, image_id=i, category_id=(3, 7)[j], bbox=[4 + 20 * j, 8, 16, 16], area=256, iscrowd=0
                )
                for i in (1, 2)
                for j in (0, 1)
            ],
        )
        for i in (1, 2):
            picture(root / f'images/{split}/{i}.png', seed=i + 10 * (split == 'val'))
        if split == changed:
            change(content)
        file = root / f'annotations/instances_{split}.json'
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content if isinstance(content, str) else json.dumps(content))


def coco(name, change, refused, says=None, problem=None, changed='train') -> None:
    """A case of an annotation file, that of the split ``changed``; ``problem``: what the checker calls a problem
    although it can be trained on.
    """

    def make(folder):
        write_coco(folder / 'mine', change, changed)
        config = [
            'train',
            DETECTOR,
            '--dataset',
            'coco_json',
            '--data-root',
            folder / 'mine',
            '--work-dir',
            folder / 'run',
        ]
        return [*config, *(['--no-validate'] if changed == 'train' else []), '--cfg-options', *SMALL]

    add('COCO', name, make, refused, says)

    def check(folder):
        write_coco(folder / 'mine', change, changed)
        return ['check', '--dataset', 'coco_json', '--data-root', folder / 'mine']

    add(
        'COCO, check_dataset',
        name,
        check,
        (refused or problem) and f'PROBLEM: .*({refused or problem})|check_dataset.*({refused or problem})',
        None if refused or problem else '0 problems',
    )


def box(*values):
    return lambda content: content['annotations'][0].update(bbox=list(values))


def _copies(content):
    content['images'][1]['file_name'] = '1.png'


def _corners(content):
    for annotation in content['annotations']:
        x, y, w, h = annotation['bbox']
        annotation['bbox'] = [x + 20, y + 20, x + 20 + w, y + 20 + h]


coco('as it should be', lambda content: None, None, TRAINED)
coco('NaN in a box', box(4, 8, float('nan'), 16), 'annotation 10: its bbox')
coco('a negative box', box(4, 8, -16, 16), 'annotation 10: its bbox .* is empty')
coco('three numbers', box(4, 8, 16), 'annotation 10: its bbox')
coco('text in a box', box(4, 8, '16', 16), 'annotation 10: its bbox')
coco('a box outside', box(100, 8, 16, 16), 'annotation 10: its bbox .* outside')
coco('x1, y1, x2, y2', _corners, None, 'x1, y1, x2, y2', problem='x1, y1, x2, y2')
coco('an unknown image', lambda content: content['annotations'][0].update(image_id=9), 'there is no image 9')
coco('an unknown category', lambda content: content['annotations'][0].update(category_id=9), 'there is no category 9')
coco(
    'a category twice',
    lambda content: content['categories'].append(dict(id=3, name='cow')),
    'two categories have the id 3',
)
coco(
    'a name twice',
    lambda content: content['categories'].append(dict(id=9, name='cat')),
    "two categories have the name 'cat'",
)
coco('an image id twice', lambda content: content['images'][1].update(id=1), r'image.*1')
coco('an image id as text', lambda content: content['images'][1].update(id='2'), 'id')
coco('another order in val', lambda content: content['categories'].reverse(), None, TRAINED, changed='val')
coco(
    'a category more in val',
    lambda content: content['categories'].append(dict(id=9, name='cow')),
    r"instances_val\.json: its categories are not those of .*it adds 'cow'.*classes='\[cat,dog\]'",
    changed='val',
)
coco(
    'another name in val',
    lambda content: content['categories'][1].update(name='wolf'),
    "it lacks 'dog' and adds 'wolf'",
    changed='val',
)
coco('another size', lambda content: content['images'][0].update(width=99), r'1\.png is 64 x 64 pixels')
coco('a missing file', lambda content: content['images'][0].update(file_name='9.png'), r'9\.png does not exist')
coco('several entries of a file', _copies, r'1 and 2 .*same|same file')
coco('no annotations', lambda content: content.update(annotations=[]), 'annotation|object')
coco('no categories', lambda content: content.pop('categories'), 'categories')
coco(
    'a broken mask',
    lambda content: content['annotations'][0].update(segmentation=[[1, 2, 3]]),
    'annotation 10: .*polygon',
)
coco(
    'a class without a box',
    lambda content: content.update(annotations=[a for a in content['annotations'] if a['category_id'] == 3]),
    None,
    'dog',
)
