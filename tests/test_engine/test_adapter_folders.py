"""Adapter folders: what is written comes back; what does not belong there is refused, by name."""

import json
import math
import os
import pickle

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file

from vlprompt.engine import read_checkpoint
from vlprompt.engine.adapters import config_of_adapter, is_adapter, read_folder, write_folder
from vlprompt.engine.adapters.config_text import parse_config
from vlprompt.engine.adapters.folder import CONFIG, TENSORS
from vlprompt.engine.adapters.json_values import from_json, to_json
from vlprompt.engine.config import load_config
from vlprompt.errors import CheckpointError, DownloadError

TEXT = """default_scope = 'vlprompt'
model = dict(type='vlprompt.TextClassifier', clip=dict(arch='micro-rn', weights='scenes'), sizes=(1, -2.5, None))
test_dataloader = dict(dataset=dict(pipeline=[dict(type='vlprompt.LoadImage')]))
work_dir = '/somewhere/else'
"""


def checkpoint(**about):
    described = dict(
        base=dict(name='RN50:openai', sha256='ab' * 32),
        class_names=['okapi', 'face'],
        trained_keys=['prompt.context', 'head.count'],
        model='TextClassifier',
        data_arguments=dict(num_ids=3, noise=torch.tensor([1.5, 2.5])),
        local=None,
        geometry=dict(grid=(4, 4), stride=(16, 16)),
        fit=None,
        lora_scale=None,
    )
    meta = dict(
        cfg=TEXT, epoch=3, dataset_meta=dict(palette=[(1, 2, 3)], names={0: 'zero'}), vlprompt=described | about
    )
    state = {'prompt.context': torch.randn(2, 4), 'head.count': torch.tensor(7)}
    return dict(meta=meta, state_dict=state)


def assert_equal(found, expected):
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert_equal(found[key], value)
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected)
        for pair in zip(found, expected, strict=True):
            assert_equal(*pair)
    elif isinstance(expected, torch.Tensor):
        assert found.dtype == expected.dtype
        assert torch.equal(found, expected)
    else:
        assert found == expected


@pytest.fixture
def folder(tmp_path):
    write_folder(checkpoint(), tmp_path / 'adapter')
    return tmp_path / 'adapter'


def change(folder, **entries):
    file = folder / CONFIG
    content = json.loads(file.read_text())
    file.write_text(json.dumps({key: value for key, value in (content | entries).items() if value != 'absent'}))


@pytest.mark.parametrize('about', [{}, dict(base=None), dict(class_names=None), dict(lora_scale=0.5)])
def test_round_trip(tmp_path, about):
    content = checkpoint(**about)
    write_folder(content, tmp_path / 'a')
    assert_equal(read_checkpoint(tmp_path / 'a'), content)
    assert sorted(load_file(tmp_path / 'a' / TENSORS)) == ['head.count', 'prompt.context']


def test_a_converted_checkpoint_has_no_base(tmp_path):
    content = checkpoint(converted_from='coop')
    del content['meta']['vlprompt']['base']
    write_folder(content, tmp_path / 'a')
    assert_equal(read_folder(tmp_path / 'a'), content)
    with pytest.raises(CheckpointError, match='does not say what it was trained on'):
        write_folder(dict(meta={}, state_dict=content['state_dict']), tmp_path / 'b')


def test_half_keeps_whole_numbers(tmp_path):
    content = checkpoint()
    write_folder(content, tmp_path / 'a', half=True)
    found = read_folder(tmp_path / 'a')['state_dict']
    assert found['prompt.context'].dtype == torch.float16
    assert found['head.count'].dtype == torch.int64


@pytest.mark.parametrize('value', [(1, [(2,), {}]), {1: 'a', 'b': (None,)}, {'__tuple__': [1]}, torch.zeros(0, 3)])
def test_values_that_json_has_not(value):
    assert_equal(from_json(json.loads(json.dumps(to_json(value)))), value)


@pytest.mark.parametrize(
    'value', [{'__tuple__': 3}, {'__tensor__': [1], 'dtype': 'x', 'shape': [1]}, {'__items__': [1]}]
)
def test_malformed_values(value):
    with pytest.raises(ValueError, match='malformed'):
        from_json(value)


