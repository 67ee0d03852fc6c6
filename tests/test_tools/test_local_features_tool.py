"""The command that compares forms of local features."""

import json

import pytest
import torch

from tools.analysis_tools import local_features
from vlprompt.apis import init_model
from vlprompt.apis.local_features import fitted, measure_forms
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
    assert local_features.form('kk/reduced/1.5') == dict(attention='kk', reduced=True, sigma=1.5)
    assert local_features.form('naclip') == 'naclip'
    with pytest.raises(SystemExit):
        local_features.parse_args([VIT, 'none', '--data', 'scenes', '--local', 'kk/half'])
    assert "'kk/half' is not ATTENTION/full|reduced" in capsys.readouterr().err
    assert local_features.spelled(dict(attention='qk', reduced=False, sigma=None)) == 'qk/full'
