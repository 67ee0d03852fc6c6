"""Tools for segmentation, on micro towers and a few tiny scenes: each runs and says or draws what it should."""

import json
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from PIL import Image

from dev.benchmarks import denseclip_slide
from tests.conftest import ROOT
from tests.test_tools.dense import make_world, narrow_config, narrow_file, run_tool
from tools.analysis_tools import get_flops, show_score_map
from vlprompt.apis import init_model, runs
from vlprompt.apis.parameters import parameter_count, without_weights
from vlprompt.apis.score_maps import score_maps
from vlprompt.engine import load_config
from vlprompt.errors import ConfigError

CONFIG = ROOT / 'configs/denseclip/denseclip_micro-rn_fpn_200i_scenes-160x160.py'
BASELINE = ROOT / 'configs/denseclip/clip_micro-rn_fpn_200i_scenes-160x160.py'
SMALL = {'model.decode_head.channels': 8}


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp('scenes_seg'), 'segmentation', 4, 3)


@pytest.fixture(scope='module')
def small_config(tmp_path_factory, world):
    """The shipped config on a micro CLIP, as a file."""
    cfg = narrow_config(CONFIG, world, image_size=64, **SMALL)
    cfg.tta_pipeline[1].transforms[0] = [dict(type='Resize', scale=(side, side)) for side in (64, 96)]
    path = tmp_path_factory.mktemp('config') / 'small.py'
    path.write_text(cfg.pretty_text)
    return path


def test_class_names_and_class_counts_follow_the_data(world):
    """Your own folders: ``classnames.txt`` is all that names the classes."""
    model = init_model(narrow_config(CONFIG, world, dataset='seg_folder', **SMALL))
    names = (world / 'classnames.txt').read_text().splitlines()
    assert list(model.class_names) == names
    assert model.decode_head.num_classes == len(names) == 21
    options = {'dataset': 'seg_folder', 'data_root': str(world), 'model.backbone.clip.weights': None}
    assert init_model(BASELINE, cfg_options=options).decode_head.num_classes == 21


def test_trains_resumes_and_tests_from_the_command_line(small_config, tmp_path, monkeypatch):
    """train.py; test.py whole, by windows, and with several scales; pictures and predictions of every image."""

    def tool(name, *arguments):
        run_tool(monkeypatch, name, small_config, *arguments, '--work-dir', tmp_path / name)
        return json.loads((tmp_path / name / runs.METRICS_FILE).read_text())

    trained = tool('train.py', '--test')
    assert set(trained) >= {'aAcc', 'mIoU', 'mAcc'}
    checkpoint = tmp_path / 'train.py' / 'iter_2.pth'
    again = tool('test.py', checkpoint, '--out', tmp_path / 'out.pkl', '--show-dir', tmp_path / 'show')
    assert again['mIoU'] == trained['mIoU']
    assert sorted(path.name for path in (tmp_path / 'show').iterdir()) == [f'00000{i}_000{i}.png' for i in range(3)]
    predictions = pickle.loads((tmp_path / 'out.pkl').read_bytes())
    assert [p['pred_sem_seg']['data'].shape for p in predictions] == [(1, 64, 64)] * 3
    tool('test.py', checkpoint, '--cfg-options', 'model.test_cfg.mode=slide', 'model.test_cfg.crop_size=(32,32)',
         'model.test_cfg.stride=(21,21)')  # fmt: skip
    tool('test.py', checkpoint, '--tta')
    tool('train.py', '--resume', '--test', '--cfg-options', 'train_cfg.max_iters=3')
    assert (tmp_path / 'train.py' / 'iter_3.pth').is_file()