def test_low_rank_branches_have_the_names_of_peft(tmp_path):
    names = [f'clip.{tower}.transformer.resblocks.1.attn' for tower in ('visual', 'text')]
    state = {
        f'{name}.lora.{role}.{x}': torch.randn(s)
        for name in names
        for role in 'qv'
        for x, s in (('A', (2, 8)), ('B', (8, 2)))
    }
    state |= {f'{names[0]}.out_proj.lora.A': torch.randn(2, 8), f'{names[0]}.out_proj.lora.B': torch.randn(8, 2)}
    content = checkpoint(trained_keys=list(state), lora_scale=2**-0.5)
    content['state_dict'] = state
    write_folder(content, tmp_path / 'a', task='IMAGE_CLASSIFICATION')
    assert_equal(read_folder(tmp_path / 'a'), content)
    config, tensors = json.loads((tmp_path / 'a' / CONFIG).read_text()), load_file(tmp_path / 'a' / TENSORS)
    assert config['peft_type'] == 'LORA'
    assert config['task_type'] is None  # peft refuses names of tasks other than its own
    assert config['task'] == 'IMAGE_CLASSIFICATION'
    assert config['target_modules'] == ['attn']
    attention = 'base_model.model.{}transformer.resblocks.1.attn.{}lora_A.weight'
    assert {attention.format('visual.', ''), attention.format('', 'base_layer.out_proj.')} <= set(tensors)
    scale = config['lora_alpha'] / config['r']
    packed = attention.format('visual.', '')
    delta = scale * tensors[packed.replace('_A', '_B')] @ tensors[packed]  # as peft computes it, (3 W, W)
    for rows, role in zip(delta.chunk(3), 'qkv', strict=True):
        own = [state.get(f'{names[0]}.lora.{role}.{letter}') for letter in 'BA']
        expected = torch.zeros(8, 8) if own[0] is None else 2**-0.5 * own[0] @ own[1]
        torch.testing.assert_close(rows, expected)

    tensors[packed.replace('_A', '_B')][0, -1] = 1.0  # a part of the values in the queries
    save_file(tensors, tmp_path / 'a' / TENSORS)
    with pytest.raises(CheckpointError, match=r'attn\.lora_B\.weight is not made of branches.* only be merged'):
        read_folder(tmp_path / 'a')
    write_folder(content, tmp_path / 'a')
    change(tmp_path / 'a', lora_alpha=1)
    with pytest.raises(CheckpointError, match=r'lora_alpha / r is 0\.166667, but .* trained with 0\.707107'):
        read_folder(tmp_path / 'a')


@pytest.mark.parametrize(
    ('entries', 'message'),
    [
        (dict(format='peft'), r"adapter_config\.json is not that of an adapter of vlprompt \(format 'peft'\)"),
        (dict(format='absent'), 'vlprompt import-adapter makes a checkpoint of it'),
        (dict(format_version=2), 'format_version 2, this package reads 1'),
        (dict(clas_names=[]), "unknown key 'clas_names'. Did you mean 'class_names'"),
        (dict(method='absent'), 'lacks method'),
        (dict(trained_keys='prompt.context'), 'trained_keys is a str'),
        (dict(class_names=[1]), 'an entry of class_names is no text'),
        (dict(description={'__tuple__': 1}), '__tuple__ is malformed'),
        (dict(peft_type='LORA'), 'peft_type is LORA, but trained_keys'),
        (dict(trained_keys=['prompt.context']), r'exactly the trained_keys .*foreign: head\.count'),
        (dict(trained_keys=['prompt.context', 'head.count', 'x']), 'missing: x'),
    ],
)
def test_configs_that_do_not_fit(folder, entries, message):
    change(folder, **entries)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(folder)


def test_files_that_are_missing_or_no_safetensors(folder, tmp_path):
    class Exploit:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / 'executed'),)

    (folder / TENSORS).write_bytes(pickle.dumps(Exploit()))
    with pytest.raises(CheckpointError, match='no safetensors file'):
        read_folder(folder)
    torch.save({'prompt.context': torch.zeros(1)}, folder / TENSORS)
    with pytest.raises(CheckpointError, match='no safetensors file'):
        read_folder(folder)
    assert not (tmp_path / 'executed').exists()
    (folder / TENSORS).unlink()
    with pytest.raises(FileNotFoundError, match=TENSORS):
        read_folder(folder)
    (folder / CONFIG).write_text('{')
    with pytest.raises(CheckpointError, match=r'adapter_config\.json:1: not valid JSON'):
        read_folder(folder)


