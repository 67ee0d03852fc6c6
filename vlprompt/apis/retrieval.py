"""Descriptors of images, and search for the nearest ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from vlprompt.apis.inference import ImageFiles, ImageSource, load_files, predict_dataset, predict_sound
from vlprompt.clip.tensor_files import describe_content, read_tensors
from vlprompt.evaluation.ranking import Descriptors, euclidean_rows, nearest
from vlprompt.evaluation.same_files import same_files
from vlprompt.structures import ReIDSample


def person_files(model: nn.Module, images: ImageSource | Sequence[ImageSource], camid: int = -1) -> ImageFiles:
    """Images for a re-identifier: of unknown identity, all from one camera.

    Args:
        model: a re-identifier, as :func:`~vlprompt.apis.init_model` returns it.
        images: as for :func:`~vlprompt.apis.predict_images`.
        camid: the camera, counted from 0; -1: unknown.
    """
    return load_files(model, images, pid=-1, camid=camid, viewid=0, role='gallery')


def describe_images(
    model: nn.Module,
    dataset: Dataset,
    batch_size: int = 64,
    num_workers: int = 0,
    left_out: Callable[[str, Exception], Any] | None = None,
) -> list[ReIDSample]:
    """The samples of a dataset, each with its descriptor as ``feature`` (D,) float32 on the CPU.

    Args:
        model: a re-identifier, as :func:`~vlprompt.apis.init_model` returns it.
        dataset: a :class:`~vlprompt.datasets.reid.dataset.ReIDDataset` or :func:`person_files`.
        batch_size: images per batch.
        num_workers: processes that load images.
        left_out: called with path and error of an image of :func:`person_files` that cannot be read or described, which
            is then left out; None: it ends the pass.

    Raises:
        TypeError: the model predicts no descriptors.
    """
    samples = []
    if left_out is None:
        predicted = predict_dataset(model, dataset, batch_size, num_workers)
    else:
        predicted = predict_sound(model, dataset, batch_size, num_workers, left_out)
    for sample in predicted:
        if 'feature' not in sample:
            raise TypeError(f'{type(model).__name__} predicts no descriptors; use a model for re-identification')
        samples.append(sample.set_feature(sample.feature.float().cpu()))
    return samples


def stack_descriptors(samples: Sequence[ReIDSample]) -> Descriptors:
    """Features (N, D), identities, cameras and files (N,) of samples."""
    pids, camids = (torch.tensor([getattr(sample, key) for sample in samples]) for key in ('pid', 'camid'))
    files = torch.from_numpy(same_files([sample.img_path for sample in samples]).numbers)
    return Descriptors(torch.stack([sample.feature for sample in samples]), pids, camids, files)


class Neighbours(NamedTuple):
    """The k nearest images of each of Q queries, nearest first.

    Attributes:
        positions: (Q, k) int64, rows of the index.
        similarities: (Q, k), cosines.
    """

    positions: np.ndarray
    similarities: np.ndarray

    def names(self, index: RetrievalIndex) -> list[list[str]]:
        """Their names in ``index``."""
        return [[index.names[position] for position in row] for row in self.positions]


class RetrievalIndex:
    """Descriptors of a gallery that can be searched and stored.

    A search holds a fixed number of distances in memory, whatever the number of queries.

    Args:
        features: (N, D) descriptors, normalised or not.
        names: N names, such as paths.

    Raises:
        ValueError: the numbers of names and features differ.

    Example:
        >>> model = init_model('configs/clipreid/clipreid_vit-b16.py', 'epoch_60.pth')
        >>> index = RetrievalIndex.load('features.npz')       # of tools/analysis_tools/extract_features.py
        >>> query = model(torch.zeros(1, 3, 256, 128), mode='tensor')
        >>> index.search(query, k=5).names(index)
    """

    def __init__(self, features: Tensor, names: Sequence[str]) -> None:
        if features.dim() != 2 or len(features) != len(names):
            raise ValueError(f'{tuple(features.shape)} features and {len(names)} names: there must be (N, D) and N')
        self.features = features.detach().float().cpu()
        self.names = list(names)

    def __len__(self) -> int:
        return len(self.names)

    def search(self, queries: Tensor, k: int = 10) -> Neighbours:
        """The ``k`` images (all, if there are fewer) with the highest cosine to each of ``queries`` (Q, D).

        Raises:
            ValueError: descriptors of another length.
        """
        if queries.dim() != 2 or queries.shape[1] != self.features.shape[1]:
            raise ValueError(
                f'queries {tuple(queries.shape)} do not fit descriptors of length {self.features.shape[1]}'
            )
        rows = euclidean_rows(queries.detach().float().cpu(), self.features)
        positions, distances, _ = nearest(rows, len(queries), len(self), min(k, len(self)))
        return Neighbours(positions, 1 - distances / 2)

    def save(self, path: str | Path) -> None:
        """Write ``features`` and ``names`` as ``*.npz``."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, features=self.features.numpy(), names=np.array(self.names))

    @classmethod
    def load(cls, path: str | Path) -> RetrievalIndex:
        """Read an index written by :meth:`save`.

        Raises:
            FileNotFoundError: no such file.
            ValueError: it does not hold an index.
        """
        content = read_tensors(path)
        if not isinstance(content, dict) or not {'features', 'names'} <= set(content):
            raise ValueError(f'{path} holds {describe_content(content)}; an index has features and names')
        return cls(torch.from_numpy(content['features']), content['names'].tolist())