def test_trains_on_a_folder_of_your_own(world, tmp_path, monkeypatch):
    """``--dataset seg_folder --data-root DIR`` on a config of other data, at the size of the model."""
    own = narrow_file(tmp_path / 'own.py', CONFIG, image_size=64, test_scale=(256, 64), **SMALL)
    data = ['--dataset', 'seg_folder', '--data-root', world]
    steps = ['--work-dir', tmp_path / 'run', '--cfg-options', 'train_cfg.max_iters=1', 'train_cfg.val_interval=1']
    run_tool(monkeypatch, 'train.py', own, *data, *steps)
    meta = torch.load(tmp_path / 'run' / 'iter_1.pth', weights_only=True)['meta']
    assert meta['vlprompt']['class_names'] == (world / 'classnames.txt').read_text().splitlines()
    cfg = load_config(own, dict(dataset='seg_folder', data_root=str(world)))
    assert cfg.train_dataloader.dataset.dataset.pipeline[3].crop_size == (64, 64)


def test_a_baseline_trains_on_a_folder_of_your_own(world, tmp_path, monkeypatch):
    """The class count of a head without text is that of the data, and in a checkpoint that of the training."""
    own = tmp_path / 'own.py'
    own.write_text(
        f'_base_ = {str(BASELINE)!r}\nimage_size, test_scale = 64, (256, 64)\ntrain_dataloader = dict(batch_size=2)\n'
        'model = dict(backbone=dict(clip=dict(weights=None)))\ntrain_cfg = dict(max_iters=1, val_interval=1)\n'
    )
    data = ['--dataset', 'seg_folder', '--data-root', world]
    run_tool(monkeypatch, 'train.py', own, *data, '--work-dir', tmp_path / 'run', '--no-validate')
    cfg = load_config(own, dict(dataset='seg_folder', data_root='/nowhere'))
    assert init_model(cfg, tmp_path / 'run' / 'iter_1.pth').decode_head.num_classes == 21


def test_score_maps_of_images_and_of_the_test_set(small_config, world, tmp_path, capsys):
    images, masks = ([str(world / kind / 'val' / '0001.png')] for kind in ('images', 'masks'))
    common = [str(small_config), 'none', '--out']
    given = ['--images', *images, '--masks', *masks, '--class-names', 'a red bus', 'star']
    show_score_map.main([*common, str(tmp_path / 'given'), *given])
    show_score_map.main([*common, str(tmp_path / 'test'), '--from-test-set', '2', '--stretch'])
    written = [line for line in capsys.readouterr().out.splitlines() if line.endswith('.png')]
    assert [path.rsplit('/')[-1] for path in written] == ['000_0001.png', '000_0000.png', '001_0002.png']
    assert all(np.asarray(Image.open(path)).std() > 10 for path in written)


def test_masks_given_by_hand_mean_what_they_mean_in_the_dataset(tmp_path):
    """ADE20K: id 0 is no class, and class k has the id k + 1."""
    cfg = load_config('denseclip_r50_fpn_80k_ade20k-512x512')
    ids = np.tile(np.array([0, 1, 150, 3], np.uint8), (4, 1))
    Image.fromarray(ids).save(tmp_path / 'mask.png')
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / 'image.png')
    arguments = ['cfg', 'none', '--out', 'x', '--images', str(tmp_path / 'image.png'), '--masks']
    args = show_score_map.parse_args([*arguments, str(tmp_path / 'mask.png')])
    (sample,) = show_score_map.load_samples(args, SimpleNamespace(cfg=cfg), 150)
    assert sample['data_samples'].gt_sem_seg.data[0, 0].tolist() == [255, 0, 149, 2]
    assert show_score_map.palette_of(cfg, 150)[:2] == [[120, 120, 120], [180, 120, 120]]  # ADE20K's own


def test_score_maps_leave_the_models_own_classes_in_place(small_config):
    model = init_model(small_config)
    inputs = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before = score_maps(model, inputs, None)
        other = score_maps(model, inputs, ['striped star', 'bus', 'house'])
        after = score_maps(model, inputs, None)
    assert before.shape == (21, 4, 4)
    assert torch.equal(before, after)
    assert torch.allclose(other[0], before[list(model.class_names).index('striped star')], atol=1e-6)


