"""The tools of long-tailed classification on a world of a few images and an untrained model."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import MICRO
from tools.analysis_tools import analyse_features, plot_long_tail
from tools.dataset_converters import generate_world
from vlprompt.apis import runs
from vlprompt.datasets.generated import LONG_TAILED_CLASSES
from vlprompt.errors import ConfigError

CONFIG = """
task, dataset, data_root = 'long_tailed', 'scenes_lt', {root!r}
model = dict(
    type='vlprompt.HeadClassifier',
    class_names='scenes_lt',
    clip=dict(arch={arch!r}),
    tuner=dict(
        type='vlprompt.GroupedPromptTuner',
        prompt=dict(type='vlprompt.VisualPrompt', length=2),
        pool=dict(type='vlprompt.PromptPool', size=4, length=2, first_block=1, topk=2),
    ),
    head=dict(type='vlprompt.CosineHead'),
    loss=dict(type='vlprompt.AGCLLoss'),
    trainable=['tuner.*', 'head.*'],
)
test_pipeline = [
    dict(type='vlprompt.LoadImage'),
    dict(type='vlprompt.ResizeImage', size=(64, 64)),
    dict(type='vlprompt.PackClassification'),
]
test_dataloader = dict(num_workers=0, dataset=dict(pipeline=test_pipeline))
"""


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    root = tmp_path_factory.mktemp('world')
    options = ['--long-tail', '3', '1', '1', '1', '--size', '32', '--workers', '1']
    generate_world.main(['--task', 'long-tailed', '--out', str(root / 'scenes_lt'), *options])
    file = root / 'config.py'
    file.write_text(CONFIG.format(arch=MICRO['vit'], root=str(root / 'scenes_lt')))
    return str(file)


def test_analyses_of_a_model_with_a_pool(config, tmp_path, capsys):
    analyse_features.main(
        [config, 'none', '--out', str(tmp_path), '--k', '5', '--reference', 'generated', '--lda-images', '16']
    )
    result = json.loads((tmp_path / 'analysis.json').read_text())
    assert list(result['views']) == ['trunk', 'tuned']
    images = result['train_images']
    for view in result['views'].values():
        assert list(view['knn']) == ['cosine', 'euclidean']
        assert list(view['knn']['cosine']) == ['1', '5', '10', '20']
        assert set(view['knn']['cosine']['5']) == {'overall', 'few'}
        assert len(view['spread']['inner']) == len(LONG_TAILED_CLASSES)
    assert 40 <= images <= 120
    usage = result['prompt_usage']
    assert sum(usage['counts']) == 2 * result['test_images'] == sum(map(sum, usage['groups'].values()))
    for name in ('lda.png', 'prompt_usage.png'):
        assert (tmp_path / name).stat().st_size > 5000
    text = (tmp_path / 'analysis.md').read_text()
    assert '| tuned | cosine | 5 |' in text
    assert f'Group prompts: {usage["used"]} of 4 in use' in text
    assert (result['convention'], result['classes']) == ('oltr', dict(many=0, medium=0, few=40))
    assert 'classes by training images (oltr): 0 many, 0 medium, 40 few.' in text
    assert text in capsys.readouterr().out


def test_a_linear_probe_has_the_features_of_its_trunk(config, tmp_path):
    options = ['model.tuner=None', "model.trainable=['head.*']"]
    options = ['--normalize', 'l2', '--cfg-options', *options]
    for name in ('analysis.md', 'analysis.ipynb'):
        (tmp_path / name).write_text('earlier')
    analyse_features.main([config, 'none', '--out', str(tmp_path), '--reference', config_folder(config), *options])
    assert [path.name for path in tmp_path.glob('earlier/*/*')] == ['analysis.md']
    assert (tmp_path / 'analysis.ipynb').exists()
    result = json.loads((tmp_path / 'analysis.json').read_text())
    assert list(result['views']) == ['trunk']
    assert result['views']['trunk']['spread']['norm'] == pytest.approx(1, abs=1e-5)
    assert 'prompt_usage' not in result
    assert (tmp_path / 'lda.png').exists()


def config_folder(config):
    return str(Path(config).parent / 'scenes_lt' / 'images')


def test_mistakes_of_the_user(config, tmp_path):
    with pytest.raises(ConfigError, match=r'--k 5000: there are only \d+ training images'):
        analyse_features.main([config, 'none', '--out', str(tmp_path), '--k', '5000'])
    options = ['--cfg-options', 'train_dataloader=None']
    with pytest.raises(ConfigError, match='has no train_dataloader'):
        analyse_features.main([config, 'none', '--out', str(tmp_path), *options])
    with pytest.raises(FileNotFoundError, match='no image in'):
        analyse_features.reference_images(str(tmp_path), 4, None, tmp_path / 'out')
    out = tmp_path / 'photos' / 'out'
    out.mkdir(parents=True)
    (out / 'lda.png').touch()
    with pytest.raises(FileNotFoundError, match='no image in'):
        analyse_features.main([config, 'none', '--out', str(out), '--reference', str(out.parent)])
    with pytest.raises(ConfigError, match=r'--out .*out is itself a folder of images'):
        analyse_features.main([config, 'none', '--out', str(out), '--reference', str(out)])
    assert [path.name for path in out.iterdir()] == ['lda.png'], 'before anything is computed'


def test_accuracy_along_the_tail(tmp_path, capsys):
    for run, values in dict(vpt=[90, 50, None], lpt=[80, 60, 40]).items():
        rows = [
            dict(name=str(c), train=n, test=1, accuracy=a)
            for c, (n, a) in enumerate(zip((300, 50, 3), values, strict=True))
        ]
        (tmp_path / run).mkdir()
        content = dict(convention='oltr', many=100, few=20, per_class=rows)
        (tmp_path / run / 'shot_accuracy.json').write_text(json.dumps(content))
    files = [str(tmp_path / run / 'shot_accuracy.json') for run in ('vpt', 'lpt')]
    plot_long_tail.main([*files, '--out', str(tmp_path / 'tail.png')])
    assert capsys.readouterr().out.strip() == str(tmp_path / 'tail.png')
    with pytest.raises(ValueError, match='same name'):
        plot_long_tail.main([*files, '--names', 'a', 'a', '--out', str(tmp_path / 'tail.png')])
    other = json.loads((tmp_path / 'lpt' / 'shot_accuracy.json').read_text())
    other['per_class'][0]['train'] = 299
    (tmp_path / 'lpt' / 'shot_accuracy.json').write_text(json.dumps(other))
    with pytest.raises(ValueError, match='different training data'):
        plot_long_tail.main([*files, '--out', str(tmp_path / 'tail.png')])
    for content, message in (('[1]', 'is no shot_accuracy.json'), ('{', 'not valid JSON')):
        (tmp_path / 'lpt' / 'shot_accuracy.json').write_text(content)
        with pytest.raises(ValueError, match=message):
            plot_long_tail.main([*files, '--out', str(tmp_path / 'tail.png')])


def test_runs_are_named_by_config_and_phase(tmp_path):
    for phase, options in dict(groups="phase = 'groups'", seed1='seed = 1').items():
        folder = tmp_path / 'lpt_scenes' / phase
        folder.mkdir(parents=True)
        (folder / 'lpt_scenes.py').write_text(f'model = dict()\n{options}\n')
    root = tmp_path / 'lpt_scenes'
    names = ['20261122_150713/x.json', 'groups/20261122_150713/x.json', 'groups/x.json', 'seed1/x.json', 'vpt/x.json']
    assert [plot_long_tail.name_of(root / name) for name in names] == [
        'lpt_scenes',
        'lpt_scenes/groups',
        'lpt_scenes/groups',
        'lpt_scenes/seed1',
        'vpt',
    ]


def test_spread_is_even():
    assert runs.evenly_spaced(10, 5) == [1, 3, 5, 7, 9]
    assert runs.evenly_spaced(3, 5) == [0, 1, 2]
    assert np.all(np.diff(runs.evenly_spaced(1000, 128)) > 0)
