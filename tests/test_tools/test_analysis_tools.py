"""The drawing tools on a tiny experiment: what they write, and what they answer to mistakes."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from tests.tiny_project import TinyProject
from tools.analysis_tools import compare_predictions, nearest_words, plot_curves, print_config, show_transport_plan
from vlprompt.apis.comparison import predict_test_set
from vlprompt.errors import ConfigError

TRANSPORT = ['--cfg-options', 'model.alignment.type=vlprompt.TransportAlignment']


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    return TinyProject.create(tmp_path_factory.mktemp('drawn'))


@pytest.fixture(scope='module')
def trained(project, tmp_path_factory):
    """Work directory of one epoch of PLOT."""
    work_dir = tmp_path_factory.mktemp('work')
    project.run(work_dir, train_cfg__max_epochs=1, model__alignment__type='vlprompt.TransportAlignment').train()
    return work_dir


def test_plans_of_the_test_set(project, trained, tmp_path, capsys):
    checkpoint = str(trained / 'epoch_1.pth')
    show_transport_plan.main([project.config, checkpoint, '--from-test-set', '3', '--out', str(tmp_path), *TRANSPORT])
    written = sorted(path.name for path in tmp_path.glob('*.png'))
    assert written == ['000_2.png', '001_2.png', '002_2.png']  # the middle image of each class
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.endswith('.png')] == [str(tmp_path / name) for name in written]
    content = json.loads((tmp_path / 'transport_plans.json').read_text())
    assert [Path(picture['image']).parent.name for picture in content] == ['apple', 'boat', 'cup']
    row = content[0]['classes'][0]
    assert 0 < row['plan_entropy'] <= 1
    assert 0 <= row['off_uniform'] < 1
    assert len(row['off_uniform_by_prompt']) > 1
    assert f'  {row["name"]} ({row["note"]}): score {100 * row["score"]:.1f} %' in '\n'.join(lines)


def test_plans_of_own_images(project, tmp_path):
    image = str(project.root / 'data' / 'test' / 'cup' / '0.png')
    options = ['--images', image, '--classes', 'cup', 'boat', '--stretch', '--out', str(tmp_path)]
    show_transport_plan.main([project.config, 'none', *options, *TRANSPORT])
    assert sorted(path.name for path in tmp_path.iterdir()) == ['000_0.png', 'transport_plans.json']


def test_mistakes_with_plans(project, tmp_path):
    common = [project.config, 'none', '--from-test-set', '1', '--out', str(tmp_path)]
    with pytest.raises(ConfigError, match=r'CosineAlignment has no transport plan.*configs/plot'):
        show_transport_plan.main(common)
    sets = ['model.visual.type=vlprompt.VisualPrompt', 'model.visual.sets=2', 'model.clip.arch=micro-vit']
    with pytest.raises(ConfigError, match='2 sets of visual prompts, not with places in the image'):
        show_transport_plan.main([*common, *TRANSPORT, *sets, 'model.clip.weights=scenes', 'model.prompt.n_ctx=2'])
    with pytest.raises(ConfigError, match=r"'cat' is not a class of .*tiny.py; its 3 are apple, boat, cup"):
        show_transport_plan.main([*common, '--classes', 'cat', *TRANSPORT])
    with pytest.raises(ConfigError, match=r'the test set has 3 classes that are not the 2 of model.class_names'):
        show_transport_plan.main([*common, *TRANSPORT, 'model.class_names=[apple,boat]'])
    with pytest.raises(FileNotFoundError, match=r'nowhere.jpg'):
        show_transport_plan.main(
            [project.config, 'none', '--images', 'nowhere.jpg', '--out', str(tmp_path), *TRANSPORT]
        )


def test_words(project, trained, tmp_path, capsys):
    for name in ('nearest_words.json', 'nearest_words.txt'):
        (tmp_path / name).write_text('earlier')
    nearest_words.main(
        [project.config, str(trained / 'epoch_1.pth'), '--top-k', '2', '--out', str(tmp_path), *TRANSPORT]
    )
    stored = json.loads((tmp_path / 'nearest_words.json').read_text())
    assert [prompt['name'] for prompt in stored['prompts']] == ['prompt 1', 'prompt 2']
    assert all(len(vector) == 2 for prompt in stored['prompts'] for vector in prompt['context'])
    assert stored['prompts'][0]['context'][3][0]['word'] in capsys.readouterr().out
    assert (tmp_path / 'nearest_words.png').stat().st_size > 10_000
    assert [path.name for path in tmp_path.glob('earlier/*/*')] == ['nearest_words.json']
    assert (tmp_path / 'nearest_words.txt').exists()


def test_words_of_texts(project, tmp_path):
    (tmp_path / 'captions.txt').write_text('a photo of a red house\na painting\n')
    common = [project.config, 'none', '--out', str(tmp_path), '--cfg-options', 'model.prompt.n_ctx=2']
    for texts in (['a photo of a red house', 'a painting'], [str(tmp_path / 'captions.txt')]):
        nearest_words.main([*common, '--top-k', '6', '--words', *texts])
        stored = json.loads((tmp_path / 'nearest_words.json').read_text())
        for vector in stored['prompts'][0]['context']:
            assert sorted(near['word'] for near in vector) == ['a', 'house', 'of', 'painting', 'photo', 'red']
            tokens = [near['token'] for near in vector]
        words = torch.load(project.root / 'base.pt')['token_embedding.weight'][tokens]
        nearest = (torch.cdist(words, words) + torch.eye(6) * 1e6).amin(1)
        assert stored['median_distance_between_words'] == pytest.approx(nearest.median().item(), rel=1e-4)
    with pytest.raises(ConfigError, match='--words has 2 words, fewer than --top-k 3'):
        nearest_words.main([*common, '--words', 'red house'])
    with pytest.raises(ConfigError, match='--words has one word: give at least two'):
        nearest_words.main([*common, '--words', 'red', '--top-k', '1'])


def test_words_start_at_those_of_the_initial_text(project, tmp_path):
    nearest_words.main(
        [project.config, 'none', '--out', str(tmp_path), '--cfg-options', 'model.prompt.init=a_photo_of_a']
    )
    vectors = json.loads((tmp_path / 'nearest_words.json').read_text())['prompts'][1]['context']
    assert [(vector[0]['word'], vector[0]['distance']) for vector in vectors] == [
        ('a', 0),
        ('photo', 0),
        ('of', 0),
        ('a', 0),
    ]


def test_words_of_deep_vectors(project, tmp_path):
    deep = ['model.prompt.depth=2', 'model.clip.arch.transformer_layers=2', 'model.clip.weights=None']
    nearest_words.main([project.config, 'none', '--out', str(tmp_path), '--cfg-options', *deep])
    prompts = json.loads((tmp_path / 'nearest_words.json').read_text())['prompts']
    assert [prompt['name'] for prompt in prompts] == ['prompt 1', 'prompt 2', 'block 1, prompt 1', 'block 1, prompt 2']
    nearest = [[vector[0] for vector in prompt['context']] for prompt in prompts]
    assert nearest[0] != nearest[2]


def test_words_of_class_specific_context(project, tmp_path):
    common = [project.config, 'none', '--out', str(tmp_path), '--cfg-options', 'model.prompt.class_specific=True']
    with pytest.raises(ConfigError, match=r'every class has its own.*apple, boat, cup'):
        nearest_words.main(common)
    nearest_words.main([*common, '--classes', 'cup'])
    stored = json.loads((tmp_path / 'nearest_words.json').read_text())
    assert [prompt['name'] for prompt in stored['prompts']] == ['cup, prompt 1', 'cup, prompt 2']


def test_no_context_to_look_at(project, tmp_path):
    config = tmp_path / 'zero_shot.py'
    model = "dict(prompt=dict(_delete_=True, type='vlprompt.TemplatePrompt'), trainable=[])"
    config.write_text(f"_base_ = '{project.config}'\nmodel = {model}\n")
    with pytest.raises(ConfigError, match='TemplatePrompt learns no context vectors'):
        nearest_words.main([str(config), 'none', '--out', str(tmp_path)])


def test_curves(trained, tmp_path):
    plot_curves.main([str(trained), '--out', str(tmp_path / 'curves.png')])
    assert (tmp_path / 'curves.png').stat().st_size > 10_000
    with pytest.raises(SystemExit, match="no run has the scalar 'mIoU'"):
        plot_curves.main([str(trained), '--keys', 'mIoU', '--out', str(tmp_path / 'curves.png')])


def test_lines_among_curves(trained, tmp_path, monkeypatch):
    (tmp_path / 'test_metrics.json').write_text('{"accuracy/top1": 66.75}')
    drawn = []
    monkeypatch.setattr(plot_curves, 'draw_curves', lambda *args: drawn.append(args))
    monkeypatch.setattr(plot_curves, 'save_figure', lambda figure, path: path)
    lines = [f'zero-shot={tmp_path}', 'by hand=loss=0.5']
    plot_curves.main([str(trained), '--names', 'PLOT', '--line', *lines, '--out', 'curves.png'])
    ((runs, _, _, levels),) = drawn
    assert [run.name for run in runs] == ['PLOT']
    assert [(level.name, level.values) for level in levels] == [
        ('zero-shot', {'accuracy/top1': 66.75}),
        ('by hand', {'loss': 0.5}),
    ]
    for mistake, message in {
        ('--line', 'zero-shot'): "'zero-shot' is neither NAME=DIR_OR_FILE nor NAME=KEY=VALUE",
        ('--line', 'a=loss=low'): "'low' is no number",
        ('--names', 'a', 'b'): r'--names: 2 for 1 runs',
    }.items():
        with pytest.raises(SystemExit, match=message):
            plot_curves.main([str(trained), *mistake, '--out', 'curves.png'])


def test_config_of_a_phase(project, tmp_path, capsys):
    config = tmp_path / 'phased.py'
    phases = dict(first=dict(), second=dict(start_from=dict(keys=[]), train_cfg=dict(max_epochs=7)))
    config.write_text(f'_base_ = {project.config!r}\nphases = {phases}\n')
    print_config.main([str(config), '--phase', 'second'])
    shown = capsys.readouterr().out
    assert "phase = 'second'" in shown
    assert 'max_epochs=7' in shown
    assert 'phases' not in shown
    with pytest.raises(ConfigError, match='--phase third: phases of'):
        print_config.main([str(config), '--phase', 'third'])


def test_two_classifiers_on_the_same_images(project, trained, tmp_path, capsys):
    models = [project.config, f'{project.config}={trained / "epoch_1.pth"}']
    common = ['--images', '2', '--out', str(tmp_path), *TRANSPORT]
    compare_predictions.main([*models, '--names', 'before', 'after', *common])
    report = json.loads((tmp_path / 'comparison.json').read_text())
    assert list(report['accuracy']) == ['before', 'after']
    right = {name: round(accuracy * report['images'] / 100) for name, accuracy in report['accuracy'].items()}
    mended, broken, both = (group['images'] for group in report['groups'])
    assert right['after'] - right['before'] == mended - broken
    assert max(right.values()) <= report['images'] - both
    assert all(len(group['drawn']) == min(2, group['images']) for group in report['groups'])
    for name in ('predictions.png', 'confusions.png'):
        assert (tmp_path / name).stat().st_size > 1000
    assert f'of {report["images"]} images right' in capsys.readouterr().out
    with pytest.raises(ConfigError, match=r"both models are called 'tiny': give them names by --names"):
        compare_predictions.main([*models, *common])


def test_a_comparison_agrees_with_the_test(project, trained, tmp_path):
    """Also in that other classes are an error."""
    checkpoint = str(trained / 'epoch_1.pth')
    options = {'model.alignment.type': 'vlprompt.TransportAlignment'}
    found = predict_test_set(f'{project.config}={checkpoint}', options)
    run = project.run(tmp_path, load_from=checkpoint, train_cfg=None, model__alignment__type=options.popitem()[1])
    assert 100 * found.accuracy == pytest.approx(run.test()['accuracy/top1'])
    shutil.copytree(project.root / 'data', tmp_path / 'data')
    for split in ('train', 'test'):
        (tmp_path / 'data' / split / 'boat').rename(tmp_path / 'data' / split / 'zebra')
    with pytest.raises(
        ConfigError, match=r"the test set of .*tiny\.py: class 1 is 'boat' in the model but 'cup' in the data"
    ):
        predict_test_set(project.config, dict(data_root=str(tmp_path / 'data')))
