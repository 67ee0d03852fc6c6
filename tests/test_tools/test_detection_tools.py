"""Tools for detection, on micro towers and a few tiny scenes: each runs and says or draws what it should."""

import json

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from PIL import Image

from tests.conftest import ROOT
from tests.test_tools.dense import make_world, narrow_config, narrow_file, run_tool
from tools.analysis_tools import browse_dataset, get_flops, show_score_map
from tools.dataset_converters import generate_world
from vlprompt.apis import init_model, runs
from vlprompt.apis.score_maps import without_padding
from vlprompt.apis.speed import blank_samples
from vlprompt.datasets.dense.coco_json import read_coco
from vlprompt.datasets.generated import OBJECT_CLASSES
from vlprompt.datasets.generated.detection import detection_scene
from vlprompt.engine import load_config
from vlprompt.errors import ConfigError

CONFIGS = ROOT / 'configs' / 'denseclip_det'
MASK_RCNN = CONFIGS / 'mask-rcnn_denseclip-micro-rn_fpn_400i_scenes-160x160.py'
SMALL = {
    'model.rpn_head.feat_channels': 8,
    'model.roi_head.bbox_head.fc_out_channels': 8,
    'model.roi_head.mask_head.conv_out_channels': 8,
    'model.test_cfg.rpn.max_per_img': 10,
    'model.test_cfg.rcnn.score_thr': 0.0,
    'model.test_cfg.rcnn.max_per_img': 5,
}


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp('scenes_det'), 'detection', 6, 3)


@pytest.fixture(scope='module')
def small_config(tmp_path_factory, world):
    """The shipped Mask R-CNN on a micro CLIP, as a file."""
    cfg = narrow_config(MASK_RCNN, world, **SMALL)
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.pipeline[1].scale = (64, 64)
    path = tmp_path_factory.mktemp('config') / 'small.py'
    path.write_text(cfg.pretty_text)
    return path


def test_class_names_and_class_counts_follow_the_data(world):
    """Your own annotations: all categories of the files, or those that the datasets keep."""
    own = dict(dataset='coco_json', **SMALL)
    model = init_model(narrow_config(MASK_RCNN, world, **own))
    assert model.class_names == tuple(OBJECT_CLASSES)
    assert model.roi_head.bbox_head.num_classes == model.roi_head.mask_head.num_classes == 20
    kept = ['striped star', 'dotted circle']
    model = init_model(narrow_config(MASK_RCNN, world, classes=kept, **own))
    assert list(model.class_names) == kept
    assert model.roi_head.bbox_head.num_classes == model.roi_head.mask_head.num_classes == 2


def test_trains_resumes_and_tests_from_the_command_line(small_config, tmp_path, monkeypatch):
    """Interrupted after two of three steps and resumed, the weights are those of a run in one go; pictures of all.

    No config names the classes: they are those of the training data, and in testing those of the checkpoint.
    """

    def tool(name, folder, *arguments):
        run_tool(monkeypatch, name, small_config, *arguments, '--work-dir', tmp_path / folder)

    three = ['--no-validate', '--cfg-options', 'train_cfg.max_iters=3']
    tool('train.py', 'once', *three)
    tool('train.py', 'twice')
    tool('train.py', 'twice', '--resume', *three)
    once, twice = (
        torch.load(tmp_path / folder / 'iter_3.pth', weights_only=True)['state_dict'] for folder in ('once', 'twice')
    )
    assert list(once) == list(twice)
    assert all(torch.equal(once[name], twice[name]) for name in once)
    tool('test.py', 'test', tmp_path / 'once' / 'iter_3.pth', '--show-dir', tmp_path / 'show')
    metrics = json.loads((tmp_path / 'test' / runs.METRICS_FILE).read_text())
    assert {'coco/bbox_mAP', 'coco/segm_mAP'} <= set(metrics)
    assert sorted(path.name for path in (tmp_path / 'show').iterdir()) == [f'00000{i}_000{i}.png' for i in range(3)]


def common_classes(world):
    """Two classes that occur in both splits."""
    found = []
    for split in ('train', 'val'):
        content = json.loads((world / 'annotations' / f'instances_{split}.json').read_text())
        names = {category['id']: category['name'] for category in content['categories']}
        found.append({names[annotation['category_id']] for annotation in content['annotations']})
    return sorted(set.intersection(*found))[:2]


def test_trains_on_annotations_of_your_own(world, tmp_path, monkeypatch):
    """``--dataset coco_json --data-root DIR``, some of the classes, at the size of the model."""
    own = narrow_file(tmp_path / 'own.py', MASK_RCNN, image_scale=(96, 64), **SMALL)
    data = ['--dataset', 'coco_json', '--data-root', world]
    kept = common_classes(world)
    steps = ['--work-dir', tmp_path / 'run', '--cfg-options', 'train_cfg.max_iters=1', 'train_cfg.val_interval=1']
    run_tool(monkeypatch, 'train.py', own, *data, *steps, f'classes=[{",".join(kept)}]')
    meta = torch.load(tmp_path / 'run' / 'iter_1.pth', weights_only=True)['meta']
    assert meta['vlprompt']['class_names'] == kept
    cfg = load_config(own, dict(dataset='coco_json', data_root=str(world)))
    assert cfg.train_dataloader.dataset.dataset.pipeline[2].scale == (96, 64)
    baseline = CONFIGS / 'mask-rcnn_clip-micro-rn_fpn_400i_scenes-160x160.py'
    options = {'dataset': 'coco_json', 'data_root': str(world), 'model.backbone.clip.weights': None}
    head = init_model(baseline, cfg_options=options).roi_head
    assert head.bbox_head.num_classes == head.mask_head.num_classes == 20


