"""Every kind of broken entry: an error that names file and entry, or a skip that is counted and listed."""

import copy
import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from vlprompt.datasets.dense.coco_json import CocoError, category_names, read_coco, run_lengths

SQUARE = [[2, 2, 8, 2, 8, 8, 2, 8]]


def content():
    return dict(
        images=[dict(id=i, file_name=f'{i}.jpg', width=20, height=10) for i in (1, 2)],
        categories=[dict(id=7, name='cat'), dict(id=3, name='dog'), dict(id=5, name='bird')],
        annotations=[
            dict(id=11, image_id=1, category_id=3, bbox=[2, 2, 6, 6], segmentation=copy.deepcopy(SQUARE)),
            dict(id=12, image_id=1, category_id=7, bbox=[0.5, 0, 4, 4], area=9.5, iscrowd=1, segmentation=runs()),
            dict(id=13, image_id=2, category_id=5, bbox=[15, 5, 10, 10], area=25, segmentation=SQUARE),
        ],
    )


def runs(height=10, width=20, compressed=False):
    mask = np.zeros((height, width), np.uint8, order='F')
    mask[:4, :4] = 1
    if compressed:
        encoded = coco_mask.encode(mask)
        return dict(size=encoded['size'], counts=encoded['counts'].decode())
    changes = np.flatnonzero(np.diff(mask.ravel(order='F'))) + 1
    edges = [0, 0, *changes, mask.size]  # runs begin with zeros; the first pixel is a one
    return dict(size=[height, width], counts=np.diff(edges).tolist())


@pytest.fixture
def write(tmp_path):
    (tmp_path / 'images').mkdir()
    for name in ('1.jpg', '2.jpg'):
        (tmp_path / 'images' / name).touch()

    def write(data):
        path = tmp_path / 'train.json'
        path.write_text(data if isinstance(data, str) else json.dumps(data))
        return dict(ann_file=path, image_folder=tmp_path / 'images')

    return write


def test_sound_files_are_completed_and_ordered(write):
    source = write(content())
    read, skipped = read_coco(**source, masks=True)
    assert skipped == []
    assert [c['id'] for c in read['categories']] == [7, 3, 5]
    assert category_names(source['ann_file']) == ['cat', 'dog', 'bird']
    first = read['annotations'][0]
    assert (first['area'], first['iscrowd']) == (36, 0)
    picked, skipped = read_coco(**source, classes=['dog', 'cat'])
    assert [c['name'] for c in picked['categories']] == ['dog', 'cat']
    assert [a['id'] for a in picked['annotations']] == [11, 12]
    assert skipped == []


BREAK = {
    'box outside': (lambda a: a.update(bbox=[20, 2, 5, 5]), r'\[20, 2, 5, 5\] is outside the image of 20 x 10'),
    'box above': (lambda a: a.update(bbox=[2, -6, 5, 6]), 'outside'),
    'box with nan': (lambda a: a.update(bbox=[2, float('nan'), 5, 5]), 'not four finite numbers'),
    'box of text': (lambda a: a.update(bbox=['2', 2, 5, 5]), 'not four finite numbers'),
    'box of three': (lambda a: a.update(bbox=[2, 2, 5]), 'not four finite numbers'),
    'box of another world': (lambda a: a.update(bbox=[2, 2, 1e39, 5]), 'not four finite numbers'),
    'box of too many digits': (lambda a: a.update(bbox=[2, 2, 10**400, 5]), 'not four finite numbers'),
    'empty box': (lambda a: a.update(bbox=[2, 2, 0, 5]), 'is empty'),
    'no box': (lambda a: a.pop('bbox'), 'has no bbox'),
    'no area': (lambda a: a.update(area=0), 'its area is 0'),
    'unknown category': (lambda a: a.update(category_id=99), 'no category 99'),
    'unknown image': (lambda a: a.update(image_id=99), 'no image 99'),
    'image of a list': (lambda a: a.update(image_id=[1]), r'no image \[1\]'),
    'category of a list': (lambda a: a.update(category_id=[7]), r'no category \[7\]'),
    'crowd or not': (lambda a: a.update(iscrowd=None), 'its iscrowd is None'),
    'same id': (lambda a: a.update(id=11), 'its id is used twice'),
    'no mask': (lambda a: a.pop('segmentation'), 'it has no mask'),
    'empty polygons': (lambda a: a.update(segmentation=[]), 'it has no mask'),
    'two corners': (lambda a: a.update(segmentation=[[1, 1, 5, 5]]), 'fewer than three corners'),
    'half a corner': (lambda a: a.update(segmentation=[*SQUARE, [1, 1, 5, 5, 6, 7, 8]]), 'half a corner'),
    'polygon with nan': (lambda a: a.update(segmentation=[[*SQUARE[0][:7], float('nan')]]), 'finite'),
    'polygon without area': (lambda a: a.update(segmentation=[[3, 3, 3, 3, 3, 3]]), 'its mask is empty'),
    'polygon of another world': (lambda a: a.update(segmentation=[[0, 0, 1e9, 0, 1e9, 1e9]]), 'finite numbers of pix'),
    'mask without a size': (lambda a: a['segmentation'].update(size=200), 'its mask has the size 200'),
    'runs of parts': (lambda a: a['segmentation'].update(counts=[0.5, 4, 195.5]), 'do not add up'),
    'mask of another size': (lambda a: a.update(segmentation=runs(20, 10)), 'size'),
    'too few runs': (lambda a: a['segmentation'].update(counts=[0, 4]), 'do not add up'),
    'negative runs': (lambda a: a['segmentation'].update(counts=[0, 201, -1]), 'do not add up'),
    'empty runs': (lambda a: a['segmentation'].update(counts=[200]), 'its mask is empty'),
    'text for runs': (lambda a: a.update(segmentation='mask.png'), 'neither a list of polygons nor runs'),
    'garbled runs': (lambda a: a.update(segmentation=dict(size=[10, 20], counts='~~~~')), 'do not add up'),
}


