"""Small image towers of timm's kinds, registered under names of their own, and configs of open_clip around them."""

from __future__ import annotations

from typing import Any

from timm.models import eva, fastvit, register_model, vision_transformer

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
)
