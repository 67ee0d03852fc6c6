"""The visualiser draws as mmengine's, and has no figure until then."""

import numpy as np
import pytest
from mmengine.visualization import Visualizer as MMEngineVisualizer

from vlprompt.engine.visualizer import OF_FIGURE, Visualizer
from vlprompt.registry import VISUALIZERS

IMAGE = np.random.default_rng(0).integers(0, 255, (30, 40, 3), dtype=np.uint8)
BOX = np.array([5, 4, 20, 22])


def test_configs_have_it():
    assert VISUALIZERS.get('Visualizer') is Visualizer


def test_scalars_need_no_figure(tmp_path):
    visualizer = Visualizer('scalars', vis_backends=[dict(type='LocalVisBackend')], save_dir=str(tmp_path))
    visualizer.add_scalar('loss', 0.5, step=1)
    visualizer.close()
    assert (tmp_path / 'vis_data' / 'scalars.json').read_text() == '{"loss": 0.5, "step": 1}\n'
    assert not set(OF_FIGURE) & set(vars(visualizer))


def test_drawings_are_those_of_mmengine():
    drawn = []
    for kind in (Visualizer, MMEngineVisualizer):
        visualizer = kind('drawings', fig_save_cfg=dict(frameon=False, dpi=80))
        visualizer.set_image(IMAGE)
        visualizer.draw_bboxes(BOX).draw_texts('cup', np.array([8, 8]))
        assert visualizer.dpi == 80
        drawn.append(visualizer.get_image())
    assert np.array_equal(*drawn)
    assert not np.array_equal(drawn[0], IMAGE)


def test_it_may_begin_with_an_image():
    assert np.array_equal(Visualizer('image', IMAGE).get_image(), IMAGE)


def test_other_attributes_are_missing():
    with pytest.raises(AttributeError, match="'Visualizer' object has no attribute 'fig'"):
        _ = Visualizer('attributes').fig
