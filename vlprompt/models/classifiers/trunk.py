"""The vision transformer under a head classifier: the image tower of a CLIP, or a model of timm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vlprompt.clip import ClipSource, ModifiedResNet, VisionTransformer, build_clip, build_timm_vit
from vlprompt.clip.local_tokens import refuse_unread_local
from vlprompt.clip.low_rank import refuse_text_lora
from vlprompt.clip.preprocessing import Preprocessing
from vlprompt.clip.timm_vit import way_of_timm


def build_trunk(
    clip: Mapping[str, Any] | None, timm: Mapping[str, Any] | None, keep_text: bool
) -> tuple[VisionTransformer, nn.Module | None, ClipSource | None, Preprocessing | None]:
    """The trunk, the text tower if kept, the source of the weights, and how images were prepared for them if they tell.

    Args:
        clip: arguments of :func:`vlprompt.clip.build_clip`.
        timm: arguments of :func:`vlprompt.clip.build_timm_vit`.
        keep_text: keep the text tower, and with it the projection into the joint space.

    Raises:
        ValueError: not exactly one of ``clip`` and ``timm``, a ResNet, or text asked of a model of timm.
    """
    if (clip is None) == (timm is None):
        raise ValueError('HeadClassifier: give either clip=dict(...) or timm=dict(...) as the trunk')
    if timm is not None:
        if keep_text:
            raise ValueError("HeadClassifier: head.start='text' needs a text tower: give clip=dict(...)")
        visual, source = build_timm_vit(**timm)
        return visual, None, source, way_of_timm(timm)
    model = build_clip(**clip)
    if isinstance(model.visual, ModifiedResNet):
        raise ValueError(f'HeadClassifier: the trunk must be a ViT, {model.arch.name} is a ResNet')
    refuse_unread_local(model.visual, 'a HeadClassifier reads the class token alone')
    refuse_text_lora(model, 'a HeadClassifier')
    if keep_text:
        return model.visual, model.text, model.source, model.preprocessing
    if isinstance(model.visual, VisionTransformer):
        model.visual.proj = None  # into the joint space, which nothing reads
    else:
        model.visual.drop_projection()
    return model.visual, None, model.source, model.preprocessing


@torch.no_grad()
def text_directions(visual: VisionTransformer, text: nn.Module, sentences: Sequence[str]) -> Tensor:
    """(C, width) text features of C sentences, mapped from the joint space to that of the class token by the transposed
    projection.
    """
    ids = text.tokenizer.tokenize(list(sentences), text.context_length)
    proj = visual.proj if isinstance(visual, VisionTransformer) else visual.projection
    device = text.token_embedding.weight.device
    features = torch.cat([text.encode_ids(part.to(device)) for part in ids.split(512)])
    features = nn.functional.normalize(features, dim=1)
    return features if proj is None else features @ proj.t()