def test_a_model_without_score_maps_is_refused(tmp_path):
    with pytest.raises(ConfigError, match='EncoderDecoder has no score maps'):
        show_score_map.main(
            [str(BASELINE), 'none', '--images', 'a.png', '--out', str(tmp_path), '--cfg-options']
            + ['model.backbone.clip.weights=None']
        )


def test_flops_of_a_convolution_and_of_the_text_tower(small_config):
    """Neck: lateral 1x1 and output 3x3 convolutions at the strides 4 to 16, counted by hand."""
    model = init_model(small_config)
    rows = get_flops.count(model, (64, 64))
    channels, sides = [32, 64, 128, 256 + 21], [16, 8, 4, 4]
    macs = sum(side**2 * (c * 8 + 9 * 8 * 8) for c, side in zip(channels, sides, strict=True))
    assert rows['neck'][2] == 2 * macs
    assert rows[get_flops.TEXT][0] == sum(p.numel() for p in model.backbone.matching.text.parameters())
    assert rows[get_flops.TEXT][1] == 0 < rows[get_flops.TEXT][2]
    assert rows['decode_head'][2] > 0 < rows['backbone'][2]
    table = get_flops.table(rows).splitlines()
    assert table[-2].startswith('all but the text tower')
    total = sum(p.numel() for p in model.parameters())
    assert f'{total:,}' in table[-1]


@pytest.mark.parametrize(('method', 'prompts'), [('zero_shot/zero-shot', 0), ('ivlp/ivlp', 2)])
def test_flops_of_attention_and_of_visual_prompts(method, prompts):
    """An image tower by hand: whole blocks, then the last one, of which the class token alone is needed.  Prompts of
    their own in every block are keys and values alone.
    """
    model = init_model(without_weights(load_config(f'{method}_micro-vit', dict(dataset='scenes'))))
    trained = parameter_count(model, trained=True)
    arch = model.clip.arch
    layers, width, patch = arch.vision_layers, arch.vision_width, arch.vision_patch_size
    places = (64 // patch) ** 2
    tokens = places + 1 + prompts

    def block(queries):
        return 10 * width**2 * queries + 2 * width**2 * tokens + 2 * queries * tokens * width

    macs = 3 * patch**2 * width * places + (layers - 1) * block(places + 1) + block(1) + width * arch.embed_dim
    rows = get_flops.count(model, (64, 64))
    assert rows['clip'][2] == 2 * macs
    assert sum(row[1] for row in rows.values()) == trained == parameter_count(model, trained=True)


def test_flops_of_adapters_in_a_tower():
    """They are in the row of the tower and in that of the tuner, but once in the sum."""
    model = init_model(without_weights(load_config('adaptformer/adaptformer_micro-vit', dict(dataset='scenes_lt'))))
    rows = get_flops.count(model, (64, 64))
    assert rows['(in two of them)'][2] == -rows['tuner'][2] < 0


def test_flops_need_no_weights(capsys):
    """Nor does the memory of a step: of more images more, in mixed precision less."""

    def memory(*options):
        get_flops.main([str(BASELINE), '--shape', '64', *options])
        shown = capsys.readouterr().out
        assert 'decode_head' in shown
        (line,) = [line for line in shown.splitlines() if line.startswith('training, ')]
        name, _, numbers = line.partition(' images')
        return name, [float(number) for number in numbers.split()]

    (name, some), (_, more) = memory(), memory('--batch-size', '512')
    assert name == 'training, 8'
    assert more[0] > some[0]
    assert more[1] < more[0], 'in mixed precision'
    assert more[2:] == some[2:], 'weights, gradients and states of the optimizer'


def test_benchmark_runs():
    results = denseclip_slide.main(['--quick', '--repeats', '1'])
    slide, train = results['slide'], results['train']
    assert 'text per window, plain path (as published)' in slide['seconds']
    assert slide['difference'] < 1e-5
    sizes = list(train['bytes'].values())
    towers, gradients = ([size[key] for size in sizes] for key in ('kept_by_text', 'gradients'))
    assert towers == sorted(towers)
    assert gradients[0] == gradients[1] < gradients[2], 'the published tower gets gradients, ours none'
