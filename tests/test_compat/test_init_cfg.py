"""Files named by ``init_cfg`` are read by our own reader, whatever the scheme."""

import inspect
import io
import re

import pytest
import torch
from mmengine.model import BaseModule
from mmengine.runner import checkpoint
from mmengine.runner.checkpoint import CheckpointLoader, _load_checkpoint

from tests.hostile_files import FILES
from vlprompt.compat import pretrained
from vlprompt.engine import PromptRunner  # noqa: F401  as every run imports it
from vlprompt.errors import CheckpointError


class Layer(BaseModule):
    def __init__(self, path):
        super().__init__(init_cfg=dict(type='Pretrained', checkpoint=str(path)))
        self.linear = torch.nn.Linear(2, 1)


def test_weights_of_a_file(tmp_path):
    torch.save({'state_dict': {'linear.weight': torch.ones(1, 2), 'linear.bias': torch.ones(1)}}, tmp_path / 'a.pth')
    layer = Layer(tmp_path / 'a.pth')
    layer.init_weights()
    assert layer.linear.weight.tolist() == [[1, 1]]


def test_nothing_is_executed_and_errors_name_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    (tmp_path / 'checkpoints').mkdir()
    for name in ('system_in_zip', 'system_in_legacy', 'exec_in_bare_pickle'):
        path, marker = tmp_path / 'checkpoints' / f'{name}.pth', tmp_path / 'executed'
        FILES[name](path, marker)
        for source in (str(path), f'https://example.com/{name}.pth'):
            try:
                _load_checkpoint(source)
            except CheckpointError as error:
                assert str(path) in str(error)  # noqa: PT017
        assert not marker.exists()


def test_files_in_memory(tmp_path):
    buffer = io.BytesIO()
    torch.save({'a': torch.ones(2)}, buffer)
    buffer.seek(0)
    assert pretrained.load_file(buffer)['a'].tolist() == [1, 1]
    with pytest.raises(CheckpointError, match='the downloaded file cannot be read'):
        pretrained.load_file(io.BytesIO(b'nothing'))


def test_a_download_is_kept(tmp_path, monkeypatch):
    def download(url, target, hash_prefix, progress):
        assert (url, hash_prefix) == ('https://example.com/a-12345678.pth?x=1', '12345678')
        torch.save({'a': torch.ones(2)}, target)

    monkeypatch.setattr(torch.hub, 'download_url_to_file', download)
    for _ in range(2):
        url = 'https://example.com/a-12345678.pth?x=1'
        assert pretrained.load_url(url, str(tmp_path), check_hash=True)['a'].tolist() == [1, 1]
        monkeypatch.setattr(torch.hub, 'download_url_to_file', None)


def test_every_scheme_of_mmengine_goes_through_these(monkeypatch):
    """What it calls with a file or an address, by the source of its loaders."""
    source = inspect.getsource(checkpoint)
    body = source[source.index('class CheckpointLoader') :]
    assert CheckpointLoader._schemes
    assert not re.search(r'\btorch\.load\(|\bpickle\.load', body)
