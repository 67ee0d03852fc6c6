"""Backends of the log, such as TensorBoard: mistakes in the config and missing packages in one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.visualization import Visualizer

from vlprompt.errors import ConfigError

EXTRAS = dict(TensorboardVisBackend="pip install 'vlprompt[vis]'")
"""How to install what a backend needs, where it is an extra of this package."""


def check_backends(visualizer: Any) -> None:
    """Check ``visualizer.vis_backends`` of a config.

    Raises:
        ConfigError: not a list of dicts with a type.
    """
    backends = (visualizer.get('vis_backends') if isinstance(visualizer, Mapping) else None) or []
    listed = isinstance(backends, (list, tuple))
    if not listed or any(
        isinstance(each, str) or (isinstance(each, Mapping) and 'type' not in each) for each in backends
    ):
        raise ConfigError(
            f'visualizer.vis_backends={backends!r} must be a list such as [dict(type="LocalVisBackend"), '
            'dict(type="TensorboardVisBackend")] in a config file; on the command line, replace the first one: '
            '--cfg-options visualizer.vis_backends.0.type=TensorboardVisBackend'
        )


def start_backends(visualizer: Visualizer) -> None:
    """Start the backends of this process, as the first thing to be logged would.

    Raises:
        ConfigError: a package that a backend needs is not installed; with the command that installs it.
    """
    for backend in visualizer._vis_backends.values():
        try:
            _ = backend.experiment
        except ImportError as error:
            name = type(backend).__name__
            raise ConfigError(
                f'visualizer.vis_backends: {name} cannot start: {EXTRAS.get(name) or error}, or leave it out'
            ) from error
