"""The adapters that are shipped: each loads by name, knows scenes of the built-in world, and is small."""

import numpy as np
import pytest
import torch

from dev.train_adapters import RECIPES
from vlprompt.apis import builtin_adapters, init_model, predict_images, save_pretrained
from vlprompt.apis.builtin import adapters_table
from vlprompt.datasets.generated import LONG_TAILED_CLASSES, SCENE_CLASSES
from vlprompt.datasets.generated.detection import detection_scene
from vlprompt.datasets.generated.reid import draw_reid, reid_images
from vlprompt.datasets.generated.tasks import few_shot_scene, long_tailed_scene, segmentation_scene
from vlprompt.engine import read_checkpoint
from vlprompt.engine.adapters.folder import read_config, task_of
from vlprompt.engine.adapters.sources import BUILTIN_FOLDER
from vlprompt.engine.writing import write_checkpoint

TASKS = {'scenes': (SCENE_CLASSES, few_shot_scene), 'scenes_lt': (LONG_TAILED_CLASSES, long_tailed_scene)}
MEGABYTES = 8


def of_task(*tasks):
    configs = {name: read_config(BUILTIN_FOLDER / name, name) for name in builtin_adapters()}
    return [name for name, config in configs.items() if task_of(config) in tasks]


CLASSIFIERS = of_task('IMAGE_CLASSIFICATION', 'ZERO_SHOT_IMAGE_CLASSIFICATION')


def test_every_recipe_is_shipped():
    assert sorted(RECIPES) == builtin_adapters()


def test_there_is_one_for_every_task_and_all_are_small():
    tasks = ('IMAGE_SEGMENTATION', 'OBJECT_DETECTION', 'FEATURE_EXTRACTION')
    assert [len(of_task(task)) for task in tasks] == [1, 1, 1]
    assert len(CLASSIFIERS) >= 10
    assert sum(file.stat().st_size for file in BUILTIN_FOLDER.rglob('*') if file.is_file()) < MEGABYTES * 1e6
    for name in builtin_adapters():
        card = (BUILTIN_FOLDER / name / 'README.md').read_text()
        assert f'# {name}\n' in card
        assert '## Figures' in card
        assert f"init_model('builtin:{name}')" in card


def test_the_table():
    assert adapters_table(['no such']) == ''
    assert len(adapters_table().splitlines()) == len(builtin_adapters())
    assert adapters_table(['tip-adapter-f']).startswith('builtin:tip-adapter-f_micro-rn  FeatureClassifier')


@pytest.mark.parametrize('name', builtin_adapters())
def test_round_trip(name, tmp_path):
    """Folder -> checkpoint -> folder, with what real runs of every method record."""
    from vlprompt.engine.adapters import read_folder, write_folder

    content = read_checkpoint(f'builtin:{name}')
    write_checkpoint(content, tmp_path / 'a.pth')
    write_folder(read_checkpoint(tmp_path / 'a.pth'), tmp_path / 'a')
    again = read_folder(tmp_path / 'a')
    assert again['meta'] == content['meta']
    assert again['state_dict'].keys() == content['state_dict'].keys()
    assert all(torch.equal(tensor, again['state_dict'][key]) for key, tensor in content['state_dict'].items())


@pytest.mark.parametrize('name', CLASSIFIERS)
def test_classifiers(name, tmp_path):
    """Eight scenes in styles of the test set; chance finds one of 16 or of 40."""
    model = init_model(f'builtin:{name}')
    classes, draw = TASKS['scenes' if len(model.dataset_meta['classes']) == len(SCENE_CLASSES) else 'scenes_lt']
    assert list(model.dataset_meta['classes']) == list(classes)
    labels = [0, 0, 4, 4, 8, 8, 12, 12]
    images = [draw('test', label, index).image for index, label in enumerate(labels)]
    found = [int(sample.pred_label) for sample in predict_images(model, images, batch_size=8)]
    assert sum(a == b for a, b in zip(found, labels, strict=True)) >= 3, found

    save_pretrained(model, tmp_path / 'a')
    saved, shipped = read_checkpoint(tmp_path / 'a')['state_dict'], read_checkpoint(f'builtin:{name}')['state_dict']
    assert saved.keys() == shipped.keys()
    assert all(torch.equal(saved[key], tensor.to(saved[key].dtype)) for key, tensor in shipped.items())


@pytest.mark.parametrize('name', of_task('IMAGE_SEGMENTATION'))
def test_segmentor(name):
    model = init_model(f'builtin:{name}')
    image, mask = segmentation_scene('val', 0)
    found = next(predict_images(model, image)).pred_sem_seg.data[0].numpy()
    assert found.shape == mask.shape
    assert (found == mask).mean() > 0.6
    assert len(np.unique(found)) > 1


@pytest.mark.parametrize('name', of_task('OBJECT_DETECTION'))
def test_detector(name):
    """Of the objects in five scenes, some are found by the best boxes, and named."""
    model = init_model(f'builtin:{name}')
    right = total = 0
    for index in range(5):
        image, objects = detection_scene('val', index)
        boxes = [o for o in objects if not o['iscrowd']]
        best = next(predict_images(model, image)).pred_instances[: 2 * len(boxes)]
        for item in boxes:
            x, y, width, height = item['bbox']
            total += 1
            right += any(
                int(label) + 1 == item['category_id'] and overlap(box.tolist(), (x, y, x + width, y + height)) > 0.5
                for box, label in zip(best.bboxes, best.labels, strict=True)
            )
    assert right >= 0.3 * total, (right, total)


def overlap(a, b):
    """Intersection over union of two boxes (x1, y1, x2, y2)."""
    sides = [max(0, min(a[i + 2], b[i + 2]) - max(a[i], b[i])) for i in (0, 1)]
    area = sides[0] * sides[1]
    return area / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - area)


@pytest.mark.parametrize('name', of_task('FEATURE_EXTRACTION'))
def test_reidentifier(name):
    """The nearest view of one of three people, each seen by four cameras, is of the same one."""
    model = init_model(f'builtin:{name}')
    views = [image for image in reid_images(4, 4, 4) if image.folder == 'query'][:12]
    features = torch.stack([s.feature for s in predict_images(model, [draw_reid(v, 0, 128) for v in views], 4)])
    features = torch.nn.functional.normalize(features, dim=-1)
    people = torch.tensor([view.pid for view in views])
    nearest = (features @ features.T).fill_diagonal_(-1).argmax(1)
    assert (people[nearest] == people).float().mean() >= 0.75  # chance: 3 of 11