@pytest.mark.parametrize('case', BREAK)
def test_broken_annotations(case, write):
    change, message = BREAK[case]
    data = content()
    change(data['annotations'][1])
    source = write(data)
    with pytest.raises(CocoError, match=rf'train\.json: annotation 1[12]: .*({message})'):
        read_coco(**source, masks=True)
    read, skipped = read_coco(**source, masks=True, broken='skip')
    assert [a['id'] for a in read['annotations']] == [11, 13]
    assert len(skipped) == 1
    assert skipped[0].startswith('annotation 1')


def test_masks_are_optional_where_only_boxes_count(write):
    data = content()
    for annotation in data['annotations']:
        annotation['segmentation'] = []
    read, skipped = read_coco(**write(data))
    assert len(read['annotations']) == 3
    assert skipped == []
    assert read['annotations'][0]['area'] == 36


@pytest.mark.parametrize('density', [0, 0.02, 0.5, 0.97, 1])
def test_run_lengths_are_pycocotools(density):
    mask = np.asfortranarray(np.random.RandomState(0).rand(60, 90) < density).astype(np.uint8)
    runs = run_lengths(coco_mask.encode(mask)['counts'].decode())
    values = np.arange(len(runs)) % 2
    assert np.array_equal(np.repeat(values, runs), mask.ravel(order='F'))


def test_compressed_runs(write):
    data = content()
    data['annotations'][1]['segmentation'] = runs(compressed=True)
    assert len(read_coco(**write(data), masks=True)[0]['annotations']) == 3


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(file_name='3.jpg'), r'image 2: the file .*3\.jpg does not exist'),
        (dict(file_name=''), 'image 2: it has no file_name'),
        (dict(file_name=7), 'image 2: it has no file_name'),
        (dict(width=0), 'image 2: its width is 0'),
        (dict(height=None), 'image 2: its height is None'),
        (dict(id=1), 'image 1: its id is used twice'),
        (dict(id=[2]), 'image at position 1: it has no id'),
        (dict(id=None), 'image at position 1: it has no id'),
    ],
)
def test_broken_images_take_their_annotations_with_them(change, message, write):
    data = content()
    data['images'][1].update(change)
    source = write(data)
    with pytest.raises(CocoError, match=message):
        read_coco(**source)
    read, skipped = read_coco(**source, broken='skip')
    assert [image['id'] for image in read['images']] == [1]
    assert {a['image_id'] for a in read['annotations']} == {1}
    if change.get('id', 2) == 2:
        assert len(skipped) == 1, 'the annotations of a missing image are not reported one by one'


@pytest.mark.parametrize(
    ('data', 'message'),
    [
        ('{"images": [', 'not valid JSON'),
        ('[]', 'no list "images"'),
        (dict(images=[], annotations=[]), 'no list "categories"'),
        (dict(content(), categories=[dict(id=1)]), 'category at position 0'),
        (dict(content(), categories=[dict(id=1, name=['a'])]), 'category at position 0'),
        (dict(content(), categories=[dict(id=1, name='a'), dict(id=1, name='b')]), 'two categories have the id 1'),
        (dict(content(), categories=[dict(id=1, name='a'), dict(id=2, name='a')]), "two categories have the name 'a'"),
    ],
)
def test_files_that_cannot_be_used_at_all(data, message, write):
    source = write(data)
    for broken in ('error', 'skip'):
        with pytest.raises(CocoError, match=message):
            read_coco(**source, broken=broken)


def test_wrong_arguments(write, tmp_path):
    source = write(content())
    with pytest.raises(CocoError, match="no category 'cow'; it has cat, dog, bird"):
        read_coco(**source, classes=['cow'])
    with pytest.raises(FileNotFoundError, match=r'none\.json'):
        read_coco(tmp_path / 'none.json')
    with pytest.raises(ValueError, match='broken must be one of'):
        read_coco(**source, broken='drop')


@pytest.mark.parametrize('broken', ['error', 'skip'])
def test_several_entries_of_one_file_are_an_error_that_is_never_skipped(tmp_path, broken):
    names = ['a.png', 'b.png', 'x/../a.png', './b.png', 'c.png', 'a.png']
    images = [dict(id=i + 1, file_name=name, width=9, height=9) for i, name in enumerate(names)]
    file = tmp_path / 'a.json'
    file.write_text(json.dumps(dict(images=images, annotations=[], categories=[dict(id=1, name='cat')])))
    message = r"a\.json: images 1, 3 and 6 are the same file 'a\.png', and so are the entries of 1 more files\. Give"
    with pytest.raises(CocoError, match=message):
        read_coco(file, broken=broken)
