"""Image files: damaged, odd or exotic ones, in training and in prediction."""

from __future__ import annotations

import os

import numpy as np
from PIL import Image

from tests.bad_inputs.case import add, case
from tests.bad_inputs.few_shot import names, project, train

COLOUR = np.full((40, 48, 3), (200, 90, 30), np.uint8)
GREY16 = (np.arange(40 * 48, dtype=np.uint16).reshape(40, 48) * 30) + 1


def png(path):
    Image.fromarray(COLOUR).save(path, 'png')


def truncated(path):
    png(path)
    path.write_bytes(path.read_bytes()[:-60])


def pipe(path):
    os.mkfifo(path)


def bomb(path):
    Image.new('1', (14000, 14000)).save(path, 'png')


def grey16(path):
    Image.fromarray(GREY16).save(path, 'png')


def real(path):
    Image.fromarray(COLOUR[..., 0].astype(np.float32)).save(path, 'tiff')


def integer(path):
    Image.fromarray(COLOUR[..., 0].astype(np.int32) * 100_000).save(path, 'tiff')


def rotated(path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(COLOUR).save(path, 'jpeg', exif=exif)


def animated(path):
    Image.fromarray(COLOUR).save(path, 'gif', save_all=True, append_images=[Image.fromarray(COLOUR[::-1].copy())])


def saved(mode):
    def write(path):
        kind = 'jpeg' if mode == 'CMYK' else 'png'
        Image.fromarray(COLOUR).convert(mode).save(path, kind)

    return write


WRITERS = {
    'missing': (lambda path: None, r'0\.png does not exist'),
    'empty': (lambda path: path.write_bytes(b''), r'0\.png cannot be read'),
    'text': (lambda path: path.write_text('no image'), r'0\.png cannot be read'),
    'truncated': (truncated, r'0\.png cannot be read.*truncated'),
    'a folder': (lambda path: path.mkdir(), r'0\.png'),
    'a pipe': (pipe, r'0\.png'),
    'a loop of links': (lambda path: path.symlink_to(path), r'0\.png'),
    'a link to nothing': (lambda path: path.symlink_to('nothing'), r'0\.png'),
    '196 megapixels in a few bytes': (bomb, r'0\.png cannot be read'),
    'real numbers': (real, r'0\.png.*(float|F\b)'),
    '32-bit numbers': (integer, r'0\.png'),
    '16-bit grey': (grey16, None),
    'grey': (saved('L'), None),
    'a palette': (saved('P'), None),
    'one bit': (saved('1'), None),
    'CMYK': (saved('CMYK'), None),
    'with transparency': (saved('RGBA'), None),
    'grey with transparency': (saved('LA'), None),
    'rotated by EXIF': (rotated, None),
    'animated': (animated, None),
}


def listed(folder, write):
    """A list with the image among others, so that it counts whatever it is."""
    data = project(folder)
    path = data / 'train' / names()[0] / '0.png'
    path.unlink()
    write(path)
    lines = [
        f'{split}/{name}/{i}.png,{name},{split}' for split in ('train', 'test') for name in names() for i in range(4)
    ]
    (data / 'images.csv').write_text('path,label,split\n' + '\n'.join(lines) + '\n')
    return data


for _name, (_write, _refused) in WRITERS.items():

    def _train(folder, write=_write):
        listed(folder, write)
        return train(folder, 'train_dataloader.dataset.ann_file=images.csv')

    add('images, training', _name, _train, _refused, None if _refused else r'Epoch\(train\) *\[1\]')

    def _check(folder, write=_write):
        data = listed(folder, write)
        return ['check', '--data-root', data, '--ann-file', 'images.csv']

    add('images, check_dataset', _name, _check, r'PROBLEM: .*0\.png' if _refused else None, '0 problems')


def predict(folder, write, name='b.png', *arguments):
    project(folder)
    images = folder / 'images'
    images.mkdir()
    png(images / 'a.png')
    write(images / name)
    png(images / 'c.png')
    return ['predict', folder / 'tiny.py', 'none', images, '--out', folder / 'out', '--no-pictures', *arguments]


for _name in ('empty', 'text', 'truncated', '196 megapixels in a few bytes', 'real numbers', '32-bit numbers'):

    def _predict(folder, write=WRITERS[_name][0]):
        return predict(folder, write)

    add('images, prediction', _name, _predict, r'1 of 3 images .*b\.png')

for _name in ('16-bit grey', 'a palette', 'rotated by EXIF', 'animated', 'with transparency'):

    def _predict(folder, write=WRITERS[_name][0]):
        return predict(folder, write)

    add('images, prediction', _name, _predict, None, '3 of 3 images')


@case('images, prediction', 'a name of 250 characters', says='3 of 3 images')
def _(folder):
    command = predict(folder, png, 'b' * 246 + '.png')
    command.remove('--no-pictures')
    return command


@case('images, prediction', 'a name that is no UTF-8', says='3 of 3 images')
def _(folder):
    return predict(folder, lambda path: png(os.fsdecode(os.fsencode(path.parent) + b'/b_\xe4.png')))


@case('images, prediction', 'a folder without images', refused='holds no images')
def _(folder):
    project(folder)
    (folder / 'nothing').mkdir()
    return ['predict', folder / 'tiny.py', 'none', folder / 'nothing', '--out', folder / 'out']


@case('images, prediction', 'no such file', refused=r'nothing\.png')
def _(folder):
    project(folder)
    return ['predict', folder / 'tiny.py', 'none', folder / 'nothing.png', '--out', folder / 'out']
