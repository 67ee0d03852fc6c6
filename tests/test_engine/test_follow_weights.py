"""Size, resizing and normalisation of images follow the weights of the towers, unless a config sets them."""

import json

import pytest

from tests.conftest import ROOT
from tests.tiny_timm import CONFIGS
from vlprompt.clip.preprocessing import CLIP_MEAN, CLIP_STD
from vlprompt.engine import load_config
from vlprompt.errors import ConfigError

ZERO_SHOT = 'zero-shot_vit-b16'
HALF = [0.5, 0.5, 0.5]


def composed(config=ZERO_SHOT, **options):
    cfg = load_config(config, {f'model.clip.{name}': value for name, value in options.items()} | dict(dataset='dtd'))
    image = next(step for step in cfg.test_dataloader.dataset.pipeline if step['type'] == 'vlprompt.SquareImage')
    preprocessor = cfg.model.get('data_preprocessor') or {}
    moments = preprocessor.get('mean', CLIP_MEAN), preprocessor.get('std', CLIP_STD)
    return (image['size'], image['mode'], image['interpolation'], *(list(values) for values in moments))


def test_openai():
    assert composed() == (224, 'shortest', 'bicubic', list(CLIP_MEAN), list(CLIP_STD))
    assert composed(arch='RN50x16')[0] == 384
    assert composed(arch='ViT-L/14@336px')[0] == 336


@pytest.mark.parametrize(
    ('arch', 'weights', 'expected'),
    [
        ('ViT-L-14', 'laion2b_s32b_b82k', (224, 'shortest', 'bicubic', HALF, HALF)),
        ('ViT-H-14-378', 'dfn5b', (378, 'squash', 'bicubic', list(CLIP_MEAN), list(CLIP_STD))),
        ('ViT-B-16-SigLIP-384', 'webli', (384, 'squash', 'bicubic', HALF, HALF)),
        ('PE-Core-L-14-336', 'meta', (336, 'squash', 'bilinear', HALF, HALF)),
        ('MobileCLIP2-S0', 'dfndr2b', (256, 'shortest', 'bilinear', [0.0] * 3, [1.0] * 3)),
        ('EVA02-B-16', 'merged2b_s8b_b131k', (224, 'shortest', 'bicubic', list(CLIP_MEAN), list(CLIP_STD))),
    ],
)
def test_tags_of_open_clip(arch, weights, expected):
    assert composed(arch=arch, weights=weights) == expected


def test_a_folder_tells_before_its_weights_are_there(tmp_path):
    preprocessing = dict(mean=HALF, std=HALF, interpolation='bilinear', resize_mode='squash')
    content = dict(model_cfg=CONFIGS['eva02'], preprocess_cfg=preprocessing)
    (tmp_path / 'open_clip_config.json').write_text(json.dumps(content))
    assert composed(arch=None, weights=str(tmp_path)) == (32, 'squash', 'bilinear', HALF, HALF)


def test_a_way_that_is_not_known(tmp_path):
    content = dict(model_cfg=CONFIGS['eva02'], preprocess_cfg=dict(resize_mode='longest'))
    (tmp_path / 'open_clip_config.json').write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=r"resize_mode must be one of .* got 'longest'"):
        composed(arch=None, weights=str(tmp_path))


def test_a_config_wins(tmp_path):
    own = tmp_path / 'own.py'
    own.write_text(
        f"_base_ = '{ROOT}/configs/zero_shot/{ZERO_SHOT}.py'\n"
        "image_size, resize_mode = 256, 'shortest'\n"
        "model = dict(clip=dict(arch='ViT-B-16-SigLIP', weights='webli'), "
        "data_preprocessor=dict(type='vlprompt.ClipPreprocessor', mean=[0.4, 0.4, 0.4]))\n"
    )
    assert composed(str(own)) == (256, 'shortest', 'bicubic', [0.4] * 3, HALF)


def test_random_crops_follow_too():
    cfg = load_config(
        'coop_vit-b16', {'model.clip.arch': 'PE-Core-B-16', 'model.clip.weights': 'meta', 'dataset': 'dtd'}
    )
    crop = next(s for s in cfg.train_dataloader.dataset.pipeline if s['type'] == 'vlprompt.RandomResizedCrop')
    assert (crop['size'], crop['interpolation']) == (224, 'bilinear')


def test_units_of_255_are_kept():
    clip = dict(arch='ViT-L-14', weights='laion2b_s32b_b82k')
    options = {f'model.clip.{name}': value for name, value in clip.items()}
    mean = load_config('naclip_vit-b16', options).model.data_preprocessor.mean
    assert mean == pytest.approx([127.5] * 3)


