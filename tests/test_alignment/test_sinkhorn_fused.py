"""The fused Sinkhorn kernel without a GPU: interpreted, compiled for one, and on tensors without data."""

import importlib
import os
import subprocess
import sys

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from vlprompt.alignment import TransportAlignment
from vlprompt.alignment import sinkhorn_fused as fused
from vlprompt.clip.features import ClipFeatures

INTERPRETED = """
import contextlib, itertools, torch
from vlprompt.alignment.sinkhorn import sinkhorn
from vlprompt.alignment.sinkhorn_triton import solve

torch.manual_seed(0)
for shape, order in (((2, 9, 7, 3), (0, 1, 2, 3)), ((2, 7, 3, 9), (0, 3, 1, 2)), ((1, 2, 1, 1), (0, 1, 2, 3))):
    cost = torch.rand(shape).permute(order)
    mass = torch.rand(cost.shape[0], 1, cost.shape[2]).softmax(-1).expand(cost.shape[:3])
    for rows, (method, eps) in itertools.product((None, mass), (('fixed', 0.1), ('log', 0.1), ('log', 0.003))):
        plan = solve(cost, rows, eps, 20, method == 'log')
        torch.testing.assert_close(plan, sinkhorn(cost, eps, method, 20, rows=rows).plan, rtol=1e-4, atol=1e-7)
        assert plan.stride() == cost.stride()
cost, mass = torch.rand(1, 2, 5, 3), torch.rand(1, 2, 5)
mass[..., 0] = 0  # a token without mass
for method in ('fixed', 'log'):
    plan = solve(cost, mass, 0.1, 3, method == 'log')
    torch.testing.assert_close(plan, sinkhorn(cost, 0.1, method, 3, rows=mass).plan)
vanishing = solve(cost, None, 1e-4, 20, False)  # exp(-cost / eps) is 0
assert vanishing.isnan().all(), vanishing
current = []  # the GPUs that are the current one for a launch
torch.cuda.device_of = lambda tensor: current.append(tensor) or contextlib.nullcontext()
solve(cost, None, 0.1, 1, False)
assert current == [cost]
"""


def test_the_kernel_gives_the_plans_of_the_plain_iteration():
    """Triton's interpreter runs it with NumPy, chosen when Triton is imported: hence a process of its own."""
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', INTERPRETED], env=os.environ | {'TRITON_INTERPRET': '1'}, text=True,
        capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def compiled(problems, m, n, logarithms, rows=False):
    """The kernel in an H100's code; sizes of 1 are constants in it, as Triton has them at a launch."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from vlprompt.alignment.sinkhorn_triton import _solve, blocks, warps

    block, block_m, block_n = blocks(problems, m, n)
    types = (
        dict.fromkeys(_solve.arg_names, 'i32') | dict.fromkeys(('cost', 'rows', 'plan'), '*fp32') | {'scale': 'fp32'}
    )
    constants = dict(HAS_ROWS=rows, LOGARITHMS=logarithms, BLOCK=block, BLOCK_M=block_m, BLOCK_N=block_n)
    constants |= {name: 1 for name, size in dict(problems=problems, m=m, n=n).items() if size == 1}
    source = ASTSource(_solve, types | dict.fromkeys(constants, 'constexpr'), constexprs=constants)
    options = dict(num_warps=warps(block, m, n))
    return triton.compile(source, target=GPUTarget('cuda', 90, 32), options=options).asm['ptx']


@pytest.mark.parametrize('logarithms', [False, True])
@pytest.mark.parametrize(('m', 'n'), [(49, 4), (196, 8)])
def test_the_compiled_kernel_reads_every_cost_once(m, n, logarithms):
    """A thread loads each of its values once, whatever the iterations, and spills none."""
    from vlprompt.alignment.sinkhorn_triton import VALUES

    code = compiled(1000, m, n, logarithms)
    assert code.count('ld.global') == code.count('st.global') == VALUES
    assert '.local' not in code


@pytest.mark.parametrize('logarithms', [False, True])
@pytest.mark.parametrize(('problems', 'm', 'n'), [(1000, 49, 1), (1, 1, 4)])
def test_the_kernel_compiles_for_sizes_of_one(problems, m, n, logarithms):
    """One prompt, one token, one class: marginals are then constants."""
    assert 'st.global' in compiled(problems, m, n, logarithms, rows=logarithms)


def as_on_a_gpu(monkeypatch):
    monkeypatch.setattr(importlib.import_module('vlprompt.alignment.sinkhorn'), 'fuses', lambda cost: True)


def test_one_operation_on_a_gpu(monkeypatch):
    """Of tensors without data: shapes with any batch axes, and the whole alignment with a backward pass."""
    as_on_a_gpu(monkeypatch)
    seen = []
    monkeypatch.setattr(fused, '_plan', lambda cost, *args: seen.append((cost.shape, *args)) or torch.empty_like(cost))
    for batch in ((), (5,), (2, 5), (2, 3, 5)):
        cost, rows = torch.rand(*batch, 7, 3), torch.rand(7)
        assert fused.fused_plan(cost, rows, 0.1, 20, False).shape == cost.shape
    assert [tuple(shape) for shape, *_ in seen] == [(1, 1, 7, 3), (1, 5, 7, 3), (2, 5, 7, 3), (6, 5, 7, 3)]
    assert [tuple(rows.shape) for _, rows, *_ in seen] == [(1, 1, 7), (1, 5, 7), (2, 5, 7), (6, 5, 7)]


def test_alignment_with_the_operation(monkeypatch):
    as_on_a_gpu(monkeypatch)
    with FakeTensorMode():
        text = torch.empty(4, 10, 16, requires_grad=True)
        features = ClipFeatures(torch.empty(2, 16), torch.empty(2, 49, 16), (), (7, 7))
        found = TransportAlignment(marginals='text', marginal_temperature=0.1)(features, text, torch.tensor(100.0))
        found.logits.sum().backward()
    assert found.plan.shape == (2, 10, 49, 4)
    assert text.grad is not None


def test_what_is_fused(monkeypatch):
    monkeypatch.setattr(fused, '_triton_is_installed', lambda: True)
    with FakeTensorMode():
        cost = torch.empty(2, 49, 4, device='cuda')
        assert fused.fuses(cost)
        assert fused.fuses(torch.empty(2, 256, 64, device='cuda'))
        assert not fused.fuses(torch.empty(2, 257, 64, device='cuda')), 'too large for the registers'
        assert not fused.fuses(cost.half())
        assert not fused.fuses(cost.cpu())
        monkeypatch.setattr(fused, '_triton_is_installed', lambda: False)
        assert not fused.fuses(cost)
