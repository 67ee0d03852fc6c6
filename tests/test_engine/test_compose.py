"""A config is composed of a method, a dataset and a number of shots; each layer wins over the one below it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import RUNNERS

from tests.conftest import ROOT
from tests.tiny_project import CLASSES
from vlprompt.engine import find_config, load_config
from vlprompt.engine.compose import compose, layered, matching_rows
from vlprompt.engine.config import config_for
from vlprompt.engine.config_files import run_name
from vlprompt.engine.phases import phase_config
from vlprompt.errors import CheckpointError, ConfigError

CONFIGS = ROOT / 'configs'


def text(cfg):
    """All values, in one order."""

    def ordered(node):
        if isinstance(node, dict):
            return {key: ordered(node[key]) for key in sorted(node)}
        return [ordered(item) for item in node] if isinstance(node, (list, tuple)) else node

    return repr(ordered(cfg._cfg_dict.to_dict()))


@pytest.fixture
def write(tmp_path):
    def write(content, name='my_run.py'):
        path = tmp_path / name
        path.write_text(content)
        return str(path)

    return write


# -------------------------------------------------------------------------------------------- two lines, command line


def test_two_lines_and_the_command_line_give_the_same_config(write):
    """CoOp on DTD with 4 shots: inherited, typed, and as keys of --cfg-options."""
    two_lines = write(f"_base_ = '{CONFIGS}/coop/coop_rn50.py'\ndataset, shots = 'dtd', 4\n")
    inherited = load_config(two_lines)
    typed = load_config('configs/coop/coop_rn50.py', dict(dataset='dtd', shots=4))
    assert text(inherited) == text(typed)
    train, val = inherited.train_dataloader, inherited.val_dataloader
    assert (train.dataset.dataset, train.dataset.shots, val.dataset.shots) == ('dtd', 4, 4)
    assert (inherited.train_cfg.max_epochs, inherited.param_scheduler[0].T_max) == (100, 100)
    assert (inherited.dataset, inherited.shots) == ('dtd', 4)


@pytest.mark.slow
def test_print_config_of_both_is_the_same_and_runs_as_a_file(write, tmp_path):
    two_lines = write(f"_base_ = '{CONFIGS}/coop/coop_rn50.py'\ndataset, shots = 'dtd', 4\n")
    tool = [sys.executable, str(ROOT / 'tools/analysis_tools/print_config.py')]
    commands = [two_lines, '--work-dir', 'w'], ['coop_rn50', '--dataset', 'dtd', '--shots', '4', '--work-dir', 'w']
    printed = [
        subprocess.run([*tool, *command], capture_output=True, text=True, cwd=ROOT, check=True).stdout
        for command in commands
    ]
    assert printed[0] == printed[1]
    whole = load_config(write(printed[0], 'whole.py'))
    assert text(load_config(write(whole.pretty_text, 'again.py'))) == text(whole)
    assert whole.model == load_config(two_lines).model


def test_work_dirs_carry_dataset_and_shots():
    assert run_name(load_config('plot_rn50', dict(dataset='dtd', shots=4))) == 'plot_rn50_dtd_4shot'
    assert run_name(load_config('clipreid_rn50')) == 'clipreid_rn50_market1501'
    assert run_name(load_config('zero-shot_rn50')) == 'zero-shot_rn50_caltech101'


@pytest.mark.parametrize(
    ('name', 'dataset', 'wanted'),
    [
        ('clip_r50_fpn_80k_ade20k-512x512', 'ade20k', ''),
        ('clip_r50_fpn_80k_ade20k-512x512', 'seg_folder', '_seg_folder'),
        ('clip_micro-rn_fpn_200i_scenes-160x160', 'scenes_seg', ''),
        ('retinanet_clip-r50_fpn_1x_coco', 'coco', ''),
        ('retinanet_clip-r50_fpn_1x_coco', 'coco_json', '_coco_json'),
        ('retinanet_clip-micro-rn_fpn_300i_coco128-384x256', 'coco', '_coco'),
        ('my_dtd', 'dtd', ''),
        ('my_dtd', 'here/mine.py', '_mine'),
    ],
)
def test_work_dirs_do_not_repeat_the_data_set_of_a_name(name, dataset, wanted):
    cfg = Config(dict(dataset=dataset), cfg_text='-', filename=f'configs/{name}.py')
    assert run_name(cfg) == name + wanted


# -------------------------------------------------------------------------------------------------------------- layers


def test_every_layer_wins_over_the_one_below(write):
    base = f"_base_ = '{CONFIGS}/plot/plot_rn50.py'\ndataset = 'imagenet'\n"
    assert load_config(write(base)).model.alignment.global_weight == 1.0  # the recipe's row for ImageNet
    own = base + 'model = dict(alignment=dict(global_weight=0.5))\ntrain_cfg = dict(max_epochs=7)\n'
    cfg = load_config(write(own))
    assert cfg.model.alignment.global_weight == 0.5
    assert (cfg.train_cfg.max_epochs, cfg.param_scheduler[0].T_max) == (7, 7)
    cfg = load_config(write(own), {'train_cfg.max_epochs': 3, 'model.alignment.global_weight': 0.1})
    assert (cfg.train_cfg.max_epochs, cfg.param_scheduler[0].T_max, cfg.model.alignment.global_weight) == (3, 3, 0.1)


@pytest.mark.parametrize(('shots', 'dataset', 'epochs'), [(16, 'dtd', 3), (4, 'dtd', 2), (3, 'dtd', 2), (16, 'a', 1)])
def test_later_rows_of_the_recipe_win(shots, dataset, epochs):
    recipes = [dict(e=3), dict(max_shots=4, e=2), dict(dataset=('a', 'b'), e=1), dict(dataset='c', e=0)]
    assert matching_rows(recipes, dataset, shots)[-1] == dict(e=epochs)


def test_rows_of_a_family_of_datasets():
    rows = [dict(dataset='imagenet*', e=1), dict(dataset=('dtd', 'sun*'), e=2)]
    found = {name: matching_rows(rows, name, 16) for name in ('imagenet', 'imagenet_a', 'sun397', 'tiny_imagenet')}
    assert found == dict(imagenet=[dict(e=1)], imagenet_a=[dict(e=1)], sun397=[dict(e=2)], tiny_imagenet=[])
    assert matching_rows(rows, 'configs/imagenet_mine.py', 16) == [dict(e=1)]


def test_rows_for_few_shots_do_not_apply_where_shots_are_unknown():
    assert matching_rows([dict(max_shots=4, e=2)], 'market1501', None) == []


def test_dicts_merge_unless_their_types_differ():
    base = dict(sampler=dict(type='A', shuffle=True), size=(1, 2), keep=1)
    assert layered(base, dict(size=[3])) == base | dict(size=[3])
    assert layered(base, dict(sampler=dict(shuffle=False)))['sampler'] == dict(type='A', shuffle=False)
    assert layered(base, dict(sampler=dict(type='B', n=4)))['sampler'] == dict(type='B', n=4)
    assert layered(base, dict(sampler=dict(_delete_=True, type='A')))['sampler'] == dict(type='A')
    assert layered(base, dict(new=dict(_delete_=True, a=1)))['new'] == dict(a=1)


def test_marks_for_phases_wait_for_the_merge_of_the_phase():
    mark = dict(phases=dict(p=dict(train_cfg=dict(_delete_=True, type='L'))))
    below = dict(phases=dict(p=dict(train_cfg=dict(max_epochs=5))))
    assert layered(below, mark)['phases']['p']['train_cfg'] == dict(_delete_=True, type='L', max_epochs=5)


def test_settings_of_a_split_that_the_dataset_lacks_are_dropped(write):
    base = f"_base_ = '{CONFIGS}/lpt/lpt_micro-vit.py'\ndataset = 'folder'\n"
    assert load_config(write(base + 'val_dataloader = dict(batch_size=4)\n')).val_dataloader is None
    whole = "val_dataloader = dict(dataset=dict(type='vlprompt.LongTailedDataset', data_root='d', split='val'))\n"
    assert load_config(write(base + whole)).val_dataloader.dataset.split == 'val'
    assert layered(dict(other=None), dict(other=dict(a=1))) == dict(other=dict(a=1)), 'a None elsewhere is a value'


def test_a_mark_in_a_file_deletes_what_dataset_and_recipe_say(write):
    """mmengine takes the mark out where the method has such a dict; the layers below it are replaced all the same."""
    plot = f"_base_ = '{CONFIGS}/plot/plot_rn50.py'\ndataset = 'imagenet'\n"
    own = "dict(_delete_=True, type='vlprompt.TransportAlignment', eps=0.2)"
    cfg = load_config(write(f'{plot}model = dict(alignment={own})\n'))
    assert cfg.model.alignment == dict(type='vlprompt.TransportAlignment', eps=0.2)
    cfg = load_config(
        write(f"{plot}model = dict(alignment={{'_delete_': True, 'type': 'vlprompt.UniformAlignment'}})\n")
    )
    assert cfg.model.alignment == dict(type='vlprompt.UniformAlignment')
    loader = "test_dataloader = dict(_delete_=True, num_workers=0, dataset=dict(type='vlprompt.FewShotDataset'))\n"
    cfg = load_config(write(plot + loader))
    assert cfg.test_dataloader == dict(num_workers=0, dataset=dict(type='vlprompt.FewShotDataset'))


def test_a_pipeline_in_your_own_file_reaches_the_loaders(write):
    base = f"_base_ = '{CONFIGS}/coop/coop_rn50.py'\n"
    cfg = load_config(write(base + "test_pipeline = [dict(type='vlprompt.LoadImage')]\n"))
    assert [len(loader.dataset.pipeline) for loader in (cfg.val_dataloader, cfg.test_dataloader)] == [1, 1]
    assert len(cfg.train_dataloader.dataset.pipeline) == 4


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ("templates = 'x {}'\n", r"templates='x \{\}' has no effect on"),
        ("recipes = [dict(max_shots='4')]\n", "max_shots='4' must be a whole number"),
        ('recipes = [dict(dataset=3)]\n', 'dataset=3 must be a name, a pattern'),
        ("recipes = ['x']\n", 'recipes must be a list of dicts'),
    ],
)
def test_mistakes_in_your_own_file_are_errors(write, content, message):
    with pytest.raises(ConfigError, match=message):
        load_config(write(f"_base_ = '{CONFIGS}/coop/coop_rn50.py'\n{content}"))


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (f"_base_ = '{CONFIGS}/coop/coop_rn5.py'\n", "which does not exist. Did you mean 'coop_rn50'"),
        ("_base_ = 'configs/coop/coop_rn50.py'\n", "From any folder: _base_ = 'vlprompt::coop/coop_rn50.py'"),
        (
            f"_base_ = ['{CONFIGS}/coop/coop_rn50.py', '{CONFIGS}/_base_/datasets/few_shot/dtd.py']\n",
            "a dataset is no base but a value: dataset = 'dtd'",
        ),
        (f"_base_ = '{CONFIGS}/coop/coop_rn50.py'\nparam_scheduler = dict(type='x')\n", 'param_scheduler'),
    ],
)
def test_files_that_cannot_be_read_are_named(write, content, message):
    path = write(content)
    with pytest.raises(ConfigError, match=re.escape(message)) as error:
        load_config(path)
    assert path in str(error.value)


def test_references_are_replaced_by_top_level_values():
    cfg = Config(dict(side=8, size=('${side}', '${side}'), root='d', path='${root}/x', again='${size}'))
    assert compose(cfg)._cfg_dict.to_dict() | dict(side=8) == dict(
        side=8, size=(8, 8), root='d', path='d/x', again=(8, 8)
    )


@pytest.mark.parametrize(
    ('reference', 'value'),
    [
        ('${size * 2/3}', (341, 682)),
        ('${size * 0.75}', (384, 768)),
        ('${size*2}', (1024, 2048)),
        ('${rate * 1.5}', 0.75),
        ('at ${side * 1/2} pixels', 'at 4 pixels'),
    ],
)
def test_references_take_a_factor(reference, value):
    values = dict(side=8, rate=0.5, size=(512, 1024))
    assert compose(Config(dict(values, path=reference))).path == value


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (dict(a='${b * 2}', b='word'), r"a='\$\{b \* 2\}': 'word' is no number"),
        (dict(size='${sidee}', side=8), r"size='\$\{sidee\}': 'sidee' is not a top-level key.* 'side'"),
        (dict(a='${b}', b='${a}'), 'refers to itself'),
    ],
)
def test_references_to_nothing_are_errors(content, message):
    with pytest.raises(ConfigError, match=message):
        compose(Config(content))


def test_composing_twice_changes_nothing():
    once = load_config('plot_rn50', dict(dataset='dtd', shots=2))
    assert text(compose(once)) == text(once)


def test_a_dataset_of_your_own_is_a_file(write):
    data = write(
        f"_base_ = '{CONFIGS}/_base_/datasets/few_shot/_shared.py'\n"
        "data_root = 'd'\ntrain_dataloader = dict(dataset=dict(ann_file='a.csv'))\n",
        'mine.py',
    )
    cfg = load_config('coop_rn50', dict(dataset=data, shots=2))
    assert cfg.train_dataloader.dataset.ann_file == 'a.csv'
    assert cfg.train_dataloader.dataset.data_root == 'd'
    assert run_name(cfg) == 'coop_rn50_mine_2shot'


def test_shots_of_a_config_that_trains_nothing_are_an_error():
    with pytest.raises(ConfigError, match=r'shots=4 has no effect on .*which trains nothing'):
        load_config('zero-shot_rn50', dict(shots=4))


def test_a_data_file_lies_beside_its_config_and_may_use_variables(write):
    shared = f"_base_ = '{CONFIGS}/_base_/datasets/few_shot/_shared.py'\n"
    write(shared + "root = 'd'\ntrain_dataloader = dict(dataset=dict(ann_file=root + '.csv'))\n", 'mine.py')
    cfg = load_config(write(f"_base_ = '{CONFIGS}/coop/coop_rn50.py'\ndataset = 'mine.py'\n"))
    assert cfg.train_dataloader.dataset.ann_file == 'd.csv'


def test_a_misspelt_key_in_a_data_file_is_an_error(write):
    shared = f"_base_ = '{CONFIGS}/_base_/datasets/few_shot/_shared.py'\n"
    with pytest.raises(ConfigError, match=r"'train_dataloder'.*Did you mean 'train_dataloader'"):
        load_config('coop_rn50', dict(dataset=write(shared + 'train_dataloder = dict(batch_size=4)\n', 'mine.py')))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(dataset='caltech'), "dataset='caltech' is unknown. Did you mean 'caltech101'"),
        (
            dict(dataset='market1501'),
            "'market1501' is unknown to this method, whose task is 'few_shot'.*of 'reid'",
        ),
        (dict(dataset=str(CONFIGS)), 'is a folder: give its layout and place, --dataset folder --data-root'),
        (dict(shots=0), 'shots=0 must be a positive whole number'),
        (dict(dataset='../reid/csv'), "'../reid/csv' is unknown"),
        (dict(dataset='_shared'), "'_shared' is unknown"),
        ({'recipes.0.train_cfg.max_epochs': 7}, 'rows of recipes cannot be changed by options'),
        ({'phases.prompts.train_cfg.max_epochs': 7}, 'phases of the config are none'),
        (dict(templates='x'), r"templates='x' has no effect on .*: nothing in it reads \$\{templates\}"),
    ],
)
def test_wrong_data_options_are_errors(options, message):
    with pytest.raises(ConfigError, match=message):
        load_config('coop_rn50', options)


@pytest.mark.parametrize('name', ['clipreid_vit-b16', 'lpt_vit-b16-in21k', 'denseclip_r50_fpn_80k_ade20k-512x512'])
def test_shots_are_for_few_shot_learning(name, write):
    with pytest.raises(ConfigError, match='shots=4 has no effect on'):
        load_config(name, dict(shots=4))
    with pytest.raises(ConfigError, match='shots=4 has no effect on'):
        load_config(write(f"_base_ = '{find_config(name)}'\nshots = 4\n"))
    assert 'shots' not in load_config(name)


def test_a_data_file_that_does_not_exist_is_named():
    with pytest.raises(FileNotFoundError, match=r"dataset='nowhere/x.py': there is no such file"):
        load_config('coop_rn50', dict(dataset='nowhere/x.py'))


def test_a_complete_config_takes_no_dataset(project):
    for options in (dict(dataset='dtd'), dict(shots=4)):
        with pytest.raises(ConfigError, match='names its data itself'):
            load_config(project.config, options)
    assert 'data_root' not in load_config(project.config)
    with pytest.raises(ConfigError, match=r"image_size=8 has no effect|'image_size'"):
        load_config(project.config, dict(image_size=8))


def test_the_data_of_a_complete_config_can_be_moved(project, write):
    """Also of what print_config.py prints, and of the files of the metrics."""
    assert load_config(project.config, dict(data_root='x')).train_dataloader.dataset.data_root == 'x'
    whole = write(load_config('retinanet_denseclip-r50_fpn_1x_coco').pretty_text)
    cfg = load_config(whole, dict(data_root='/disk/coco'))
    assert cfg.train_dataloader.dataset.dataset.data_root == cfg.test_dataloader.dataset.data_root == '/disk/coco'
    assert cfg.test_evaluator.ann_file == '/disk/coco/annotations/instances_val2017.json'
    with pytest.raises(ConfigError, match=r"data_root='x' has no effect on"):
        load_config(write('train_cfg = dict(max_epochs=1)\n'), dict(data_root='x'))


# ------------------------------------------------------------------------------------------------------ mmengine's ways


def composed_tiny(project, tmp_path, lines=''):
    """A two-line config on the tiny project's images, through a data file."""
    data = tmp_path / 'mine.py'
    data.write_text(
        f"_base_ = '{CONFIGS}/_base_/datasets/few_shot/folder.py'\ndata_root = '{project.root}/data'\n"
        'train_dataloader = dict(batch_size=4, num_workers=0, persistent_workers=False)\n'
        'val_dataloader = dict(num_workers=0, persistent_workers=False)\n'
        'test_dataloader = dict(num_workers=0, persistent_workers=False)\n'
    )
    path = tmp_path / 'run.py'
    path.write_text(
        f"_base_ = '{CONFIGS}/coop/coop_micro-rn.py'\ndataset, shots = '{data}', 2\nimage_size = 32\n"
        f'train_cfg = dict(max_epochs=1)\n{lines}'
    )
    return path


