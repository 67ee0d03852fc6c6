"""The report about a GPU: its small form on a CPU, what it asks of a GPU, by fakes, and how it goes on."""

import json
import warnings
from types import SimpleNamespace

import pytest
import torch

from tools.analysis_tools import gpu_report
from vlprompt.apis.gpu_report import SECTIONS, Setting, probes, write_report
from vlprompt.apis.gpu_report import report as reports
from vlprompt.apis.gpu_report.case import Case, Check
from vlprompt.apis.gpu_report.checks import golden_checks, without_tf32
from vlprompt.apis.gpu_report.devices import PEAKS, peak_of
from vlprompt.clip.text.costs import LAUNCH
from vlprompt.errors import DataError

CPU = torch.device('cpu')


@pytest.mark.slow  # every kind of model
def test_everything_runs_on_a_cpu(tmp_path, capsys):
    gpu_report.main(['--device', 'cpu', '--out', str(tmp_path)])
    assert 'Written to' in capsys.readouterr().out
    (path,) = tmp_path.glob('CPU_*_small.json')
    rows = json.loads(path.read_text())['rows']
    assert list(rows) == list(SECTIONS)
    assert [row['error'] for section in rows.values() for row in section.values() if 'error' in row] == []
    for section, found in rows.items():
        for row in found.values():
            assert row['passed'] if section == 'numbers' else min(row['ms'], row['launches'], row['bytes']) > 0
    packed, plain = (rows['text tower'][f'10 names, N = 1, {way}, float32'] for way in ('packed', 'all positions'))
    assert 10 * packed['flops'] < plain['flops']
    assert packed['peak'] < plain['peak']
    step = rows['prompts']['PLOT, N = 4, step, 4 images, float32']
    assert step['estimate_ms'] >= 1000 * LAUNCH * step['launches']
    shown = path.with_suffix('.md').read_text()
    assert 'Micro models' in shown
    assert all(f'## {section}' in shown for section in SECTIONS)


def test_the_tool_names_all_sections():
    assert tuple(SECTIONS) == gpu_report.SECTIONS


@pytest.fixture
def gpu(monkeypatch):
    """The calls of torch.cuda that a probe makes, and answers of a GPU that takes 2 ms, waits twice and holds 700."""
    asked = []

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            asked.append('record')

        def elapsed_time(self, end):
            assert asked[-1] == 'synchronize', 'an event has passed when the device is done'
            return 2.0

    answers = dict(
        Event=Event,
        synchronize=lambda device=None: asked.append('synchronize'),
        get_device_name=lambda device: 'NVIDIA H100 80GB HBM3',
        get_sync_debug_mode=lambda: 0,
        set_sync_debug_mode=lambda mode: asked.append(mode),
        memory_allocated=lambda device: 100,
        max_memory_allocated=lambda device: 800,
        reset_peak_memory_stats=lambda device: asked.append('reset'),
        empty_cache=lambda: None,
        set_device=lambda device: asked.append(device),
    )
    for name, answer in answers.items():
        monkeypatch.setattr(torch.cuda, name, answer)
    kernel = torch.autograd.DeviceType.CUDA
    events = [('gemm', kernel), ('Memcpy HtoD', kernel), ('aten::mm', torch.autograd.DeviceType.CPU), ('add', kernel)]

    class Profile:
        def __init__(self, activities):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def events(self):
            return [SimpleNamespace(name=name, device_type=device) for name, device in events]

    monkeypatch.setattr(probes, 'profile', Profile)
    return asked


def multiply():
    """What a GPU would be asked for."""
    product = torch.ones(8, 16) @ torch.ones(16, 4)
    for _ in range(2):
        warnings.warn(probes.WAIT, stacklevel=1)
    return product


def test_a_gpu_is_asked(gpu):
    probe = probes.probe_of(torch.device('cuda'))
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        row = Case('product', lambda: multiply, 'tf32', images=4).measure(probe)
    assert row['ms'] == 2.0
    assert row['launches'] == 2, 'copies are no kernels'
    assert row['waits'] == 2
    assert gpu.count('warn') == gpu.count(0) == 1, 'the mode that finds waits ends'
    assert row['peak'] == 700
    assert row['flops'] == 2 * 8 * 16 * 4
    assert row['images_per_s'] == 4 / 0.002
    peak = PEAKS['H100']
    assert row['share'] == pytest.approx(max(row['flops'] / peak.tf32, row['bytes'] / peak.bandwidth) / 0.002)
    assert 'estimate_ms' not in row


