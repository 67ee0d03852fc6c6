"""Trainings with ``compile``: by the backend ``eager``, which needs no compiler and computes as without."""

import json
import shutil

import pytest
import torch
from mmengine.config import Config
from torch import nn

from tests.interruption import Interrupted
from tests.tiny_project import TinyFit
from tests.two_processes import in_two_processes
from vlprompt.apis import runs
from vlprompt.clip import build_clip
from vlprompt.engine import load_config, read_checkpoint
from vlprompt.engine.checkpoint import RESUME_FILE
from vlprompt.engine.compiling import compile_options, compiled_method, use_compiled
from vlprompt.errors import ConfigError
from vlprompt.models.feature_cache import FeatureCache
from vlprompt.prompts import ContextPrompt

INTERRUPTED = [dict(type='InterruptingHook', iteration=7)]  # of 12, within the third epoch
EAGER = dict(backend='eager')


@pytest.fixture(autouse=True)
def fresh_dynamo():
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()


@pytest.fixture
def saved(project, work_dir):
    """What a training leaves to resume from."""

    def train(name, resume=False, **options):
        runner = project.run(work_dir.with_name(name), resume=resume, **options)
        try:
            runner.train()
        except Interrupted:
            return None
        return read_checkpoint(work_dir.with_name(name) / RESUME_FILE)

    return train


def test_a_compiled_training_gives_the_same_weights_also_when_it_is_resumed(saved):
    batches = dict(train_dataloader__batch_size=5)  # 5, 5 and 2 images
    plain = saved('plain', **batches)['state_dict']
    assert saved('compiled', compile=EAGER, custom_hooks=INTERRUPTED, **batches) is None
    counters = torch._dynamo.utils.counters
    assert counters['stats']['unique_graphs'] == 2
    assert not counters['graph_break']
    resumed = saved('compiled', resume=True, compile=EAGER, **batches)['state_dict']
    assert list(resumed) == list(plain) == ['prompt.context']
    assert torch.equal(resumed['prompt.context'], plain['prompt.context'])


def test_a_training_without_steps_is_not_compiled(tmp_path):
    project = TinyFit.create(tmp_path)
    with pytest.raises(ConfigError, match='compile has no effect: the solver is fitted at once'):
        project.run(tmp_path / 'work', compile=True)
    cfg = load_config(project.config)
    for use in (runs.use_compile, runs.use_amp):
        with pytest.raises(ConfigError, match='has no effect: the solver is fitted at once'):
            use([cfg])
    steps = Config(dict(optim_wrapper=dict(optimizer=dict(type='SGD')), compile=EAGER))
    cfg.compile = EAGER
    runs.use_compile([steps, cfg])  # phases of one config
    assert (steps.compile, cfg.get('compile')) == (EAGER, None)


def test_options_of_the_compiler(project):
    assert compile_options({}) is compile_options(dict(compile=False)) is None
    assert compile_options(dict(compile=True)) == {}
    with pytest.raises(ConfigError, match=r"compile.backend=inducter: .*Did you mean 'inductor'"):
        compile_options(dict(compile=dict(backend='inducter')))
    with pytest.raises(ConfigError, match=r"'compile\.bakend'\. Did you mean 'compile.backend'"):
        load_config(project.config, {'compile.bakend': 'eager'})
    cfg = load_config(project.config, {'compile.backend': 'eager'})
    runs.use_compile([cfg])
    assert cfg.compile == dict(backend='eager')


@torch._dynamo.register_backend(name='counting')
def counting(graph, inputs):
    """``eager``, with the number of graphs in ``counting.graphs``."""
    counting.graphs += 1
    return graph.forward