def test_plain_mmengine_runs_a_composed_config(project, tmp_path, monkeypatch):
    """``Config.fromfile`` and ``RUNNERS.build``, as other people's tools do."""
    monkeypatch.chdir(tmp_path)
    runner = RUNNERS.build(Config.fromfile(composed_tiny(project, tmp_path)))
    assert runner.work_dir == str(tmp_path / 'work_dirs/run_mine_2shot')
    assert tuple(runner.bare_model.class_names) == CLASSES
    assert runner.train_dataloader.dataset.shots == 2
    runner.train()
    assert runner.epoch == 1


def test_a_model_is_tested_elsewhere_as_it_was_trained():
    plot = 'plot/plot_rn50'
    trained, other = (load_config(plot, dict(dataset=name)) for name in ('imagenet', 'dtd'))
    tested = load_config(plot, dict(dataset='dtd', recipe_dataset='imagenet'))
    assert trained.model.alignment != other.model.alignment
    assert tested.model == trained.model
    assert tested.test_dataloader == other.test_dataloader
    words = load_config('plotpp_vit-b16', dict(dataset='dtd', recipe_dataset='imagenet')).model.prompt.init
    assert words == load_config('plotpp_vit-b16', dict(dataset='imagenet')).model.prompt.init
    assert 'recipe_dataset' not in tested
    assert tested.recipe == dict(dataset='imagenet', shots=16)


