"""Speed of predictions: what is timed, how often, and the text tower apart."""

import re
from types import SimpleNamespace

import pytest
import torch

from tests.conftest import run_tool
from tests.tiny_project import TinyProject
from tools.analysis_tools import benchmark
from vlprompt.apis import init_model
from vlprompt.apis.sample_batch import image_size
from vlprompt.apis.speed import Latency, blank_samples, measure, text_function
from vlprompt.errors import ConfigError


def test_latencies():
    latency = Latency(tuple(range(1, 101)))
    assert latency.median == 50.5
    assert latency.percentile(90) == pytest.approx(90.1)


def test_calls_before_the_timed_ones_do_not_count():
    calls = []
    latency = measure(lambda: calls.append(1), torch.device('cpu'), calls=3, warmup=2)
    assert (len(calls), len(latency.seconds)) == (5, 3)


def test_calls_end_on_the_device_that_computes(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, 'synchronize', waited.append)
    measure(lambda: None, torch.device('cuda:1'), calls=1, warmup=0)
    assert waited == [torch.device('cuda:1')] * 2


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    return TinyProject.create(tmp_path_factory.mktemp('project'))


def test_text_is_computed_anew_each_time(project, monkeypatch):
    model = init_model(project.config)
    count = []
    encode = model.prompt.encode
    monkeypatch.setattr(model.prompt, 'encode', lambda *args: count.append(1) or encode(*args))
    with torch.no_grad():
        text = text_function(model)
        text()
        text()
        assert len(count) == 2
        model(torch.zeros(1, 3, 32, 32), mode='tensor')
    assert len(count) == 2, 'predictions use what is kept'


def test_text_that_depends_on_the_image_has_no_time_of_its_own(project):
    options = {'model.prompt.type': 'vlprompt.ConditionalPrompt'}
    assert text_function(init_model(project.config, cfg_options=options)) is None


def test_a_two_stage_detector_looks_at_every_image():
    names = [sample.img_id for sample in blank_samples(SimpleNamespace(roi_head=None), (32, 48), 3)]
    assert names == [0, 1, 2]


def test_a_model_without_a_size_asks_for_one():
    with pytest.raises(ConfigError, match=r'no part of Linear was built for a size of images: give it \(--size H W'):
        image_size(torch.nn.Linear(1, 1))


def test_the_tool(project):
    shown = run_tool(benchmark.main, project.config, 'none', '--batch-size', 2, '--calls', 3, '--warmup', 1)
    assert re.search(r': 2 x 32 x 32 on cpu, \d+ threads?s?, float32\n', shown)
    assert re.search(r'^images per second +[\d.]+\na batch +50 % .* ms, 3 calls\ntext, once +50 % ', shown, re.M)
    assert re.search(r'^peak memory +\d+ MiB$', shown, re.M)
    for given, used in ((['--amp'], 'bfloat16'), (['--amp', 'fp16'], 'float16')):
        shown = run_tool(benchmark.main, project.config, 'none', '--calls', 1, '--warmup', 0, *given)
        assert re.search(rf' on cpu, .*, {used}\n', shown)
