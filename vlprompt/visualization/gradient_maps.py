"""Contributions of image regions to a descriptor: gradient-weighted maps (after Grad-CAM, Selvaraju et al., 2017).

Grad-CAM averages gradients over positions, which gives diffuse maps for a vision transformer.  Here gradient and
activation are multiplied at each position instead (HiResCAM, Draelos and Carin, 2020), for ViTs and ResNets alike.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional as F

from vlprompt.clip import ModifiedResNet, VisionTransformer
from vlprompt.visualization.figures import MUTED, new_figure, shorten
from vlprompt.visualization.heatmaps import overlay_heatmap, to_grid


@torch.enable_grad()
def gradient_maps(model: nn.Module, images: Tensor, targets: Tensor, data_samples: Sequence | None = None) -> Tensor:
    r"""Contribution of every position to the agreement of descriptors with target directions.

    With the activations :math:`A_{nc}` of position n (the last feature map of a ResNet, the patch tokens that enter the
    last block of a ViT) and the agreement :math:`s = d \cdot t / \lVert t \rVert` of descriptor d with target t:
    :math:`\max(0, \sum_c A_{nc}\, \partial s / \partial A_{nc})`.

    Args:
        model: has ``visual`` (an image tower) and gives descriptors, such as
            :class:`~vlprompt.models.reid.reidentifier.ReIdentifier`; parameters need no gradient.
        images: (B, 3, H, W) normalised.
        targets: (B, D) descriptors to agree with: those of the images themselves, or of others.
        data_samples: B samples, if the model needs cameras.

    Returns:
        (B, h, w) at least 0, in the units of the agreement; not scaled.

    Raises:
        ValueError: a tower of timm, whose blocks are not known here.
    """
    if not isinstance(model.visual, (ModifiedResNet, VisionTransformer)):
        raise ValueError(f"gradient maps need CLIP's ResNet or ViT, the model has {model.visual.name}")
    vit = isinstance(model.visual, VisionTransformer)
    layer = model.visual.transformer.resblocks[-2] if vit else model.visual.layer4
    kept: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
        kept.append(output.detach().requires_grad_())  # no gradients below
        return kept[0]

    handle = layer.register_forward_hook(keep)
    try:
        descriptors = model(images, data_samples, mode='tensor')
    finally:
        handle.remove()
    agreement = (descriptors * F.normalize(targets.detach(), dim=1)).sum()
    (activation,) = kept
    (gradient,) = torch.autograd.grad(agreement, activation)
    product = (activation.detach() * gradient).float()
    if vit:
        grid = model.visual.grid_of(*images.shape[-2:])
        return to_grid(product[:, 1:].sum(2), grid).clamp(min=0)
    return product.sum(1).clamp(min=0)


def draw_gradient_maps(images: Sequence[np.ndarray], maps: Tensor, captions: Sequence[str], title: str = '') -> Figure:
    """Images above, the same with their maps below, each from zero to its own maximum.

    Args:
        images: n pictures (H, W, 3) uint8.
        maps: (n, h, w) of :func:`gradient_maps`.
        captions: n, for each image.
        title: of the figure.
    """
    height, width = images[0].shape[:2]
    tall = 2.2 * height / width
    figure = new_figure(max(3.0, 2.3 * len(images)), 2 * tall + 0.9)
    axes = figure.subplots(2, len(images), squeeze=False)
    for column, (image, values, caption) in enumerate(zip(images, maps, captions, strict=True)):
        peak = max(float(values.max()), 1e-12)
        for row, shown in enumerate((image, overlay_heatmap(image, values, Normalize(0, peak), 'inferno', 0.6))):
            axes[row, column].imshow(shown)
            axes[row, column].axis('off')
        axes[0, column].set_title(shorten(caption, 28), fontsize=8, color=MUTED)
    figure.suptitle(title, fontsize=10)
    figure.tight_layout()
    return figure