def test_score_maps_of_a_detector(small_config, world, tmp_path, capsys):
    images = [str(world / 'images' / 'val' / '0001.png')]
    common = [str(small_config), 'none', '--out', str(tmp_path)]
    show_score_map.main([*common, '--images', *images, '--class-names', 'a red bus', 'star'])
    show_score_map.main([*common, '--from-test-set', '1'])
    written = [line for line in capsys.readouterr().out.split() if line.endswith('.png')]
    assert [path.rsplit('/')[-1] for path in written] == ['000_0001.png', '000_0001.png']
    assert all(np.asarray(Image.open(path)).std() > 10 for path in written)
    with pytest.raises(ConfigError, match='--masks are for segmentors'):
        show_score_map.main([*common, '--images', *images, '--masks', *images])


def test_flops_of_a_two_stage_detector(small_config):
    """Neck: lateral 1x1 and output 3x3 convolutions at the strides 4 to 16, counted by hand."""
    rows = get_flops.count(init_model(small_config), (64, 64))
    channels, sides = [32, 64, 128, 256 + 20], [16, 8, 4, 4]
    macs = sum(side**2 * (c * 8 + 9 * 8 * 8) for c, side in zip(channels, sides, strict=True))
    assert rows['neck'][2] == 2 * macs
    assert rows['roi_head'][2] > 0 < rows['rpn_head'][2]


def test_a_timed_batch_of_a_two_stage_detector_is_predicted_as_a_whole(small_config):
    """It looks at as many images as it has samples; images per second are those of the batch."""
    model = init_model(small_config)
    with torch.no_grad():
        found = [
            model(torch.zeros(size, 3, 64, 64), blank_samples(model, (64, 64), size), mode='tensor') for size in (1, 3)
        ]
    one, three = (len(scores) for (scores, *_), *_ in found)
    assert three == 3 * one > 0


def test_padding_is_cut_off():
    scores = torch.arange(4.0).expand(1, 2, 4)
    assert without_padding(scores, (64, 128), (64, 128)) is scores
    cut = without_padding(scores, (64, 128), (50, 64))
    assert cut.shape == (1, 50, 64)
    assert 1.4 < cut.max() < 1.6


def test_browsing_detection(small_config, tmp_path, capsys):
    browse_dataset.main([str(small_config), '--out', str(tmp_path / 'train'), '--number', '2', '--epoch', '1'])
    browse_dataset.main([str(small_config), '--out', str(tmp_path / 'test'), '--number', '1', '--split', 'test'])
    written = [line for line in capsys.readouterr().out.split() if line.endswith('.png')]
    assert len(written) == 3
    assert all(np.asarray(Image.open(path)).std() > 10 for path in written)


def test_browsing_segmentation_and_classification(tmp_path, capsys):
    common = ['--size', '64', '--workers', '1', '--out']
    generate_world.main(['--task', 'segmentation', '--images', '2', '1', *common, str(tmp_path / 'seg')])
    generate_world.main(['--task', 'few-shot', '--per-class', '1', '1', '1', *common, str(tmp_path / 'few')])
    capsys.readouterr()
    seg = ROOT / 'configs/denseclip/denseclip_micro-rn_fpn_200i_scenes-160x160.py'
    few = ROOT / 'configs/plot/plot_micro-rn.py'
    for name, config in (('seg', seg), ('few', few)):
        arguments = ['--data-root', str(tmp_path / name), '--number', '1', '--out', str(tmp_path / 'out' / name)]
        browse_dataset.main([str(config), *arguments])
        (written,) = (line for line in capsys.readouterr().out.split() if line.endswith('.png'))
        assert np.asarray(Image.open(written)).std() > 10


def test_the_world_is_a_function_of_its_seed(world):
    """Files agree with the scenes, masks with the boxes; other seeds and splits are other scenes."""
    for split in ('train', 'val'):
        content, skipped = read_coco(
            world / 'annotations' / f'instances_{split}.json', world / 'images' / split, masks=True
        )
        assert skipped == []
        assert [c['name'] for c in content['categories']] == list(OBJECT_CLASSES)
    image, objects = detection_scene('train', 1, size=64)
    stored = np.asarray(Image.open(world / 'images' / 'train' / '0001.png'))
    assert np.array_equal(image, stored)
    assert json.loads(json.dumps(objects)) == [
        {k: v for k, v in a.items() if k not in ('id', 'image_id')}
        for a in json.loads((world / 'annotations' / 'instances_train.json').read_text())['annotations']
        if a['image_id'] == 2
    ]
    assert not np.array_equal(image, detection_scene('val', 1, size=64)[0])
    assert not np.array_equal(image, detection_scene('train', 1, seed=1, size=64)[0])


def test_some_scenes_are_empty_and_some_hold_crowds():
    found = [detection_scene('train', index, size=32)[1] for index in range(60)]
    assert 1 <= sum(not objects for objects in found) <= 10
    crowds = [a for objects in found for a in objects if a['iscrowd']]
    assert 1 <= len(crowds) <= 15
    assert all(isinstance(a['segmentation']['counts'], list) for a in crowds)


@pytest.mark.parametrize('task', ['detection', 'instance'])
def test_data_root_moves_the_files_of_the_metric(task):
    kind = dict(detection='retinanet', instance='mask-rcnn')[task]
    cfg = load_config(CONFIGS / f'{kind}_denseclip-r50_fpn_1x_coco.py', dict(data_root='/disk/coco'))
    assert cfg.val_evaluator.ann_file == '/disk/coco/annotations/instances_val2017.json'
    assert cfg.test_evaluator.ann_file == '/disk/coco/annotations/instances_val2017.json'
    assert cfg.train_dataloader.dataset.dataset.data_root == '/disk/coco'
