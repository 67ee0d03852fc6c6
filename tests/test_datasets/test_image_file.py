"""Reading images of dense prediction: every failure names the file."""

import numpy as np
import pytest
from PIL import Image

from vlprompt.datasets import LoadImageFile


@pytest.fixture
def image(tmp_path):
    path = tmp_path / 'a.png'
    Image.fromarray(np.full((4, 6, 3), (255, 0, 10), np.uint8)).save(path)
    return path


def test_pixels_are_blue_green_red(image):
    loaded = LoadImageFile()(dict(img_path=str(image), width=6, height=4))
    assert loaded['img'][0, 0].tolist() == [10, 0, 255]
    assert loaded['ori_shape'] == (4, 6)


def test_annotations_for_another_size_are_refused(image):
    with pytest.raises(ValueError, match=r'a\.png is 6 x 4 pixels, but its annotations are for 4 x 6'):
        LoadImageFile()(dict(img_path=str(image), width=4, height=6))


@pytest.mark.parametrize('content', [b'', b'not an image'])
def test_unreadable_files_are_named(content, tmp_path):
    path = tmp_path / 'b.jpg'
    path.write_bytes(content)
    with pytest.raises(OSError, match=r'b\.jpg cannot be read'):
        LoadImageFile()(dict(img_path=str(path)))


def test_missing_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'c\.jpg'):
        LoadImageFile()(dict(img_path=str(tmp_path / 'c.jpg')))
