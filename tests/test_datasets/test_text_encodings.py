"""Every text file that a reader reads: UTF-8 with or without byte order mark, anything else an error with its name."""

import json
from functools import partial

import pytest
from data_trees import folder_of, make_tree
from reid_trees import folder_of as reid_folder_of
from reid_trees import make_reid_tree, make_table

from vlprompt.clip.classnames import resolve_class_names
from vlprompt.datasets.build_reader import build_classification_reader, build_reid_reader
from vlprompt.datasets.dense.coco_json import CocoError, read_coco

MARK = b'\xef\xbb\xbf'


def write(root, **files):
    for name, text in files.items():
        (root / name.replace('__', '.')).write_text(text, encoding='utf-8')


def make_text_list(root):
    write(root, classnames__txt='Käfer\nHund\n', train__txt='a/Käfer.png 0\nb/Hund.png 1\n')


def make_csv_list(root):
    write(root, classnames__txt='Käfer\nHund\n', train__csv='path,label\nKäfer.png,Käfer\nHund.png,1\n')


def make_inaturalist(root):
    images = [dict(id=7, file_name='a.jpg'), dict(id=8, file_name='ß.jpg')]
    annotations = [dict(image_id=7, category_id=1), dict(image_id=8, category_id=0)]
    write(
        root,
        categories__json=json.dumps([dict(id=0, name='Käfer'), dict(id=1, name='Hund')], ensure_ascii=False),
        train2018__json=json.dumps(dict(images=images, annotations=annotations), ensure_ascii=False),
    )


def make_veri(root):
    make_reid_tree('veri', root)
    folder = reid_folder_of('veri', root)
    lines = '\n'.join(f'./{path.parent.name}/{path.name} 3' for path in folder.glob('*/*'))
    write(folder, keypoint_train__txt=lines, keypoint_test__txt=lines)


def of_tree(name):
    return partial(make_tree, name), lambda root: build_classification_reader(folder_of(name, root), dataset=name)


def of_reid_tree(name, make=None):
    make = make or partial(make_reid_tree, name)
    return make, lambda root: build_reid_reader(reid_folder_of(name, root), dataset=name)


READERS = dict(
    text_list=(make_text_list, partial(build_classification_reader, ann_file='{split}.txt')),
    numbered_list=(
        make_text_list,
        partial(build_classification_reader, ann_file='{split}.txt', task='long_tailed'),
    ),
    csv_list=(make_csv_list, partial(build_classification_reader, ann_file='train.csv')),
    inaturalist=(make_inaturalist, partial(build_classification_reader, dataset='inat2018', task='long_tailed')),
    caltech101=of_tree('caltech101'),
    imagenet=of_tree('imagenet'),
    fgvc_aircraft=of_tree('fgvc_aircraft'),
    msmt17=of_reid_tree('msmt17'),
    vehicleid=of_reid_tree('vehicleid'),
    veri=of_reid_tree('veri', make_veri),
    reid_table=(make_table, partial(build_reid_reader, ann_file='images.csv')),
)


@pytest.mark.parametrize('name', READERS)
def test_readers(tmp_path, name):
    make, build = READERS[name]
    make(tmp_path)

    def read():
        reader = build(tmp_path)
        return getattr(reader, 'classes', None), reader.read('train')

    expected = read()
    texts = {path: path.read_bytes() for path in tmp_path.rglob('*') if path.suffix in ('.txt', '.csv', '.json')}
    for path, content in texts.items():
        path.write_bytes(MARK + content.replace(b'\n', b'\r\n'))
    assert read() == expected, 'with byte order marks, and lines as Windows ends them'
    refused = 0
    for path, content in texts.items():
        path.write_bytes(content.rstrip() + b'\n# K\xe4fer')
        line = content.rstrip().count(b'\n') + 2
        try:
            assert read() == expected, 'a file of another split'
        except ValueError as error:
            assert str(error).startswith(f'{path}:{line}: not UTF-8 text')  # noqa: PT017
            refused += 1
        path.write_bytes(content)
    assert refused >= 1 + ('classnames.txt' in {path.name for path in texts} and len(texts) > 1)


