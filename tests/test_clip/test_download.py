"""One quick try before a download, and what to type if it fails."""

import socket
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import huggingface_hub
import pytest

from tests.conftest import free_port
from vlprompt.clip import download
from vlprompt.errors import DownloadError


class Refuse(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.send_error(403)

    def log_message(self, *_):
        pass


@pytest.fixture(autouse=True)
def without_proxy(monkeypatch):
    monkeypatch.setenv('no_proxy', '127.0.0.1')


def test_any_answer_counts():
    with HTTPServer(('127.0.0.1', 0), Refuse) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        download.require_answer(f'http://127.0.0.1:{server.server_port}/file')
        server.shutdown()


def test_no_server():
    with pytest.raises(ConnectionError, match=r'cannot be reached: .*refused'):
        download.require_answer(f'http://127.0.0.1:{free_port()}')


def test_a_server_that_is_silent_costs_a_moment():
    with socket.socket() as silent:
        silent.bind(('127.0.0.1', 0))
        silent.listen()
        start = time.monotonic()
        with pytest.raises(ConnectionError, match=r'did not answer within 0\.2 seconds|timed out'):
            download.require_answer(f'http://127.0.0.1:{silent.getsockname()[1]}', seconds=0.2)
    assert time.monotonic() - start < 2


def test_a_cached_file_of_open_clip_needs_no_network(monkeypatch, tmp_path):
    held = {('timm/resnet50_clip.openai', 'open_clip_model.safetensors'): str(tmp_path / 'x.safetensors')}
    monkeypatch.setattr(huggingface_hub, 'try_to_load_from_cache', lambda repo, name, revision: held.get((repo, name)))
    monkeypatch.setattr(download, 'require_answer', lambda url: pytest.fail('no network is needed'))
    entry = dict(hf_hub='timm/resnet50_clip.openai/')
    assert download.open_clip_file(entry) == tmp_path / 'x.safetensors'


def test_no_second_try_without_an_answer(monkeypatch):
    def unreachable(url):
        raise ConnectionError(f'{url} cannot be reached')

    def tried(*_):
        pytest.fail('a download without an answer')

    monkeypatch.setattr(download, 'require_answer', unreachable)
    monkeypatch.setattr('open_clip.pretrained.download_pretrained', tried)
    for entry in (dict(hf_hub='nobody/nothing/'), dict(url='https://example.org/nothing.pt', hf_hub='')):
        with pytest.raises(ConnectionError, match='cannot be reached'):
            download.open_clip_file(entry)


def test_the_message_follows_where_the_option_stands():
    error = DownloadError("the weights 'openai' of RN50", 'URL', dict(weights='F', quick_gelu=True), 'openai', 'no net')
    assert "weights='F', quick_gelu=True. The reason was: no net" in str(error)
    typed = error.in_config(['model.backbone.clip'])
    assert '--cfg-options model.backbone.clip.weights=F model.backbone.clip.quick_gelu=True.' in str(typed)
    assert isinstance(typed, FileNotFoundError)


def test_url_of_the_hub(monkeypatch):
    asked = []
    monkeypatch.setattr(download, 'require_answer', asked.append)
    monkeypatch.setattr(huggingface_hub.constants, 'ENDPOINT', 'https://mirror.example')
    download.require_hub()
    assert asked == ['https://mirror.example']
    assert download.hub_file('nobody/nothing-of-this-name', 'x.bin') is None
