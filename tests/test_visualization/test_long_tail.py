import numpy as np
import pytest

from vlprompt.visualization import draw_long_tail, draw_projection, draw_prompt_usage
from vlprompt.visualization.long_tail import running_mean


def test_running_mean_leaves_out_untested_classes():
    assert running_mean([10, 20, None, 40, 60], 3).tolist() == [15, 15, 30, 50, 50]
    assert np.isnan(running_mean([None, None, None, 1], 1)[:3]).all()
    with pytest.raises(ValueError, match='window must be odd'):
        running_mean([10, 20, 30], 2)


def test_classes_are_drawn_from_head_to_tail_in_the_colour_of_their_group():
    groups = dict(many=np.array([2]), medium=np.array([0, 3]), few=np.array([1]))
    accuracy = {'a run': [50, 0, 100, None], 'another': [60, 10, 90, 40]}
    figure = draw_long_tail([30, 2, 500, 20], groups, accuracy, 'title', window=1)
    above, below = figure.axes
    bars = above.patches
    assert [bar.get_height() for bar in bars] == [500, 30, 20, 2]
    figure.draw_without_rendering()
    assert {'1', '10', '100'} < {text.get_text() for text in above.get_yticklabels()}
    colours = [bar.get_facecolor() for bar in bars]
    assert colours[1] == colours[2]
    assert len(set(colours)) == 3
    texts = [text.get_text() for text in above.get_legend().get_texts()]
    assert texts == ['many: 1 classes', 'medium: 2 classes', 'few: 1 classes']
    first, second = (line.get_ydata().tolist() for line in below.lines)
    assert first[:2] + first[3:] == [100, 50, 0]
    assert second == [90, 60, 40, 10]


def test_counts_alone():
    figure = draw_long_tail([3, 2], dict(many=[], medium=[], few=[0, 1]))
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ['few: 2 classes']


def test_usage_is_stacked():
    figure = draw_prompt_usage(dict(many=np.array([1, 2]), few=np.array([3, 0])), 'title', 'note')
    (axes,) = figure.axes
    assert [bar.get_height() for bar in axes.patches] == [1, 2, 3, 0]
    assert [bar.get_y() for bar in axes.patches] == [0, 0, 1, 2]
    assert axes.get_title('left') == 'title\nnote'


def test_projection_has_a_cloud_for_each_name():
    figure = draw_projection(np.arange(8.0).reshape(4, 2), ['a', 'b', 'a', 'b'])
    (axes,) = figure.axes
    assert [cloud.get_label() for cloud in axes.collections] == ['a', 'b']
    assert axes.collections[1].get_offsets().tolist() == [[2, 3], [6, 7]]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ['a', 'b']


@pytest.mark.parametrize('classes', [2, 40, 365])
def test_default_window_is_odd(classes):
    figure = draw_long_tail(range(classes, 0, -1), dict(few=list(range(classes))), dict(run=[1.0] * classes))
    window = int(figure.axes[1].get_ylabel().split()[-2])
    assert window % 2 == 1
    assert window <= max(1, classes / 10 + 1)
