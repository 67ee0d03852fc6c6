"""Comparisons of numbers: a GPU against a CPU, and against outputs of the official implementations."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

from vlprompt.apis.gpu_report.case import Check
from vlprompt.apis.model import init_model
from vlprompt.apis.sample_batch import image_size, sample_batch
from vlprompt.clip.classnames import resolve_class_names
from vlprompt.errors import DataError
from vlprompt.precision import full_precision

TOWERS = 'plot/clip_rn50_g'
"""Reference case of both towers and of zero-shot logits."""


@contextmanager
def without_tf32() -> Iterator[None]:
    """Matrix products and cuDNN's convolutions in float32."""
    with full_precision(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # which are off by default
        yield


def own_checks(device: torch.device, small: bool) -> Iterator[Check]:
    """Logits, loss and gradients of models with random weights on the device and on a CPU."""
    for config in ('plot_micro-rn', 'maple_micro-vit') if small else ('plot_rn50', 'maple_vit-b16'):
        yield Check(f'{config} against a CPU', partial(_against_cpu, config, device), 1e-3)


def _against_cpu(config: str, device: torch.device) -> dict[str, float]:
    torch.manual_seed(0)
    names = resolve_class_names('dtd')[:10]
    model = init_model(config, cfg_options={'model.clip.weights': None, 'model.class_names': names})
    batch = sample_batch(model, 4, image_size(model))
    logits, gradients = [], []
    for place in (torch.device('cpu'), device):
        with without_tf32():
            model = model.to(place).eval()
            own = model.data_preprocessor.cast_data(batch)
            with torch.no_grad():
                logits.append(model(own['inputs'], mode='tensor').cpu())
            loss, _ = model.parse_losses(model(**own, mode='loss'))
            trained = [p for p in model.parameters() if p.requires_grad]
            gradients.append([g.cpu() for g in torch.autograd.grad(loss, trained)])
    first = max(_rel(there, here) for here, there in zip(*gradients, strict=True))
    return dict(logits=_rel(logits[1], logits[0]), gradients=first)


def golden_checks(folder: Path, device: torch.device) -> Iterator[Check]:
    """CLIP's RN50 with synthetic weights against outputs of OpenAI's code.

    Args:
        folder: with ``golden.py`` and the cases, as ``tests/test_golden`` reads it.
        device: that computes.

    Raises:
        DataError: the folder holds no such case.
    """
    if not (folder / 'golden.py').is_file() or not (folder / f'{TOWERS}.json').is_file():
        raise DataError(f'--golden {folder}: needs golden.py and {TOWERS}.json there')
    yield Check('RN50, zero-shot, against the official code', partial(_towers, folder, device), 1e-4)


def _towers(folder: Path, device: torch.device) -> dict[str, float]:
    golden = _golden(folder)
    meta, ref = golden.load(TOWERS)
    with tempfile.TemporaryDirectory() as made:
        path = Path(made, 'weights.pt')
        torch.save(golden.weights(TOWERS), path)
        options = {
            'model.clip.weights': str(path),
            'model.class_names': meta['classnames'],
            'model.prompt.templates': 'a photo of a {}.',
        }
        model: nn.Module = init_model('zero-shot_rn50', cfg_options=options, device=device)
    images = golden.image_input(meta).to(device)
    with torch.no_grad(), without_tf32():
        features = model.clip.encode_image(images)
        found = dict(
            image_global=features.cls,
            image_local=features.local.transpose(0, 1),
            text_features=model.text_features()[0],
            logits_zeroshot=model(images, mode='tensor'),
        )
    return {name: golden.rel(value.cpu(), ref[name]) for name, value in found.items()}


def _golden(folder: Path) -> ModuleType:
    """The module that reads the cases, which imports its neighbours."""
    spec = importlib.util.spec_from_file_location('golden', folder / 'golden.py')
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(folder))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
    return module


def _rel(ours: Tensor, reference: Tensor) -> float:
    """Largest absolute difference, relative to the largest value of the reference."""
    return float((ours - reference).abs().max() / reference.abs().max())
