"""Recording a graph by torch.export, and writing it as a file of torch or of ONNX."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from vlprompt.errors import ExportError
from vlprompt.export.files import DESCRIPTION, check_packages
from vlprompt.export.graphs import Graph

OPSET = 20
"""Of ONNX; its antialiased Resize, which position embeddings need, came with 18."""

LARGEST = 2_000_000_000
"""Bytes of the numbers of an ONNX file; more would have to lie in files beside it."""

TRACED = 2
"""Images of the batch that is recorded; of one, torch would make a constant."""


def record(graph: Graph, size: tuple[int, int], any_size: bool = False) -> ExportedProgram:
    """The graph of normalised images (B, 3, H, W), for any B, unless the text tower is in it, which fixes B = 1.

    Args:
        graph: the model; what does not depend on the image becomes a constant of it.
        size: H and W; those of an image of any size must not be equal to one another, nor those of the training.
        any_size: for images of any size; else of this one alone.

    Raises:
        ExportError: torch cannot record it, or only for sizes that it has seen.
    """
    example = torch.zeros(TRACED if graph.any_batch else 1, 3, *size)
    graph.prepare(example)
    sizes = {2: Dim.DYNAMIC, 3: Dim.DYNAMIC} if any_size else {}
    free = ({0: Dim.DYNAMIC} if graph.any_batch else {}) | sizes
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter('ignore')  # of torch, about itself
            return torch.export.export(graph, (example,), dynamic_shapes=(free,), strict=False)
    except (RuntimeError, ValueError, TypeError) as error:  # torch's own, and those derived from them
        remedy = ' or leave --any-size out' if any_size else ''
        reason = str(error).strip().splitlines()[0]
        raise ExportError(
            f'torch.export cannot record {type(graph.model).__name__} ({reason}): try a newer torch{remedy}'
        ) from error


def write_torch(program: ExportedProgram, path: str | Path, description: Mapping[str, Any]) -> None:
    """Write a program for ``torch.export.load``, which gives the description as the extra file ``vlprompt.json``."""
    with open(path, 'wb') as file, warnings.catch_warnings():
        warnings.simplefilter('ignore')  # about weights that share memory
        torch.export.save(program, file, extra_files={DESCRIPTION: json.dumps(description)})


def require_small(program: ExportedProgram) -> None:
    """Raise ExportError if the numbers of a program are more than one file of ONNX can hold."""
    tensors = {id(t): t for t in (*program.state_dict.values(), *program.constants.values()) if isinstance(t, Tensor)}
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if size > LARGEST:
        raise ExportError(
            f'{size / 1e9:.1f} GB of numbers are more than one file of ONNX holds ({LARGEST / 1e9:.0f} GB): take '
            'float16 (--half), or --format torch-export'
        )


def write_onnx(
    program: ExportedProgram, path: str | Path, outputs: Mapping[str, str], description: Mapping[str, Any]
) -> None:
    """Write a program as ONNX, with the description in its ``metadata_props``: JSON, but for texts.

    Args:
        program: of :func:`record`.
        path: of the file.
        outputs: their names in their order.
        description: of the model.

    Raises:
        EnvironmentProblem: a package is missing.
        ExportError: torch cannot translate the program, or the file would be larger than ONNX allows.
    """
    check_packages('onnx')
    require_small(program)
    logging.getLogger('onnxscript').setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            translated = torch.onnx.export(
                program,
                (),
                input_names=['image'],
                output_names=list(outputs),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise ExportError(f'torch.onnx cannot translate the model: {str(error).strip().splitlines()[0]}') from error
    for name, value in description.items():
        translated.model.metadata_props[name] = value if isinstance(value, str) else json.dumps(value)
    translated.model.producer_name = 'vlprompt'
    translated.save(path, external_data=False)
