"""tools/web_demo.py: what its buttons do, with the built-in models; and, where gradio is installed, the page itself."""

import logging
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tests.conftest import MICRO
from tools import web_demo
from vlprompt.apis import init_inferencer
from vlprompt.apis.web_demo import Demo, Gallery, Regions, has_maps, has_plans, words_of
from vlprompt.datasets.generated.tasks import class_scene
from vlprompt.errors import ConfigError, EnvironmentProblem, RunError

RN, VIT, WORDS, _ = web_demo.UNTRAINED
COOP, PLOT, DENSE, OBJECTS, PERSONS = web_demo.ADAPTERS


@pytest.fixture(scope='module')
def demo():
    return web_demo.build_demo(web_demo.parse_args([]))


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A house, a boat, a person, and a file that is cut off."""
    folder = tmp_path_factory.mktemp('given')
    for number, name in enumerate(('house', 'boat')):
        scene = class_scene(f'{name} with a purple {("roof", "sail")[number]}', number, **web_demo.SCENE_OPTIONS)
        Image.fromarray(scene.image).save(folder / f'{name}.png')
    web_demo.person(web_demo.PEOPLE[0], 0).save(folder / 'person.png')
    (folder / 'broken.png').write_bytes((folder / 'house.png').read_bytes()[:400])
    return folder


@pytest.mark.parametrize('name', [RN, VIT, COOP, PLOT])
def test_scores_are_those_of_the_words(demo, folder, name):
    for image in ('house', 'boat'):
        scores = demo.scores(name, str(folder / f'{image}.png'), 'cup, house, boat')
        assert sum(scores.values()) == pytest.approx(1)
        assert list(scores) == sorted(scores, key=scores.get, reverse=True)
        assert set(scores) == {'cup', 'house', 'boat'}
        if name != PLOT:  # which matches local features alone
            assert next(iter(scores)) == image


def test_maps_and_plans_leave_the_models_own_classes(demo, folder):
    image, words = str(folder / 'house.png'), 'house, grass, red boat'
    before = demo.scores(PLOT, image, 'house, boat')
    names = tuple(demo.models[PLOT].model.class_names)
    maps = [demo.maps([RN, VIT, PLOT], image, words, None, stretch) for stretch in (False, True)]
    plans = [demo.plans(PLOT, image, words, stretch) for stretch in (False, True)]
    for one, other in (maps, plans):
        assert one.size == other.size
        assert np.asarray(one).std() > 10
        assert (np.asarray(one) != np.asarray(other)).any()
    assert tuple(demo.models[PLOT].model.class_names) == names
    assert demo.scores(PLOT, image, 'house, boat') == before


def test_maps_in_another_form(demo, folder):
    image = str(folder / 'house.png')
    own, other = (np.asarray(demo.maps([VIT], image, 'house', form)) for form in (None, 'naclip'))
    assert (own != other).any()
    assert (own == np.asarray(demo.maps([VIT], image, 'house', 'native'))).all()
    with pytest.raises(ValueError, match="a ResNet has 'native' and 'value'"):
        demo.maps([RN], image, 'house', 'naclip')


def test_regions_cover_the_image(demo, folder):
    found = demo.regions(WORDS, str(folder / 'house.png'), 'house\ngrass, lawn\nboat')
    assert isinstance(found, Regions)
    assert sum(mask.astype(int) for mask, _ in found.parts).tolist() == np.ones(found.image.shape[:2]).tolist()
    for mask, label in found.parts:
        name, share, _ = label.rsplit(' ', 2)
        assert name in ('house', 'grass, lawn', 'boat')
        assert 100 * mask.mean() == pytest.approx(float(share), abs=0.06)
    assert len(set(found.colours.values())) == len(found.parts)


def test_segmentors_and_detectors_have_their_own_classes(demo, tmp_path):
    scene = class_scene('boat with a purple sail', 5, **web_demo.SCENE_OPTIONS)
    Image.fromarray(scene.image).save(tmp_path / 'sail.png')
    for name in (DENSE, OBJECTS):
        found = demo.regions(name, str(tmp_path / 'sail.png'), '')
        assert any(label.startswith('boat with a purple sail') for _, label in found.parts), found.parts
    assert demo.maps([DENSE], str(tmp_path / 'sail.png'), 'boat, sail').width > 300


def test_regions_of_a_detector_are_in_pixels_of_the_picture(tmp_path):
    """Which is shown smaller than the file."""
    entries = [
        dict(label='cat', score=0.9, box=dict(xmin=0, ymin=0, xmax=2000, ymax=1000)),
        dict(
            label='dog',
            score=0.5,
            box=dict(xmin=400, ymin=200, xmax=800, ymax=600),
            mask=Image.new('L', (2000, 1000), 255),
        ),
    ]
    found = SimpleNamespace(
        error=None,
        class_names=['dog', 'cat'],
        palette=[(1, 2, 3), (255, 0, 16)],
        picture=lambda: np.zeros((1000, 2000, 3), np.uint8),
    )
    infer = SimpleNamespace(task='detection', stream=lambda *_, **__: iter([found]), to_dict=lambda _: entries)
    shown = Demo({'d': infer}, [], Gallery([], [])).regions('d', str(tmp_path), '')
    (height, width), ((box, cat), (mask, dog)) = shown.image.shape[:2], shown.parts
    assert width < 2000
    assert box == (0, 0, width, height)
    assert mask.shape == (height, width)
    assert mask.all()
    assert shown.colours == {'cat 90 %': '#ff0010', 'dog 50 %': '#010203'}
    assert (cat, dog) == tuple(shown.colours)


def test_the_nearest_images_show_the_same_person(demo):
    right = 0
    for pid in web_demo.PEOPLE:
        image = web_demo.person(pid, 0)
        found = demo.nearest(PERSONS, image)
        cosines = [float(caption.split()[0]) for _, caption in found]
        assert cosines == sorted(cosines, reverse=True)
        right += found[0][1].endswith(f'person {pid}')
    assert right >= 11  # 13; chance is 1 in 16 for each
    assert len(demo._searched) == 1


def test_a_gallery_of_files(demo, folder, caplog):
    own = Demo(demo.models, [], web_demo.folder_gallery(folder))
    with caplog.at_level(logging.WARNING, 'vlprompt'):
        found = own.nearest(PERSONS, str(folder / 'person.png'))
    assert 'cannot be read: broken.png' in caplog.text
    assert found[0][1] == '1.00  person.png'
    assert sorted(caption.split()[1] for _, caption in found) == ['boat.png', 'house.png', 'person.png']
    assert found[0][0].shape == (128, 64, 3)


def test_words():
    assert words_of('cat,  dog ,, "fish" ') == ['cat', 'dog', '"fish"']
    assert words_of('sofa, couch\n\n cat \n') == ['sofa, couch', 'cat']
    assert words_of(' \n ,') == []


@pytest.mark.parametrize(
    ('button', 'given', 'message'),
    [
        ('scores', (RN, None, 'cat, dog'), 'choose an image'),
        ('nearest', (PERSONS, None), 'choose an image'),
        ('plans', (PLOT, None, 'cat, dog'), 'choose an image'),
        ('scores', (RN, 'house.png', ' , '), f'write the classes to choose from, separated by commas: {RN}'),
        ('regions', (WORDS, 'house.png', ''), 'write the classes to choose from'),
        ('maps', ([RN], 'house.png', ''), 'write the words to look for'),
        ('maps', ([], 'house.png', 'cat'), 'choose at least one model'),
        ('scores', (RN, 'house.png', 'cat, dog, cat'), "the words: 'cat' stands twice"),
        ('scores', (RN, 'broken.png', 'cat, dog'), 'image broken.png cannot be read'),
        ('maps', ([RN], 'broken.png', 'cat'), 'image broken.png cannot be read'),
        ('plans', (PLOT, 'broken.png', 'cat, dog'), 'image broken.png cannot be read'),
        ('nearest', (PERSONS, 'broken.png'), 'broken.png cannot be read'),
        ('scores', (RN, 'house.png', f'cat, {"very " * 99}long'), 'tokens'),
        ('scores', (RN, 'house.png', '<b>, <b>'), "'&lt;b&gt;' stands twice"),
    ],
)
def test_mistakes_are_readable(demo, folder, button, given, message):
    given = tuple(str(folder / value) if str(value).endswith('.png') else value for value in given)
    with pytest.raises(Exception) as caught:
        getattr(demo, button)(*given)
    shown = web_demo.message_of(caught.value, given)
    assert message in shown
    assert str(folder) not in shown
    assert 'Error' not in shown


def test_an_error_of_ours_is_in_the_terminal(caplog):
    with pytest.raises(KeyError) as caught:
        {}['x']
    assert 'KeyError, which should not happen' in web_demo.message_of(caught.value, ())
    assert 'an error behind the page' in caplog.text


def test_models_of_the_command_line_come_first(folder, monkeypatch):
    monkeypatch.setattr(web_demo, 'UNTRAINED', (RN,))
    monkeypatch.setattr(web_demo, 'ADAPTERS', (PLOT,))
    options = ['--models', 'clipreid_micro-vit', 'zero-shot_micro-rn', '--gallery', str(folder)]
    demo = web_demo.build_demo(web_demo.parse_args(options))
    assert list(demo.models) == ['clipreid_micro-vit', 'zero-shot_micro-rn (2)', RN, PLOT]
    assert demo.fitting(has_maps)[:2] == ['zero-shot_micro-rn (2)', RN]
    assert has_plans(demo.models[PLOT])
    assert demo.fitting(has_plans) == [PLOT]
    assert len(demo.gallery.images) == 4
    image = str(folder / 'house.png')
    assert len(demo.scores('zero-shot_micro-rn (2)', image, '')) == 16, 'its own classes'


def test_a_model_with_a_trained_head_names_its_classes(folder):
    clip = {'model.clip.arch': dict(MICRO['vit'], _delete_=True), 'model.clip.weights': None}
    infer = init_inferencer('vpt_micro-vit', cfg_options=clip | {'model.class_names': ['cat', 'dog', 'cow']})
    demo = Demo({'own': infer}, [], Gallery([], []))
    assert not has_maps(infer)
    assert set(demo.scores('own', str(folder / 'house.png'), '')) == {'cat', 'dog', 'cow'}
    with pytest.raises(ConfigError, match='was trained for cat, dog, cow and no others'):
        demo.scores('own', str(folder / 'house.png'), 'bird, fish')


def test_without_gradio_the_tool_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'gradio', None)
    with pytest.raises(EnvironmentProblem, match=r'pip install "vlprompt\[demo\]"'):
        web_demo.main([])


def test_the_page(demo, folder):
    """All buttons, through the page's own server; see dev/web_demo_in_a_browser.py for a real browser."""
    pytest.importorskip('gradio')
    from gradio_client import Client, handle_file
    from gradio_client.exceptions import AppError

    page = web_demo.Page(demo)
    _, url, _ = web_demo.launch(page, port=None)
    try:
        assert url.startswith('http://127.0.0.1:')
        with pytest.raises(RunError, match='give another one by --port'):
            web_demo.launch(web_demo.Page(demo), port=int(url.rstrip('/').rsplit(':', 1)[1]))
        client = Client(url, verbose=False, analytics_enabled=False)
        house, words = handle_file(str(folder / 'house.png')), 'house, boat'
        assert client.predict(RN, house, words, api_name='/scores')['label'] == 'house'
        own = web_demo.AS_THE_MODEL
        assert Image.open(client.predict([RN, VIT], house, words, own, False, api_name='/maps')).width > 500
        assert Image.open(client.predict(PLOT, house, words, False, api_name='/plans')).width > 500
        regions = client.predict(WORDS, house, words, api_name='/regions')
        assert any(part['label'].startswith('house') for part in regions['value']['annotations'])
        person = handle_file(str(folder / 'person.png'))
        assert len(client.predict(PERSONS, person, api_name='/nearest')) == 8
        with pytest.raises(AppError, match=r'image broken\.png cannot be read'):
            client.predict(RN, handle_file(str(folder / 'broken.png')), words, api_name='/scores')
        with pytest.raises(AppError, match='choose an image'):
            client.predict(RN, None, words, api_name='/scores')
    finally:
        page.blocks.close()
