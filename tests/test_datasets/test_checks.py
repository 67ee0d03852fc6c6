"""Facts about data: every finding with its words and its level, and datasets of all kinds as parts."""

import json

import numpy as np
import pytest
from data_trees import save_image
from mmengine.dataset import BaseDataset, ClassBalancedDataset, ConcatDataset, RepeatDataset
from PIL import Image

from vlprompt.datasets import FewShotDataset, LongTailedDataset, ReIDDataset, SeededDataset
from vlprompt.datasets.checks import examine as module
from vlprompt.datasets.checks.boxes import check_boxes
from vlprompt.datasets.checks.classes import check_classes
from vlprompt.datasets.checks.examine import examine
from vlprompt.datasets.checks.findings import Level
from vlprompt.datasets.checks.identities import SearchRules
from vlprompt.datasets.checks.lists import check_list
from vlprompt.datasets.checks.masks import check_masks, count_masks
from vlprompt.datasets.checks.parts import BoxPart, ClassPart, IdentityPart, MaskPart, Part
from vlprompt.datasets.checks.views import parts_of, read_mmseg_labels

NOTE, PROBLEM, ERROR = Level


def class_part(labels, classes='abc', name='train', **fields):
    paths = [f'/data/{name}/{i}.png' for i in range(len(labels))]
    return ClassPart(**dict(name=name, source='/data', paths=paths, labels=labels, classes=list(classes)) | fields)


def identity_part(name, pids, camids=None, **fields):
    paths = [f'/data/{name}/{i}.png' for i in range(len(pids))]
    camids = camids or [0] * len(pids)
    views = [0] * len(pids)
    given = dict(name=name, source='/data', paths=paths, pids=pids, camids=camids, viewids=views)
    return IdentityPart(**given | fields)


def texts(findings):
    return [finding.text for finding in findings]


# ------------------------------------------------------------------------------------------------------------- lists


def test_an_empty_list_is_an_error():
    assert list(check_list(Part(name='train', source='/data', root='/data/images'))) == [
        (ERROR, 'train: no image in /data/images')
    ]


def test_a_file_listed_twice_is_found_whatever_its_spelling():
    part = Part(name='train', source='s', root='/d', paths=['/d/a.png', '/d/./a.png', '/d/x/../a.png', '/d/b.png'])
    assert list(check_list(part)) == [(PROBLEM, 'train: 1 image listed more than once: a.png')]


def test_paths_outside_of_the_root_are_counted():
    part = Part(name='test', source='s', root='/d', paths=['/d/a.png', '/e/a.png', '/d/../f/a.png', '/d/x/../b.png'])
    assert list(check_list(part)) == [(NOTE, 'test: 2 paths are outside of /d, the first is /e/a.png')]
    part = Part(name='test', source='s', root='d/', paths=['d/a.png', './d/b.png'])
    assert list(check_list(part)) == []


def test_notes_of_a_reader_are_findings():
    part = Part(name='train', source='s', paths=['a'], notes=['2 files .heic are left out'])
    assert list(check_list(part)) == [(NOTE, '2 files .heic are left out')]


# ----------------------------------------------------------------------------------------------------------- classes


def test_counts_of_classes():
    assert class_part([0, 0, 1, 2, 2]).counts() == 'train: 5 images of 3 classes (1 to 2 each)'
    assert class_part([0, 1, 2], shots=1).counts() == 'train: 3 images of 3 classes (1 to 1 each, 1 shot)'


def test_a_class_without_training_images_is_an_error_and_without_test_images_odd():
    assert list(check_classes(class_part([0, 0, 1, 1]))) == [(ERROR, 'train: no image of 1 of 3 classes: c')]
    assert list(check_classes(class_part([0, 1], name='test'))) == [(NOTE, 'test: no image of 1 of 3 classes: c')]


