"""The command that compares forms of local features."""

import json

import pytest
import torch
from PIL import Image

from tools.analysis_tools import compare_text_maps, local_features
from vlprompt.apis import init_model
from vlprompt.apis.command_line import local_form
from vlprompt.apis.local_features import fitted, measure_forms, spelled
from vlprompt.datasets.named_objects import NamedImage, NamedObjects, few_shot_objects, scene_objects
from vlprompt.errors import ConfigError

VIT, RN, PLOT = (
    f'configs/{name}.py'
    for name in ('zero_shot/zero-shot_micro-vit', 'zero_shot/zero-shot_micro-rn', 'plot/plot_micro-rn')
)


def test_table_and_pictures(tmp_path, capsys):
    for name in ('local_features.json', 'local_features.ipynb', '000_cat.png'):
        (tmp_path / name).write_text('earlier')
    local_features.main(
        [
            VIT,
            'none',
            '--data',
            'scenes',
            '--images',
            '40',
            '--local',
            'native',
            'kk',
            'kk/full/2',
            '--out',
            str(tmp_path),
        ]
        + ['--pictures', '2', '--objects', 'boat with a purple sail', 'grid circle']
    )
    out = capsys.readouterr().out
    table = json.loads((tmp_path / 'local_features.json').read_text())
    assert (table['images'], table['objects']) == (40, 40)
    assert list(table['forms']) == ['native', 'kk', 'kk/full/2']
    kk = table['forms']['kk']
    assert len({row['margin_in'] for row in table['forms'].values()}) == 3
    assert f'| kk | {kk["pooled"]:.1f} |' in out
    assert (tmp_path / 'local_features.md').read_text() in out
    assert sorted(path.name for path in tmp_path.glob('*.png')) == [
        '000_boat_with_a_purple_sail.png',
        '001_grid_circle.png',
    ]
    assert sorted(path.name for path in tmp_path.glob('earlier/*/*')) == ['000_cat.png', 'local_features.json']
    assert (tmp_path / 'local_features.ipynb').exists()


def test_plans_are_measured_too(capsys):
    local_features.main([PLOT, 'none', '--data', 'few-shot', '--images', '16', '--local', 'native', 'value'])
    out = capsys.readouterr().out
    assert '| mass in object | of the best prompt | spread of prompts |' in out
    assert '16 images with 16 named objects of `few-shot`' in out


def test_the_model_keeps_its_own_form():
    model = init_model(RN, class_names=scene_objects(1).names)
    results, about = measure_forms(model, fitted(scene_objects(1), 32, 160), ['value', 'native'])
    assert model.clip.visual.local == 'native'
    assert about['images'] == 20
    again, _ = measure_forms(model, fitted(scene_objects(1), 32, 160), ['native'])
    assert again[0] == results[1]
    assert results[1]['margin_in'] > results[1]['margin_out'] + 0.1, 'the ResNet learned them from regions'


def test_images_are_fitted_to_cells():
    image = next(iter(few_shot_objects(per_class=1)))
    tall = NamedImage(image.image[:, :90], image.mask[:, :90], 'tall')
    fit = next(fitted(NamedObjects(('a',), [tall]), 16, 64))
    assert fit.image.shape == (112, 64, 3)
    assert fit.mask.shape == (112, 64)
    assert set(torch.from_numpy(fit.mask.copy()).unique().tolist()) <= {0, 255}
    assert next(fitted(NamedObjects(('a',), [image]), 16, 160)) is image


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--data', 'scenes', '--images', '13'], 'give a multiple'),
        (['--data', 'scenes', '--split', 'val'], 'no effect on --data scenes'),
        (['--data', 'nowhere'], 'nowhere'),
        (['--data', 'scenes', '--images', '20', '--local', 'value'], 'a ViT has native, maskclip'),
        (['--data', 'scenes', '--images', '20', '--out', 'OUT', '--objects', 'cat'], 'cat are no names'),
    ],
)
def test_mistakes(options, message, tmp_path):
    with pytest.raises((ConfigError, ValueError, FileNotFoundError), match=message):
        local_features.main([VIT, 'none', *(str(tmp_path) if option == 'OUT' else option for option in options)])


def test_forms_on_the_command_line(capsys):
    assert local_form('kk/reduced/1.5') == dict(attention='kk', reduced=True, sigma=1.5)
    assert local_form('naclip') == 'naclip'
    with pytest.raises(SystemExit):
        local_features.parse_args([VIT, 'none', '--data', 'scenes', '--local', 'kk/half'])
    assert "'kk/half' is not ATTENTION/full|reduced" in capsys.readouterr().err
    assert spelled(dict(attention='qk', reduced=False, sigma=None)) == 'qk/full'


@pytest.fixture(scope='module')
def scene(tmp_path_factory):
    """A scene of the built-in world as a file."""
    path = tmp_path_factory.mktemp('scene') / 'a scene.png'
    Image.fromarray(next(iter(scene_objects(1))).image).save(path)
    return path


def test_maps_of_several_models_in_one_figure(scene, tmp_path, capsys, monkeypatch):
    drawn = []
    draw = compare_text_maps.draw_text_maps
    monkeypatch.setattr(compare_text_maps, 'draw_text_maps', lambda *args: drawn.append(args) or draw(*args))
    models, names, out = [RN, f'{RN}:value', f'{VIT}:kk/full/2'], ['cat', 'red circle'], tmp_path / 'maps.png'
    compare_text_maps.main([*models, '--image', str(scene), '--class-names', *names, '--out', str(out)])
    ((rows, words, *_),) = drawn
    assert [(row.model, row.form) for row in rows] == [
        ('zero-shot_micro-rn', 'native'),
        ('zero-shot_micro-rn', 'value'),
        ('zero-shot_micro-vit', 'kk/full/2'),
    ]
    assert list(words) == names
    assert [tuple(row.scores.shape) for row in rows] == [(2, 10, 10)] * 3
    assert not torch.equal(rows[0].scores, rows[1].scores)
    with Image.open(out) as picture:
        assert min(picture.size) > 400
    assert str(out) in capsys.readouterr().out


def test_models_of_a_comparison(capsys, scene, tmp_path):
    asked = compare_text_maps.model_form('plot.py=a/epoch_1.pth:naclip')
    assert asked == ('plot.py', 'a/epoch_1.pth', 'naclip')
    assert compare_text_maps.model_form('plot_micro-rn') == ('plot_micro-rn', None, None)
    options = ['--image', str(scene), '--class-names', 'cat', '--out', str(tmp_path / 'maps.png')]
    with pytest.raises(ValueError, match="a ResNet has 'native' and 'value'"):
        compare_text_maps.main([f'{RN}:naclip', *options])
    with pytest.raises(SystemExit):
        compare_text_maps.parse_args([f'{RN}:kk/half', *options])
    assert "'kk/half' is not" in capsys.readouterr().err
