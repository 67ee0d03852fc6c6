"""Rank lists, descriptors of a folder and cross-dataset tests, on a small built-in world and a micro tower."""

import json
import os
import re
import shutil

import pytest
import torch

from tests.conftest import MICRO, ROOT, run_tool
from tools.analysis_tools import cross_dataset_test, extract_features, show_rank_list
from tools.dataset_converters import generate_world
from vlprompt.apis import GalleryIndex, init_model
from vlprompt.cli import test as test_tool
from vlprompt.errors import ConfigError

CONFIG = """
_base_ = '{root}/configs/_base_/default_runtime.py'
task, dataset, image_size = 'reid', 'scenes_reid', (128, 64)
model = dict(type='vlprompt.ReIdentifier', clip=dict(arch={arch}), num_ids=3, num_cameras=2, num_views=1{more})
"""


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    """Folder with a config, another one with side information, and ``data/scenes_reid``."""
    root = tmp_path_factory.mktemp('reid')
    arch = dict(MICRO['vit'])
    (root / 'plain.py').write_text(CONFIG.format(root=ROOT, arch=arch, more=''))
    (root / 'sie.py').write_text(CONFIG.format(root=ROOT, arch=arch, more=', sie=dict(camera=True)'))
    out = str(root / 'data' / 'scenes_reid')
    options = ['--identities', '3', '4', '--cameras', '2', '--size', '32', '--workers', '1']
    generate_world.main(['--task', 'reid', '--out', out, *options])
    return root


@pytest.mark.parametrize('ranking', ['--rerank', '--rescore'])
def test_rank_lists(project, tmp_path, capsys, ranking):
    common = [str(project / 'plain.py'), 'none', '--data-root', str(project / 'data' / 'scenes_reid')]
    picture = tmp_path / 'made' / 'ranks.png'
    show_rank_list.main([*common, '--queries', '3', '--top-k', '4', ranking, '--out', str(picture)])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()[-4:-1]]
    assert [float(line[0]) for line in lines] == sorted(float(line[0]) for line in lines)
    assert all(set(line[1]) <= {'+', '-'} and len(line[1]) == 4 for line in lines)
    assert picture.stat().st_size > 1000


EVALUATORS = {
    'shipped': '',
    'own': 'topk=(2,), normalize=False, own_files="keep", rerank=dict(k1=4, k2=2), rescore=dict(k1=3, k2=1)',
    'all cameras': 'same_camera="keep"',
}


@pytest.fixture(params=EVALUATORS)
def tested(project, tmp_path, request):
    """Arguments of a checkpoint of a config, and what a test of it measures."""
    config = tmp_path / 'tested.py'
    config.write_text(
        f'_base_ = {str(project / "plain.py")!r}\n'
        f'test_evaluator = dict(type="vlprompt.RetrievalMetric", {EVALUATORS[request.param]})\n'
    )
    model = init_model(config)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'model.pth')
    common = [str(config), str(tmp_path / 'model.pth')]
    folder = str(tmp_path / 'data')
    shutil.copytree(project / 'data' / 'scenes_reid', folder)
    query = min((tmp_path / 'data' / 'query').iterdir())
    shutil.copy(query, tmp_path / 'data' / 'bounding_box_test' / query.name.replace('.', '0.'))  # a copy
    run_tool(test_tool.main, *common, '--data-root', folder, '--work-dir', tmp_path / 'test')
    return common, folder, json.loads((tmp_path / 'test' / 'test_metrics.json').read_text())


def test_rank_lists_agree_with_the_test(tested, tmp_path, capsys):
    common, folder, metrics = tested
    picture = str(tmp_path / 'ranks.png')
    ways = {'': 'mAP', '--rerank': 'reranked_mAP', '--rescore': 'rescored_mAP'}
    for option, name in ways.items():
        if f'reid/{name}' in metrics:
            given = ['--data-root', folder, '--queries', '100', *filter(None, [option])]
            show_rank_list.main([*common, *given, '--out', picture])
            shown = re.findall(r'^ *([\d.]+)  [+-]+  ', capsys.readouterr().out, re.MULTILINE)
            assert len(shown) == 8
            assert sum(map(float, shown)) / 8 == pytest.approx(metrics[f'reid/{name}'], abs=0.006), name


def test_a_cross_dataset_test_agrees_with_the_test(tested, tmp_path):
    common, folder, metrics = tested
    options = ['--datasets', folder, '--out', str(tmp_path / 'found.json'), '--workers', '0']
    cross_dataset_test.main([*common, '--data-root', f'{folder}/', *options])
    (found,) = json.loads((tmp_path / 'found.json').read_text()).values()
    assert {f'reid/{name}': value for name, value in found.items()} == {
        name: metrics[name] for name in metrics if 'reid/' in name
    }