def checkpoint_of(dataset, shots):
    return lambda: dict(meta=dict(vlprompt=dict(recipe=dict(dataset=dataset, shots=shots))))


def test_a_checkpoint_brings_the_recipe_of_its_training(write):
    plot = 'plot/plot_rn50'
    trained, other = (load_config(plot, dict(dataset=name)) for name in ('imagenet', 'dtd'))
    tested = config_for(checkpoint_of('imagenet', 16), plot, dict(dataset='dtd'))
    assert tested.model == trained.model
    assert tested.test_dataloader == other.test_dataloader
    for chosen in (dict(recipe_dataset='dtd'), dict(recipe_dataset='food101')):
        assert config_for(checkpoint_of('imagenet', 16), plot, dict(dataset='dtd') | chosen).model == other.model
    for content in (None, lambda: dict(meta=dict(vlprompt=dict()))):
        assert config_for(content, plot, dict(dataset='dtd')).model == other.model
    assert config_for(checkpoint_of('imagenet', 16), other).model == other.model, 'composed, so its rows are chosen'
    assert config_for(checkpoint_of('imagenet', 16), 'coop_rn50_csc').get('recipe') is not None
    text = f"_base_ = '{CONFIGS}/coop/coop_rn50.py'\nrecipes = [dict(model=dict(logit_scale=9.0)), "
    own = write(
        text
        + "dict(max_shots=2, model=dict(logit_scale=1.0)), dict(dataset='dtd', test_dataloader=dict(batch_size=7)), "
        "dict(dataset='imagenet', model=dict(logit_scale=3.0), test_dataloader='${absent}')]"
    )
    tested = config_for(checkpoint_of('imagenet', 16), own, dict(dataset='dtd'))
    assert (tested.model.logit_scale, tested.test_dataloader.batch_size) == (3, 7), (
        'only the model is as it was trained'
    )
    scales = [
        config_for(checkpoint_of('dtd', shots), own, options).model.logit_scale
        for shots, options in (
            *((1, {}), (1, dict(shots=16)), (1, dict(recipe_shots=16))),
            *((16, dict(shots=2)), (4, {}), (None, dict(recipe_dataset='food101'))),
        )
    ]
    assert scales == [1, 9, 9, 1, 9, 9]
    few = write(Path(own).read_text() + '\nshots = 1\n')
    assert config_for(checkpoint_of('dtd', None), few).model.logit_scale == 9, 'trained on all images'


