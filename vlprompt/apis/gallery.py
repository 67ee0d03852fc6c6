"""Descriptors of a gallery: added, searched, stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor

from vlprompt.clip.tensor_files import describe_content, read_tensors
from vlprompt.errors import CheckpointError, ConfigError, EnvironmentProblem
from vlprompt.evaluation.ranking import euclidean_rows, nearest
from vlprompt.files import read_bytes, read_json, written_whole

TENSORS, ABOUT = 'gallery.safetensors', 'gallery.json'
FORMAT, VERSION = 'vlprompt-gallery', 1

Backend = Literal['auto', 'faiss', 'exact']


class Neighbours(NamedTuple):
    """The k nearest images of each of Q queries, nearest first.

    Attributes:
        positions: (Q, k) int64, rows of the index.
        similarities: (Q, k) float32, cosines.
        names: Q lists of k names.
    """

    positions: np.ndarray
    similarities: np.ndarray
    names: list[list[str]]


class GalleryIndex:
    """Descriptors of a gallery, by cosine.

    A search compares every query with every descriptor, by faiss (``IndexFlatIP``) where it is installed and otherwise
    by :mod:`vlprompt.evaluation.ranking`, in a fixed amount of memory.  Both find the same images, apart from those
    whose cosines differ by rounding alone; equal ones are in the order in which they were added.

    Args:
        backend: ``'faiss'``, ``'exact'``, or ``'auto'``: faiss if it is installed.

    Attributes:
        names: of the N images, in the order in which they were added.

    Raises:
        ConfigError: an unknown backend.
        EnvironmentProblem: faiss is asked for and not installed.

    Example:
        >>> infer = ReIDInferencer('clipreid/clipreid_vit-b16', 'epoch_60.pth')
        >>> index = GalleryIndex()
        >>> index.add(infer('people'), [path.name for path in find_images('people')])
        >>> index.search(infer('query.jpg'), k=5).names
    """

    def __init__(self, backend: Backend = 'auto') -> None:
        if backend not in ('auto', 'faiss', 'exact'):
            raise ConfigError(f"backend must be 'auto', 'faiss' or 'exact', got {backend!r}")
        installed = find_spec('faiss') is not None
        if backend == 'faiss' and not installed:
            raise EnvironmentProblem("backend='faiss': it is not installed: pip install faiss-cpu, or take 'exact'")
        self.backend = ('faiss' if installed else 'exact') if backend == 'auto' else backend
        self.names: list[str] = []
        self._parts: list[Tensor] = []
        self._searched: Any = None  # faiss's index of the first len(_searched) descriptors

    def __len__(self) -> int:
        return len(self.names)

    @property
    def features(self) -> Tensor:
        """(N, D) float32 on the CPU, rows of length 1.

        Raises:
            ConfigError: the index is empty.
        """
        if not self._parts:
            raise ConfigError('the index is empty: add descriptors first')
        if len(self._parts) > 1:
            self._parts = [torch.cat(self._parts)]
        return self._parts[0]

    def add(self, features: np.ndarray | Tensor | Sequence[np.ndarray], names: Sequence[str]) -> None:
        """Add images to those that can be found.

        Args:
            features: (N, D) descriptors, N of (D,) or a single one (D,), normalised or not.
            names: N names, such as paths; a name may stand for several images.

        Raises:
            ValueError: the numbers of descriptors and names differ, descriptors of another length than those before,
                or with a value that is not finite.
        """
        added = _unit_rows(features)
        if isinstance(names, str) or len(added) != len(names):
            count = 'a single name' if isinstance(names, str) else f'{len(names)} names'
            raise ValueError(f'{len(added)} descriptors and {count}: every descriptor has one')
        if self._parts and added.shape[1] != self._parts[0].shape[1]:
            raise ValueError(f'descriptors of length {added.shape[1]}, but the index has {self._parts[0].shape[1]}')
        if len(added):
            self._parts.append(added)
            self.names += map(str, names)

    def search(self, queries: np.ndarray | Tensor | Sequence[np.ndarray], k: int = 10) -> Neighbours:
        """The ``k`` images, or all if there are fewer, with the highest cosine to each query.

        Args:
            queries: (Q, D) descriptors, or one (D,), which gives Q = 1.
            k: at least 1.

        Raises:
            ValueError: descriptors of another length, or with a value that is not finite; k below 1.
            ConfigError: the index is empty.
        """
        gallery, wanted = self.features, _unit_rows(queries)
        if wanted.shape[1] != gallery.shape[1]:
            raise ValueError(f'queries {tuple(wanted.shape)} do not fit descriptors of length {gallery.shape[1]}')
        if k < 1:
            raise ValueError(f'k must be at least 1, got {k}')
        search = self._by_faiss if self.backend == 'faiss' else _exactly
        if len(wanted):
            positions, similarities = search(gallery, wanted, min(k, len(self)))
        else:
            positions, similarities = np.zeros((0, min(k, len(self))), np.int64), np.zeros((0, min(k, len(self))))
        names = [[self.names[position] for position in row] for row in positions]
        return Neighbours(positions, similarities.astype(np.float32), names)

    def _by_faiss(self, gallery: Tensor, queries: Tensor, k: int) -> tuple[np.ndarray, np.ndarray]:
        import faiss  # optional

        if self._searched is None:
            self._searched = faiss.IndexFlatIP(gallery.shape[1])
        if self._searched.ntotal < len(gallery):
            self._searched.add(gallery[self._searched.ntotal :].numpy())
        similarities, positions = self._searched.search(queries.numpy(), k)
        order = np.lexsort((positions, -similarities))  # equal ones by position
        return np.take_along_axis(positions, order, 1), np.take_along_axis(similarities, order, 1)

    def save(self, folder: str | Path) -> None:
        """Write ``gallery.safetensors``, with ``features`` (N, D), and ``gallery.json``, with the names.

        Raises:
            ConfigError: the index is empty.
            OSError: they cannot be written.
        """
        content = save(dict(features=self.features.contiguous()), metadata=dict(format='pt'))
        about = dict(
            format=FORMAT, format_version=VERSION, sha256=hashlib.sha256(content).hexdigest(), names=self.names
        )
        with written_whole(Path(folder, TENSORS)) as file:
            file.write_bytes(content)
        with written_whole(Path(folder, ABOUT)) as file:
            file.write_text(json.dumps(about, indent=1))

    @classmethod
    def load(cls, folder: str | Path, backend: Backend = 'auto') -> GalleryIndex:
        """Read what :meth:`save` has written.

        Args:
            folder: that it was written to.
            backend: as for the class.

        Raises:
            FileNotFoundError: no such files.
            CheckpointError: they hold no index, or do not belong together.
        """
        folder = Path(folder)
        if folder.is_file():
            raise CheckpointError(f'{folder} is a file: an index is a folder with {TENSORS} and {ABOUT}')
        about = read_json(folder / ABOUT, 'names of an index')
        if not isinstance(about, dict) or about.get('format') != FORMAT or about.get('format_version') != VERSION:
            raise CheckpointError(f'{folder / ABOUT} is not of the format {FORMAT}, version {VERSION}')
        content = read_tensors(folder / TENSORS, 'descriptors of an index')
        features, names = content.get('features') if isinstance(content, dict) else None, about.get('names')
        if not isinstance(features, Tensor) or features.dim() != 2:
            raise CheckpointError(f'{folder / TENSORS} holds {describe_content(content)}; an index has features (N, D)')
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise CheckpointError(f'{folder / ABOUT} has no list of names')
        if hashlib.sha256(read_bytes(folder / TENSORS)).hexdigest() != about.get('sha256'):
            raise CheckpointError(
                f'{folder}: {TENSORS} and {ABOUT} were not written together, so names may belong to other images: make '
                'the index again'
            )
        index = cls(backend)
        try:
            index.add(features, names)
        except ValueError as error:
            raise CheckpointError(f'{folder} holds no index: {error}') from error
        return index


def _unit_rows(features: np.ndarray | Tensor | Sequence[np.ndarray]) -> Tensor:
    """(N, D) float32 of length 1, a copy on the CPU, of N descriptors or a single one."""
    if not isinstance(features, Tensor):
        if isinstance(features, (list, tuple)) and (missing := [i for i, row in enumerate(features) if row is None]):
            raise ValueError(f'descriptor {missing[0]} is None: leave images out that have none, with their names')
        features = torch.from_numpy(np.asarray(features, np.float32))
    features = features.detach().float().cpu()
    features = features[None] if features.dim() == 1 else features
    if features.dim() != 2:
        raise ValueError(f'descriptors must be (N, D), got {tuple(features.shape)}')
    if not features.isfinite().all():
        raise ValueError(f'descriptor {int((~features.isfinite()).any(1).nonzero()[0])} has a value that is not finite')
    return F.normalize(features, dim=1)


def _exactly(gallery: Tensor, queries: Tensor, k: int) -> tuple[np.ndarray, np.ndarray]:
    positions, distances, _ = nearest(euclidean_rows(queries, gallery, normalize=False), len(queries), len(gallery), k)
    return positions, 1 - distances / 2