@pytest.mark.parametrize('name', [CONFIG, TENSORS])
def test_links_out_of_the_folder(folder, tmp_path, name):
    (folder / name).rename(tmp_path / 'elsewhere')
    (folder / name).symlink_to(tmp_path / 'elsewhere')
    with pytest.raises(CheckpointError, match=f'{name} leads out of the folder, to .*elsewhere'):
        read_folder(folder)
    assert read_folder(folder, root=tmp_path)


# ------------------------------------------------------------------------------------------------------------- configs


def test_the_config_is_read_and_not_executed():
    cfg = config_of_adapter(checkpoint(), 'a')
    assert cfg.model.sizes == (1, -2.5, None)
    assert cfg.work_dir == 'work_dirs/a'  # not that of the training, which may be anywhere
    assert config_of_adapter(checkpoint(), 'hf-hub:org/name').work_dir == 'work_dirs/name'
    assert parse_config("a = {'x': [float], }".replace('float', '1e-3'), 'a') == {'a': {'x': [1e-3]}}
    assert parse_config("a = dict({'b.[!c]*': dict(d=1)}, e=-inf)", 'a') == {'a': {'b.[!c]*': {'d': 1}, 'e': -math.inf}}


def test_a_config_of_a_mask_rcnn():
    cfg = load_config('denseclip_det/mask-rcnn_denseclip-r50_fpn_1x_coco')
    found = config_of_adapter(dict(meta=dict(cfg=cfg.pretty_text)), 'a')
    assert found.model.roi_head.bbox_roi_extractor.roi_layer.type == 'RoIAlign'
    assert found.model.test_cfg.rcnn.nms.type == 'nms'


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('import os', "line 1 of its config is 'import os'; only literals"),
        ("a = 1\nmodel = open('/etc/passwd')", 'line 2'),
        ('model = dict(**a)', 'only literals'),
        ('model = dict([(1, 2)])', 'only literals'),
        ('model = dict({1: open("a")})', 'only literals'),
        ('model = [x for x in ()]', 'only literals'),
        ('a.b = 1', 'only literals'),
        ('model = (', 'not valid Python'),
        ('a = 1', 'has no model'),
        ("model = dict(type='os.system', command='true')", r"model\.type='os\.system' .* no registered type"),
        ("model = dict(type='TextClassifier', clip=[dict(type='mmengine.load')])", r"clip\.0\.type='mmengine\.load'"),
        ("model = dict(type='mmengine.fileio.load')", 'no registered type'),
        ("model = dict(type='antigravity')", 'no registered type'),
        ("model = dict(type=3)", 'no registered type'),
        ("model = dict(a=dict(roi_layer=dict(type='os')))", r"roi_layer\.type='os' .* no registered type"),
        ("model = dict(a=1)\nrunner_type = 'os.system'", r"runner_type='os\.system'"),
        ("model = dict(a=1)\ncustom_imports = dict(imports=['my_module'])", "imports 'my_module', which is no module"),
        ("model = dict(nms=dict(type='__import__(0)'))", r"model\.nms\.type='__import__\(0\)'"),
        ("model = dict(roi_layer=dict(type='os.system'))", r"model\.roi_layer\.type='os\.system'"),
        ("model = dict(dict(a=1))", 'only literals'),
        ("model = dict({'a': 1}, {'b': open('x')})", 'only literals'),
        (
            "default_scope = 'mmdet'\nmodel = dict(assigner=dict(type='CameraMotionCompensation', warp_mode='exit()'))",
            r"model\.assigner\.type='CameraMotionCompensation' .* could execute something",
        ),
        ("model = dict(type='mmseg.TIMMBackbone', pretrained=True)", "type='mmseg.TIMMBackbone' .* could execute"),
        ("model = dict(class_weight='https://a.b/w.pkl')", r"class_weight='https://a\.b/w\.pkl' .* execute"),
        ("model = dict(a=1)\ntest_dataloader = dict(ann_file='x.YAML')", r"ann_file='x\.YAML' .* execute"),
        ("model = dict(decode_backend='pickle')", "decode_backend='pickle' .* execute"),
        ("model = dict(a=1)\ndefault_scope = 'mmpretrain'", "default_scope='mmpretrain' .* is none of vlprompt"),
        ("model = dict(_scope_='mmpretrain')", r"model\._scope_='mmpretrain' .* is none of vlprompt"),
        ("model = dict(a=1)\ncustom_imports = 'os'", "imports 'os'"),
        ("model = dict(a=1)\ntest_evaluator = [dict(out_file_path='x.pkl')]", r"evaluator\.0\.out_file_path='x\.pkl'"),
        ("model = dict(a=1)\ntest_cfg = dict(store='../x')", r"test_cfg\.store='\.\./x' .* would write there"),
    ],
)  # fmt: skip
def test_configs_that_could_execute_something(text, message):
    content = checkpoint()
    content['meta']['cfg'] = text
    with pytest.raises(CheckpointError, match=message):
        config_of_adapter(content, 'a')