def test_cameras_and_draws_are_those_of_the_dataset(project):
    """Ranking is the config's everywhere."""
    options = {f'test_evaluator.{key}': value for key, value in dict(same_camera='keep', repeats=3, topk=(2,)).items()}
    model = init_model(project / 'plain.py', cfg_options=dict(data_root='data/scenes_reid', **options))
    args = cross_dataset_test.parse_args([str(project / 'plain.py'), 'none', '--datasets', 'market1501', '--rerank'])
    own = cross_dataset_test.metric_of(model, args, 'data/scenes_reid')
    assert (own.same_camera, own.repeats, own.topk, own.rerank) == ('keep', 3, (2,), {})
    for name, repeats in (('market1501', 0), ('vehicleid=/disk', 10), ('data/mine', 0)):
        metric = cross_dataset_test.metric_of(model, args, name)
        assert (metric.same_camera, metric.repeats, metric.topk, metric.rerank) == ('remove', repeats, (2,), {})


@pytest.mark.parametrize(
    ('order', 'count', 'chosen'), [('worst', 2, [0, 1]), ('best', 2, [8, 7]), ('spread', 3, [0, 4, 8]), ('best', 20, 9)]
)
def test_which_queries_are_drawn(order, count, chosen):
    result = show_rank_list.choose(list(range(9)), count, order)
    assert result == chosen if isinstance(chosen, list) else len(result) == chosen


def test_features_of_a_folder(project, tmp_path):
    folder, out = project / 'data' / 'scenes_reid' / 'query', str(tmp_path / 'gallery')
    common = [str(folder), '--out', out, '--workers', '0', '--batch-size', '3']
    extract_features.main([str(project / 'plain.py'), 'none', *common])
    index = GalleryIndex.load(out)
    assert index.names == sorted(path.name for path in folder.iterdir())
    nearest = index.search(index.features, k=2)
    assert nearest.positions[:, 0].tolist() == list(range(8))
    with pytest.raises(ValueError, match=r"model.sie.at_test='mean'"):
        extract_features.main([str(project / 'sie.py'), 'none', *common])
    extract_features.main([str(project / 'sie.py'), 'none', *common, '--camera', '2'])
    extract_features.main([str(project / 'sie.py'), 'none', *common, '--cfg-options', 'model.sie.at_test=mean'])


def test_features_lie_in_the_folder_of_the_images_that_is_no_file(project, tmp_path, capsys):
    source = project / 'data' / 'scenes_reid' / 'query'
    shutil.copytree(source, tmp_path / 'photos')
    arguments = ['--out', str(tmp_path / 'photos' / 'gallery'), '--workers', '0']
    for _ in range(2):
        extract_features.main([str(project / 'plain.py'), 'none', str(tmp_path / 'photos'), *arguments])
    assert 'left out' not in capsys.readouterr().out
    file = min(source.iterdir())
    with pytest.raises(ConfigError, match=rf'{file.name} is a file, not a folder: give the folder'):
        extract_features.main([str(project / 'plain.py'), 'none', str(file), *arguments])


def test_features_of_a_folder_with_odd_images(project, tmp_path, capsys):
    source = sorted((project / 'data' / 'scenes_reid' / 'query').iterdir())[:3]
    folder = tmp_path / 'photos'
    folder.mkdir()
    for name, path in zip('ace', source, strict=True):
        (folder / f'{name}.png').write_bytes(path.read_bytes())
    (folder / 'b.png').write_text('no image')
    os.mkfifo(folder / 'd.png')
    arguments = [str(project / 'plain.py'), 'none', str(folder), '--out', str(tmp_path / 'gallery')]
    with pytest.raises(SystemExit, match=rf'^2 of 5 images are left out: {folder}/b\.png, {folder}/d\.png$'):
        extract_features.main([*arguments, '--workers', '0', '--batch-size', '2'])
    assert GalleryIndex.load(tmp_path / 'gallery').names == ['a.png', 'c.png', 'e.png']
    assert (
        f'{folder}/d.png: left out (image {folder}/d.png cannot be read: it is a named pipe' in capsys.readouterr().out
    )


def test_several_datasets_in_one_command(project, tmp_path, capsys):
    out = tmp_path / 'new' / 'cross.json'
    folder = str(project / 'data' / 'scenes_reid')
    names = [f'scenes_reid={folder}', folder]
    options = ['--datasets', *names, '--out', str(out), '--workers', '0']
    cross_dataset_test.main([str(project / 'sie.py'), 'none', *options, '--rescore'])
    results = json.loads(out.read_text())
    assert list(results) == names
    names = ('mAP', 'mINP', 'rank1', 'rank5', 'rank10')
    wanted = {*names, *(f'rescored_{name}' for name in names)}
    assert all(set(metrics) == wanted for metrics in results.values())
    assert capsys.readouterr().out.count(' mAP') == 2
