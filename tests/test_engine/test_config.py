"""Unknown keys are errors with a suggestion; everything mm users write in configs is accepted."""

import sys
import textwrap
from argparse import ArgumentParser
from pathlib import Path

import pytest
from mmengine.config import Config

from vlprompt.apis.command_line import CfgOptions
from vlprompt.engine import check_config, load_config
from vlprompt.engine.config_check import accepted_arguments
from vlprompt.errors import ConfigError
from vlprompt.messages import did_you_mean, enumerate_names


@pytest.fixture
def refusal(project):
    """The message with which options are refused."""

    def message(**options):
        with pytest.raises(ConfigError) as error:
            load_config(project.config, {key.replace('__', '.'): value for key, value in options.items()})
        return str(error.value)

    return message


@pytest.mark.parametrize(
    ('option', 'suggestion'),
    [
        ('model.nctx', 'model.prompt.n_ctx'),
        ('model.prompt.nctx', 'model.prompt.n_ctx'),
        ('model.clip.weight', 'model.clip.weights'),
        ('optim_wraper', 'optim_wrapper'),
        ('optim_wrapper.optimizer.learning_rat', None),
        ('optimizer', 'optim_wrapper.optimizer'),
        ('train_dataloader.batchsize', 'train_dataloader.batch_size'),
        ('train_dataloader.dataset.shot', 'train_dataloader.dataset.shots'),
        ('train_cfg.max_epoch', 'train_cfg.max_epochs'),
        ('param_scheduler.0.warmup_epoch', 'param_scheduler.0.warmup_epochs'),
        ('default_hooks.checkpoint.intervall', 'default_hooks.checkpoint.interval'),
        ('randomness.sed', 'randomness.seed'),
    ],
)
def test_a_key_that_nothing_reads_is_an_error_with_a_suggestion(project, option, suggestion):
    with pytest.raises(ConfigError) as error:
        load_config(project.config, {option: 4})
    assert option in str(error.value)
    assert suggestion is None or f'{suggestion!r}' in str(error.value)


@pytest.mark.parametrize(
    ('model', 'meant'),
    [
        (dict(type='TextClassifier', clip=dict(arc='RN50')), 'model.clip.arch'),
        (dict(type='HeadClassifier', timm=dict(weight='a.pth')), 'model.timm.weights'),
        (dict(type='ReIdentifier', clip=dict(arch='RN50', imagesize=64)), 'model.clip.image_size'),
        (dict(type='IdentityPromptLearner', clip=dict(weight='openai')), 'model.clip.weights'),
        (dict(type='mmseg.A', backbone=dict(type='ClipTrunk', clip=dict(arc='RN50'))), 'model.backbone.clip.arch'),
    ],
)
def test_dicts_without_a_type_are_checked_as_their_model_declares(model, meant):
    with pytest.raises(ConfigError, match=f"Did you mean '{meant}'"):
        check_config(Config(dict(default_scope='vlprompt', model=model)))


def test_what_a_declared_dict_holds_is_checked_too():
    path = Path(__file__).parents[2] / 'configs/denseclip/denseclip_micro-rn_fpn_200i_scenes-160x160.py'
    with pytest.raises(ConfigError, match=r"Did you mean 'model\.backbone\.score_concat\.temperature'"):
        load_config(path, {'model.backbone.score_concat.temprature': 2.0})


def test_an_entry_of_a_list_of_names_cannot_be_overridden(refusal):
    assert 'give other lists as a whole' in refusal(model__trainable__0='prompt.*')


def test_options_keep_their_blanks(capsys):
    parser = ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=CfgOptions)

    def parse(*options):
        return parser.parse_args(['--cfg-options', *options]).cfg_options

    assert parse('names=[tall grass, sky]') == dict(names=['tall grass', 'sky'])
    assert parse("names=['tall grass','sky']", 'a.b=a b, c') == {'names': ['tall grass', 'sky'], 'a.b': ['a b', 'c']}
    assert parse('weights=/my files (1)/RN50.pt') == dict(weights='/my files (1)/RN50.pt')
    assert parse('size=(1, 2)', 'n= 4', 'x=[(1.5, None), True]') == dict(size=(1, 2), n=4, x=[(1.5, None), True])
    with pytest.raises(SystemExit):
        parse('names')
    assert "'names' is not KEY=VALUE" in capsys.readouterr().err


def test_a_misspelt_type_is_an_error_with_a_suggestion(refusal):
    assert "Did you mean 'ContextPrompt'" in refusal(model__prompt__type='vlprompt.ContextPromt')
    assert "Did you mean 'EpochSampler'" in refusal(train_dataloader__sampler__type='vlprompt.EpochSampeler')


def test_a_hook_without_type_is_an_error(refusal):
    message = refusal(default_hooks__checkpiont__interval=5)
    assert "default_hooks.checkpiont has no type. Did you mean 'checkpoint'" in message


def test_overriding_a_helper_variable_would_have_no_effect(refusal):
    message = refusal(pipeline=[])
    assert 'pipeline=[] has no effect' in message
    assert 'a helper variable' in message
    assert 'Set train_dataloader.dataset.pipeline, test_dataloader.dataset.pipeline instead' in message


