"""What inferencers of all tasks share.

They do not build on mmengine's ``BaseInferencer``: that falls back to unpickling checkpoints, loses all results of a
call to one broken image, and draws pictures when the last prediction is there, so that it keeps all of them.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from mmengine.config import Config
from PIL import Image
from torch import nn
from tqdm.auto import tqdm

from vlprompt.apis.inference import ImageFiles, load_files, predict_each
from vlprompt.apis.inferencers.class_names import names_for, read_names, takes
from vlprompt.apis.inferencers.prediction import Prediction
from vlprompt.apis.model import init_model
from vlprompt.apis.sources import ChannelOrder, ImageSource, is_single
from vlprompt.datasets.dense.palette import voc_palette
from vlprompt.datasets.images import numbered_name
from vlprompt.engine.adapters import is_adapter
from vlprompt.engine.config import load_config
from vlprompt.errors import ConfigError, PredictionError
from vlprompt.messages import printable
from vlprompt.registry import MODELS

_log = logging.getLogger(__name__)

Output = Literal['dict', 'sample', 'array', 'picture']


class Inferencer(ABC):
    """A model that takes images of any kind.  Subclasses are the tasks.

    Args:
        model: a config file, the name of a shipped one, a loaded config, or whatever else
            :func:`~vlprompt.apis.init_model` takes; or a model that it has built, which is put into eval mode.
        checkpoint: of the model; None: as it is built.
        class_names: K names, a dataset's name or a text file; None: those that the model knows.  See :meth:`stream`.
        cfg_options: dotted keys of the config to override.
        device: such as ``'cuda'``; None: the CPU, or that of a model.
        phase: of a config with phases, see :func:`~vlprompt.apis.init_model`.
        **options: of the task, for all calls, see the class.

    Attributes:
        model: the model.
        class_names: the names that are predicted unless a call gives others.
        skipped: the predictions without a sample of the last call with ``on_error='skip'``.

    Raises:
        ConfigError: a model of another task, class names that it does not take, or unknown options.
        Exception: as for :func:`~vlprompt.apis.init_model`.
    """

    task: ClassVar[str]
    default_output: ClassVar[Output] = 'dict'
    default_options: ClassVar[Mapping[str, Any]] = {}
    """Name -> value of the options of the task."""
    draws: ClassVar[bool] = True
    """Whether there are pictures."""

    def __init__(
        self,
        model: nn.Module | str | Path | Config,
        checkpoint: str | Path | None = None,
        *,
        class_names: str | Sequence[str] | None = None,
        cfg_options: Mapping[str, Any] | None = None,
        device: str | torch.device | None = None,
        phase: str | None = None,
        **options: Any,
    ) -> None:
        names = None if class_names is None else read_names(class_names)
        self.model = model_for(model, checkpoint, names, cfg_options, device, phase)
        if not self.fits(self.model):
            raise ConfigError(
                f'{type(self.model).__name__} is no model for {self.task}: vlprompt.apis.init_inferencer chooses the '
                'class for a model'
            )
        self.options: dict[str, Any] = dict(self.default_options)
        self.options = self._checked(options)
        self.class_names = self._names(names)
        own = tuple(getattr(self.model, 'class_names', None) or ())
        own = own if own and takes(self.model, own) else None
        self._own_words = own if names is None else tuple(names)
        self._words = self._of_model = own
        self.skipped: list[Prediction] = []

    @classmethod
    @abstractmethod
    def fits(cls, model: nn.Module) -> bool:
        """Whether a model is one for this task."""

    @abstractmethod
    def to_dict(self, prediction: Prediction) -> Any:
        """In the form of Hugging Face's pipelines, of plain values and PIL images."""

    @abstractmethod
    def to_array(self, prediction: Prediction) -> np.ndarray:
        """As an array."""

    @abstractmethod
    def summary(self, prediction: Prediction) -> str:
        """In a few words."""

    @abstractmethod
    def draw(self, prediction: Prediction) -> Image.Image:
        """As a picture, which a notebook shows."""

    def prepare(self, options: Mapping[str, Any]) -> None:  # noqa: B027
        """Set up the model for the options of a stream, before every image."""

    def load(
        self, images: ImageSource | Sequence[ImageSource], channel_order: ChannelOrder, options: Mapping[str, Any]
    ) -> ImageFiles:
        """The images, through the test pipeline of the model's config."""
        return load_files(self.model, images, channel_order)

    def __call__(
        self,
        images: ImageSource | Sequence[ImageSource],
        *,
        output: Output | None = None,
        on_error: Literal['raise', 'skip'] = 'raise',
        **kwargs: Any,
    ) -> Any:
        """Results of images.

        Args:
            images: one image (a file, a file opened in binary mode, an array, a PIL image), or several: a folder, a
                shell-style pattern, or a list of any of these.
            output: ``'dict'``: plain values in the form of Hugging Face's pipelines; ``'sample'``: data samples;
                ``'array'``: NumPy arrays; ``'picture'``: PIL images; None: the task's own.  See the class.
            on_error: what an image does that cannot be read or predicted.  ``'raise'``: it ends the call, and the error
                has the ``results`` before it; ``'skip'``: a warning names it, and its result is None.
            **kwargs: further arguments of :meth:`stream`.

        Returns:
            The result of one image, or a list with those of several.

        Raises:
            PredictionError: an image cannot be read or predicted.
            Exception: as for :meth:`stream`.
        """
        forms = dict(dict=self.to_dict, sample=lambda found: found.sample, array=self.to_array, picture=self.draw)
        convert = forms.get(output or self.default_output)
        if convert is None or on_error not in ('raise', 'skip'):
            raise ConfigError(
                f"output is one of {', '.join(forms)}, and on_error 'raise' or 'skip', got {output!r} and {on_error!r}"
            )
        stream = self.stream(images, **kwargs)
        results: list[Any] = []
        self.skipped = []
        for found in stream:
            if found.error is None:
                results.append(convert(found))
                continue
            error = PredictionError(found.name, found.error)
            if on_error == 'raise':
                error.results = results
                raise error from found.error
            _log.warning('%s; it is left out', printable(str(error)))
            self.skipped.append(found)
            results.append(None)
        return results[0] if is_single(images) else results

    def stream(
        self,
        images: ImageSource | Sequence[ImageSource],
        *,
        class_names: str | Sequence[str] | None = None,
        channel_order: ChannelOrder = 'rgb',
        batch_size: int = 1,
        num_workers: int = 0,
        progress: bool = True,
        show: bool = False,
        out_dir: str | Path | None = None,
        **options: Any,
    ) -> Iterator[Prediction]:
        """Predictions one by one, each as soon as its batch is there; images are read when their turn comes.

        Args:
            images: as for a call.
            class_names: for these images alone: K names, a dataset's name or a text file, for a model whose classes are
                only text, or some of its own for a solver on stored features.
            channel_order: of arrays with colours: ``'rgb'``, as Pillow and matplotlib have it, or ``'bgr'``, as OpenCV.
            batch_size: images per batch.  Those of several sizes after the pipeline are predicted one by one, except
                by detectors, which pad.
            num_workers: processes that load images.
            progress: show a bar, if there are several images.
            show: show a picture of every result, in a notebook or in the system's viewer.
            out_dir: folder for these pictures, ``<number>_<name of the image>.png``.
            **options: of the task, for these images alone, see the class.

        Yields:
            A :class:`.Prediction` of every image in order; of one that cannot be read or predicted, with its ``error``.

        Raises:
            ConfigError: class names that the model does not take, unknown options.
            FileNotFoundError: a folder or a pattern without images.
            TypeError, ValueError: what is no image.
            Exception: that of the first image, if no image can be predicted though some can be read.
        """
        chosen = self._checked(options)
        names, words = self.class_names, self._own_words
        if class_names is not None:
            words = tuple(read_names(class_names))
            names = self._names(words)
        self._set_up(words, chosen)
        files = self.load(images, channel_order, chosen)
        blank = dict(class_names=names, palette=self._palette(len(names)), options=chosen, images=files)
        found = self._predict(files, words, chosen, batch_size, num_workers, progress and len(files) > 1)
        return (
            self._shown(Prediction(number=number, name=files.path(number), **result, **blank), show, out_dir)
            for number, result in enumerate(found)
        )

    def _predict(
        self,
        files: ImageFiles,
        words: tuple[str, ...] | None,
        options: Mapping[str, Any],
        batch_size: int,
        num_workers: int,
        progress: bool,
    ) -> Iterator[dict[str, Any]]:
        """``sample`` and ``error`` of every image."""
        found = predict_each(self.model, files, batch_size, num_workers)
        with tqdm(total=len(files), unit='image', disable=not progress) as bar:
            while True:
                self._set_up(words, options)  # another stream may have run since the last image
                result = next(found, None)
                if result is None:
                    return
                bar.update()
                failed = isinstance(result, Exception)
                yield dict(sample=None if failed else result, error=result if failed else None)

    def _shown(self, prediction: Prediction, show: bool, out_dir: str | Path | None) -> Prediction:
        """The prediction, after its picture was shown and stored."""
        if prediction.error is not None or not (show or out_dir is not None):
            return prediction
        picture = self.draw(prediction)
        if out_dir is not None:
            Path(out_dir).mkdir(parents=True, exist_ok=True)
            picture.save(Path(out_dir, numbered_name(prediction.number, prediction.name)))
        if show:
            from vlprompt.visualization.figures import show_picture  # imports matplotlib, as drawing does

            show_picture(picture)
        return prediction

    def _checked(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options of the task, some of them changed."""
        if unknown := sorted(set(options) - set(self.default_options)):
            known = ', '.join(self.default_options) or 'none'
            raise ConfigError(f'{type(self).__name__} has no option {", ".join(unknown)}; those of its task: {known}')
        return self.options | options

    def _names(self, names: Sequence[str] | None) -> list[str]:
        return names_for(self.model, names)

    def _set_up(self, words: tuple[str, ...] | None, options: Mapping[str, Any]) -> None:
        """Let the model predict these classes, if it takes others, with these options."""
        if self._of_model is not None:
            changed = tuple(self.model.class_names) != self._of_model  # by others that have the same model
            if changed or words != self._words:
                self.model.set_class_names(list(words))
                self._words, self._of_model = words, tuple(self.model.class_names)
        self.prepare(options)

    def _palette(self, classes: int) -> Sequence[Sequence[int]]:
        """Colours of the classes: those of the dataset if it has as many."""
        own = self.model.dataset_meta.get('palette')
        return own if own and len(own) == classes else voc_palette(classes + 1)[1:]  # black is for what has no class


def model_for(
    model: nn.Module | str | Path | Config,
    checkpoint: str | Path | None,
    class_names: Sequence[str] | None,
    cfg_options: Mapping[str, Any] | None,
    device: str | torch.device | None,
    phase: str | None,
) -> nn.Module:
    """The model that the arguments of an :class:`Inferencer` stand for.

    Class names are given to a model as it is built only if its classes are text and nothing is loaded into it.  A model
    that is given is in eval mode afterwards.
    """
    if isinstance(model, nn.Module):
        if checkpoint is not None or cfg_options or device is not None or phase is not None:
            raise ConfigError('checkpoint, cfg_options, device and phase are for configs: a model has its own')
        return model.eval()
    if class_names is not None and checkpoint is None and not is_adapter(model):
        model, cfg_options = load_config(model, dict(cfg_options or {})), None
        described = MODELS.get((model.get('model') or {}).get('type'))
        class_names = class_names if getattr(described, 'open_vocabulary', False) else None
    else:
        class_names = None
    return init_model(model, checkpoint, cfg_options, device or 'cpu', phase, class_names)
