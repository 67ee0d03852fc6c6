"""Images with masks of named objects."""

import numpy as np
import pytest
from PIL import Image

from vlprompt.datasets.generated.tasks import few_shot_scene, segmentation_scene
from vlprompt.datasets.named_objects import few_shot_objects, folder_objects, scene_objects, segmentation_objects

U = 255


def test_scenes_name_their_largest_object():
    data = few_shot_objects('val', per_class=2)
    assert len(data) == 32
    item, scene = data.images[5], few_shot_scene('val', 2, 1)
    assert np.array_equal(item.image, scene.image)
    assert set(np.unique(item.mask)) == {2, U}
    largest = max(scene.objects, key=lambda thing: thing.spec.radius)
    assert np.array_equal(item.mask == 2, largest.mask)
    assert item.name == 'house with a purple roof on grass 1'
    assert data.names[2] == 'house with a purple roof on grass'


def test_usual_scenes_are_others():
    usual, rare = (next(iter(data(per_class=1))) for data in (scene_objects, few_shot_objects))
    assert usual.image.shape == rare.image.shape == (160, 160, 3)
    assert not np.array_equal(usual.image, rare.image)
    assert np.array_equal(usual.image, next(iter(scene_objects(per_class=1))).image)


def test_background_of_segmentation_scenes_is_unnamed():
    data = segmentation_objects(count=2)
    image, mask = segmentation_scene('val', 1)
    item = list(data)[1]
    assert data.names[:2] == ('house with an orange roof', 'house with a purple roof')
    assert np.array_equal(item.image, image)
    assert np.array_equal(item.mask[mask > 0], mask[mask > 0] - 1)
    assert (item.mask[mask == 0] == U).all()


@pytest.fixture
def folder(tmp_path):
    """Three images; the background is class 1 of 3."""
    for name in ('images', 'masks'):
        (tmp_path / name / 'val').mkdir(parents=True)
    for number in range(3):
        image = np.full((4, 6, 3), (200, 10 * number, 0), np.uint8)
        Image.fromarray(image).save(tmp_path / 'images' / 'val' / f'{number}.png')
        mask = np.full((4, 6), 1, np.uint8)
        mask[0], mask[1], mask[2] = 0, 2, U
        Image.fromarray(mask).save(tmp_path / 'masks' / 'val' / f'{number}.png')
    (tmp_path / 'classnames.txt').write_text('cat\nbackground\ndog\n')
    return tmp_path


def test_folder_of_images_and_masks(folder):
    data = folder_objects(str(folder))
    assert data.names == ('cat', 'dog')
    assert len(data) == 3
    item = data.images[2]
    assert item.image[0, 0].tolist() == [200, 20, 0], 'RGB'
    assert item.mask[:, 0].tolist() == [0, 1, U, U]
    assert [one.name for one in folder_objects(str(folder), count=2)] == ['0', '2']


def test_folder_with_a_wrong_mask(folder):
    Image.fromarray(np.full((4, 6), 7, np.uint8)).save(folder / 'masks' / 'val' / '1.png')
    with pytest.raises(ValueError, match=r'1.png holds the ids 7, but there are 3 classes'):
        list(folder_objects(str(folder)))
    with pytest.raises(FileNotFoundError, match='nowhere'):
        folder_objects(str(folder / 'nowhere'))
