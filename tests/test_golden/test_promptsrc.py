"""PromptSRC against the official forward pass, towers and loss (float64, here fp32), and its weights of epochs."""

import json
import sys
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.runner import EpochBasedTrainLoop
from torch import nn

from vlprompt.clip import PromptTokens, VisualTokens
from vlprompt.clip.text.packing import TextLayout
from vlprompt.engine import load_config
from vlprompt.engine.hooks.prompt_averaging import GaussianAveragingHook, gaussian_weights
from vlprompt.engine.schedules import WarmupCosineLR
from vlprompt.models import SelfRegulatedClassifier
from vlprompt.prompts import ImagePrompt, TextPrompt
from vlprompt.registry import MODELS
from vlprompt.structures import ClassificationSample

CASE = 'few_shot/promptsrc_a'
TOLERANCE = 5e-4
"""Of fp32, relative to the largest absolute value."""


class IdPrompt(TextPrompt):
    """Prompts of given token ids, since the case has a vocabulary of its own; learned vectors replace words 1 .. n."""

    def __init__(self, class_names, text, ids, depth=0):
        super().__init__()
        self.class_names, self.n_prompts = tuple(class_names), len(ids)
        self.register_buffer('ids', ids, persistent=False)
        self.context = nn.Parameter(torch.zeros(depth, 4, text.width)) if depth else None

    def set_class_names(self, class_names):
        self.class_names = tuple(class_names)

    def forward(self, text):
        if self.context is None:
            return text.from_ids(self.ids)
        embedded = text.token_embedding(self.ids)
        prefix = torch.cat([embedded[:, 0, :1], self.context[:1]], 1)
        deep = tuple(vectors[None] for vectors in self.context[1:])
        return PromptTokens(prefix, embedded[:, :, 5:], TextLayout(self.ids.argmax(-1).tolist()), deep)


class Tokens(ImagePrompt):
    def __init__(self, width, layers, patch_size):
        super().__init__()
        self.tokens = nn.Parameter(torch.zeros(2, 4, width))

    def forward(self, prompt=None):
        return VisualTokens(tuple(self.tokens.unbind(0)), after_norm=False)


@pytest.fixture
def registered():
    for cls in (IdPrompt, Tokens):
        MODELS.register_module(module=cls, force=True)
    yield
    for cls in (IdPrompt, Tokens):
        MODELS.module_dict.pop(cls.__name__)


def test_losses_and_gradients(golden, registered, tmp_path):
    meta, ref = golden.load(CASE)
    spec = json.loads((golden.HERE / 'few_shot/micro_clip_a.spec.json').read_text())
    torch.save(golden.synth_state(spec), tmp_path / 'base.pt')
    model = SelfRegulatedClassifier(
        teacher=dict(type='IdPrompt', ids=torch.tensor(ref['teacher_tokens'])),
        clip=dict(weights=str(tmp_path / 'base.pt'), quick_gelu=True),
        prompt=dict(type='IdPrompt', ids=torch.tensor(ref['tokens'])[None], depth=2),
        visual=dict(type='Tokens'),
        alignment=dict(type='vlprompt.CosineAlignment'),
        class_names=['a', 'b', 'c', 'd', 'e'],
        trainable=['prompt.*', 'visual.*'],
    )
    shapes, synth_tensor = meta['prompt_shapes'], sys.modules['synth'].synth_tensor
    context, first, second, deep = (0.3 * synth_tensor(f'a:{name}', shapes[name]) for name in meta['order'])
    with torch.no_grad():
        model.prompt.context.copy_(torch.stack([context, deep]))
        model.visual.tokens.copy_(torch.stack([first, second]))
    images = golden.synth_input('a:images', meta['image_shape'])
    teacher_text = nn.functional.normalize(torch.tensor(ref['teacher_text_mean']), dim=1)
    assert golden.rel(model.teacher_text(), teacher_text) < TOLERANCE
    assert golden.rel(model.teacher_image(images), ref['teacher_image_features']) < TOLERANCE
    samples = [ClassificationSample() for _ in ref['labels']]
    for sample, label in zip(samples, ref['labels'].tolist(), strict=True):
        sample.set_gt_label(label)
    losses = model.loss(images, samples)
    expected = dict(cls='ce', text='text_l1_weighted', image='image_l1_weighted', logits='logits_kl')
    for ours, theirs in expected.items():
        assert losses[f'loss_{ours}'].item() == pytest.approx(float(ref[theirs]), rel=TOLERANCE), ours
    total = sum(losses[f'loss_{name}'] for name in expected)
    assert total.item() == pytest.approx(float(ref['total']), rel=TOLERANCE)
    text, visual = torch.autograd.grad(total, [model.prompt.context, model.visual.tokens])
    for gradient, norm, values in zip((text[0], *visual, text[1]), ref['grad_norms'], ref['grad16'], strict=True):
        assert gradient.norm().item() == pytest.approx(norm, rel=TOLERANCE)
        assert golden.rel(gradient.flatten()[:16], values) < TOLERANCE


@pytest.mark.parametrize(('epochs', 'mean', 'std'), [(20, 15, 1), (20, 6, 10), (50, 30, 30), (50, 45, 5)])
def test_weights_of_epochs(golden, epochs, mean, std):
    _, ref = golden.load(CASE)
    weights = torch.tensor(gaussian_weights(epochs, mean, std), dtype=torch.double)
    assert golden.rel(weights, ref[f'gpa_{epochs}_{mean}_{std}']) < 1e-12


def test_mean_over_the_epochs(golden):
    """The published average of a trajectory, by the hook itself."""
    _, ref = golden.load(CASE)
    model = nn.Module()
    model.tokens = nn.Parameter(torch.zeros(3, 4, dtype=torch.double))
    loop = EpochBasedTrainLoop.__new__(EpochBasedTrainLoop)
    runner = SimpleNamespace(model=model, train_loop=loop, max_epochs=20, epoch=0, message_hub=MessageHub('golden'))
    hook = GaussianAveragingHook(mean=15, std=1)
    hook.before_train(runner)
    for runner.epoch, tokens in enumerate(torch.tensor(ref['gpa_trajectory'])):
        model.tokens.data = tokens.clone()
        hook.after_train_epoch(runner)
    assert golden.rel(model.tokens.detach(), ref['gpa_result']) < 1e-9


def test_rates_of_epochs(golden):
    """Of the shipped config, epoch by epoch."""
    reference = json.loads((golden.HERE / 'few_shot/schedules.json').read_text())['promptsrc_20']
    cfg = load_config('promptsrc/promptsrc_vit-b16')
    (described,) = cfg.param_scheduler
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=cfg.optim_wrapper.optimizer.lr)
    schedule = WarmupCosineLR(optimizer, **{name: value for name, value in described.items() if name != 'type'})
    rates = []
    for _ in range(cfg.train_cfg.max_epochs):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        schedule.step()
    assert len(reference) == 20
    assert rates == pytest.approx(reference, rel=1e-12)