def test_a_detector_of_coco_is_tested_on_other_data():
    cfg = config_for(checkpoint_of('coco', None), 'retinanet_r50_fpn_1x_coco', dict(dataset='coco_json'))
    assert cfg.dataset == 'coco_json'


@pytest.mark.parametrize(
    'recipe', ['dtd', dict(dataset=3, shots=1), dict(dataset='dtd'), dict(dataset='dtd', shots='a')]
)
def test_something_else_as_recipe(recipe, write):
    with pytest.raises(CheckpointError, match='is no dataset and shots, but'):
        config_for(lambda: dict(meta=dict(vlprompt=dict(recipe=recipe))), 'plot_rn50')
    cfg = load_config('plot_rn50')
    cfg.recipe = recipe
    with pytest.raises(ConfigError, match=r'recipe=.* must be dict\(dataset=\.\.\., shots=\.\.\.\)'):
        load_config(cfg)


def test_options_of_recipes_without_recipes():
    with pytest.raises(ConfigError, match=r"recipe_dataset='dtd' has no effect on .*zero-shot_rn50\.py, which has no"):
        load_config('zero-shot_rn50', dict(recipe_dataset='dtd'))
    with pytest.raises((ConfigError, FileNotFoundError), match="Did you mean 'imagenet'"):
        load_config('plot_rn50', dict(recipe_dataset='imagnet'))
    with pytest.raises(ConfigError, match='rows of recipes are chosen by recipe_dataset and recipe_shots'):
        load_config('plot_rn50', {'recipe.shots': 4})


