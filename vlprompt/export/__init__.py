"""Trained models as files that stand alone: ONNX, ``torch.export``, and classifiers folded into a few tensors."""

from vlprompt.export.export import export_model
from vlprompt.export.files import ExportedModel
from vlprompt.export.parity import Comparison

__all__ = ['Comparison', 'ExportedModel', 'export_model']
