"""The memory of a step, estimated without data: against the same step with data, against torch's profiler, and the
word before a training that will not fit.
"""

import copy
import logging
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from tests.test_fake_gpu import autocast_without_gpu, build, training_batch
from vlprompt.clip.text.encoder import pack_texts_for_gpu
from vlprompt.engine.dry_run import fake_batch, fake_copy, gpu_autocast
from vlprompt.engine.hooks.memory import DeviceMemory, MemoryHook, gpu_memory
from vlprompt.engine.memory import LiveMemory, inference_memory, tensors_in, training_memory, use_foreach
from vlprompt.models.gather import gather_batch

MODELS = ['plot/plot_micro-rn', 'clipreid/clipreid_micro-vit_sie:finetune']


@pytest.fixture(scope='module', params=MODELS)
def step(request):
    """A model, a batch, and an optimizer."""
    torch.manual_seed(0)
    model = build(request.param).train()
    images, samples = training_batch(model, request.param, torch.clone)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])
    return model, dict(inputs=images, data_samples=samples), optimizer


def run(model, batch, optimizer, dtype=None):
    with gpu_autocast(dtype):
        loss, _ = model.parse_losses(model(**batch, mode='loss'))
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()


@pytest.mark.parametrize('dtype', [None, torch.bfloat16], ids=['fp32', 'amp'])
def test_the_same_step_with_data_takes_as_much(step, dtype):
    model, batch, optimizer = step
    estimate = training_memory(model, batch, [optimizer], dtype)
    model, optimizer = copy.deepcopy((model, optimizer))
    pack_texts_for_gpu(model, half=dtype is not None)
    use_foreach([optimizer])
    with LiveMemory() as memory:
        memory.add([*model.parameters(), *model.buffers(), *tensors_in(batch)])
        for _ in range(2):
            run(model, batch, optimizer, dtype)
    assert estimate.peak == pytest.approx(memory.peak, rel=0.01)
    trained = sum(p.nbytes for p in model.parameters() if p.requires_grad)
    assert estimate.gradients == trained
    assert estimate.optimizer == pytest.approx(2 * trained, rel=0.01)
    assert estimate.weights < estimate.peak
    assert inference_memory(model.eval(), batch, dtype).peak < estimate.peak


def test_the_allocator_was_asked_for_as_much(step):
    """By torch's profiler, which also sees what single operations need inside, on a CPU."""
    model, batch, optimizer = copy.deepcopy(step)
    pack_texts_for_gpu(model)
    run(model, batch, optimizer)  # the states of the optimizer
    present = sum(t.nbytes for t in [*model.parameters(), *model.buffers(), *tensors_in(batch)])
    present += sum(t.nbytes for t in tensors_in(list(optimizer.state.values())))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        run(model, batch, optimizer)
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == '[memory]']
    held = peak = present
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    optimizer.param_groups[0]['foreach'] = False  # as on a CPU
    assert training_memory(model, batch, [optimizer]).peak == pytest.approx(peak, rel=0.05)


def test_mixed_precision_keeps_what_it_keeps_on_a_gpu(step):
    """Tensors of a GPU that is not there go forward under its own autocast; it has no kernel of attention, so neither
    side uses one.
    """
    model, batch, _ = step
    kept = []
    half = torch.float16
    for device, context in (('cpu', gpu_autocast(half)), ('cuda', autocast_without_gpu('cuda', half))):
        mode, memory = FakeTensorMode(), LiveMemory()
        fake = fake_copy(model, mode, device)
        pack_texts_for_gpu(fake, half=True)
        with mode, memory, context, sdpa_kernel(SDPBackend.MATH):
            losses = fake(**fake_batch(batch, mode, device), mode='loss')
            kept.append(memory.bytes)
        del losses
    assert kept[0] == pytest.approx(kept[1], rel=0.02)


FUNCTIONS = {
    'linear': lambda x: F.linear(x, x),
    'layer norm': lambda x: F.layer_norm(x, x.shape[-1:]),
    'group norm': lambda x: F.group_norm(x, 2),
    'normalize': F.normalize,
    'softmax': lambda x: x.softmax(-1),
    'log_softmax': lambda x: F.log_softmax(x, dim=-1),
    'sum': lambda x: x.sum(-1),
    'mean': lambda x: x.mean(-1),
    'power': lambda x: x**2,
    'exp': torch.exp,
    'mse_loss': lambda x: F.mse_loss(x, 2 * x),
    'gelu': F.gelu,
    'not in autocast': lambda x: _without_autocast(x),
}


def _without_autocast(x):
    with torch.autocast(x.device.type, enabled=False):
        return x.exp()


@pytest.mark.parametrize('name', FUNCTIONS)
def test_dtypes_are_those_of_a_gpu(name):
    half, found = torch.float16, []
    for device, context in (('cpu', gpu_autocast(half)), ('cuda', autocast_without_gpu('cuda', half))):
        mode = FakeTensorMode()
        with mode, context:
            found.append(FUNCTIONS[name](torch.empty(4, 4, dtype=half, device=device)).dtype)
    assert found[0] == found[1]