def test_a_list_of_bases_with_overrides(write):
    path = write(
        f"_base_ = ['{CONFIGS}/_base_/models/clip_rn50.py', '{CONFIGS}/_base_/schedules/few_shot.py', "
        f"'{CONFIGS}/_base_/default_runtime.py', '{CONFIGS}/_base_/datasets/few_shot/dtd.py']\n"
        "model = dict(prompt=dict(type='vlprompt.ContextPrompt', n_ctx=4), trainable=['prompt.context'],\n"
        "             alignment=dict(type='vlprompt.CosineAlignment'))\n"
        "dataset, shots = 'dtd', 4\ntrain_cfg = dict(max_epochs=3)\ntrain_dataloader = dict(batch_size=8)\n"
    )
    cfg = load_config(path)
    assert (cfg.train_dataloader.batch_size, cfg.train_dataloader.dataset.shots) == (8, 4)
    assert cfg.param_scheduler[0].T_max == 3


def test_mmengines_python_style_configs_compose_too(write, tmp_path):
    """``read_base`` imports bases that inherit nothing themselves; the dataset joins as everywhere."""
    (tmp_path / 'configs').symlink_to(CONFIGS)
    path = write(
        'from mmengine.config import read_base\n\nwith read_base():\n'
        '    from .configs._base_.default_runtime import *\n'
        '    from .configs._base_.schedules.few_shot import *\n'
        '    from .configs._base_.models.clip_rn50 import *\n\n'
        "dataset, shots = 'dtd', 4\nmodel.update(dict(alignment=dict(type='vlprompt.CosineAlignment'),\n"
        "    prompt=dict(type='vlprompt.ContextPrompt', n_ctx=4), trainable=['prompt.context']))\n"
        'train_cfg.update(max_epochs=3)\n',
        'python_style.py',
    )
    cfg = load_config(path)
    assert (cfg.train_dataloader.dataset.dataset, cfg.train_dataloader.dataset.shots) == ('dtd', 4)
    assert cfg.param_scheduler[0].T_max == 3