def test_the_gpu_that_is_measured_is_the_current_one(gpu):
    second = torch.device('cuda', 1)
    assert probes.probe_of(second).device == second
    assert gpu == [second]


def test_checks_use_cudnn_without_tf32(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', True)
    with without_tf32():
        assert torch.backends.cudnn.enabled
        assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.allow_tf32


def test_names_of_gpus():
    assert peak_of('NVIDIA H100 80GB HBM3') is PEAKS['H100']
    assert peak_of('NVIDIA H100 PCIe') is PEAKS['H100 PCIe']
    assert peak_of('NVIDIA A100-SXM4-80GB') is PEAKS['A100-SXM4-80GB']
    assert peak_of('NVIDIA A100-SXM4-40GB') is PEAKS['A100']
    assert peak_of('NVIDIA GeForce RTX 4090') is PEAKS['RTX 4090']
    assert peak_of('Tesla T4') is PEAKS['T4']
    assert peak_of('NVIDIA GH100X') is None
    assert PEAKS['H100'].seconds(flops=0, bytes=3350, precision='half') == pytest.approx(1e-9)


def sections(monkeypatch, *cases):
    """A report of one section."""
    monkeypatch.setattr(reports, 'SECTIONS', {'some': lambda setting: iter(cases)})


def test_a_second_start_goes_on(tmp_path, monkeypatch):
    ran, broken = [], [True]

    def good():
        ran.append('good')
        return lambda: torch.ones(2) + 1

    def bad():
        ran.append('bad')
        if broken:
            raise torch.OutOfMemoryError('CUDA out of memory.\nTried')
        return lambda: None

    check = Check('numbers', lambda: dict(logits=0.5, loss=0.0), limit=0.1)
    sections(monkeypatch, Case('bad', bad), Case('good', good, images=1), check)
    said = []
    report, left = write_report(tmp_path, Setting(CPU, small=True), ['some'], say=said.append)
    assert left == 0
    assert said[0] == 'some: bad: OutOfMemoryError: CUDA out of memory.'
    assert said[2] == 'some: numbers: FAILED'
    shown = report.path.with_suffix('.md').read_text()
    assert '* bad: OutOfMemoryError' in shown
    assert '| numbers | logits 5.0e-01, loss 0.0e+00 | 1e-01 | **failed** |' in shown
    broken.clear()
    write_report(tmp_path, Setting(CPU, small=True), ['some'], say=said.append)
    assert ran == ['bad', 'good', 'bad']
    assert 'out of memory' not in report.path.with_suffix('.md').read_text()


def test_it_ends_in_time(tmp_path, monkeypatch):
    sections(monkeypatch, *(Case(name, lambda: lambda: torch.ones(1)) for name in 'abc'))
    now = [0.0]

    def clock():
        now[0] += 50.0
        return now[0]

    monkeypatch.setattr(reports, 'time', SimpleNamespace(monotonic=clock))
    report, left = write_report(tmp_path, Setting(CPU, small=True), ['some'], minutes=3, say=lambda _: None)
    assert (list(report.rows['some']), left) == (['a'], 2), 'a took 50 of 180 seconds, 150 were over'


def test_a_device_whose_rates_are_unknown_is_said_so(tmp_path, monkeypatch, gpu):
    monkeypatch.setattr(torch.cuda, 'get_device_name', lambda device: 'Some GPU')
    sections(monkeypatch, Case('a', lambda: lambda: torch.ones(1) + 1))
    report, _ = write_report(tmp_path, Setting(torch.device('cuda'), small=False), ['some'], say=lambda _: None)
    assert 'peak rates of this device are not known' in report.markdown()
    assert 'share' not in report.rows['some']['a']
    assert report.path.name.startswith('Some-GPU_')


def test_reference_numbers_that_are_not_there(tmp_path):
    with pytest.raises(DataError, match=r'needs golden\.py'):
        next(golden_checks(tmp_path, CPU))
