"""Folders, lists and split files of classification data."""

from __future__ import annotations

import json
import os
import shutil

from tests.bad_inputs.case import add, case
from tests.bad_inputs.few_shot import names, project, train

CLASSES = names()
ROWS = [(f'{split}/{name}/{i}.png', name, split) for split in ('train', 'test') for name in CLASSES for i in range(4)]


def listed(kind: str, write, refused: str | None, says: str | None = None) -> None:
    """A case of an annotation file: ``write(folder)`` returns its name and content."""

    def make(folder):
        data = project(folder)
        name, content = write(data)
        (data / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return train(folder, *(f'{part}_dataloader.dataset.ann_file={name}' for part in ('train', 'test')))

    add('lists', kind, make, refused, says)


def csv(rows=ROWS, head='path,label,split', ending='\n'):
    return head + ending + ending.join(','.join(map(str, row)) for row in rows) + ending


def changed(position: int, *row):
    return [*ROWS[:position], row, *ROWS[position + 1 :]]


def split_json(change=lambda content: content):
    content = {split: [] for split in ('train', 'test')}
    for path, name, split in ROWS:
        content[split].append([path, CLASSES.index(name), name])
    return json.dumps(change(content))


def entry(split: str, position: int, value):
    def change(content):
        content[split][position] = value
        return content

    return split_json(change)


RIGHT = r'Epoch\(train\) *\[1\]'
CSV = {
    'CSV as it should be': (csv(), None, RIGHT),
    'CSV with a byte order mark': ('\ufeff' + csv(), None, RIGHT),
    'CSV with the line ends of Windows': (csv(ending='\r\n'), None, RIGHT),
    'CSV with quotes': (csv([(f'"{a}"', f'"{b}"', c) for a, b, c in ROWS]), None, RIGHT),
    'CSV in UTF-16': (csv().encode('utf-16'), r'images\.csv:1: not UTF-8', None),
    'CSV in Latin-1': (
        csv(changed(2, 'train/äpfel.png', 'apple', 'train')).encode('latin1'),
        r'images\.csv:4: not UTF-8',
        None,
    ),
    'CSV without a header': (csv().split('\n', 1)[1], r"images\.csv:1: no column 'path'", None),
    'CSV with semicolons': (csv().replace(',', ';'), r"images\.csv:1: no column 'path'", None),
    'CSV with a short row': (csv(changed(1, 'train/apple/1.png', 'apple')), r'images\.csv:3: expected 3 fields', None),
    'CSV with a long row': (csv(changed(1, 'a', 'apple', 'train', 'x')), r'images\.csv:3: expected 3 fields', None),
    'CSV with an empty label': (
        csv(changed(1, 'train/apple/1.png', '', 'train')),
        r"images\.csv:3: field 'label' is empty",
        None,
    ),
    'CSV with an unknown split': (
        csv(changed(1, 'train/apple/1.png', 'apple', 'trian')),
        r"images\.csv:3: split 'trian'",
        None,
    ),
    'CSV with an unknown class': (
        csv(changed(1, 'train/apple/1.png', 'aple', 'train')),
        r"3 classes, the data 4 \(only in the data: 'aple'\)",
        None,
    ),
    'CSV with a number beyond the classes': (
        csv(changed(1, 'train/apple/1.png', '7', 'train')),
        r"images\.csv:3: label '7'",
        None,
    ),
    'CSV with a negative number': (
        csv(changed(1, 'train/apple/1.png', '-1', 'train')),
        r"images\.csv:3: label '-1' is neither a class name nor a whole number",
        None,
    ),
    'CSV with numbers of pandas': (
        csv([(path, f'{CLASSES.index(name)}.0', split) for path, name, split in ROWS]),
        r"images\.csv:2: label '0\.0' is neither a class name nor a whole number",
        None,
    ),
    'CSV with nan': (
        csv(changed(1, 'train/apple/1.png', 'nan', 'train')),
        r"images\.csv:3: label 'nan' is neither",
        None,
    ),
    'CSV without splits': (
        csv([row[:2] for row in ROWS], head='path,label'),
        None,
        r"images\.csv has no column split, .*ann_file='\{split\}\.csv'",
    ),
    'CSV with a raised two': (
        csv(changed(1, 'train/apple/1.png', '²', 'train')),
        r"only in the data: '²'",
        None,
    ),
    'CSV with a path twice': (csv([*ROWS, ROWS[0]]), r'lists .*0\.png.* twice', None),
    'CSV with a missing image': (
        csv(changed(1, 'train/apple/9.png', 'apple', 'train')),
        r'9\.png does not exist',
        None,
    ),
    'CSV with a field of 200,000 letters': (csv(changed(1, 'a' * 200_000, 'apple', 'train')), r'images\.csv', None),
    'CSV with a NUL': (csv(changed(1, 'train/apple\0/1.png', 'apple', 'train')), r'images\.csv|NUL|null', None),
    'CSV that is empty': ('', r'images\.csv:1: no column', None),
    'CSV with a header alone': ('path,label,split\n', r'images\.csv', None),
    'CSV without test images': (csv([row for row in ROWS if row[2] == 'train']), None, RIGHT),
    'CSV without a class in training': (
        csv([row for row in ROWS if row[1:] != ('cup', 'train')]),
        r"3 classes, the data 2 \(only in the model: 'cup'\)",
        None,
    ),
}
for _name, (_content, _refused, _says) in CSV.items():
    listed(_name, lambda data, content=_content: ('images.csv', content), _refused, _says)

TXT = {
    'text list': ('\n'.join(f'{a} {b}' for a, b, c in ROWS if c == 'train'), None, RIGHT),
    'text list with a line of one word': ('train/apple/0.png\n', r'train\.txt:1: expected', None),
    'text list with swapped columns': ('3 train/apple/0.png\n', r'train\.txt:1: .*swapped', None),
    'text list that is binary': (bytes(range(256)), r'train\.txt:', None),
    'text list that is empty': ('', r'train\.txt', None),
}
for _name, (_content, _refused, _says) in TXT.items():

    def _make(folder, content=_content):
        data = project(folder)
        (data / 'train.txt').write_bytes(content if isinstance(content, bytes) else content.encode())
        return train(folder, 'train_dataloader.dataset.ann_file=train.txt')

    add('lists', _name, _make, _refused, _says)

JSON = {
    'JSON as it should be': (split_json(), None, RIGHT),
    'JSON with a byte order mark': ('\ufeff' + split_json(), None, RIGHT),
    'JSON that ends early': (split_json()[:-20], r'split\.json:1: not valid JSON', None),
    'JSON that is empty': ('', r'split\.json:1: not valid JSON', None),
    'JSON with other keys': ('{"training": []}', r'split\.json: expected an object with the keys train', None),
    'JSON that is a list': ('[1, 2]', r'split\.json: expected an object', None),
    'JSON with empty splits': ('{"train": [], "test": []}', r'split\.json: all splits are empty', None),
    'JSON with a label as text': (
        entry('train', 1, ['train/apple/1.png', '0', 'apple']),
        r'split\.json: train\[1\]',
        None,
    ),
    'JSON with a label as real number': (
        entry('train', 1, ['train/apple/1.png', 0.0, 'apple']),
        r'split\.json: train\[1\]',
        None,
    ),
    'JSON with a true label': (
        entry('train', 1, ['train/apple/1.png', True, 'apple']),
        r'split\.json: train\[1\]',
        None,
    ),
    'JSON with two values': (entry('train', 1, ['train/apple/1.png', 0]), r'split\.json: train\[1\]', None),
    'JSON with a negative label': (entry('train', 1, ['train/apple/1.png', -1, 'x']), r'split\.json: label -1', None),
    'JSON with a gap': (entry('train', 1, ['train/apple/1.png', 7, 'x']), r'split\.json: labels run up to 7', None),
    'JSON with a label of 100,000,000': (
        entry('train', 1, ['train/apple/1.png', 10**8, 'x']),
        r'split\.json: labels run up',
        None,
    ),
    'JSON with two names of a label': (
        entry('train', 1, ['train/apple/1.png', 0, 'x']),
        r"split\.json: label 0 is called 'apple'",
        None,
    ),
    'JSON with an image twice': (
        entry('train', 1, ['train/apple/0.png', 0, 'apple']),
        r"lists 'train/apple/0\.png' twice",
        None,
    ),
    'JSON with another class in the test': (
        entry('test', 1, ['test/apple/1.png', 0, 'x']),
        r"'test', 'test/apple/1\.png'",
        None,
    ),
    'JSON with nested brackets': ('[' * 100_000, r'split\.json', None),
}
for _name, (_content, _refused, _says) in JSON.items():

    def _make(folder, content=_content):
        data = project(folder)
        (data / 'split.json').write_text(content, encoding='utf-8')
        options = [f'{part}_dataloader.dataset.ann_file=split.json' for part in ('train', 'test')]
        return train(folder, *options, arguments=('--test',))

    add('split files', _name, _make, _refused, _says)


# ---------------------------------------------------------------------------------------------------------- folders


def folders(name: str, change, refused: str | None, says: str | None = None, test: bool = False) -> None:
    def make(folder):
        data = project(folder)
        change(data)
        return train(folder, arguments=('--test',) if test else ())

    add('folders', name, make, refused, says)


def _remove(folder):
    for file in folder.iterdir():
        file.unlink()


def _other_suffix(data):
    (data / 'train/apple/0.png').rename(data / 'train/apple/0.heic')


def _nested(data):
    (data / 'train/apple/more').mkdir()
    (data / 'train/apple/0.png').rename(data / 'train/apple/more/0.png')


def _same_image(data):
    (data / 'test/apple/0.png').write_bytes((data / 'train/apple/0.png').read_bytes())


folders('as they should be', lambda data: None, None, r'train: 12 images of 3 classes \(4 to 4 each, 4 shots\)')
folders('a class without images', lambda data: _remove(data / 'train/cup'), "no image of class 'cup'")
folders(
    'another class in the test',
    lambda data: (data / 'test/cup').rename(data / 'test/cap'),
    "'cap' is not a class",
    test=True,
)
folders(
    'no training folder',
    lambda data: (data / 'train').rename(data / 'training'),
    r'has no split .train.*training with 12 images is not read: rename it to train',
)
folders(
    'a validation folder of another name',
    lambda data: shutil.copytree(data / 'test', data / 'valid'),
    None,
    'WARNING.*valid with 12 images is not read: rename it to val',
)
folders(
    'images beside the classes',
    lambda data: shutil.copy(data / 'test/apple/0.png', data / 'train/0.png'),
    None,
    'WARNING.*images directly in the folder of a split, .*left out: 1 of train',
)
folders(
    'test images without classes',
    lambda data: [
        (data / 'test/apple').rename(data / 'x'),
        shutil.rmtree(data / 'test'),
        (data / 'x').rename(data / 'test'),
    ],
    r'test: there is no folder of a class, but 4 images directly in it',
    test=True,
)
folders('no test folder', lambda data: (data / 'test').rename(data / 'tests'), 'has no split .test', test=True)
folders('a suffix that is not read', _other_suffix, None, r'1 .*\.heic')
folders('a nested folder', _nested, None, r'train: 12 images|1 sub-folder')
folders(
    'a class whose name is not UTF-8',
    lambda data: (data / 'train/cup').rename(data / 'train' / os.fsdecode(b'caf\xe9')),
    r'train: the name of the folder .caf\\udce9. is not UTF-8',
)
folders('hidden files', lambda data: (data / 'train/apple/.DS_Store').write_bytes(b'x'), None, '12 images')
folders('a text file beside the classes', lambda data: (data / 'train/readme.txt').write_text('x'), None, '12 images')
folders('one image in training and in test', _same_image, None, r'WARNING.*test/apple/0\.png|WARNING.*same', test=True)


@case('folders', 'one class', says='WARNING.*(one|1|single) class')
def _(folder):
    data = project(folder)
    for name in CLASSES[1:]:
        for split in ('train', 'test'):
            shutil.rmtree(data / split / name)
    return train(folder, 'model.class_names=[apple]')


@case('class names', 'a byte order mark', says=RIGHT)
def _(folder):
    project(folder)
    (folder / 'names.txt').write_text('\ufeff' + '\n'.join(CLASSES), encoding='utf-8')
    return train(folder, f'model.class_names={folder}/names.txt')


@case('class names', 'Latin-1', refused=r'names\.txt:2: not UTF-8')
def _(folder):
    project(folder)
    (folder / 'names.txt').write_bytes('apple\nboät\ncup'.encode('latin1'))
    return train(folder, f'model.class_names={folder}/names.txt')


@case('class names', 'empty', refused=r'names\.txt|no class')
def _(folder):
    project(folder)
    (folder / 'names.txt').write_bytes(b'')
    return train(folder, f'model.class_names={folder}/names.txt')


@case('class names', 'a name twice', says=r"Class names follow .* 1 of 3 differ \('apple' -> 'boat'\)")
def _(folder):
    project(folder)
    (folder / 'names.txt').write_bytes(b'apple\napple\ncup')
    return train(folder, f'model.class_names={folder}/names.txt')


@case('class names', 'a name of a thousand words', refused='names|token|long|positions|boat')
def _(folder):
    project(folder)
    (folder / 'names.txt').write_text('apple\n' + 'boat ' * 1000 + '\ncup')
    return train(folder, f'model.class_names={folder}/names.txt')