def test_processes_do_not_meet_for_an_estimate(step, monkeypatch):
    """One may fail where another goes on; and a process group of GPUs takes no tensors of a CPU."""

    def fail(*_):
        raise AssertionError('the other process is not there')

    monkeypatch.setattr('vlprompt.models.losses.reduction.get_world_size', lambda: 2)
    monkeypatch.setattr('vlprompt.models.losses.reduction.all_reduce', fail)
    monkeypatch.setattr('vlprompt.models.gather.get_dist_info', lambda: (1, 2))
    monkeypatch.setattr('vlprompt.models.gather.dist', SimpleNamespace(all_gather=fail, all_reduce=fail))
    model, batch, optimizer = step
    monkeypatch.setattr(model, 'gather', True, raising=False)
    assert training_memory(model, batch, [optimizer]).peak > 0
    with FakeTensorMode():
        assert gather_batch(torch.ones(3, 2)).shape == (6, 2)


def test_a_compiled_method_of_the_model_is_not_called(step, monkeypatch):
    model, batch, optimizer = step
    expected = training_memory(model, batch, [optimizer])
    compiled = Mock(side_effect=AssertionError('it is that of the model with data'))
    for name in ('forward', 'loss'):
        monkeypatch.setattr(model, name, compiled)
    assert training_memory(model, batch, [optimizer]) == expected


def test_memory_is_given_back():
    with LiveMemory() as memory:
        first = torch.empty(1024, dtype=torch.uint8)
        view = first[:10]
        del first
        assert memory.bytes == 1024, 'a view holds it'
        del view
        assert memory.bytes == 0
        torch.empty(1, dtype=torch.uint8)
    assert (memory.bytes, memory.peak) == (0, 1024)


GIBIBYTE = 2**30


def messages(project, work_dir, caplog, hook, **options):
    """What a training says about its memory, as level and text, and its model."""
    runner = project.run(work_dir, train_cfg__max_epochs=1, default_hooks__memory=None, **options)
    runner.register_hook(hook)
    runner.logger.addHandler(caplog.handler)
    runner.logger.setLevel(logging.INFO)
    try:
        model = runner.train()
    finally:
        runner.logger.removeHandler(caplog.handler)
    found = [record for record in caplog.records if 'training step' in record.getMessage()]
    return [(record.levelname, record.getMessage()) for record in found], model


def test_a_step_that_will_not_fit_says_so_before_it_starts(project, tmp_path, caplog):
    hook = MemoryHook(lambda device: DeviceMemory(free=2**20, total=GIBIBYTE))
    (only,), _ = messages(project, tmp_path, caplog, hook)
    assert only[0] == 'WARNING'
    assert '0.0 of 1.0 GiB of the GPU are free' in only[1]
    assert 'lower train_dataloader.batch_size' in only[1]
    assert '--amp' in only[1]
    logged = [record.getMessage() for record in caplog.records]
    first_step = next(i for i, message in enumerate(logged) if 'Epoch(train)' in message)
    assert logged.index(only[1]) < first_step


def test_a_step_that_fits_says_how_much_it_needs(project, tmp_path, caplog):
    hook = MemoryHook(lambda device: DeviceMemory(free=80 * GIBIBYTE, total=80 * GIBIBYTE))
    (only,), trained = messages(project, tmp_path / 'a', caplog, hook)
    assert only[0] == 'INFO'
    assert '80.0 of 80.0 GiB' in only[1]
    caplog.clear()
    none, plain = messages(project, tmp_path / 'b', caplog, MemoryHook())
    assert none == [], 'a CPU has nothing to compare with'
    assert gpu_memory(torch.device('cpu')) is None
    for ours, same in zip(trained.parameters(), plain.parameters(), strict=True):
        assert torch.equal(ours, same), 'the estimate changes no training'


def test_what_cannot_be_estimated_is_said_and_trained(project, tmp_path, caplog, monkeypatch):
    def fail(*_):
        raise RuntimeError('aten.nonzero.default\nmore')

    monkeypatch.setattr('vlprompt.engine.memory.training_memory', fail)
    hook = MemoryHook(lambda device: DeviceMemory(free=0, total=0))
    (only,), _ = messages(project, tmp_path, caplog, hook)
    assert only == ('INFO', 'The memory of a training step cannot be estimated (RuntimeError: aten.nonzero.default)')


def test_a_model_that_is_shared_out_is_not_estimated(project, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr('vlprompt.engine.hooks.memory.is_sharded', lambda model: True)
    hook = MemoryHook(lambda device: DeviceMemory(free=0, total=0))
    (only,), _ = messages(project, tmp_path, caplog, hook)
    assert only == ('INFO', 'The memory of a training step is not estimated under --strategy fsdp')


def test_runs_have_the_hook(project, tmp_path):
    assert any(isinstance(hook, MemoryHook) for hook in project.run(tmp_path).hooks)