def test_all_problems_are_listed_at_once(refusal):
    message = refusal(model__nctx=4, train_cfg__max_epoch=3)
    assert 'model.nctx' in message
    assert 'train_cfg.max_epoch' in message


def test_helper_variables_are_gone_after_loading_so_a_dumped_config_loads_again(project, tmp_path):
    cfg = load_config(project.config)
    assert 'pipeline' not in cfg
    cfg.dump(tmp_path / 'dumped.py')
    load_config(tmp_path / 'dumped.py')


def test_absent_file():
    with pytest.raises(FileNotFoundError, match=r'absent\.py does not exist'):
        load_config('absent.py')


def write(folder, name, text):
    (folder / name).write_text(textwrap.dedent(text))
    return folder / name


def test_helpers_of_mmseg_style_configs_are_accepted(tmp_path):
    """Read in the file, read through _base_, or customary; a name that is none of these is a slip."""
    write(
        tmp_path,
        'base.py',
        """
        crop_size = (512, 512)
        norm_cfg = dict(type='SyncBN')
        num_classes = 19
        dataset_type = 'CityscapesDataset'
        data_root = 'data/cityscapes/'
        model = dict(type='EncoderDecoder', data_preprocessor=dict(size=crop_size), backbone=dict(norm_cfg=norm_cfg))
        default_scope = 'mmseg'
        """,
    )
    leaf = write(
        tmp_path,
        'leaf.py',
        """
        _base_ = './base.py'
        crop_size = (768, 768)
        model = dict(decode_head=dict(num_classes=_base_.num_classes), data_preprocessor=dict(size=crop_size))
        tta_model = dict(type='SegTTAModel')
        """,
    )
    check_config(Config.fromfile(leaf))
    slip = write(tmp_path, 'slip.py', "_base_ = './leaf.py'\ncrop_sise = (1, 1)")
    with pytest.raises(ConfigError, match="nothing reads the top-level key 'crop_sise'"):
        check_config(Config.fromfile(slip))


def test_configs_of_mmdet_pass_and_the_check_imports_neither_mmdet_nor_mmseg(tmp_path, monkeypatch):
    bases = ['models/mask-rcnn_r50_fpn', 'datasets/coco_instance', 'schedules/schedule_1x', 'default_runtime']
    leaf = write(tmp_path, 'det.py', f'_base_ = {[f"mmdet::_base_/{base}.py" for base in bases]}')
    cfg = Config.fromfile(leaf)
    for name in [name for name in sys.modules if name.split('.')[0] in ('mmdet', 'mmseg')]:
        monkeypatch.delitem(sys.modules, name)
    check_config(cfg)
    assert not {'mmdet', 'mmseg'} & set(sys.modules)


def test_arguments_are_followed_up_the_inheritance_chain():
    class Base:
        def __init__(self, a, *, b=1):
            pass

    class Child(Base):
        def __init__(self, c, **kwargs):
            pass

    class Open:
        def __init__(self, c, **kwargs):
            pass

    assert accepted_arguments(Child) == ({'a', 'b', 'c'}, False)
    assert accepted_arguments(Open) == ({'c'}, True)
    assert accepted_arguments(lambda x, y=1: None) == ({'x', 'y'}, False)


def test_suggestions():
    assert did_you_mean('nctx', ['prompt.n_ctx', 'lr']) == " Did you mean 'prompt.n_ctx'?"
    assert did_you_mean('zzz', ['prompt.n_ctx']) == ''
    adapters = ['cocoop_micro-vit', 'coop_micro-rn']
    assert did_you_mean('coop', adapters, prefix='builtin:') == " Did you mean 'builtin:coop_micro-rn'?"
    assert did_you_mean('co', adapters) == ''
    assert enumerate_names('abcd', limit=2) == 'a, b and 2 more'


@pytest.mark.parametrize(
    ('files', 'message'),
    [
        ({'a': 'x = 1\ny = = 2\n'}, r'a.py, line 2: invalid syntax'),
        ({'a': "_base_ = './b.py'\n", 'b': 'x = 1\ny = = 2\n'}, r'b.py, line 2: invalid syntax'),
        ({'a': 'x = 1\ny = unknown\n'}, r"a.py, line 2: NameError: name 'unknown' is not defined"),
        ({'a': "_base_ = './b.py'\n", 'b': 'x = 1 / 0\n'}, r'b.py, line 1: ZeroDivisionError'),
        ({'a': "custom_imports = dict(imports=['no_such_package'])\n"}, r'a.py: ImportError: .*no_such_package'),
        ({'a': "_base_ = './a.py'\n"}, r'a.py inherits itself'),
        ({'a': "_base_ = './b.py'\n", 'b': "x = '\u00e9'\n"}, r'b.py is not UTF-8 text'),
    ],
)
def test_a_config_that_cannot_be_read_is_named_with_its_line(tmp_path, files, message):
    for name, text in files.items():
        (tmp_path / f'{name}.py').write_bytes(text.encode('latin-1'))
    with pytest.raises(ConfigError, match=message) as error:
        load_config(tmp_path / 'a.py')
    assert '\n' not in str(error.value)