def test_a_syntax_error_names_the_file(write):
    path = write('model = dict(\n')
    with pytest.raises(ConfigError, match=re.escape(f'{path}, line 1: ')):
        load_config(path)


# -------------------------------------------------------------------------------------------------- options and phases


@pytest.mark.parametrize(
    ('option', 'value', 'key'),
    [
        ('train_cfg.max_epochs', 1, r'phases\.prompts\.train_cfg\.max_epochs instead, or phases\.finetune\.train_cfg'),
        ('optim_wrapper.optimizer.lr', 0.1, r'phases\.prompts\.optim_wrapper\.optimizer\.lr'),
        ('model.weights.i2t', 0.5, r'phases\.finetune\.model\.weights\.i2t'),
    ],
)
def test_an_option_that_a_phase_would_throw_away_is_an_error(option, value, key):
    with pytest.raises(ConfigError, match=rf'--cfg-options {option}: phase .* has a value of its own.*{key}'):
        load_config('clipreid_micro-rn', {option: value})


def test_a_misspelt_phase_is_an_error(write):
    with pytest.raises(ConfigError, match=r"phases of the config are prompts, finetune. Did you mean 'prompts'"):
        load_config('clipreid_micro-rn', {'phases.promts.train_cfg.max_epochs': 1})
    path = write(f"_base_ = '{CONFIGS}/clipreid/clipreid_micro-rn.py'\nphases = dict(promts=dict(train_cfg=dict()))\n")
    with pytest.raises(ConfigError, match=r"phases.promts does not say what it takes over.*Did you mean 'prompts'"):
        load_config(path)


def test_options_that_act_in_all_phases_or_name_one_are_taken():
    cfg = load_config(
        'clipreid_micro-rn', {'train_dataloader.num_workers': 1, 'phases.prompts.train_cfg.max_epochs': 2}
    )
    prompts, finetune = phase_config(cfg, 'prompts'), phase_config(cfg, 'finetune')
    assert prompts.train_dataloader.num_workers == finetune.train_dataloader.num_workers == 1
    assert (prompts.train_cfg.max_epochs, prompts.param_scheduler[0].T_max, finetune.train_cfg.max_epochs) == (2, 2, 20)