def test_classes_with_one_image_and_with_fewer_images_than_shots():
    assert texts(check_classes(class_part([0, 0, 1, 2, 2], shots=2))) == [
        'train: 1 class has fewer than 2 images and are taken whole: b (1)',
        'train: 1 class has one image only: b',
    ]
    assert texts(check_classes(class_part([0, 1, 2], shots=1))) == [], 'that is what one shot means'
    assert texts(check_classes(class_part([0, 1, 2], name='test'))) == []


def test_one_class_makes_every_prediction_right():
    (finding,) = check_classes(class_part([0, 0], 'a'))
    assert finding == (PROBLEM, "train: there is one class only, 'a', so every prediction is right")


def test_classes_of_one_name():
    (finding,) = check_classes(class_part([0, 0, 1, 1], ['bank', 'bank']))
    assert finding == (NOTE, "train: 2 classes are called 'bank'; no prompt can tell them apart")


# ------------------------------------------------------------------------------------------------------- identities


def test_counts_of_identities():
    assert identity_part('query', [1, 1, 2], [0, 1, 1]).counts() == (
        'query: 3 images of 2 identities (1 to 2 each) from 2 cameras'
    )
    part = identity_part('train', [1, 1], viewids=[0, 3], cameras_known=False)
    assert part.counts() == 'train: 2 images of 1 identity (2 to 2 each) from unknown cameras and 2 viewpoints'


def reid(train=((1, 1, 2, 2), (0, 1, 0, 1)), query=((5, 6), (0, 0)), gallery=((5, 6), (1, 1)), **options):
    parts = [identity_part(n, *map(list, p)) for n, p in dict(train=train, query=query, gallery=gallery).items()]
    return list(examine(parts, **options).findings)


def test_sound_reid_data_have_no_findings():
    assert reid() == []


def test_identities_and_cameras_of_training_and_test():
    assert reid(train=((1, 1, 5), (0, 0, 0))) == [
        (NOTE, 'train: 1 identity has one image only: 5'),
        (PROBLEM, 'leak: 1 identity of train in query and gallery too: 5'),
        (NOTE, '1 camera of query and gallery has no image in train: 2'),
    ]
    train = identity_part('train', [5, 5], one_numbering=False)
    assert list(examine([train, identity_part('query', [5]), identity_part('gallery', [5], [1])]).findings)[:1] == [
        (PROBLEM, 'train: there is one identity only, 5')
    ]


def test_queries_without_an_answer():
    assert reid(gallery=((5, 7), (1, 1))) == [
        (
            NOTE,
            '1 of 2 queries have no image of their identity from another camera in the gallery and are left out of the '
            'means; identities 6',
        )
    ]
    assert reid(gallery=((5, 6), (0, 0))) == [
        (
            ERROR,
            'no query has an image of its identity from another camera in the gallery; if cameras are unknown, use '
            "RetrievalMetric(same_camera='keep')",
        )
    ]
    assert reid(gallery=((5, 6), (0, 0)), rules=SearchRules('keep')) == []
    assert reid(gallery=((8, 9), (0, 0)), rules=SearchRules('keep')) == [
        (ERROR, 'no query has another image of its identity in the gallery')
    ]
    assert reid(gallery=((8, 9), (0, 0)), rules=SearchRules('draws')) == []


def test_the_own_file_of_a_query_is_a_finding_and_no_answer(tmp_path):
    paths = [tmp_path / name for name in ('q0.png', 'q1.png', 'g0.png', 'g1.png')]
    for number, path in enumerate(paths):
        save_image(path, seed=number % 2 if number != 3 else 7)  # g0 is a copy of q0
    query = identity_part('query', [5, 6], paths=[str(p) for p in paths[:2]], root=str(tmp_path))
    gallery = identity_part('gallery', [5, 6], [1, 1], paths=[str(p) for p in paths[2:]], root=str(tmp_path))
    own, alone = examine([query, gallery]).findings
    assert own == (
        PROBLEM,
        '1 image of gallery is in query too (the same bytes): g0.png = q0.png; a query is no answer to itself, so they '
        'do not count in its ranking',
    )
    assert alone.text.startswith('1 of 2 queries have no image of their identity from another camera')
    (kept,) = examine([query, gallery], SearchRules(own_files='keep')).findings
    assert kept.text.endswith("q0.png; they count in its ranking, since the metric has own_files='keep'")
    gallery = identity_part('gallery', [5, 6], [1, 1], paths=query.paths, root=str(tmp_path))
    own, nothing = examine([query, gallery]).findings
    assert own.text.startswith('2 images of gallery are in query too (the same path): q0.png, q1.png; a query')
    assert nothing.level == ERROR