def test_re_identification_keeps_its_own():
    options = {'model.clip.arch': 'MobileCLIP2-S0', 'model.clip.weights': 'dfndr2b', 'model.clip.vision': None}
    before, after = (load_config('baseline_vit-b16', o).model.data_preprocessor for o in ({}, options))
    assert before == after


@pytest.mark.parametrize('name', ['mean', 'std'])
def test_an_option_stays_when_a_config_is_composed_again(name):
    options = {'model.clip.arch': 'ViT-B-16-SigLIP', 'model.clip.weights': 'webli', 'dataset': 'dtd'}
    usual = list(CLIP_MEAN if name == 'mean' else CLIP_STD)
    options[f'model.data_preprocessor.{name}'] = usual
    again = load_config(load_config(ZERO_SHOT, options)).model.data_preprocessor
    other = 'std' if name == 'mean' else 'mean'
    assert (list(again[name]), list(again[other])) == (usual, HALF)


def test_variables_of_the_towers_are_resolved_first(tmp_path):
    own = tmp_path / 'own.py'
    own.write_text(
        f"_base_ = '{ROOT}/configs/zero_shot/{ZERO_SHOT}.py'\n"
        "tower = 'RN50x16'\nmodel = dict(clip=dict(arch='${tower}', image_size='${image_size}'))\n"
    )
    assert composed(str(own))[0] == 384


def test_a_file_is_prepared_as_all_tags_of_its_architecture(tmp_path):
    file = str(tmp_path / 'x.safetensors')
    assert composed(arch='ViT-B-16-SigLIP', weights=file)[1:] == ('squash', 'bicubic', HALF, HALF)
    assert composed(arch='ViT-B/16', weights=file)[1:3] == ('shortest', 'bicubic')


def test_a_folder_of_the_name_of_a_tag(tmp_path, monkeypatch):
    (tmp_path / 'meta').mkdir()
    monkeypatch.chdir(tmp_path)
    assert composed(arch='PE-Core-B-16', weights='meta')[1] == 'squash'


def test_a_wrong_name_is_one_of_the_config():
    with pytest.raises(ConfigError, match=r"model\.clip: unknown CLIP architecture 'ViT-X'"):
        composed(arch='ViT-X')
    with pytest.raises(
        ConfigError, match=r"'ViT-B-16-SigLPI'\. Did you mean 'ViT-B-16-SigLIP'.* \(vlprompt list --towers\)"
    ):
        composed(arch='ViT-B-16-SigLPI')


def test_composing_again_changes_nothing():
    options = {'model.clip.arch': 'ViT-B-16-SigLIP', 'model.clip.weights': 'webli', 'dataset': 'dtd'}
    once = load_config(ZERO_SHOT, options)
    assert load_config(once)._cfg_dict == once._cfg_dict


def moments(config, options):
    preprocessor = load_config(config, options).model.get('data_preprocessor') or {}
    return [list(preprocessor.get(name, usual)) for name, usual in (('mean', CLIP_MEAN), ('std', CLIP_STD))]


TIMM = {'model.timm.name': 'vit_base_patch16_224.dino', 'model.timm.weights': 'pretrained'}
IMAGENET = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]


@pytest.mark.parametrize(
    ('config', 'options', 'expected'),
    [
        ('vpt_vit-b16-in21k', {}, [HALF, HALF]),
        ('vpt_vit-b16-in21k', TIMM, IMAGENET),
        (
            'vpt_vit-b16-in21k',
            {'model.timm': None, 'model.clip.arch': 'ViT-B/16', 'model.clip.weights': 'openai'},
            [list(CLIP_MEAN), list(CLIP_STD)],
        ),
        ('adaptformer_vit-b16-in21k', {}, [HALF, HALF]),
        ('adaptformer_vit-b16', TIMM | {'model.clip': None}, IMAGENET),
        ('vpt_vit-b16-in21k_official', {}, IMAGENET),
        ('baseline_person-vit-b16', {}, [HALF, HALF]),
        ('vpt_micro-vit', {}, [list(CLIP_MEAN), list(CLIP_STD)]),
    ],
)
def test_trunks_of_timm(config, options, expected):
    assert moments(config, options) == expected


