"""Seconds of fit and test of the training-free few-shot methods, on stored features.

Tip-Adapter, GDA and ProKeR of the shipped ViT-B/16 configs: 16 shots of 100 classes, 10 views of each image, 10,000
test images, random features of unit norm and width 512 (no method's time depends on their values). The test goes in
batches, as in a run. For ProKeR the plain way stands beside it: the whole kernel, of which LAPACK reads one triangle;
and, with `--tune`, a grid of settings with a whole fit for each.

    python dev/benchmarks/feature_solvers.py
    python dev/benchmarks/feature_solvers.py --device cuda --repeats 5
    python dev/benchmarks/feature_solvers.py --tune --shots 1         # a grid of 5 x 10 settings of ProKeR
    python dev/benchmarks/feature_solvers.py --quick        # few rows: shows that it runs
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from dev.benchmarks.timing import benchmark_parser, describe_machine, in_turns, prepare
from vlprompt.engine.config import load_config
from vlprompt.registry import MODELS
from vlprompt.solvers import ProKeR, Shots, Solver, tune
from vlprompt.solvers.base import number_like
from vlprompt.solvers.proker import kernel

METHODS = {
    'Tip-Adapter': 'tip_adapter/tip-adapter_vit-b16',
    'GDA': 'gda/gda_vit-b16',
    'ProKeR': 'proker/proker_vit-b16',
}
WIDTH = 512


class PlainProKeR(ProKeR):
    """ProKeR with the whole kernel in every fit and without anything that settings share."""

    search = Solver.search

    def fit(self, shots: Shots) -> None:
        rows, residual = self._rows_and_residual(shots)
        system = kernel(rows, rows, self.beta).div_(self.lambda_)
        system.diagonal().add_(1)
        coefficients = torch.cholesky_solve(residual, torch.linalg.cholesky(system))
        self.hold(rows=rows, coefficients=coefficients, beta_=number_like(self.beta, rows))


def solver_of(config: str, shots: int, cls: type[Solver] | None = None, **options: object) -> Solver:
    """The solver of a shipped config for that number of shots, or one of another class with the same arguments."""
    arguments = dict(load_config(config, dict(dataset='caltech101', shots=shots)).model.solver) | options
    return MODELS.build(arguments if cls is None else arguments | dict(type=cls))


def fit(solver: Solver, shots: Shots) -> Solver:
    solver.fit(shots)
    return solver


def test(solver: Solver, features: Tensor, shots: Shots, batch: int) -> Tensor:
    """(Q, K) logits of features (Q, D), batch by batch."""
    return torch.cat([solver(part, shots.text, shots.scale) for part in features.split(batch)])


@torch.no_grad()
def main(argv: Sequence[str] | None = None) -> dict[str, dict[str, float]]:
    """Print the table and return seconds of fit and test by method, with the difference of ProKeR's two ways."""
    parser = benchmark_parser(__doc__, repeats=1, dtype=False)
    parser.add_argument('--shots', type=int, default=16)
    parser.add_argument('--classes', type=int, default=100)
    parser.add_argument('--views', type=int, default=10)
    parser.add_argument('--test-images', type=int, default=10_000)
    parser.add_argument('--batch', type=int, default=100, help='images of a test batch')
    parser.add_argument('--tune', action='store_true', help='also tune ProKeR on 4 validation images a class')
    args = parser.parse_args(argv)
    prepare(args)
    if args.quick:
        args.shots, args.classes, args.views, args.test_images = min(args.shots, 4), 5, 3, 20

    def unit(*shape: int) -> Tensor:
        return F.normalize(torch.randn(*shape, WIDTH, device=args.device), dim=-1)

    labels = torch.arange(args.classes, device=args.device).repeat(args.shots)
    shots = Shots(unit(len(labels), args.views), labels, unit(args.classes))
    queries = unit(args.test_images)
    solvers = {name: solver_of(config, args.shots) for name, config in METHODS.items()}
    solvers['ProKeR, plain'] = solver_of(METHODS['ProKeR'], args.shots, PlainProKeR)
    fits = in_turns(
        {name: partial(fit, solver, shots) for name, solver in solvers.items()},
        args.device,
        args.repeats,
        warm_up=int(args.device.type == 'cuda'),
    )
    tests = in_turns(
        {name: partial(test, side.result, queries, shots, args.batch) for name, side in fits.items()},
        args.device,
        args.repeats,
    )
    rows = len(labels) * args.views
    print(f'{describe_machine(args.device)}, fp32, {rows:,} rows of width {WIDTH}, {args.test_images:,} test images')
    print('| method | fit, s | test, s | both, s |\n|---|---|---|---|')
    found = {}
    for name in solvers:
        seconds = dict(fit=fits[name].seconds, test=tests[name].seconds)
        print(f'| {name} | {seconds["fit"]:.2f} | {seconds["test"]:.2f} | {sum(seconds.values()):.2f} |')
        found[name] = seconds
    difference = (tests['ProKeR'].result - tests['ProKeR, plain'].result).abs().max().item()
    print(f'largest absolute difference of the logits of both ProKeRs: {difference:.1e}')
    found['ProKeR']['difference'] = difference
    if args.tune:
        found['tune'] = compare_tuning(args, shots, unit)
    return found


def compare_tuning(args: argparse.Namespace, shots: Shots, unit: Callable[[int], Tensor]) -> dict[str, float]:
    """Seconds of choosing among 5 x 10 settings by 4 validation images a class, by either way."""
    labels = torch.arange(args.classes, device=args.device).repeat(4)
    features = unit(len(labels))
    grid = dict(betas=(0.5, 3, 2), lambdas=(0.001, 1, 2)) if args.quick else dict(betas=(0.5, 3, 5))
    sides = {
        name: partial(tune, solver_of(METHODS['ProKeR'], args.shots, cls, **grid), shots, features, labels)
        for name, cls in (('shared', None), ('plain', PlainProKeR))
    }
    timed = in_turns(sides, args.device, args.repeats, warm_up=int(args.device.type == 'cuda'))
    seconds = {name: side.seconds for name, side in timed.items()}
    tried = timed['shared'].result.tried
    print(
        f'ProKeR, {tried} settings   kernels shared {seconds["shared"]:.2f} s   whole fits {seconds["plain"]:.2f} s   '
        f'{seconds["plain"] / seconds["shared"]:.2f}x faster'
    )
    return seconds


if __name__ == '__main__':
    main()