# ------------------------------------------------------------------------------------------------------------- boxes


def box_part(boxes, labels=None, owners=None, sizes=((200, 100),), name='train'):
    """From boxes x, y, width, height."""
    boxes = np.array(boxes, float).reshape(-1, 4)
    return BoxPart(
        name=name,
        source='boxes.json',
        paths=[f'{i}.png' for i in range(len(sizes))],
        sizes=np.array(sizes, float),
        boxes=np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1),
        owners=np.array(owners if owners is not None else [0] * len(boxes), int),
        labels=np.array(labels if labels is not None else [0] * len(boxes), int),
        classes=['cat', 'dog'],
    )


def test_counts_of_boxes():
    part = box_part([[0, 0, 9, 9]] * 3, [0, 1, 1])
    assert part.counts() == 'train: 1 image with 3 boxes of 2 classes (1 to 2 each)'


def test_boxes_that_are_corners():
    corners = [[100, 50, 180, 90], [20, 10, 60, 40], [150, 60, 199, 99]]
    (finding,) = check_boxes(box_part(corners, name='val'))
    assert finding == (
        PROBLEM,
        'val: 2 of 3 boxes reach beyond their image by up to 149 px: x1, y1, x2, y2? They must be x, y, width, height',
    )
    right = [[x, y, x2 - x, y2 - y] for x, y, x2, y2 in corners]
    assert list(check_boxes(box_part(right, name='val'))) == []


def test_boxes_over_the_edge_are_no_corners():
    (finding,) = check_boxes(box_part([[150, 60, 80, 30], [10, 10, 5, 5]], name='val'))
    assert finding == (NOTE, 'val: 1 of 2 boxes reach beyond their image by up to 30 px')
    assert list(check_boxes(box_part([[150, 60, 50.9, 40]], name='val'))) == [], 'rounding'
    (finding,) = check_boxes(box_part([[-7, 0, 20, 20]], name='val'))
    assert 'by up to 7 px' in finding.text


def test_no_box_is_an_error_and_a_class_without_boxes_odd():
    assert list(check_boxes(box_part([]))) == [(ERROR, 'train: no box in 1 images')]
    assert list(check_boxes(box_part([[0, 0, 9, 9]] * 2, owners=[0, 1], sizes=[(9, 9)] * 2))) == [
        (NOTE, 'train: no box of 1 of 2 classes: dog')
    ]
    assert list(check_boxes(box_part([[0, 0, 9, 9]] * 3, [0, 0, 1], [0, 1, 1], sizes=[(9, 9)] * 2))) == [
        (NOTE, 'train: 1 class has one image only: dog')
    ]


def test_entries_of_one_image_are_an_error_for_boxes():
    part = box_part([[0, 0, 9, 9]] * 2, sizes=[(9, 9)] * 2)
    part.paths = ['a.png', 'a.png']
    assert list(check_list(part)) == [(ERROR, 'train: 1 image listed more than once: a.png')]


# ------------------------------------------------------------------------------------------------------------- masks


def mask_part(masks, classes='ab', name='train'):
    masks = [np.array(mask, np.uint8) for mask in masks]
    files = [f'{i}.png' for i in range(len(masks))]
    return MaskPart(
        name=name, source='s', paths=files, masks=files, classes=list(classes), read_labels=masks.__getitem__
    )


