"""What the terminal shows of a run's log: the log file has all of it."""

from __future__ import annotations

import logging
from pathlib import Path

from mmengine.logging import MMLogger

from vlprompt.compat.messages import UntrueFilter

INVENTORY = ('_log_env', '__init__')
"""Functions of ``runner.py``, mmengine's and ours, whose records go to the log file alone: environment, packages and
whole config; order of the hooks."""


class NoInventory(logging.Filter):
    """Rejects the hundreds of lines with which a runner describes itself, recognised by the function that logs them.

    Warnings and errors always pass.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        from_runner = Path(record.pathname).name == 'runner.py' and record.funcName in INVENTORY
        return record.levelno >= logging.WARNING or not from_runner


def shorten_terminal(logger: MMLogger) -> None:
    """Keep the inventory of the run, and messages of other packages that are not true, from the terminal.

    Nothing is filtered if there is no log file that would hold it.
    """
    if not any(isinstance(handler, logging.FileHandler) for handler in logger.handlers):
        return
    logger.info(f'The log with environment, config and order of hooks: {logger.log_file}')
    for handler in logger.handlers:
        if not isinstance(handler, logging.FileHandler):
            handler.addFilter(NoInventory())
            handler.addFilter(UntrueFilter())


class ToLogger(logging.Handler):
    """Passes records on to the log of a run."""

    def __init__(self, logger: MMLogger) -> None:
        super().__init__()
        self.logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        self.logger.handle(record)


def take_package_log(logger: MMLogger) -> None:
    """Write what parts of this package that do not know mmengine say by :mod:`logging` into the log of a run."""
    package = logging.getLogger(__name__.partition('.')[0])
    for handler in [handler for handler in package.handlers if isinstance(handler, ToLogger)]:  # of an earlier run
        package.removeHandler(handler)
    package.addHandler(ToLogger(logger))
