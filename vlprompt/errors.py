"""Errors that this package raises on purpose; their messages say what is wrong, where, and how to fix it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class CheckpointError(ValueError):
    """A file of tensors that cannot be read, or that does not belong to the model it is loaded into."""


class ConfigError(ValueError):
    """A mistake in a config: unknown keys, types or datasets, wrong values, options without effect."""


class ExportError(ValueError):
    """A model that cannot be written as a file which stands alone, or whose file differs from it."""


class ImageSizeError(ValueError):
    """An image that is too small, or too elongated, for what is done to it."""


class EnvironmentProblem(RuntimeError):
    """Installed packages that are incompatible; the message gives the commands that repair them."""


class DataError(ValueError):
    """Data that nothing can be trained on or measured with; the message names the split and the files or classes."""


class DownloadError(FileNotFoundError):
    """Weights that cannot be downloaded.

    Args:
        what: what could not be downloaded, such as ``"the weights 'openai' of RN50"``.
        places: where the file is.
        options: arguments to give instead; ``weights`` among them stands for the path of the file.
        wanted: the value of ``weights`` that asked for the download.
        reason: why it failed.
        keys: dotted keys in a config of the part that takes the options; empty: it was called from Python.
    """

    def __init__(
        self,
        what: str,
        places: str,
        options: Mapping[str, Any],
        wanted: str,
        reason: object,
        keys: Sequence[str] = (),
    ) -> None:
        self.wanted, self._parts = wanted, (what, places, options, wanted, reason)
        remedy = ', '.join(f'{name}={value!r}' for name, value in options.items())
        if keys:
            typed = (f'{key}.{name}={value}' for key in keys for name, value in options.items())
            remedy = f'--cfg-options {" ".join(typed)}'
        super().__init__(
            f'could not download {what}. On a machine with network access fetch {places}, copy the file here and give '
            f'its path: {remedy}. The reason was: {reason}'
        )

    def in_config(self, keys: Sequence[str]) -> DownloadError:
        """The same, with the options as they are typed for a config."""
        return DownloadError(*self._parts, keys=keys)


class NonFiniteError(ArithmeticError):
    """Losses, gradients or weights that are NaN or infinite: a training that has failed."""


class PredictionError(RuntimeError):
    """An image, perhaps among many, that cannot be read or predicted; its cause is the error of the image.

    Args:
        image: the file, or ``image <position>``.
        error: why.

    Attributes:
        results: of the images before it, in the form that was asked for.
    """

    def __init__(self, image: str, error: Exception) -> None:
        self.image, self.results = image, []
        super().__init__(str(error) if image in str(error) else f'{image}: {error}')


class RunError(RuntimeError):
    """A run that cannot start or go on for a reason outside of its config, such as a folder that another run uses."""


ERRORS = (
    *(CheckpointError, ConfigError, DataError, DownloadError, EnvironmentProblem, ExportError, NonFiniteError),
    *(PredictionError, RunError),
)
"""All of them: a tool that meets one ends with its message alone."""


class Stopped(KeyboardInterrupt):
    """A training that ended because its process was asked to by a signal, after its state was saved.

    Args:
        message: what was saved where; empty in processes that leave the message to another.
        signal: number of the signal.
    """

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal
