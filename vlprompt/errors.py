"""Errors that this package raises on purpose; their messages say what is wrong, where, and how to fix it."""

from __future__ import annotations


class CheckpointError(ValueError):
    """A file of tensors that cannot be read, or that does not belong to the model it is loaded into."""


class ConfigError(ValueError):
    """A mistake in a config: unknown keys, types or datasets, wrong values, options without effect."""


class ImageSizeError(ValueError):
    """An image that is too small, or too elongated, for what is done to it."""


class EnvironmentProblem(RuntimeError):
    """Installed packages that are incompatible; the message gives the commands that repair them."""


class DataError(ValueError):
    """Data that nothing can be trained on or measured with; the message names the split and the files or classes."""