@pytest.mark.slow
def test_two_processes_compile_what_they_compute_without(project, tmp_path):
    """Of a whole model a graph ends where a bucket of gradients does, which are sent during the backward pass, or where
    a part that is shared out is gathered.
    """
    compiled = dict(compile=dict(backend='counting'))
    buckets = dict(model_wrapper_cfg=dict(type='MMDistributedDataParallel', bucket_cap_mb=1))
    ways = dict(plain={}, ddp=compiled | buckets, fsdp=compiled | dict(strategy='fsdp'))
    common = dict(
        model__trainable=['*'],
        optim_wrapper__optimizer__lr=1e-3,
        optim_wrapper__accumulative_counts=2,
        train_dataloader__batch_size=2,
        train_cfg__max_epochs=1,
        log_processor__window_size=1,
        launcher='pytorch',
    )

    def member():
        found = {}
        for name, options in ways.items():
            counting.graphs = 0
            project.run(tmp_path / name, **common, **options).train()
            found[name] = counting.graphs, dict(torch._dynamo.utils.counters['graph_break'])
        return found

    for found in in_two_processes(member, tmp_path):
        assert found['plain'] == (0, {})
        assert found['ddp'][0] > 2
        assert not found['ddp'][1]
        assert found['fsdp'][0] > 2
    state, steps = trained(tmp_path / 'plain')
    assert len(steps) == 3
    for name in ('ddp', 'fsdp'):
        compiled_state, compiled_steps = trained(tmp_path / name)
        assert compiled_steps == pytest.approx(steps, rel=1e-5)
        torch.testing.assert_close(compiled_state, state, rtol=1e-5, atol=1e-5)


def trained(folder):
    """Weights, and the loss of every step."""
    (log,) = folder.glob('*/vis_data/scalars.json')
    steps = [line['loss'] for line in map(json.loads, log.open()) if 'loss' in line]
    return read_checkpoint(folder / 'epoch_1.pth')['state_dict'], steps


def test_what_is_compiled():
    class Detector(nn.Module):
        def loss(self): ...

    assert compiled_method(Detector()) == 'loss'
    Detector.__module__ = 'mmdet.models.detectors'
    assert compiled_method(Detector()) == 'extract_feat'
    with pytest.raises(ConfigError, match=r'Linear has neither losses\(\) nor loss\(\)'):
        compiled_method(nn.Linear(1, 1))


def test_compiled_steps_see_what_a_cache_has_to_compute_again():
    """Text features of frozen prompts, which a validation drops, and which may have been loaded or moved."""

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.frozen, self.cache, self.calls = nn.Linear(2, 2).requires_grad_(False), FeatureCache(), 0

        def features(self):
            self.calls += 1
            return self.frozen.weight * 2

        def loss(self, x):
            return (x * self.cache(self.features, (self.frozen,))).sum()

    model = Model().train()
    compiled_loss = use_compiled(model, dict(backend='eager', fullgraph=True))
    assert compiled_loss == 'loss'
    x = torch.ones(2, 2)
    for change in (lambda: None, lambda: None, model.cache.clear, lambda: model.frozen.weight.fill_(3)):
        change()
        assert model.loss(x) == (model.frozen.weight * 2).sum()
    assert model.calls == 3


@pytest.mark.slow
@pytest.mark.skipif(shutil.which('g++') is None, reason='inductor compiles C++')
def test_gradients_by_inductor(micro_rn):
    """Of the context through the text tower, which it computes wrongly as texts are packed on a CPU otherwise."""

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.text = build_clip(arch=dict(micro_rn, transformer_layers=1)).text.requires_grad_(False)
            self.prompt = ContextPrompt(['cat', 'sea lion', 'a dog with a long name', 'bird'], self.text, n_ctx=4)

        def loss(self, weights):
            return (self.prompt.encode(self.text) * weights).sum()

    torch.manual_seed(0)
    model, weights = Model().train(), torch.randn(1, 4, 24)
    exact = torch.autograd.grad(model.loss(weights), model.prompt.context)[0]
    use_compiled(model, {})
    for _ in range(2):  # the second is compiled
        (gradient,) = torch.autograd.grad(model.loss(weights), model.prompt.context)
        torch.testing.assert_close(gradient, exact, rtol=1e-4, atol=1e-5)