def test_counts_of_masks():
    counts = count_masks(mask_part([[[0, 1], [255, 0]], [[0, 0], [0, 0]]]))
    assert counts.pixels.tolist() == [6, 1]
    assert counts.images.tolist() == [2, 1]
    assert counts.ignored == 1
    assert str(counts) == '12.5 % of pixels unlabelled (in all masks)'


def test_classes_and_unlabelled_pixels_of_masks():
    def findings(*masks, name='train', most=None):
        part = mask_part(masks, name=name)
        return list(check_masks(part, count_masks(part, most)))

    assert findings([[255, 255]], [[255, 255]]) == [(ERROR, 'train: all pixels of 2 masks are unlabelled (255)')]
    assert findings([[0, 0]], [[0, 0]]) == [(NOTE, 'train: no pixel of 1 of 2 classes: b')]
    assert findings([[0, 1]], [[0, 0]]) == [(NOTE, 'train: 1 class has one image only: b')]
    assert findings([[0, 255]], [[255, 0]], name='val') == [(NOTE, 'val: 50.0 % of pixels unlabelled (in all masks)')]
    assert findings([[0, 0]], [[0, 0]], [[0, 0]], most=2) == [], 'a sample does not tell that a class is absent'


def test_a_sample_of_masks_is_evenly_spaced():
    counts = count_masks(mask_part([[[0, 0]]] * 9 + [[[255, 255]]]), most=4)
    assert sorted(counts.shapes) == [0, 3, 6, 9]
    assert str(counts) == '25.0 % of pixels unlabelled (in 4 of 10 masks, evenly spaced)'


def test_masks_that_cannot_be_read_are_errors():
    part = mask_part([[[0, 1]]] * 2)
    good = part.read_labels
    part.read_labels = lambda i: good(0) if i == 0 else (_ for _ in ()).throw(ValueError('mask 1.png holds the ids 7'))
    assert next(check_masks(part, count_masks(part))) == (ERROR, 'mask 1.png holds the ids 7')


def test_masks_of_mmseg_are_read_as_its_pipeline_does(tmp_path):
    Image.fromarray(np.array([[0, 1, 2, 255]], np.uint8)).save(tmp_path / 'm.png')
    info = dict(seg_map_path=str(tmp_path / 'm.png'))
    assert read_mmseg_labels(dict(info, reduce_zero_label=True), 2).tolist() == [[255, 0, 1, 255]]
    assert read_mmseg_labels(dict(info, label_map={2: 0}), 2).tolist() == [[0, 1, 0, 255]]
    with pytest.raises(ValueError, match=r'm\.png holds the labels 2, but there are 2 classes'):
        read_mmseg_labels(info, 2)


# ------------------------------------------------------------------------------------------------------ shared images


@pytest.fixture
def images(tmp_path):
    """Six different images and ``copy.png``, which is 0.png."""
    for i in range(6):
        save_image(tmp_path / f'{i}.png', seed=i)
    save_image(tmp_path / 'copy.png', seed=0)
    return lambda *names: [str(tmp_path / f'{name}.png') for name in names]


def split(name, paths, tmp_path):
    return class_part([0] * len(paths), 'a', name, paths=paths, root=str(tmp_path))


def leaks(*parts, **options):
    return [text for text in texts(examine(parts, **options).findings) if text.startswith('leak')]


def test_images_in_training_and_test(images, tmp_path):
    train, test = split('train', images(0, 1), tmp_path), split('test', images('copy', 1, 2), tmp_path)
    assert leaks(train, test) == [
        'leak: 1 image of test is in train too (the same path): 1.png',
        'leak: 1 image of test is in train too (the same bytes): copy.png = 0.png',
    ]


