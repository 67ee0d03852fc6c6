"""Errors that this package raises on purpose: their messages say what is wrong, where, and what to do."""

from __future__ import annotations


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or that does not belong to the model it is loaded into."""


class ConfigError(ValueError):
    """A config with keys that nothing reads, or types that do not exist."""


class EnvironmentProblem(RuntimeError):
    """The installed packages do not fit together; the message says which commands repair them."""
