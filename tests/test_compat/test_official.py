"""Official checkpoints: fabricated with the keys of the real ones, converted by the tool, loaded, compared."""

import subprocess
import sys
from collections import OrderedDict

import pytest
import torch

from tests.conftest import ROOT
from vlprompt.apis import init_model
from vlprompt.clip import build_clip
from vlprompt.clip.weights import to_openai_names
from vlprompt.compat.official import convert

NAMES = ['face', 'sea_lion', 'okapi']
WIDTH, N_CTX, TAIL = 32, 16, 60


def official(context, rows):
    """A checkpoint as Dassl writes it, with a live scheduler pickled beside the tensors."""
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=2e-3)
    return dict(
        state_dict=OrderedDict(
            ctx=context, token_prefix=torch.zeros(rows, 1, WIDTH), token_suffix=torch.zeros(rows, TAIL, WIDTH)
        ),
        epoch=200,
        optimizer=optimizer.state_dict(),
        scheduler=torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 200),
        val_result=None,
    )


CASES = {
    'coop': ('coop/coop_rn50_16shot_caltech101.py', (N_CTX, WIDTH), 3),
    'coop-csc': ('coop/coop_rn50_csc_16shot_caltech101.py', (3, N_CTX, WIDTH), 3),
    'plot': ('plot/plot_rn50_16shot_caltech101.py', (4, N_CTX, WIDTH), 12),
}


@pytest.mark.parametrize('case', CASES)
def test_round_trip(case, tmp_path, micro_rn):
    config, shape, rows = CASES[case]
    context = torch.randn(shape).half()
    torch.save(official(context, rows), tmp_path / 'src')
    command = [sys.executable, ROOT / 'tools/model_converters/official.py', case.split('-')[0]]
    subprocess.run([*command, tmp_path / 'src', tmp_path / 'dst.pth'], check=True, cwd=tmp_path)
    torch.save(to_openai_names(build_clip(arch=micro_rn).state_dict()), tmp_path / 'base.pt')
    options = {
        'model.clip': dict(_delete_=True, arch=micro_rn, weights=str(tmp_path / 'base.pt')),
        'model.class_names': NAMES,
    }
    model = init_model(ROOT / 'configs' / config, tmp_path / 'dst.pth', options)
    assert torch.equal(model.prompt.context.reshape(shape), context.float())
    with torch.no_grad():
        assert model(torch.randn(2, 3, 64, 64), mode='tensor').shape == (2, 3)


def test_the_wrong_method_is_named():
    with pytest.raises(ValueError, match='"plot"'):
        convert('coop', official(torch.zeros(4, N_CTX, WIDTH), 12))
    with pytest.raises(ValueError, match='"coop"'):
        convert('plot', official(torch.zeros(N_CTX, WIDTH), 3))
    with pytest.raises(KeyError, match='conv1'):
        convert('coop', {'conv1.weight': torch.zeros(1)})
    with pytest.raises(KeyError, match=r'coop, .*plot'):
        convert('tip', {})