def test_class_names(tmp_path):
    path = tmp_path / 'names.txt'
    path.write_bytes(MARK + 'Käfer\r\nHund\r\n'.encode())
    assert resolve_class_names(str(path)) == ['Käfer', 'Hund']
    path.write_bytes('Hund\nKäfer\n'.encode('cp1252'))
    with pytest.raises(ValueError, match=r'names\.txt:2: not UTF-8 text \(byte 0xe4 is not\); save the file'):
        resolve_class_names(str(path))


def test_coco_annotations(tmp_path):
    path = tmp_path / 'train.json'
    content = dict(images=[], annotations=[], categories=[dict(id=1, name='Käfer')])
    path.write_bytes(MARK + json.dumps(content, ensure_ascii=False).encode())
    assert read_coco(path)[0]['categories'] == content['categories']
    path.write_bytes(json.dumps(content, ensure_ascii=False).encode('cp1252'))
    with pytest.raises(CocoError, match=r'train\.json:1: not UTF-8 text'):
        read_coco(path)


@pytest.mark.parametrize(
    ('row', 'message'),
    [
        ('a.png,²,1,train', None),
        ('a.png,1e3,1,train', None),
        ('a.png,-1,1,train', None),
        ('a.png,-2,1,train', "id '-2' is neither a name nor a whole number from 0 on"),
        ('a.png,3.0,1,train', "id '3.0' is neither a name nor a whole number"),
        ('a.png,nan,1,train', "id 'nan' is neither"),
        ('a.png,3,1.0,train', "camera '1.0' is neither"),
        ('a.png,3,-1,train', "camera '-1' is neither"),
        ('a.png,' + '1' * 5000 + ',1,train', "id: '1{37}\\.\\.\\.' has 5000 digits; a number has at most 18"),
        ('a.png,1,' + '1' * 30 + ',train', 'camera: .* has 30 digits'),
    ],
)
def test_numbers_in_re_identification_tables(tmp_path, row, message):
    write(tmp_path, images__csv=f'path,id,camera,split\nb.png,7,2,train\n{row}\n')
    reader = build_reid_reader(tmp_path, ann_file='images.csv')
    if message is None:
        assert 'a.png' in {item.path for item in reader.read('train')} or ',-1,' in row
        return
    with pytest.raises(ValueError, match=rf'images\.csv:3: {message}'):
        reader.read('train')


@pytest.mark.parametrize('label', ['²', '1' * 5000, '2'])
def test_labels_that_are_no_numbers(tmp_path, label):
    write(tmp_path, classnames__txt='cat\ndog\n', train__txt=f'a.png 0\nb.png {label}\n')
    message = 'has 5000 digits' if len(label) > 1 else f"label '{label}' is not one of the 2 classes"
    for task in ('few_shot', 'long_tailed'):
        with pytest.raises(ValueError, match=rf'train\.txt:2: .*{message}'):
            build_classification_reader(tmp_path, ann_file='{split}.txt', task=task).read('train')
    (tmp_path / 'classnames.txt').unlink()
    if len(label) > 1:
        with pytest.raises(ValueError, match=r'train\.txt:2: .* has 5000 digits'):
            build_classification_reader(tmp_path, ann_file='{split}.txt', task='long_tailed').read('train')


def test_identities_in_file_names(tmp_path):
    make_reid_tree('market1501', tmp_path)
    folder = reid_folder_of('market1501', tmp_path)
    image = next((folder / 'bounding_box_train').iterdir())
    for name in ('-2_c1.jpg', '1' * 30 + '_c1.jpg', '1_c0.jpg', '1_c' + '1' * 30 + '.jpg'):
        wrong = image.rename(image.with_name(name))
        message = 'the name must begin with' if name == '1_c0.jpg' else r'.*(identity|digits|camera)'
        with pytest.raises(ValueError, match=rf'{name[:20]}.*: {message}'):
            build_reid_reader(folder, dataset='market1501').read('train')
        image = wrong
