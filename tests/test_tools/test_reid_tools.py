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


@pytest.fixture
def tested(project, tmp_path):
    """Arguments of a checkpoint of ``plain.py``, and what a test of it measures."""
    model = init_model(project / 'plain.py')
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'model.pth')
    common = [str(project / 'plain.py'), str(tmp_path / 'model.pth')]
    folder = str(project / 'data' / 'scenes_reid')
    run_tool(test_tool.main, *common, '--data-root', folder, '--work-dir', tmp_path / 'test')
    return common, folder, json.loads((tmp_path / 'test' / 'test_metrics.json').read_text())


def test_rank_lists_agree_with_the_test(tested, tmp_path, capsys):
    """No file lies in query and gallery here, although images have the same positions in the two."""
    common, folder, metrics = tested
    picture = str(tmp_path / 'ranks.png')
    show_rank_list.main([*common, '--data-root', folder, '--queries', '100', '--out', picture])
    precisions = [float(line) for line in re.findall(r'^ *([\d.]+)  [+-]+  ', capsys.readouterr().out, re.MULTILINE)]
    assert len(precisions) == 8
    assert sum(precisions) / 8 == pytest.approx(metrics['reid/mAP'], abs=0.006)


def test_a_cross_dataset_test_agrees_with_the_test(tested, tmp_path):
    common, folder, metrics = tested
    cross_dataset_test.main([*common, '--datasets', folder, '--out', str(tmp_path / 'found.json'), '--workers', '0'])
    (found,) = json.loads((tmp_path / 'found.json').read_text()).values()
    assert {f'reid/{name}': value for name, value in found.items()} == {
        name: metrics[name] for name in metrics if 'reid/' in name
    }


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
    out = tmp_path / 'cross.json'
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
