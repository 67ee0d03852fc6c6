"""Errors that this package raises on purpose; their messages say what is wrong, where, and how to fix it."""

from __future__ import annotations


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or that does not belong to the model it is loaded into."""


class ConfigError(ValueError):
    """A mistake in a config: unknown keys, types or datasets, wrong values, options without effect."""


class EnvironmentProblem(RuntimeError):
    """Installed packages that are incompatible; the message gives the commands that repair them."""


class NonFiniteError(ArithmeticError):
    """Losses, gradients or weights that are NaN or infinite: a training that has failed."""


class RunError(RuntimeError):
    """A run that cannot start or go on for a reason outside of its config, such as a folder that another run uses."""


ERRORS = (CheckpointError, ConfigError, EnvironmentProblem, NonFiniteError, RunError)
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