def test_an_adapter_without_a_config():
    content = checkpoint()
    del content['meta']['cfg']
    with pytest.raises(CheckpointError, match='a does not hold a config: give that of its model, CONFIG a'):
        config_of_adapter(content, 'a')


# ------------------------------------------------------------------------------------------------------------- sources


def test_names(folder, tmp_path):
    assert is_adapter(folder)
    assert is_adapter(str(folder))
    assert is_adapter('builtin:anything')
    assert is_adapter('hf-hub:org/name')
    assert not is_adapter(tmp_path)
    assert not is_adapter(folder / TENSORS)
    assert not is_adapter(None)


@pytest.mark.parametrize('name', ['../../clip', 'coop_micro-rn/../coop_micro-rn', '', 'coop_micro-m'])
def test_a_shipped_adapter_that_there_is_not(name):
    with pytest.raises(CheckpointError, match=r'there is no builtin:.*vlprompt list --adapters'):
        read_checkpoint(f'builtin:{name}')


@pytest.fixture
def hub(folder, tmp_path, monkeypatch):
    """A hub whose cache holds the folder as ``org/name``, with links into blobs as the real one has."""
    repository = tmp_path / 'cache' / 'models--org--name'
    snapshot, blobs = repository / 'snapshots' / 'abc', repository / 'blobs'
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for name in (CONFIG, TENSORS):
        (folder / name).rename(blobs / name)
        (snapshot / name).symlink_to(blobs / name)
    monkeypatch.setattr(
        huggingface_hub,
        'try_to_load_from_cache',
        lambda repository, name, revision: (
            str(snapshot / name) if repository == 'org/name' and revision in (None, 'v1.0') else None
        ),
    )
    return repository


def test_a_repository_of_the_hub(hub, monkeypatch, tmp_path):
    found = read_checkpoint('hf-hub:org/name')
    assert found['meta']['vlprompt']['class_names'] == ['okapi', 'face']
    assert_equal(read_checkpoint('hf-hub:org/name@v1.0'), found)
    for name in ('../name', 'org/name@', 'org/name@../..'):
        with pytest.raises(CheckpointError, match='must name a repository: hf-hub:ORG/NAME'):
            read_checkpoint(f'hf-hub:{name}')
    monkeypatch.setattr('vlprompt.clip.download.require_hub', lambda: (_ for _ in ()).throw(ConnectionError('no net')))
    with pytest.raises(DownloadError, match=r'adapter org/other.*huggingface\.co/org/other.*no net'):
        read_checkpoint('hf-hub:org/other')
    with pytest.raises(DownloadError, match=r'adapter org/name@v2.*no net'):
        read_checkpoint('hf-hub:org/name@v2')
    outside = hub / 'snapshots/abc' / TENSORS
    outside.unlink()
    (tmp_path / 'secret').write_bytes(b'')
    outside.symlink_to(tmp_path / 'secret')
    with pytest.raises(CheckpointError, match='leads out of the folder'):
        read_checkpoint('hf-hub:org/name')
