"""Exported files: their kinds, what they need, and how they are run, as their users run them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vlprompt.errors import EnvironmentProblem

FORMATS = {'onnx': '.onnx', 'torch-export': '.pt2', 'folded': '.safetensors'}
"""Kind of file -> suffix."""

DESCRIPTION = 'vlprompt.json'
"""Name of the extra file in a file of torch.export that holds the description."""

NEEDED = {'onnx': ('onnx', 'onnxscript', 'onnxruntime')}
"""Packages by kind of file, beside this package's own needs."""


def check_packages(kind: str) -> None:
    """Raise EnvironmentProblem unless a kind of file can be written and run here; nothing is imported for it."""
    if kind != 'folded' and not hasattr(torch.compiler, 'is_exporting'):
        raise EnvironmentProblem(f'exporting needs torch 2.7 or newer, this is {torch.__version__}')
    if missing := [name for name in NEEDED.get(kind, ()) if find_spec(name) is None]:
        raise EnvironmentProblem(f"ONNX needs the packages {', '.join(missing)}: pip install 'vlprompt[export]'")


class ExportedModel:
    """An exported file as a function of normalised images (B, 3, H, W) float32, on the CPU.

    Args:
        path: of the file.
        kind: ``'onnx'`` or ``'torch-export'``.

    Attributes:
        description: what is stored beside the graph.
        sizes: the sizes (B, 3, H, W) of its input; None for one that is free.
    """

    def __init__(self, path: str | Path, kind: str) -> None:
        self.description: dict[str, Any]
        self.sizes: tuple[int | None, ...]
        self._run: Callable[[Tensor], Sequence[Tensor]]
        (self._open_onnx if kind == 'onnx' else self._open_torch)(Path(path))

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """Outputs by name."""
        return dict(zip(self.description['outputs'], self._run(images), strict=True))

    def _open_onnx(self, path: Path) -> None:
        from onnxruntime import InferenceSession, SessionOptions

        options = SessionOptions()
        options.log_severity_level = 3  # errors alone
        session = InferenceSession(path.read_bytes(), options, providers=['CPUExecutionProvider'])
        stored = session.get_modelmeta().custom_metadata_map
        self.description = {name: _of_json(value) for name, value in stored.items()}
        self.sizes = tuple(side if isinstance(side, int) else None for side in session.get_inputs()[0].shape)
        self._run = lambda images: [torch.from_numpy(a) for a in session.run(None, dict(image=images.numpy()))]

    def _open_torch(self, path: Path) -> None:
        extra = {DESCRIPTION: ''}
        with open(path, 'rb') as file:
            program = torch.export.load(file, extra_files=extra)
        self.description = json.loads(extra[DESCRIPTION])
        (name,) = program.graph_signature.user_inputs
        (node,) = (node for node in program.graph.nodes if node.name == name)
        self.sizes = tuple(side if isinstance(side, int) else None for side in node.meta['val'].shape)
        self._run = torch.no_grad()(program.module())


def _of_json(text: str) -> Any:
    """The value of a text that is JSON, else the text."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
