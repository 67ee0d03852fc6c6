"""The checked COCO dataset and its metric: labels, skips, and AP against pycocotools itself."""

import contextlib
import io
import json
import pickle
import shutil

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from vlprompt.datasets.dense.coco_instances import CocoInstances, CocoInstancesMetric
from vlprompt.datasets.dense.coco_json import CocoError

SIDE, CLASSES = 64, ('cat', 'dog', 'bird')
IDS = {'cat': 17, 'dog': 4, 'bird': 9}


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


def box_mask(box):
    mask = np.zeros((SIDE, SIDE), np.uint8, order='F')
    x, y, w, h = (round(v) for v in box)
    mask[y : y + h, x : x + w] = 1
    return mask


def encode(box):
    runs = coco_mask.encode(box_mask(box))
    return dict(size=runs['size'], counts=runs['counts'].decode())


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Eight images: the third and the last are empty, three objects are crowds."""
    rng = np.random.RandomState(0)
    folder = tmp_path_factory.mktemp('coco')
    (folder / 'images').mkdir()
    images, annotations = [], []
    for image in range(8):
        (folder / 'images' / f'{image}.png').touch()
        images.append(dict(id=100 + image, file_name=f'{image}.png', width=SIDE, height=SIDE))
        for _ in range(0 if image in (2, 7) else rng.randint(1, 6)):
            box = [*rng.randint(0, 40, 2).tolist(), *rng.randint(6, 24, 2).tolist()]
            label = CLASSES[rng.randint(3)]
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=100 + image,
                    category_id=IDS[label],
                    bbox=box,
                    area=box[2] * box[3],
                    iscrowd=int(len(annotations) in (1, 4, 9)),
                    segmentation=encode(box),
                )
            )
    categories = [dict(id=IDS[name], name=name) for name in CLASSES]
    content = dict(images=images, annotations=annotations, categories=categories)
    (folder / 'train.json').write_text(json.dumps(content))
    return folder


def dataset(folder, **options):
    options = dict(ann_file='train.json', test_mode=True) | options
    return CocoInstances(data_root=str(folder), data_prefix=dict(img='images'), pipeline=[], **options)


def detections(folder):
    """Noisy copies of the truth, false alarms, detections in empty images and inside crowds."""
    rng = np.random.RandomState(1)
    content = json.loads((folder / 'train.json').read_text())
    found = []
    for image in content['images']:
        boxes = []
        for annotation in content['annotations']:
            if annotation['image_id'] == image['id']:
                copies = 3 if annotation['iscrowd'] else 1
                label = {v: k for k, v in IDS.items()}[annotation['category_id']]
                boxes += [(label, annotation['bbox'])] * copies
        boxes += [(CLASSES[rng.randint(3)], [*rng.randint(0, 40, 2), *rng.randint(6, 20, 2)]) for _ in range(3)]
        noisy = [(label, np.clip(np.array(box) + rng.randint(-1, 2, 4), 0, SIDE)) for label, box in boxes]
        found.append((image['id'], [(label, b, float(rng.rand())) for label, b in noisy if b[2] > 0 < b[3]]))
    return found


def samples(found):
    for image_id, objects in found:
        boxes = torch.tensor(np.array([b for _, b, _ in objects]), dtype=torch.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        masks = np.array([box_mask(b) for _, b, _ in objects]).astype(bool).reshape(-1, SIDE, SIDE)
        predicted = InstanceData(
            bboxes=boxes,
            scores=torch.tensor([s for *_, s in objects]),
            labels=torch.tensor([CLASSES.index(label) for label, *_ in objects]),
            masks=torch.from_numpy(masks),
        )
        meta = dict(img_id=image_id, ori_shape=(SIDE, SIDE))
        yield DetDataSample(pred_instances=predicted, metainfo=meta).to_dict()


@pytest.mark.parametrize('kind', ['bbox', 'segm'])
def test_ap_is_pycocotools(folder, kind):
    """The same detections through mmdet's metric and through COCOeval; crowds and empty images included."""
    MMLogger.get_instance('test_ap')
    found = detections(folder)
    metric = CocoInstancesMetric(metric=kind)
    metric.dataset_meta = dataset(folder).metainfo
    with contextlib.redirect_stdout(io.StringIO()):
        metric.process({}, list(samples(found)))
        ours = metric.evaluate(len(found))
        truth = COCO(str(folder / 'train.json'))
        results = [
            dict(image_id=i, category_id=IDS[label], score=s)
            | (dict(bbox=[float(v) for v in b]) if kind == 'bbox' else dict(segmentation=encode(b)))
            for i, objects in found
            for label, b, s in objects
        ]
        evaluation = COCOeval(truth, truth.loadRes(results), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    names = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')
    expected = {f'coco/{kind}_{name}': round(float(v), 3) for name, v in zip(names, evaluation.stats[:6], strict=True)}
    assert ours == pytest.approx(expected, abs=1e-9)
    assert 0.1 < ours[f'coco/{kind}_mAP'] < 0.9


@pytest.mark.parametrize('from_file', [False, True])
def test_nothing_found_is_ap_0(folder, from_file):
    """Where pycocotools fails and mmdet reports no AP; sizes without objects keep pycocotools' -1."""
    MMLogger.get_instance('test_ap')
    with contextlib.redirect_stdout(io.StringIO()):
        source = dict(ann_file=str(folder / 'train.json')) if from_file else {}
        metric = CocoInstancesMetric(metric=['bbox', 'segm'], classwise=True, **source)
        metric.dataset_meta = dataset(folder).metainfo
        metric.process({}, list(samples([(image, []) for image, _ in detections(folder)])))
        found = metric.evaluate(8)
    assert {found[f'coco/{kind}_{name}'] for kind in ('bbox', 'segm') for name in ('mAP', 'mAP_50', 'mAP_s')} == {0.0}
    assert found['coco/bbox_mAP_l'] == -1.0
    assert [found[f'coco/{name}_precision'] for name in CLASSES] == [0, 0, 0]


def test_labels_follow_the_file_or_the_config(folder):
    whole = dataset(folder)
    assert whole.metainfo['classes'] == CLASSES
    assert len(whole.metainfo['palette']) == 3
    assert len(pickle.loads(pickle.dumps(whole))) == 8
    assert {i['bbox_label'] for n in range(8) for i in whole.get_data_info(n)['instances']} == {0, 1, 2}
    some = dataset(folder, classes=['bird', 'cat'])
    for n in range(8):
        ours, all_of_them = (d.get_data_info(n)['instances'] for d in (some, whole))
        kept = [(['cat', 'dog', 'bird'][i['bbox_label']], i['bbox']) for i in all_of_them if i['bbox_label'] != 1]
        assert [(['bird', 'cat'][i['bbox_label']], i['bbox']) for i in ours] == kept
    training = dataset(folder, test_mode=False, filter_cfg=dict(filter_empty_gt=True))
    assert len(training) == 6


def test_broken_entries(folder, tmp_path, capsys):
    content = json.loads((folder / 'train.json').read_text())
    for number, annotation in enumerate(content['annotations'][:3]):
        annotation.update([('bbox', [70, 0, 5, 5]), ('segmentation', []), ('category_id', 5)][number : number + 1])
    content['images'][3]['file_name'] = 'lost.png'
    of_lost = sum(a['image_id'] == 103 for a in content['annotations'])
    path = tmp_path / 'broken.json'
    path.write_text(json.dumps(content))
    with pytest.raises(CocoError, match=r'broken\.json: image 103: the file .*lost\.png does not exist'):
        dataset(folder, ann_file=str(path))
    MMLogger.get_instance('test_broken')
    left = dataset(folder, ann_file=str(path), broken='skip', masks=True)
    assert len(left) == 7
    assert left.skipped[0].startswith('image 103')
    assert [line.split(':')[0] for line in left.skipped[1:]] == ['annotation 1', 'annotation 2', 'annotation 3']
    output = capsys.readouterr()
    assert '4 broken entries left out' in output.out + output.err
    metric = CocoInstancesMetric()
    metric.dataset_meta = left.metainfo
    metric.process({}, [])
    sound = len(content['annotations']) - 3 - of_lost
    assert len(metric._coco_api.anns) == sum(len(left.get_data_info(n)['instances']) for n in range(7)) == sound


def test_the_metric_needs_the_dataset():
    metric = CocoInstancesMetric()
    metric.dataset_meta = dict(classes=CLASSES)
    with pytest.raises(ValueError, match=r'vlprompt\.CocoInstances'):
        metric.process({}, [])


def test_a_palette_of_another_length_is_refused(folder):
    with pytest.raises(ValueError, match='3 classes, but 1 colours'):
        dataset(folder, palette=[(0, 0, 0)])


def variant(folder, path, change):
    """The annotation file with ``change(annotation)`` for every one of them; a training set of it."""
    content = json.loads((folder / 'train.json').read_text())
    for annotation in content['annotations']:
        change(annotation)
    path.write_text(json.dumps(content))
    return dict(ann_file=str(path), test_mode=False, filter_cfg=dict(filter_empty_gt=True))


def test_boxes_on_which_mmdet_does_not_train_are_named(folder, tmp_path, capsys):
    MMLogger.get_instance('test_tiny')
    options = variant(folder, tmp_path / 'a.json', lambda a: a['id'] == 2 and a.update(bbox=[3, 3, 0.5, 9]))
    data = dataset(folder, **options)
    output = capsys.readouterr()
    assert '1 boxes less than a pixel wide or high' in output.out + output.err
    assert 'annotation 2: its bbox is [3, 3, 0.5, 9]' in output.out + output.err
    total = len(json.loads((tmp_path / 'a.json').read_text())['annotations'])
    assert sum(len(data.get_data_info(n)['instances']) for n in range(len(data))) == total - 1
    normalised = variant(folder, tmp_path / 'b.json', lambda a: a.update(bbox=[v / SIDE for v in a['bbox']]))
    with pytest.raises(CocoError, match=r'all boxes are less than a pixel .* must be in pixels'):
        dataset(folder, **normalised)


def test_data_of_which_nothing_is_left(folder, tmp_path):
    with pytest.raises(CocoError, match=r'train\.json: no image is left of 8 entries'):
        CocoInstances(str(folder), ann_file='train.json', data_prefix=dict(img='elsewhere'), broken='skip', pipeline=[])
    options = variant(folder, tmp_path / 'a.json', lambda a: a.update(category_id=IDS['cat']))
    with pytest.raises(CocoError, match=r'leaves none of 8 images: .* of the classes bird'):
        dataset(folder, classes=['bird'], **options)


def test_images_that_are_filtered_out_are_counted(folder):
    data = dataset(folder, test_mode=False, filter_cfg=dict(filter_empty_gt=True, min_size=SIDE))
    (note,) = data.notes()
    assert note.startswith(f"{folder}/train.json: images without an object, or smaller than filter_cfg={{'filter_empty")
    assert note.endswith('are left out: 2')
    assert dataset(folder).notes() == []


def test_images_of_a_split_without_an_entry_are_counted(folder, tmp_path):
    shutil.copytree(folder / 'images', tmp_path / 'images' / 'train')
    (tmp_path / 'annotations').mkdir()
    shutil.copy(folder / 'train.json', tmp_path / 'annotations')
    assert CocoInstances(str(tmp_path), pipeline=[]).notes() == []
    (tmp_path / 'images' / 'train' / 'new').mkdir()
    for name in ('b.png', 'new/a.jpg', 'new/note.txt'):
        (tmp_path / 'images' / 'train' / name).touch()
    (note,) = CocoInstances(str(tmp_path), pipeline=[]).notes()
    assert note.startswith(f'{tmp_path}/images/train: images without a usable entry in {tmp_path}/annotations/train.js')
    assert note.endswith('are left out: 2, the first is b.png')
