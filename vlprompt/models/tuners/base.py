"""The interface between head classifiers and tuners; the tuner that learns nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from vlprompt.clip import VisionTransformer, run_blocks
from vlprompt.clip.visual_prompts import Entry
from vlprompt.registry import MODELS


@dataclass
class Terms:
    """Outputs of a tuner besides the class features of B images.

    Attributes:
        losses: (B,) each; the model adds their mean as ``loss_<name>``.
        fields: (B, ...) each; the prediction of an image gets its row.
    """

    losses: dict[str, Tensor] = field(default_factory=dict)
    fields: dict[str, Tensor] = field(default_factory=dict)


@MODELS.register_module()
class Tuner(nn.Module):
    """The plain trunk (linear probe, full fine-tuning), and the base of all tuners.

    A tuner does not own the trunk, which is passed to every call.

    Args:
        visual: the trunk, for its sizes.
        num_classes: C.

    Attributes:
        from_features: name of the tensor initialised from frozen features of the training images; empty for none.
    """

    from_features: str = ''

    def __init__(self, visual: VisionTransformer, num_classes: int) -> None:
        super().__init__()

    def feature(self, visual: VisionTransformer, images: Tensor) -> tuple[Tensor, Terms]:
        """(B, width) class tokens of normalised images (B, 3, H, W), after the final norm, not of length 1."""
        return class_feature(visual, images), Terms()

    def query(self, visual: VisionTransformer, images: Tensor) -> Tensor:
        """(B, width) class tokens without parts that depend on the image: features that can be computed beforehand."""
        return class_feature(visual, images)

    def start_from_features(self, features: Tensor, labels: Tensor, generator: torch.Generator) -> list[Tensor]:
        """Initialise ``from_features`` from queries (N, width) of training images with labels (N,), and return it."""
        return []


def class_feature(
    visual: VisionTransformer,
    images: Tensor,
    prompts: Sequence[Entry] = (),
    adapters: Sequence[nn.Module] | None = None,
) -> Tensor:
    """(B, width) class token after the final norm, or what a tower of timm pools; not normalised to length 1.

    Args:
        visual: the trunk.
        images: (B, 3, H, W) normalised.
        prompts: additional inputs of each block, such as (P, width) tokens.
        adapters: branches parallel to the MLPs, one per block.
    """
    if not isinstance(visual, VisionTransformer):
        return visual.pooled(images, prompts)
    blocks = visual.transformer.resblocks
    x, _ = run_blocks(blocks, first_tokens(visual, images), prompts, queries=1, adapters=adapters)
    return visual.ln_post(x[:, 0])


def first_tokens(visual: VisionTransformer, images: Tensor) -> Tensor:
    """(B, 1 + h * w, width) tokens before the first block."""
    return visual.ln_pre(visual.embed(images)[0])
