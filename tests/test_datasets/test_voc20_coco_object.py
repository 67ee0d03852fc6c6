"""Labels of VOC20 and COCO-Object, as their pipelines read them."""

import numpy as np
import pytest
from PIL import Image

from vlprompt.datasets.dense.load_annotations import CheckedLoadAnnotations
from vlprompt.datasets.dense.open_vocabulary import COCOObjectDataset, VOC20Dataset


@pytest.fixture
def root(tmp_path):
    for folder in ('images', 'masks'):
        (tmp_path / folder).mkdir()
    return tmp_path


def labels_of(dataset, ids):
    """The labels of a mask of two rows of these ids."""
    (path,) = [dataset.get_data_info(index)['seg_map_path'] for index in range(len(dataset))]
    Image.fromarray(np.array([ids, ids], np.uint8)).save(path)
    info = dataset.get_data_info(0) | dict(ori_shape=(2, len(ids)), img_shape=(2, len(ids)))
    return CheckedLoadAnnotations().transform(info)['gt_seg_map'][0].tolist()


def test_the_background_of_voc20_is_unlabelled(root):
    Image.new('RGB', (4, 1)).save(root / 'images' / 'a.jpg')
    (root / 'val.txt').write_text('a\n')
    dataset = VOC20Dataset(
        'val.txt', data_root=str(root), data_prefix=dict(img_path='images', seg_map_path='masks'), pipeline=[]
    )
    assert len(dataset.metainfo['classes']) == 20
    assert dataset.metainfo['classes'][0] == 'aeroplane'
    assert labels_of(dataset, [0, 1, 20, 255]) == [255, 0, 19, 255]


def test_stuff_and_unlabelled_pixels_are_the_background_of_coco_object(root):
    Image.new('RGB', (6, 1)).save(root / 'images' / 'a.jpg')
    dataset = COCOObjectDataset(
        data_root=str(root), data_prefix=dict(img_path='images', seg_map_path='masks'), pipeline=[]
    )
    names = dataset.metainfo['classes']
    assert (len(names), names[0], names[1], names[80]) == (81, 'background', 'person', 'toothbrush')
    assert labels_of(dataset, [0, 79, 80, 170, 255, 2]) == [1, 80, 0, 0, 0, 3]
