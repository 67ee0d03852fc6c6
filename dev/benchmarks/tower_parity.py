"""Compare the CLIP towers with open_clip's, on the same random weights.

Prints for every architecture the largest error of the global image feature, of the text features (shared-prefix and
reference path), and of the gradients of images, prompt embeddings and weights, each relative to the largest value of
what is compared. No weights are downloaded. The largest model (RN50x64) takes about 7 GB of memory.

    python dev/benchmarks/tower_parity.py
    python dev/benchmarks/tower_parity.py RN50 ViT-B/32 --gelu
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import torch
from open_clip.model import CLIP as OpenClip
from open_clip.model import CLIPTextCfg, CLIPVisionCfg
from torch import Tensor, nn

from vlprompt.clip import ARCHITECTURES, CLIP, Architecture, find_architecture, tokenize
from vlprompt.clip.weights import to_openai_names

NO_GRADIENT = 'visual.attnpool.k_proj.bias'
"""Its true gradient is zero, since a softmax does not see what all keys have in common: both sides return rounding."""

TEXTS = ('a photo of a cat.', 'a photo of a golden retriever, a type of pet.', 'itap of my aircraft carrier.')


def open_clip_model(arch: Architecture, quick_gelu: bool) -> OpenClip:
    """open_clip's own CLIP class for an architecture, on the meta device."""
    vision = CLIPVisionCfg(
        layers=arch.vision_layers,
        width=arch.vision_width,
        patch_size=arch.vision_patch_size,
        image_size=arch.image_size,
        head_width=arch.vision_head_width,
        mlp_ratio=(arch.vision_mlp_width or 0) / arch.vision_width,
    )
    text = CLIPTextCfg(
        context_length=arch.context_length,
        vocab_size=arch.vocab_size,
        width=arch.transformer_width,
        heads=arch.transformer_heads,
        layers=arch.transformer_layers,
    )
    with torch.device('meta'):
        return OpenClip(arch.embed_dim, vision, text, quick_gelu=quick_gelu)


def randomise(model: nn.Module, seed: int = 0) -> None:
    """Make norms and biases random too, so that no parameter is without effect."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(value: Tensor, low: float, high: float) -> None:
        value.data.copy_(torch.rand(value.shape, generator=generator) * (high - low) + low)

    for module in model.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.LayerNorm)):
            uniform(module.weight, 0.5, 1.5)
            uniform(module.bias, -0.1, 0.1)
        if isinstance(module, nn.BatchNorm2d):
            uniform(module.running_mean, -0.1, 0.1)
            uniform(module.running_var, 0.5, 1.5)
    for name, parameter in model.named_parameters():
        if name.endswith('bn3.weight') and 'layer' in name:
            uniform(parameter, 0.1, 0.4)
        elif name.endswith('bias'):
            uniform(parameter, -0.1, 0.1)


def twins(arch: Architecture, quick_gelu: bool = True, seed: int = 0) -> tuple[CLIP, OpenClip]:
    """Our model with random weights, and open_clip's with the same tensors (not copies)."""
    torch.manual_seed(seed)
    ours = CLIP(arch, quick_gelu=quick_gelu).eval()
    randomise(ours, seed)
    theirs = open_clip_model(arch, quick_gelu)
    theirs.load_state_dict(to_openai_names(ours.state_dict()), assign=True)
    for parameter in theirs.parameters():
        parameter.requires_grad_(True)
    length = arch.context_length
    theirs.attn_mask = torch.full((length, length), -torch.inf).triu(1)
    return ours, theirs.eval()


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    """Largest absolute difference over the largest absolute value."""
    return float((ours - theirs).abs().max() / theirs.abs().max().clamp_min(1e-30))


@dataclass
class Errors:
    """Largest relative errors of one architecture."""

    image: float
    text: float
    text_reference: float
    gradients: float


def compare(arch: Architecture, quick_gelu: bool = True, batch: int = 1) -> Errors:
    """Forward and backward of both models on random images and a few texts."""
    ours, theirs = twins(arch, quick_gelu)
    images = torch.randn(batch, 3, arch.image_size, arch.image_size, generator=torch.Generator().manual_seed(1))
    ids = tokenize(TEXTS, arch.context_length)
    outputs, gradients = {}, {}
    for name, model in (('theirs', theirs), ('ours', ours)):
        pixels = images.clone().requires_grad_()
        if name == 'ours':
            image, text = model.encode_image(pixels, maps=False).cls, model.encode_text(ids)
        else:
            image, text = model.encode_image(pixels), model.encode_text(ids)
        outputs[name] = image.detach(), text.detach()
        (image.sin().sum() + text.sin().sum()).backward()
        grads = {key: p.grad for key, p in model.named_parameters() if p.grad is not None}
        gradients[name] = dict(to_openai_names(grads), images=pixels.grad)
        model.zero_grad()
    with torch.no_grad():
        reference = ours.encode_text(ids, reference=True)
    assert set(gradients['ours']) == set(gradients['theirs']), 'different parameters received a gradient'
    return Errors(
        image=relative_error(outputs['ours'][0], outputs['theirs'][0]),
        text=relative_error(outputs['ours'][1], outputs['theirs'][1]),
        text_reference=relative_error(reference, outputs['theirs'][1]),
        gradients=max(
            relative_error(gradients['ours'][key], g) for key, g in gradients['theirs'].items() if key != NO_GRADIENT
        ),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('archs', nargs='*', default=list(ARCHITECTURES), help='architecture names; default: all')
    parser.add_argument('--gelu', action='store_true', help='GELU instead of QuickGELU')
    args = parser.parse_args()
    print(f'{"architecture":16s} {"image":>9s} {"text":>9s} {"text ref.":>9s} {"gradients":>9s} {"seconds":>8s}')
    for name in args.archs:
        start = time.perf_counter()
        e = compare(find_architecture(name), quick_gelu=not args.gelu)
        seconds = time.perf_counter() - start
        print(
            f'{name:16s} {e.image:9.1e} {e.text:9.1e} {e.text_reference:9.1e} {e.gradients:9.1e} {seconds:8.1f}',
            flush=True,
        )


if __name__ == '__main__':
    main()