def test_validation_and_test_may_be_the_same_images(images, tmp_path):
    train, val = split('train', images(0), tmp_path), split('val', images(1, 2), tmp_path)
    assert leaks(train, val, split('test', images(1, 2), tmp_path), all_pairs=True) == []
    part = split('test', images(1, 3), tmp_path)
    assert leaks(train, val, part) == [], 'a run does not compare them'
    assert leaks(train, val, part, all_pairs=True) == ['leak: 1 image of test is in val too (the same path): 1.png']


def test_training_on_the_validation_set_is_found(images, tmp_path):
    assert leaks(split('train', images(1, 2), tmp_path), split('val', images(1, 2), tmp_path)) == [
        'leak: 2 images of val are in train too (the same path): 1.png, 2.png'
    ]


def test_too_many_files_are_not_compared_by_content(images, tmp_path, monkeypatch):
    from vlprompt.datasets.checks import files

    train, test = split('train', images(0, 1), tmp_path), split('test', images('copy'), tmp_path)
    monkeypatch.setattr(module, 'number_files', lambda parts: files.number_files(parts, most_files=2))
    facts = examine([train, test])
    assert [text for text in texts(facts.findings) if text.startswith('leak')] == []
    assert facts.lines[-1].startswith('3 files, more than')


# ---------------------------------------------------------------------------------------------------------- datasets


class Pictures(BaseDataset):
    """A dataset of another package."""

    METAINFO = dict(classes=('cat', 'dog'))

    def __init__(self, entries, **kwargs):
        self.entries = entries
        super().__init__(**kwargs)

    def load_data_list(self):
        return self.entries

    def get_cat_ids(self, index):
        return [self.get_data_info(index).get('gt_label')]


def pictures(*labels, folder='d'):
    return Pictures([dict(img_path=f'{folder}/{i}.png', gt_label=label) for i, label in enumerate(labels)])


def test_wrapped_datasets_are_one_part():
    data = SeededDataset(ConcatDataset([pictures(0, 1), pictures(1, folder='e')]))
    (part,) = parts_of(data, 'train')
    assert part.counts() == 'train: 3 images of 2 classes (1 to 2 each)'
    assert list(part.paths) == ['d/0.png', 'd/1.png', 'e/0.png']
    for repeated in (
        RepeatDataset(pictures(0, 0, 0, 1), times=3),
        ClassBalancedDataset(pictures(0, 0, 0, 1), oversample_thr=0.9),
    ):
        (part,) = parts_of(repeated, 'train')
        assert len(part.paths) == 4, 'repetitions are no copies'


def test_other_kinds_of_samples_are_refused_by_name():
    with pytest.raises(TypeError, match='samples of Pictures have no img_path'):
        parts_of(Pictures([dict(text='a')]), 'train')
    with pytest.raises(TypeError, match='neither a label, nor an identity, boxes or a mask'):
        parts_of(Pictures([dict(img_path='a.png')]), 'train')
    with pytest.raises(TypeError, match='list has no get_data_info'):
        parts_of([1, 2], 'train')


def folder_per_class(root, counts, split='train'):
    for name, count in counts.items():
        for i in range(count):
            save_image(root / split / name / f'{i}.png', seed=sum(map(ord, f'{split}{name}')) + 1000 * i)


def test_few_shot_data_know_their_shots(tmp_path):
    folder_per_class(tmp_path, dict(cat=4, dog=2))
    (part,) = parts_of(FewShotDataset(str(tmp_path), shots=3), 'train')
    assert part.counts() == 'train: 5 images of 2 classes (2 to 3 each, 3 shots)'
    assert texts(check_classes(part)) == ['train: 1 class has fewer than 3 images and are taken whole: dog (2)']


def test_files_that_are_left_out_are_counted(tmp_path):
    folder_per_class(tmp_path, dict(cat=1, dog=1))
    for name in ('cat/a.heic', 'cat/b.HEIC', 'dog/more/c.heic', 'dog/noise', 'dog/readme.txt', 'dog/.hidden'):
        (tmp_path / 'train' / name).parent.mkdir(exist_ok=True)
        (tmp_path / 'train' / name).touch()
    (part,) = parts_of(LongTailedDataset(str(tmp_path)), 'train')
    assert part.notes == [
        f'{tmp_path}: files .heic are left out: 3 of train',
        f'{tmp_path}: files without suffix are left out: 1 of train',
    ]


