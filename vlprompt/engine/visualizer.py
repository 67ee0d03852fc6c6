"""mmengine's visualiser, without matplotlib until something is drawn."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from mmengine.visualization import Visualizer as MMEngineVisualizer

from vlprompt.registry import VISUALIZERS

OF_FIGURE = ('fig_save_canvas', 'fig_save', 'ax_save', 'dpi')
"""Attributes that make the figure."""


@VISUALIZERS.register_module()
class Visualizer(MMEngineVisualizer):
    """mmengine's :class:`Visualizer`, which makes its figure when it is first used, not when it is built.

    Runs only write scalars with it, and matplotlib takes half a second to import.
    """

    def __init__(self, name: str = 'visualizer', image: np.ndarray | None = None, **options: Any) -> None:
        super().__init__(name, **options)
        for attribute in OF_FIGURE:
            delattr(self, attribute)
        if image is not None:
            self.set_image(image)

    def _initialize_fig(self, fig_cfg: dict) -> tuple:
        """In place of canvas, figure and axes, what mmengine's constructor needs of them."""
        return None, SimpleNamespace(get_dpi=lambda: None), None

    def __getattr__(self, name: str) -> Any:
        """The figure and its parts, on first use."""
        if name not in OF_FIGURE:
            raise AttributeError(f'{type(self).__name__!r} object has no attribute {name!r}')
        self.fig_save_canvas, self.fig_save, self.ax_save = super()._initialize_fig(self.fig_save_cfg)
        self.dpi = self.fig_save.get_dpi()
        return getattr(self, name)