def test_weights_of_timm_that_do_not_tell():
    trunk = dict(_delete_=True, arch=dict(width=64), weights='vit.pth')
    with pytest.raises(
        ConfigError, match=r'model\.timm: nothing tells .* vit\.pth: set model\.data_preprocessor\.mean'
    ):
        load_config('vpt_vit-b16-in21k', {'model.timm': trunk})
    given = {'model.data_preprocessor.mean': HALF, 'model.data_preprocessor.std': HALF, 'model.timm': trunk}
    assert moments('vpt_vit-b16-in21k', given) == [HALF, HALF]
    with pytest.raises(ConfigError, match=r"model\.timm: timm knows no model 'vit_bse'"):
        load_config('vpt_vit-b16-in21k', {'model.timm.name': 'vit_bse'})


def sizes(config, options):
    """Sides of random crops, and of the images of tests before and after their center crop."""
    cfg = load_config(config, options)
    crop, test = cfg.train_dataloader.dataset.pipeline[1], cfg.test_dataloader.dataset.pipeline
    before = test[1]['size']
    return crop['size'], before if isinstance(before, int) else before[0], test[2]['size'], cfg.tta_pipeline[1]['size']


@pytest.mark.parametrize(
    ('config', 'options', 'side'),
    [
        ('adaptformer_vit-b16', {}, 224),
        ('adaptformer_vit-b16', {'model.clip.arch': 'ViT-L/14@336px'}, 336),
        ('adaptformer_vit-b16_lift-plus', {'model.clip.image_size': 384}, 384),
        ('vpt_vit-b16-in21k', {'model.timm.name': 'vit_base_patch16_384.augreg_in21k_ft_in1k'}, 384),
        ('vpt_vit-b16-in21k', {'model.timm.image_size': 288}, 288),
        ('vpt_vit-b16-in21k', {'image_size': 112}, 112),
        ('vpt_vit-b16-in21k', {'model.timm': dict(_delete_=True, arch=dict(image_size=96), weights=None)}, 96),
    ],
)
def test_sizes_of_long_tailed_images(config, options, side):
    assert sizes(config, options) == (side, side * 8 // 7, side, side)


def test_interpolation_of_long_tailed_images():
    """That of the recipe, or, where there is none, of the weights."""
    siglip = {'model.clip.arch': 'PE-Core-B-16', 'model.clip.weights': 'meta'}
    lift = load_config('adaptformer_vit-b16', siglip)
    assert lift.test_dataloader.dataset.pipeline[1]['interpolation'] == 'bilinear'
    ours = load_config('gda_vit-b16_long-tailed', {})
    for loader in (ours.val_dataloader, ours.test_dataloader):
        assert loader.dataset.pipeline[1] == dict(
            type='vlprompt.SquareImage', size=224, mode='shortest', interpolation='bicubic'
        )
    theirs = load_config('gda_vit-b16_long-tailed', siglip).test_dataloader.dataset.pipeline[1]
    assert (theirs['mode'], theirs['interpolation']) == ('squash', 'bilinear')


def test_official_crops_of_vpt_follow_the_size():
    pipeline = load_config('vpt_vit-b16-in21k_official', dict(image_size=336)).train_dataloader.dataset.pipeline
    assert (pipeline[1]['size'], tuple(pipeline[2]['size'])) == (384, (336, 336))


UNTOLD = dict(arch='swin_base_patch4_window7_224', weights='swin.safetensors')


def test_weights_are_asked_for_what_is_open_alone():
    options = {f'model.clip.{name}': value for name, value in UNTOLD.items()} | dict(dataset='dtd')
    with pytest.raises(ConfigError, match=r'swin\.safetensors does not say .* or set mean, std, interpolation'):
        load_config(ZERO_SHOT, options)
    options |= {'model.data_preprocessor.mean': HALF, 'model.data_preprocessor.std': HALF}
    cfg = load_config(ZERO_SHOT, options | dict(interpolation='bicubic', resize_mode='squash'))
    assert cfg.model.data_preprocessor == dict(type='vlprompt.ClipPreprocessor', mean=HALF, std=HALF)
    assert cfg.test_dataloader.dataset.pipeline[1]['size'] == 224


@pytest.mark.parametrize('nested', [False, True])
def test_options_of_the_whole_model_are_followed(nested):
    clip = dict(arch='ViT-B-16-SigLIP-384', weights='webli')
    options = {'model': {'clip': clip}} if nested else {'model.clip': clip}
    cfg = load_config(ZERO_SHOT, options | dict(dataset='dtd'))
    assert cfg.test_dataloader.dataset.pipeline[1]['size'] == 384
    assert cfg.model.data_preprocessor.mean == HALF
