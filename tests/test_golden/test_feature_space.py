"""GDA, ProKeR, LP++ and CLAP against outputs of the official implementations, in float64 and float32."""

import json

import numpy as np
import pytest
import torch

from vlprompt.solvers import CLAP, GDA, LPPlusPlus, ProKeR, Shots, tune
from vlprompt.solvers import clap as clap_file
from vlprompt.solvers import lpp as lpp_file
from vlprompt.solvers.proker import kernel

SCALE = 100.0
DTYPES = (torch.float64, torch.float32)


class Case:
    """A golden case in one dtype: ``case['name']`` are its arrays, ``case.shots`` its training rows as single views."""

    def __init__(self, golden, name, dtype, tolerances):
        self.golden, (self.meta, self.arrays) = golden, golden.load(f'few_shot/{name}')
        self.dtype, self.tolerance = dtype, tolerances[DTYPES.index(dtype)]
        self.shots = Shots(self['train_x'].unsqueeze(1), self['train_y'], self['text'], SCALE)

    def __getitem__(self, name):
        array = torch.from_numpy(np.asarray(self.arrays[name]))
        return array.to(self.dtype) if array.is_floating_point() else array

    def agrees(self, name, ours):
        error = self.golden.rel(ours, self.arrays[name])
        assert error < self.tolerance, f'{name}: {error}'


@pytest.mark.parametrize('dtype', DTYPES)
def test_gda(golden, dtype):
    case = Case(golden, 'gda_a', dtype, (1e-9, 1e-5))
    text = case['text']
    for alpha, name in ((1.0, 'logits_alpha1'), (0.1, 'logits_alpha01')):
        solver = GDA(alpha)
        solver.fit(case.shots)
        case.agrees('weight', solver.weight)
        case.agrees('bias', solver.bias)
        case.agrees(name, solver(case['test_x'], text, SCALE))
    accuracies = []
    solver = GDA()
    search = solver.search(case.shots, case['val_x'])
    for (setting, logits), alpha in zip(search, case['alpha_grid'].tolist(), strict=True):
        assert setting['alpha'] == pytest.approx(alpha)
        accuracies.append((logits.argmax(1) == case['val_y']).double().mean())
    reference = case.arrays['val_accuracy']
    case.agrees('val_accuracy', torch.stack(accuracies) * (100 if reference.max() > 1 else 1))
    chosen = tune(GDA(), case.shots, case['val_x'], case['val_y'])
    assert chosen.setting['alpha'] == pytest.approx(case.arrays['alpha_grid'][reference.argmax()]), 'the first best'


