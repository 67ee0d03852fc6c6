"""Graphs of every method, recorded for batches, and where possible for sizes, that they have not seen."""

import pytest
import torch

from tests.conftest import MICRO
from tests.test_export.conftest import WORDS, noise
from vlprompt.clip import build_clip
from vlprompt.errors import ExportError
from vlprompt.export.graphs import graph_of
from vlprompt.export.recording import record
from vlprompt.solvers import Shots

METHODS = {
    'coop/coop_vit-b16': {},
    'maple/maple_vit-b16': {'model.prompt.depth': 2},
    'plot/plot_rn50': dict(tower='rn'),
    'plotpp/plotpp_vit-b16': {},
    'lpt/lpt_micro-vit': {'phases.groups.model.tuner.pool.first_block': 1},
    'clipreid/clipreid_micro-vit_sie': {
        'phases.finetune.model.num_cameras': 2,
        'phases.finetune.model.sie.at_test': 'mean',
    },
}
"""Methods whose graphs have parts of their own, and options for towers of two blocks."""


def agrees(model, program, batch, *size):
    images = noise(batch, *size)
    kind = graph_of(model)
    with torch.no_grad():
        expected, found = kind.reference(model, images), program.module()(images)
    assert len(found) == len(expected)
    for name, ours in zip(expected, found, strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, expected[name], atol=1e-4, rtol=1e-4, msg=lambda text, n=name: f'{n}: {text}')


@pytest.mark.parametrize('config', METHODS)
def test_batches_of_any_number(build, config):
    model = build(config, **METHODS[config])
    program = record(graph_of(model)(model), (64, 64))
    for batch in (1, 3):
        agrees(model, program, batch)


@pytest.mark.parametrize(
    ('solver', 'tower'), [('tip_adapter/tip-adapter_vit-b16', 'vit'), ('plot_adapter/plot-adapter_rn50', 'rn')]
)
def test_what_solvers_have_fitted_is_part_of_the_graph(build, solver, tower):
    model = build(solver, tower)
    tokens = (5,) if model.solver.needs_local else ()
    shots = torch.randn(6, 1, *tokens, 24)
    with torch.no_grad():
        model.solver.fit(Shots(shots, torch.arange(6) % 3, model.text_features(), model.scale, 1))
    model._fitted_names = model.class_names
    program = record(graph_of(model)(model), (64, 64))
    for batch in (1, 3):
        agrees(model, program, batch)


@pytest.mark.parametrize(
    ('config', 'tower'),
    [
        ('plot/plot_rn50', 'rn'),
        ('segment_by_words/naclip_vit-b16', 'vit'),
    ],
)
def test_images_of_any_size(build, config, tower):
    options = WORDS if tower == 'vit' else {}
    model = build(config, tower, **options)
    program = record(graph_of(model)(model), (96, 160), any_size=True)
    agrees(model, program, 2, 64, 64)  # the size of the training
    agrees(model, program, 1, 128, 96)


class LocalFeatures(torch.nn.Module):
    def __init__(self, tower):
        super().__init__()
        self.tower = tower

    def forward(self, images):
        return self.tower(images).local


def test_what_an_export_computes_is_not_kept():
    """A Gaussian of an export, a tensor without data, would break the next prediction of the same size."""
    local = LocalFeatures(build_clip(arch=MICRO['vit'], vision=dict(local='naclip')).visual)
    images = noise(2)
    with torch.no_grad():
        program = torch.export.export(local, (images,), strict=False)
        found = local(images)
    assert type(found) is torch.Tensor
    torch.testing.assert_close(program.module()(images), found)


@pytest.mark.parametrize(
    ('config', 'tower'),
    [('cocoop/cocoop_vit-b16', 'vit'), ('denseclip/denseclip_micro-rn_fpn_pre_200i_scenes-160x160', 'dense')],
)
def test_text_that_depends_on_the_image_is_in_a_graph_of_one_image(build, config, tower):
    model = build(config, tower)
    graph = graph_of(model)(model)
    program = record(graph, (64, 64))
    assert not graph.any_batch
    agrees(model, program, 1)


def test_float16_computes_in_the_tower_alone(build):
    model = build('maple/maple_vit-b16', **METHODS['maple/maple_vit-b16'])
    graph = graph_of(model)(model, half=True)
    assert graph.model.clip.visual.proj.dtype == torch.float16
    assert model.clip.visual.proj.dtype == torch.float32, 'the model itself stays as it is'
    images = noise(2)
    graph.prepare(images)
    with torch.no_grad():
        (found,), expected = graph(images), graph_of(model).reference(model, images)['logits']
    assert found.dtype == torch.float32
    assert 0 < (found - expected).abs().max() < 2e-2 * expected.abs().max()


def test_the_text_tower_is_left_out(build):
    model = build('coop/coop_vit-b16')
    graph = graph_of(model)(model)
    graph.prepare(noise(1))
    assert not list(graph.model.clip.text.parameters())
    assert list(model.clip.text.parameters())


@pytest.mark.parametrize(
    ('config', 'tower', 'options', 'message'),
    [
        ('plot/plot_rn50', 'rn', {'model.alignment.method': 'legacy'}, r'model\.alignment\.method=fixed'),
        (
            'clipreid/clipreid_micro-vit_sie',
            'vit',
            {'phases.finetune.model.num_cameras': 2, 'phases.finetune.model.sie.at_test': 'own'},
            r'model\.sie\.at_test=mean',
        ),
        ('segment_by_words/naclip_vit-b16', 'vit', {'model.refine': dict(steps=1)}, r'model\.refine=None'),
    ],
)
def test_models_that_no_graph_of_one_image_is(build, config, tower, options, message):
    more = WORDS if 'naclip' in config else {}
    model = build(config, tower, **more | options)
    with pytest.raises(ExportError, match=message):
        graph_of(model)(model)


def test_descriptors_have_unit_length(build):
    graph = graph_of(model := build('clipreid/baseline_vit-b16'))(model)
    with torch.no_grad():
        (found,) = graph(noise(2, 64, 32))
    torch.testing.assert_close(found.norm(dim=1), torch.ones(2))
