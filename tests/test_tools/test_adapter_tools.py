"""Adapters on the command line: listed, and in place of config and checkpoint."""

import json

import cv2
import pytest

from tests.conftest import run_tool
from vlprompt.apis import builtin_adapters, init_inferencer
from vlprompt.cli import list_configs, predict
from vlprompt.datasets.generated import SCENE_CLASSES
from vlprompt.datasets.generated.tasks import few_shot_scene


@pytest.fixture
def image(tmp_path):
    cv2.imwrite(str(tmp_path / 'scene.png'), few_shot_scene('test', 0, 0).image[..., ::-1])
    return tmp_path / 'scene.png'


def test_predict_without_training(image, tmp_path):
    out = tmp_path / 'out'
    shown = run_tool(predict.main, '--adapter', 'builtin:coop_micro-rn', image, '--out', out, '--no-pictures')
    (record,) = json.loads((out / 'predictions.json').read_text())['images']
    assert record['classes'][0]['name'] == SCENE_CLASSES[0]
    assert SCENE_CLASSES[0] in shown


def test_an_inferencer_of_an_adapter_for_other_classes(image):
    (found,) = [init_inferencer('builtin:coop_micro-rn', class_names=['boat on sand', SCENE_CLASSES[0]])(image)]
    best = found[0] if isinstance(found[0], dict) else found[0][0]
    assert best['label'] == SCENE_CLASSES[0]


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--task', 'classify', '--adapter', 'builtin:coop_micro-rn', 'a.png'], 'choose one of --task and --adapter'),
        (['--adapter', 'builtin:coop_micro-rn', 'none', 'a.png'], '--adapter stands in place of CONFIG and CHECKPOINT'),
    ],
)
def test_options_that_exclude_each_other(arguments, message, capsys):
    with pytest.raises(SystemExit):
        predict.parse_args([*arguments, '--out', 'x'])
    assert message in capsys.readouterr().err


def test_the_list(capsys):
    shown = run_tool(lambda: list_configs.main(['--adapters', 'tip', 'coop_micro-rn'])).splitlines()
    assert [line.split()[0].removeprefix('builtin:') for line in shown] == [
        name for name in builtin_adapters() if 'tip' in name or 'coop_micro-rn' in name
    ]
    with pytest.raises(SystemExit):
        list_configs.main(['--adapters', 'nothing'])
    assert "no adapter has 'nothing' in its name" in capsys.readouterr().err