@pytest.mark.parametrize('dtype', DTYPES)
def test_gda_of_base_and_new_classes(golden, dtype):
    case = Case(golden, 'gda_a', dtype, (1e-9, 1e-4))
    options = dict(neighbours=case.meta['knn'], text_copies=case.meta['reps'])
    solver = GDA(1.0, covariance='class_mean', shrinkage=False, keep_rows=True, **options)
    solver.fit(case.shots)
    case.agrees('base_weight', solver.weight)
    case.agrees('base_bias', solver.bias)
    other = solver.for_other_classes(case['new_text'])
    case.agrees('new_weight', other.weight)
    case.agrees('new_bias', other.bias)
    case.agrees('new_logits_alpha1', other(case['new_x'], case['new_text'], SCALE))


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('prior', ['uniform', 'empirical'])
def test_gda_of_long_tailed_data(golden, dtype, prior):
    case = Case(golden, 'gda_a', dtype, (1e-9, 1e-5))
    kept = case['lt_index']
    shots = Shots(case.shots.features[kept], case.shots.labels[kept], case['text'])
    assert shots.per_class.tolist() == case.arrays['lt_counts'].tolist()
    solver = GDA(1.0, prior=prior)
    solver.fit(shots)
    case.agrees('lt_weight', solver.weight)
    case.agrees(f'lt_bias_{prior}', solver.bias)


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('row', range(3))
def test_proker(golden, dtype, row):
    case = Case(golden, 'proker_a', dtype, (1e-10, 1e-5))
    hyper = case.meta['hyper'][row]
    solver = ProKeR(hyper['beta'], hyper['lam'])
    solver.fit(case.shots)
    case.agrees(f'coef_{row}', solver.coefficients)
    case.agrees(f'logits_{row}', solver(case['test_x'], case['text'], SCALE))
    if row == 0:
        case.agrees('kernel_0', kernel(case['train_x'], case['train_x'], hyper['beta']))


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('mode', ['official', 'clean'])
def test_lpp(golden, dtype, mode, monkeypatch):
    case = Case(golden, 'lpp_a', dtype, (1e-8, 1e-5))
    text, official = case['text'], mode == 'official'
    gradient, bias = ('accumulated', 'random') if official else ('fresh', 'zero')
    solver = LPPlusPlus(case.meta['iterations'], case.meta['alpha_every'], gradient, bias)
    if official:
        monkeypatch.setattr(solver, '_start_bias', lambda weight, seed: case['bias0'].clone())
    x = case['train_x']
    cosine, target = x @ text.t(), torch.nn.functional.one_hot(case['train_y'], len(text)).to(x)
    case.agrees('lr_w', lpp_file.step_sizes(x, cosine)[0])
    case.agrees('lr_alpha', lpp_file.step_sizes(x, cosine)[1])
    case.agrees('alpha0', lpp_file.start_alpha(cosine, target))
    losses, accuracies = [], []
    for loss in solver.descend(case.shots):
        losses.append(loss)
        accuracies.append((solver(case['val_x'], text, SCALE).argmax(1) == case['val_y']).double().mean())
    case.agrees(f'{mode}_loss', torch.stack(losses))
    for name in ('weight', 'bias', 'alpha'):
        case.agrees(f'{mode}_{name}', getattr(solver, name))
    case.agrees(f'{mode}_logits', solver(case['test_x'], text, SCALE))
    if official and dtype == torch.float64:
        reference = case.arrays['official_val_accuracy']
        case.agrees('official_val_accuracy', torch.stack(accuracies) * (100 if reference.max() > 1 else 1))
        chosen = tune(solver, case.shots, case['val_x'], case['val_y'])
        assert chosen.setting['steps'] == len(reference) - reference[::-1].argmax(), 'the last best'


@pytest.mark.parametrize('dtype', DTYPES)
def test_clap(golden, dtype):
    case = Case(golden, 'clap_a', dtype, (1e-9, 1e-4))
    text, scale = case['text'], case.meta['logit_scale_exp']
    rows = torch.nn.functional.normalize(case['train_x'], dim=-1)
    case.agrees('multipliers', clap_file.confidence(rows, case['train_y'], text, scale))
    solver = CLAP()
    first, *_ = case['batches']
    multipliers = case['multipliers']
    _, _, gradient = clap_file.loss_and_gradient(text, text, rows[first], case['train_y'][first], multipliers, scale)
    case.agrees('first_gradient', gradient)
    batches = [(case.meta['lr'], batch) for batch in case['batches']]
    losses = torch.stack([torch.stack(step) for step in solver.descend(case.shots, batches)])
    case.agrees('ce', losses[:, 0])
    case.agrees('penalty', losses[:, 1])
    case.agrees('prototypes', solver.prototypes)
    case.agrees('logits', solver(case['test_x'], text, scale))


def test_rates_of_clap(golden):
    """Of every epoch; 3 images in batches of 2 are a step of 1 batch."""
    reference = json.loads((golden.HERE / 'few_shot/schedules.json').read_text())['clap_epochs']
    solver = CLAP(batch_size=2)
    shots = Shots(torch.randn(3, 2, 4), torch.arange(3), torch.randn(3, 4))
    rates = [rate for rate, _ in solver._batches(shots)]
    assert len(rates) == solver.epochs == 1 + max(map(int, reference))
    for epoch, rate in reference.items():
        assert rates[int(epoch)] == pytest.approx(rate, rel=1e-12)