def test_paths_outside_of_the_data_of_a_list(tmp_path):
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data/list.csv').write_text(f'path,label\nin.png,cat\n../out.png,dog\n{tmp_path}/other.png,cat\n')
    (part,) = parts_of(FewShotDataset(str(tmp_path / 'data'), ann_file='list.csv'), 'train')
    assert texts(check_list(part)) == [
        f'train: 2 paths are outside of {tmp_path}/data, the first is {tmp_path}/data/../out.png'
    ]


def test_reid_tests_are_a_query_and_a_gallery(tmp_path):
    lines = ['path,id,camera,split', 'a.png,7,1,train', 'b.png,8,1,query', 'c.png,8,2,gallery', 'd.png,-1,2,gallery']
    (tmp_path / 'images.csv').write_text('\n'.join(lines))
    query, gallery = parts_of(ReIDDataset(str(tmp_path), ann_file='images.csv', split='test'), 'test')
    assert (query.name, query.pids, gallery.name, gallery.camids) == ('query', [8], 'gallery', [1])
    assert gallery.notes == [f'{tmp_path}/images.csv: images of identity -1 (junk) are left out: 1 of gallery']


def test_coco_of_any_package_has_boxes(tmp_path):
    """mmdet's own dataset, without masks; the crowd is not counted."""
    from mmdet.datasets import CocoDataset

    images = [dict(id=1, file_name='a.png', width=200, height=100)]
    box = dict(image_id=1, category_id=3, bbox=[10, 20, 30, 40], area=1200)
    annotations = [dict(box, id=1, iscrowd=0), dict(box, id=2, iscrowd=1)]
    content = dict(images=images, annotations=annotations, categories=[dict(id=3, name='cat')])
    (tmp_path / 'a.json').write_text(json.dumps(content))
    data = CocoDataset(
        ann_file=str(tmp_path / 'a.json'), data_prefix=dict(img='im/'), metainfo=dict(classes=('cat',)), pipeline=[]
    )
    (part,) = parts_of(RepeatDataset(data, times=2), 'train')
    assert part.boxes.tolist() == [[10, 20, 40, 60]]
    assert part.counts() == 'train: 1 image with 1 box of 1 class (1 to 1 each)'


def test_labels_of_mmdet_follow_the_order_of_the_file(tmp_path):
    """Its dataset takes the n-th category of the file for the n-th of ``metainfo.classes``, whatever the names."""
    from mmdet.datasets import CocoDataset

    content = dict(
        images=[dict(id=1, file_name='a.png', width=200, height=100)],
        annotations=[dict(id=1, image_id=1, category_id=3, bbox=[10, 20, 30, 40], area=1200, iscrowd=0)],
        categories=[dict(id=3, name='cat'), dict(id=4, name='dog')],
    )
    (tmp_path / 'a.json').write_text(json.dumps(content))

    def labels(**metainfo):
        options = dict(ann_file=str(tmp_path / 'a.json'), data_prefix=dict(img='im/'), pipeline=[])
        return parts_of(CocoDataset(**options, metainfo=metainfo or None), 'train')[0].labels.tolist()

    assert labels(classes=('cat', 'dog')) == [0]
    message = (
        r"a\.json: its categories are cat, dog, but metainfo\.classes of CocoDataset are dog, cat: .*CocoInstances'"
    )
    with pytest.raises(ValueError, match=message):
        labels(classes=('dog', 'cat'))
    with pytest.raises(ValueError, match='are cat, cow'):
        labels(classes=('cat', 'cow'))
    with pytest.raises(ValueError, match=r'are person, bicycle, .* and 70 more'):
        labels()
