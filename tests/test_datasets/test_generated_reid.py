"""People and cameras of the built-in world: the same pictures everywhere, the layout, what cameras do."""

from collections import Counter

import numpy as np
import pytest

from tools.dataset_converters import generate_world
from vlprompt.datasets import ReIDDataset
from vlprompt.datasets.generated.cameras import camera
from vlprompt.datasets.generated.figures import SIDES, Canvas, Pose, capsule, draw_person
from vlprompt.datasets.generated.people import sample_person
from vlprompt.datasets.generated.reid import ReIDImage, draw_reid, reid_images


def test_set_holds_every_identity_before_every_camera():
    images = list(reid_images(5, 3, cameras=3, per_camera=4, distractors=7))
    assert len(set(images)) == len({image.path for image in images}) == 5 * 12 + 3 * 12 + 7
    counts = Counter(image.folder for image in images)
    assert counts == dict(bounding_box_train=60, query=9, bounding_box_test=3 * 9 + 7)
    assert images[0].path == 'bounding_box_train/0001_c1s1_000000_00.png'
    smaller = set(reid_images(5, 2, cameras=2, per_camera=4, distractors=7))
    assert {image for image in smaller if image.pid} <= set(images)


def test_pictures_are_functions_of_their_arguments():
    image = ReIDImage('query', 3, 1, 0)
    first = draw_reid(image, height=64)
    assert first.shape == (64, 32, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, draw_reid(image, height=64))
    for other in (image._replace(pid=4), image._replace(camid=0), image._replace(index=1)):
        assert not np.array_equal(first, draw_reid(other, height=64))
    assert not np.array_equal(first, draw_reid(image, seed=1, height=64))


def test_cameras_have_their_own_colours():
    """Means over 12 people differ more between cameras than they vary within one."""
    means = np.array(
        [[draw_reid(ReIDImage('query', pid, c, 0), height=64).mean((0, 1)) for pid in range(1, 13)] for c in range(4)]
    )
    means = means / means.sum(-1, keepdims=True)
    assert means.mean(1).std(0).mean() > 0.5 * means.std(1).mean()


@pytest.mark.parametrize('side', SIDES)
def test_figures_stand_where_they_should(side):
    """Every person is within one body height above the point between the feet, and half a height beside it."""
    for seed in range(8):
        image = np.full((120, 120, 3), -1, np.float32)
        person = sample_person(np.random.RandomState(seed))
        draw_person(Canvas(image, (60, 110), 100, 0.5), person, Pose(side, 0.8, 0.01, 0.5))
        rows, columns = np.nonzero((image > -0.5).all(2))
        assert 8 <= rows.min() < 25
        assert 105 < rows.max() < 114
        assert 20 < columns.min() < 60 < columns.max() < 100
        assert image.max() <= 1.25


def test_capsule_surrounds_its_ends():
    outline = capsule((0, 0), (0, 2), 0.5, 0.25)
    assert outline[:, 1].min() == pytest.approx(-0.5)
    assert outline[:, 1].max() == pytest.approx(2.25)
    assert np.abs(outline[:, 0]).max() == pytest.approx(0.5)


def test_cameras_are_remembered():
    assert camera(0, 1, 64) is camera(0, 1, 64)
    assert camera(0, 1, 64).scenery.shape == (64, 128, 3)


def test_tool_writes_what_the_dataset_reads(tmp_path):
    folder = tmp_path / 'scenes_reid'
    options = ['--identities', '2', '2', '--cameras', '2', '--size', '32', '--workers', '1']
    generate_world.main(['--task', 'reid', '--out', str(folder), *options])
    train, test = (
        ReIDDataset(str(tmp_path / 'scenes_reid'), 'scenes_reid', split=split) for split in ('train', 'test')
    )
    assert (len(train), train.metainfo['num_ids'], train.metainfo['num_cameras']) == (16, 2, 2)
    assert len(test) == 4 + 12 + 60
    with pytest.raises(SystemExit):
        generate_world.main(['--task', 'reid', '--out', str(folder), '--cameras', '1'])
