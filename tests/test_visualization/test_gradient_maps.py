"""Gradient-weighted maps against derivatives by finite differences, and the tool that draws them."""

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import MICRO, ROOT
from vlprompt.models.reid import ReIdentifier
from vlprompt.visualization.gradient_maps import draw_gradient_maps, gradient_maps

VISION = {'vit': {}, 'rn': dict(last_stride=1)}


def build(kind):
    torch.manual_seed(0)
    return ReIdentifier(dict(arch=MICRO[kind], image_size=(64, 32), vision=VISION[kind])).eval()


@pytest.mark.parametrize('kind', ['vit', 'rn'])
def test_maps(kind):
    """A place's share is the derivative of the agreement when its activations are scaled."""
    model, images = build(kind), torch.randn(2, 3, 64, 32)
    targets = torch.randn(2, 88 if kind == 'vit' else 280)
    maps = gradient_maps(model, images, targets)
    assert maps.shape == (2, 4, 2)
    layer = model.visual.transformer.resblocks[-2] if kind == 'vit' else model.visual.layer4

    def agreement(place, factor):
        def scale(module, inputs, output):
            output = output.clone()
            if kind == 'vit':
                output[1, 1 + place] *= factor
            else:
                output[1].flatten(1)[:, place] *= factor
            return output

        handle = layer.register_forward_hook(scale)
        with torch.no_grad():
            descriptor = model(images)[1].double()
        handle.remove()
        return float(descriptor @ torch.nn.functional.normalize(targets[1].double(), dim=0))

    for place in (0, 3, 6):
        slope = (agreement(place, 1.01) - agreement(place, 0.99)) / 0.02
        assert maps[1].flatten()[place].item() == pytest.approx(max(slope, 0), rel=1e-2, abs=1e-3)


def test_figure():
    images = [np.zeros((64, 32, 3), dtype=np.uint8)] * 3
    figure = draw_gradient_maps(images, torch.zeros(3, 4, 2), ['a', 'b', 'c'], 'title')
    assert len(figure.axes) == 6


def test_tool(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / 'tools/analysis_tools')
    import show_attention

    for name in 'ab':
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (80, 40, 3), dtype=np.uint8)).save(
            tmp_path / f'{name}.png'
        )
    config = str(ROOT / 'configs/clipreid/clipreid_micro-vit.py')
    out = tmp_path / 'maps.png'
    files = [str(tmp_path / f'{name}.png') for name in 'ab']
    show_attention.main([config, 'none', '--images', *files, '--query', files[0], '--out', str(out)])
    assert out.stat().st_size > 10000
