"""Names, sizes and reading of architectures from weights."""

import pytest
import torch

from vlprompt.clip import ARCHITECTURES, CLIP, find_architecture
from vlprompt.clip.architectures import architecture_of


@pytest.mark.parametrize('name', ARCHITECTURES)
def test_architecture_is_read_back_from_its_own_weights(name):
    arch = ARCHITECTURES[name]
    with torch.device('meta'):
        state = CLIP(arch).state_dict()
    assert arch.first_difference(architecture_of(state, vision_stride=arch.vision_stride)) is None


@pytest.mark.parametrize(
    ('spelling', 'name'),
    [
        ('ViT-B-32', 'ViT-B/32'),
        ('vit-b/16', 'ViT-B/16'),
        ('ViT-L-14-336', 'ViT-L/14@336px'),
        ('ViT-H-14-378-quickgelu', 'ViT-H/14@378px'),
        ('ViT-bigG-14', 'ViT-bigG/14'),
        ('RN50-quickgelu', 'RN50'),
        ('ViT-B-32-quickgelu', 'ViT-B/32'),
    ],
)
def test_spellings(spelling, name):
    assert find_architecture(spelling) is ARCHITECTURES[name]


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"'RN51'.*RN50x16.*ViT-B/32"):
        find_architecture('RN51')


def test_dict_of_sizes(micro_arch):
    arch = find_architecture(
        dict(micro_arch, vision_layers=list(micro_arch['vision_layers']))
        if micro_arch['vision_patch_size'] is None
        else micro_arch
    )
    assert arch.is_vit == (micro_arch['vision_patch_size'] is not None)
    assert arch.grid_size == ((4, 4) if arch.is_vit else (2, 2))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(widht=3), 'unknown keys'),
        (dict(vision_layers=3), 'four depths'),
        (dict(vision_layers=(1, 2, 3)), '4 stages'),
        (dict(transformer_heads=5), 'multiples'),
        (dict(image_size=70), 'not a multiple of 32'),
    ],
)
def test_bad_sizes_are_errors(micro_rn, change, message):
    with pytest.raises(ValueError, match=message):
        find_architecture(dict(micro_rn, **change))


def test_missing_size_is_an_error(micro_rn):
    del micro_rn['embed_dim']
    with pytest.raises(ValueError, match=r"missing keys \['embed_dim'\]"):
        find_architecture(micro_rn)


def test_weights_of_something_else_are_an_error():
    with pytest.raises(ValueError, match=r'somewhere: not the weights of a CLIP.*visual\.proj'):
        architecture_of({'visual.trunk.norm.weight': torch.zeros(3)}, 'somewhere')
