"""Small image towers of timm's kinds, registered under names of their own, and configs of open_clip around them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from open_clip import CustomTextCLIP
from safetensors.torch import save_file
from timm.models import convnext, eva, fastvit, register_model, swin_transformer, vision_transformer, vitamin
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

SIZE = 32
_VIT = dict(img_size=SIZE, depth=2, embed_dim=32, num_heads=2)


@register_model
def tiny_siglip(pretrained: bool = False, **options: Any):
    """Attention pool, no class token."""
    return vision_transformer.vit_base_patch16_siglip_224(pretrained=False, **(_VIT | dict(patch_size=8) | options))


@register_model
def tiny_token(pretrained: bool = False, **options: Any):
    """Class token and a norm before the blocks, as MobileCLIP2-L/14."""
    return vision_transformer.vit_large_patch14_clip_224(pretrained=False, **(_VIT | dict(patch_size=8) | options))


@register_model
def tiny_pe_core(pretrained: bool = False, **options: Any):
    """Attention pool with a class token, rotary positions."""
    tiny = _VIT | dict(patch_size=8, ref_feat_shape=(4, 4))
    return eva.vit_pe_core_tiny_patch16_384(pretrained=False, **(tiny | options))


@register_model
def tiny_eva02(pretrained: bool = False, **options: Any):
    """Class token, SwiGLU, rotary positions."""
    tiny = _VIT | dict(patch_size=8, ref_feat_shape=(4, 4))
    return eva.eva02_base_patch16_clip_224(pretrained=False, **(tiny | options))


@register_model
def tiny_fastvit(pretrained: bool = False, **options: Any):
    """Convolutions, averaged."""
    tiny = dict(layers=(1, 1, 1, 1), embed_dims=(16, 32, 64, 128))
    return fastvit.fastvit_mci0(pretrained=False, **(tiny | options))


@register_model
def tiny_convnext(pretrained: bool = False, **options: Any):
    """Convolutions, averaged and then normalised."""
    tiny = dict(depths=(1, 1, 1, 1), dims=(16, 32, 48, 64))
    return convnext.convnext_base(pretrained=False, **(tiny | options))


@register_model
def tiny_swin(pretrained: bool = False, **options: Any):
    """Attention in windows, channels last, averaged."""
    tiny = dict(img_size=SIZE, patch_size=4, window_size=4, embed_dim=16, depths=(2, 2), num_heads=(2, 2))
    return swin_transformer._create_swin_transformer('swin_base_patch4_window7_224', False, **(tiny | options))


@register_model
def tiny_vitamin(pretrained: bool = False, **options: Any):
    """Blocks after convolutions, without class token, averaged."""
    conv = vitamin.VitConvCfg(norm_layer='layernorm2d', norm_eps=1e-6)
    embed = vitamin.VitCfg(embed_dim=(8, 16, 32), depths=(1, 1, 1), stem_width=8, conv_cfg=conv, head_type='1d')
    tiny = _VIT | dict(img_size=64, mlp_layer=vitamin.GeGluMlp, mlp_ratio=2.0, class_token=False, global_pool='avg')
    return vitamin._create_vitamin('vitamin_small_224', False, **(tiny | dict(embed_cfg=embed) | options))


CAUSAL = dict(context_length=16, width=32, heads=2, layers=2)
BIDIRECTIONAL = dict(CAUSAL, no_causal_mask=True)
SIGLIP_TEXT = dict(
    context_length=12,
    vocab_size=40,
    width=32,
    heads=2,
    layers=2,
    mlp_ratio=3.7362,
    hf_tokenizer_name='org/none',
    tokenizer_kwargs=dict(clean='canonicalize'),
    no_causal_mask=True,
    proj_bias=True,
    pool_type='last',
    norm_kwargs=dict(eps=1e-6),
    act_kwargs=dict(approximate='tanh'),
)


CONVOLUTIONAL = ('mobileclip2_s', 'convnext')
PLAIN = ('siglip', 'mobileclip2_l', 'vitamin')
"""Families whose blocks take visual prompts."""


def config(
    model: str, pool: str, proj: str | None, text: dict[str, Any], size: int = SIZE, **more: Any
) -> dict[str, Any]:
    """A config of open_clip with a joint space of 32 numbers."""
    vision = dict(image_size=size, timm_model_name=model, timm_pool=pool, timm_proj=proj, timm_model_pretrained=False)
    return dict(embed_dim=32, custom_text=True, vision_cfg=vision, text_cfg=text, **more)


CONFIGS = dict(
    siglip=config('tiny_siglip', 'map', 'none', SIGLIP_TEXT, init_logit_bias=-10),
    pe_core=config('tiny_pe_core', 'map', None, CAUSAL),
    eva02=config('tiny_eva02', 'token', None, CAUSAL),
    mobileclip2_l=config('tiny_token', 'token', None, BIDIRECTIONAL),
    mobileclip2_s=config('tiny_fastvit', 'avg', None, BIDIRECTIONAL, size=64),
    convnext=config('tiny_convnext', '', 'linear', CAUSAL, size=64),
    swin=config('tiny_swin', '', 'linear', CAUSAL),
    vitamin=config('tiny_vitamin', '', 'linear', CAUSAL, size=64),
)


WORDS = ['▁a', '▁photo', '▁of', '▁cat', '▁dog', '▁sea', '▁li', 'on', '▁person', 'cat', 'a']


def write_tokenizer(folder: Path) -> None:
    """A tokenizer of SigLIP's kind: words with their spaces, an end token, padding with 0."""
    vocabulary = {word: index for index, word in enumerate(['<pad>', '</s>', '<unk>', *WORDS])}
    core = Tokenizer(models.WordPiece(vocabulary, unk_token='<unk>', continuing_subword_prefix=''))
    core.normalizer = normalizers.Replace(' ', '▁')
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme='never')
    core.post_processor = processors.TemplateProcessing(single='$A </s>', special_tokens=[('</s>', 1)])
    core.save(str(folder / 'tokenizer.json'))
    (folder / 'tokenizer_config.json').write_text(json.dumps(dict(eos_token='</s>', pad_token={'content': '<pad>'})))


def write_model(family: str, folder: Path) -> CustomTextCLIP:
    """A folder of open_clip: random weights, their config and the tokenizer; returns the model."""
    torch.manual_seed(0)
    config = CONFIGS[family]
    model = CustomTextCLIP(**{key: value for key, value in config.items() if key != 'custom_text'}).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # norms, biases and zero projections too
            parameter.add_(torch.randn_like(parameter) * 0.02)
    save_file(model.state_dict(), folder / 'open_clip_model.safetensors')
    (folder / 'open_clip_config.json').write_text(json.dumps(dict(model_cfg=config)))
    write_tokenizer(folder)
    return model
