"""Re-identification data: tables and folders."""

from __future__ import annotations

import shutil

import numpy as np
from PIL import Image

from tests.bad_inputs.case import add

OPTIONS = (
    'train_cfg.max_epochs=1',
    'train_dataloader.batch_size=4',
    'train_dataloader.num_workers=0',
    'test_dataloader.num_workers=0',
    'train_dataloader.sampler.batch_size=4',
    'train_dataloader.sampler.instances=2',
)
SPLITS = dict(train='bounding_box_train', query='query', gallery='bounding_box_test')
ROWS = [
    (f'{folder}/{pid:04d}_c{camera}s1_{i}.png', pid, camera, split)
    for split, folder in SPLITS.items()
    for pid in ((1, 2, 3) if split == 'train' else (7, 8))
    for camera in (1, 2)
    for i in ((0, 1) if split != 'query' else (5,))
]


def write(root) -> None:
    rng = np.random.default_rng(0)
    for path, pid, *_ in ROWS:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        colour = np.random.default_rng(pid).integers(0, 200, 3)
        Image.fromarray((colour + rng.integers(0, 50, (40, 20, 3))).astype(np.uint8)).save(root / path)


def table(name, change, refused, says=None) -> None:
    """A case of ``images.csv``: ``change(rows)`` returns its rows, or its whole content."""

    def make(folder):
        root = folder / 'mine'
        write(root)
        content = change([list(row) for row in ROWS])
        if isinstance(content, list):
            content = text(content)
        (root / 'images.csv').write_bytes(content if isinstance(content, bytes) else content.encode())
        return command(folder, 'csv')

    add('re-ID tables', name, make, refused, says)


def command(folder, kind, *options):
    config = ['train', 'clipreid/baseline_micro-vit', '--dataset', kind, '--data-root', folder / 'mine']
    return [*config, '--work-dir', folder / 'run', '--test', '--cfg-options', *OPTIONS, *options]


def put(position, column, value):
    def change(rows):
        rows[position][column] = value
        return rows

    return change


def text(rows):
    return 'path,id,camera,split\n' + ''.join(','.join(map(str, row)) + '\n' for row in rows)


table('as it should be', lambda rows: rows, None, r'mAP')
table('a byte order mark', lambda rows: '\ufeff' + text(rows), None, 'mAP')
table('Latin-1', lambda rows: text(put(1, 1, 'änne')(rows)).encode('latin1'), r'images\.csv:3: not UTF-8')
table('no camera column', lambda rows: text(rows).replace('camera', 'kamera'), r"images\.csv:1: no column 'camera'")
table('an empty identity', put(1, 1, ''), r"images\.csv:3: field 'id' is empty")
table('an unknown split', put(1, 3, 'trian'), r'images\.csv:3: .*trian')
table('an identity of real numbers', put(1, 1, '1.5'), r'images\.csv:3: .*1\.5')
table('an identity of pandas', lambda rows: [[a, f'{b}.0', c, d] for a, b, c, d in rows], r'images\.csv:2: id .*astype')
table('a camera that is nan', put(1, 2, 'nan'), r"images\.csv:3: camera 'nan' is neither")
table('a negative identity', put(1, 1, '-7'), r'images\.csv:3: .*-7')
table('junk identity -1', put(1, 1, '-1'), None, r'1 .*-1|-1.*1 ')
table('a raised two as identity', put(1, 1, '²'), None, 'mAP')
table('an identity of 5,000 digits', put(1, 1, '9' * 5000), r'images\.csv:3')
table('a path twice', put(1, 0, ROWS[0][0]), r'lists .* twice')
table('a missing image', put(1, 0, 'nothing.png'), r'nothing\.png does not exist')
table('no query', lambda rows: [row for row in rows if row[3] != 'query'], "no split 'query'")
table('no gallery', lambda rows: [row for row in rows if row[3] != 'gallery'], "no split 'gallery'")
table('a header alone', lambda rows: [], r'images\.csv')
table('one camera', lambda rows: [[a, b, 1, d] for a, b, _, d in rows], 'camera')
table('one training identity', lambda rows: [[a, 1 if d == 'train' else b, c, d] for a, b, c, d in rows], 'identit')


def folders(name, change, refused, says=None) -> None:
    def make(folder):
        root = folder / 'mine'
        write(root)
        change(root)
        return command(folder, 'folder')

    add('re-ID folders', name, make, refused, says)


def _add(root, name):
    shutil.copy(root / ROWS[0][0], root / 'bounding_box_train' / name)


folders('as they should be', lambda root: None, None, 'mAP')
folders('junk identity -1', lambda root: _add(root, '-1_c1s1_9.png'), None, r'1 .*(-1|junk)')
folders('a name of another form', lambda root: _add(root, 'photo.png'), r'photo\.png: the name must begin with')
folders('camera 0', lambda root: _add(root, '0001_c0s1_9.png'), r'0001_c0s1_9\.png: the name must begin with')
folders('no query folder', lambda root: shutil.rmtree(root / 'query'), 'query')
folders(
    'queries in the gallery',
    lambda root: [shutil.copy(f, root / 'bounding_box_test') for f in (root / 'query').iterdir()],
    None,
    'WARNING.*(quer|gallery)',
)
