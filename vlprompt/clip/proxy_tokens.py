"""Local features whose attention is that of a self-supervised ViT (ProxyCLIP, Lan et al., ECCV 2024)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vlprompt.clip.visual_prompts import run_blocks
from vlprompt.clip.vit import VisionTransformer


def proxy_attention(features: Tensor, beta: float = 1.2, gamma: float = 3.0) -> Tensor:
    """Attention between the places of a feature map, from their similarity.

    With the cosines s_ij and their mean over the image, ``softmax_j(gamma (s_ij - beta mean(s)))`` over the j for which
    this is not negative, and i itself.

    Args:
        features: (B, C, h, w).
        beta: places are compared with this multiple of the mean.
        gamma: sharpness.

    Returns:
        (B, N, N) for N = h * w, rows sum to 1, in at least float32.
    """
    with torch.autocast(features.device.type, enabled=False):
        rows = F.normalize(features.flatten(2).to(torch.promote_types(features.dtype, torch.float32)), dim=1)
        similar = rows.transpose(1, 2) @ rows
        logits = gamma * (similar - beta * similar.mean((1, 2), keepdim=True))
        itself = torch.eye(logits.shape[-1], dtype=torch.bool, device=logits.device)
        return logits.masked_fill((logits < 0) & ~itself, float('-inf')).softmax(-1)


def proxy_tokens(
    visual: VisionTransformer, images: Tensor, features: Tensor, beta: float = 1.2, gamma: float = 3.0
) -> Tensor:
    """Local features at the places of another tower's map.

    The values of the last block are resized to that map, averaged by :func:`proxy_attention`, and projected, without
    residual and MLP.

    Args:
        visual: CLIP's image tower.
        images: (B, 3, H, W) normalised for it.
        features: (B, C, h, w) last map of the other tower, of the same images.
        beta: of :func:`proxy_attention`.
        gamma: of :func:`proxy_attention`.

    Returns:
        (B, D, h, w) in the joint space, not normalised.
    """
    tokens, grid = visual.embed(images)
    *blocks, block = visual.transformer.resblocks
    tokens, _ = run_blocks(blocks, visual.ln_pre(tokens))
    _, values = block.attn.project_key_value(block.ln_1(tokens))  # (B, M, 1 + N, e)
    maps = values[..., 1:, :].transpose(-2, -1).flatten(1, 2).unflatten(-1, grid)
    maps = F.interpolate(maps, features.shape[-2:], mode='bilinear', align_corners=False)
    values = maps.flatten(2).unflatten(1, (block.attn.heads, -1)).transpose(-2, -1)
    attention = proxy_attention(features, beta, gamma)[:, None].to(values.dtype)
    local = visual.project(block.attn.merge(attention @ values))
    return local.transpose(1, 2).unflatten(2, features.shape[-2:])
