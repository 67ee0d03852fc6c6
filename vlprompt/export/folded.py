"""A classifier as a few tensors beside a CLIP that anybody has: class weights, their factor, names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlprompt.alignment import CosineAlignment
from vlprompt.engine.writing import write_safetensors
from vlprompt.errors import ConfigError, ExportError
from vlprompt.models.classifiers.feature_classifier import FeatureClassifier
from vlprompt.models.classifiers.head_classifier import HeadClassifier
from vlprompt.models.classifiers.text_classifier import TextClassifier
from vlprompt.solvers.base import Linear

FORMAT, FORMAT_VERSION = 'vlprompt-classifier', 1


@torch.no_grad()
def fold(model: nn.Module) -> dict[str, Tensor]:
    """The classifier of a model whose logits are linear in the global image feature of its CLIP.

    Args:
        model: as :func:`~vlprompt.apis.init_model` returns it.

    Returns:
        ``text_features`` (K, D) float32, the rows that features are multiplied with: text features of unit length for
        zero-shot CLIP and CoOp, means of them where every prompt votes, class weights for solvers; ``logit_scale`` (),
        the factor of the products, no logarithm; ``logit_bias`` (K,), added to them.

    Raises:
        ExportError: the logits are not linear, or the image tower is not that of the weights; the message says why.
    """
    if isinstance(model, TextClassifier):
        _refuse_text_classifier(model)
        rows = model.alignment.class_weights(model.text_features().float())
        return _tensors(Linear(rows), model.logit_scale.item())
    if isinstance(model, FeatureClassifier):
        return _tensors(_linear_of(model))
    if isinstance(model, HeadClassifier):
        raise ExportError(
            'a head reads the class token before the projection, which an image feature of CLIP does not have: '
            'use --format onnx'
        )
    raise ExportError(f'{type(model).__name__} is no classifier of whole images: use --format onnx')


def _refuse_text_classifier(model: TextClassifier) -> None:
    """Raise unless the logits are ``s <x, w_c>`` with the image feature x of the plain tower."""
    if model.prompt.needs_image:
        reason = f'the text of a {type(model.prompt).__name__} depends on the image'
    elif model.visual is not None:
        reason = 'visual prompts change the image feature'
    elif not isinstance(model.alignment, CosineAlignment):
        reason = (
            f'{type(model.alignment).__name__} compares local features with prompts, which no product of the global '
            'feature with class weights is'
        )
    elif any(name.startswith('clip.visual.') for name in model.trained_state_dict()) and model.base_source is not None:
        raise ExportError(
            'the image tower was trained: write it by vlprompt export-clip, and fold the model with '
            '--cfg-options model.clip.weights=FILE, or use --format onnx'
        )
    else:
        return
    raise ExportError(f'no folded classifier: {reason}; use --format onnx')


def _linear_of(model: FeatureClassifier) -> Linear:
    """The solver as a linear classifier, for the classes at hand."""
    if not model.solver.is_fitted:
        raise ConfigError(f'{type(model.solver).__name__} has not been fitted: give a checkpoint of a training')
    text = model.text_features()
    found = model._solver_of(text).linear(text, model.scale)
    if found is None:
        raise ExportError(
            f'no folded classifier: the logits of {type(model.solver).__name__} are not linear in the image feature; '
            'use --format onnx'
        )
    if model._columns is None:
        return found
    if any(len(columns) > 1 for columns in model._columns):
        raise ExportError('no folded classifier: several classes of the training have one name; use --format onnx')
    chosen = [columns[0] for columns in model._columns]
    return found._replace(weight=found.weight[chosen], bias=None if found.bias is None else found.bias[chosen])


def _tensors(linear: Linear, scale: float = 1.0) -> dict[str, Tensor]:
    """The tensors of the file; a factor that is part of the weights stays there."""
    weight = linear.weight.float()
    bias = weight.new_zeros(len(weight)) if linear.bias is None else linear.bias.float()
    tensors = dict(text_features=weight, logit_scale=torch.tensor(scale), logit_bias=bias)
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def is_normalised(model: nn.Module) -> bool:
    """Whether image features are scaled to unit length before they are multiplied."""
    return not isinstance(model, FeatureClassifier) or _linear_of(model).normalised


def folded_logits(model: nn.Module, tensors: Mapping[str, Tensor], images: Tensor) -> Tensor:
    """(B, K) logits of normalised images (B, 3, H, W), as a user of the file computes them."""
    features = model.clip.encode_image(images, local=False, maps=False).cls.float()
    features = F.normalize(features, dim=-1) if is_normalised(model) else features
    return tensors['logit_scale'] * features @ tensors['text_features'].T + tensors['logit_bias']


def write_folded(
    tensors: Mapping[str, Tensor], path: str | Path, model: nn.Module, description: Mapping[str, Any]
) -> None:
    """Write the tensors as safetensors, with names and preparation of images in its metadata (JSON, but for texts).

    Args:
        tensors: of :func:`fold`.
        path: of the file.
        model: of which they are.
        description: of :func:`~vlprompt.export.description.describe`.
    """
    base = dict(description.get('base') or {}, arch=model.clip.arch.name, quick_gelu=model.clip.quick_gelu)
    content = dict(
        description,
        format=FORMAT,
        format_version=FORMAT_VERSION,
        base=base,
        templates=list(getattr(model.prompt, 'templates', ())),
        normalize=is_normalised(model),
    )
    text = {name: value if isinstance(value, str) else json.dumps(value) for name, value in content.items()}
    write_safetensors(tensors, path, text)
