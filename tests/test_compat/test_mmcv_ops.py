"""The stand-in for mmcv's compiled ops against plain loops and autograd.

With a compiled mmcv the same tests hold for its ops, but for those marked ``stand_in``.
"""

import re
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest
import torch
from mmcv import ops as mmcv_ops

import vlprompt
from dev.benchmarks import mmcv_ops_loops, mmcv_ops_parity
from vlprompt.compat.mmcv_ops import OPS, PROVIDED, compiled_ops, ops_in_use

stand_in = pytest.mark.skipif(compiled_ops() is not None, reason='mmcv has compiled ops')
ROOT = vlprompt.__path__[0].rpartition('/')[0]


# ------------------------------------------------------------------------------------------------- installation


def run_python(code, *folders):
    """Output of a fresh Python that finds packages in ``folders`` before the installed ones."""
    setup = f'import sys; sys.path[:0] = {[str(folder) for folder in folders]}; sys.path.append({str(ROOT)!r})'
    done = subprocess.run([sys.executable, '-c', f'{setup}\n{code}'], capture_output=True, text=True, check=False)
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


@pytest.fixture
def mmcv_with(tmp_path):
    """Make a package ``mmcv`` whose ``_ext`` is the given file."""

    def make(file, content):
        package = tmp_path / 'mmcv'
        package.mkdir()
        (package / '__init__.py').touch()
        (package / file).write_text(content)
        return tmp_path

    return make


def test_a_compiled_extension_is_left_alone(mmcv_with):
    folder = mmcv_with('_ext.py', 'nms = "compiled"')
    code = 'import vlprompt, mmcv._ext; print(mmcv._ext.nms, mmcv._ext.__file__, hasattr(mmcv._ext, "softnms"))'
    assert run_python(code, folder) == f'compiled {folder}/mmcv/_ext.py False'
    code = 'from vlprompt.compat.mmcv_ops import ops_in_use; print(ops_in_use()); import mmcv._ext; print(ops_in_use())'
    assert run_python(code, folder) == '\n'.join([f'compiled, {folder}/mmcv/_ext.py'] * 2)


@pytest.mark.parametrize('suffix', [EXTENSION_SUFFIXES[0], '.cpython-27m-other.so'])
def test_a_compiled_extension_that_does_not_load_is_an_error(mmcv_with, suffix):
    folder = mmcv_with(f'_ext{suffix}', 'not a library')
    assert run_python('import vlprompt, mmcv._ext', folder).startswith('ImportError: ')
    code = (
        'from vlprompt.compat.environment import EnvironmentProblem, check_mmcv_ops\n'
        'try: check_mmcv_ops()\nexcept EnvironmentProblem as error: print(error)'
    )
    answer = run_python(code, folder)
    assert answer.startswith(f'mmcv has compiled ops that cannot be loaded ({folder}/mmcv/_ext{suffix}): ')
    assert 'pip install --force-reinstall' in answer


def test_nothing_is_loaded_before_an_op_is_imported(mmcv_with):
    folder = mmcv_with('other.py', '')
    code = 'import vlprompt, mmcv.other; print("torch" in sys.modules, hasattr(mmcv, "_ext"))'
    assert run_python(code, folder) == 'False False'


@stand_in
def test_other_projects_need_nothing_else_of_vlprompt():
    code = (
        'import vlprompt.compat.mmcv_ops\n'
        'from mmdet.models import FasterRCNN\n'
        'from mmcv.ops import DeformConv2d\n'
        'import torch\n'
        'print(tuple(DeformConv2d(2, 3, 3)(torch.zeros(1, 2, 4, 4), torch.zeros(1, 18, 2, 2)).shape))\n'
        'print(*(m for m in sys.modules if m.split(".")[0] in ("vlprompt", "open_clip", "timm")))'
    )
    shape, modules = run_python(code).splitlines()[-2:]
    assert shape == '(1, 3, 2, 2)'
    others = {m for m in modules.split() if not m.startswith('vlprompt.compat.mmcv_ops')}
    assert others == {'vlprompt', 'vlprompt.compat', 'vlprompt.errors', 'vlprompt.version'}


def test_without_mmcv_the_report_says_so(monkeypatch):
    monkeypatch.delitem(sys.modules, 'mmcv._ext')
    monkeypatch.setattr('vlprompt.compat.mmcv_ops.install.mmcv_folders', list)
    assert ops_in_use() == 'none, mmcv is not installed'


def test_mmdet_without_ops_is_told_to_come_later(monkeypatch):
    from types import SimpleNamespace

    from vlprompt.compat.environment import check_mmcv_ops
    from vlprompt.errors import EnvironmentProblem

    def roi_align():
        """What mmdet defines if it finds no op."""

    roi_align.__module__ = 'mmdet.structures.mask.structures'
    monkeypatch.setitem(sys.modules, roi_align.__module__, SimpleNamespace(roi_align=roi_align))
    with pytest.raises(EnvironmentProblem, match='import vlprompt first'):
        check_mmcv_ops()


@stand_in
def test_the_stand_in_is_reported_and_complete():
    from mmcv import _ext

    from vlprompt.compat.environment import environment_report

    assert environment_report()['mmcv ops'].startswith("vlprompt's stand-in on torchvision and torch (nms, soft_")
    assert {name for name in _ext.__all__ if name in PROVIDED} == set(PROVIDED)
    assert mmcv_ops.get_compiler_version() == 'n/a'
    assert not hasattr(_ext, '__path__')
    with pytest.raises(AttributeError, match="has no attribute '_hidden'"):
        _ext._hidden  # noqa: B018


def test_the_document_has_every_op():
    page = (Path(ROOT) / 'docs/mmcv_ops.md').read_text()
    table, others = page.split('## Ops of the stand-in')[1].split('## Ops that must be compiled')
    assert set(re.findall(r'^\| `(\w+)`', table, re.MULTILINE)) == set(OPS)
    assert not {name for name in re.findall(r'`(\w+)`', others) if not hasattr(mmcv_ops, name)} - {
        'NotImplementedError'
    }


@stand_in
def test_other_ops_say_their_name_and_how_to_get_them():
    from vlprompt.apis import command_line

    align = mmcv_ops.RoIAlignRotated(2, 1.0)
    inputs = (torch.zeros(1, 1, 4, 4), torch.tensor([[0.0, 2, 2, 1, 1, 0]]))
    message = r"no 'roi_align_rotated_forward' \(it has nms, .*DeformConv2d.*\)\. .*\n.*\n.*-isolation onedl-mmcv"
    with pytest.raises(NotImplementedError, match=message):
        align(*inputs)
    with pytest.raises(SystemExit, match=message):  # the tools end with it instead of a traceback
        command_line.call(lambda: align(*inputs))


# ------------------------------------------------------------------------------------------------- random cases


SLOW_LOOPS = ('deform_conv', 'modulated_deform_conv', 'ms_deform_attn', 'carafe')


@pytest.mark.filterwarnings('ignore:This overload of addmm is deprecated')  # of mmcv's masked convolution
@pytest.mark.parametrize('op', mmcv_ops_parity.COMPARISONS)
def test_random_cases_equal_the_reference(op):
    difference = mmcv_ops_parity.compare(op, cases=5 if op in SLOW_LOOPS else 40, seed=3)
    assert difference.indices == 0
    assert difference.values < 1e-5
    assert difference.gradients < 3e-5  # sums over many samples


def test_the_parity_script_prints_a_row(capsys):
    mmcv_ops_parity.main(['--cases', '2', '--ops', 'nms'])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f'mmcv ops: {ops_in_use()}'
    assert lines[-1].split()[:3] == ['nms', '2', '0']


# ------------------------------------------------------------------------------------------------- suppression


def test_nms_of_equal_scores_keeps_the_first():
    boxes = torch.tensor([[0.0, 0, 4, 4], [20, 0, 24, 4], [0, 0, 4, 4], [20, 0, 24, 4]])
    dets, kept = mmcv_ops.nms(boxes, torch.tensor([0.5, 0.9, 0.5, 0.5]), 0.5)
    assert kept.tolist() == [1, 0]
    assert dets.tolist() == [[20, 0, 24, 4, pytest.approx(0.9)], [0, 0, 4, 4, 0.5]]


@pytest.mark.parametrize(('threshold', 'kept'), [(0.6, [0, 1]), (0.59, [0])])
def test_an_overlap_on_the_threshold_is_kept(threshold, kept):
    boxes = torch.tensor([[0.0, 0, 4, 1], [1, 0, 5, 1]])  # 3 of 5 shared; in float32, 3 / 5 is more than 0.6
    assert mmcv_ops.nms(boxes, torch.tensor([0.9, 0.8]), threshold)[1].tolist() == kept


def test_offset_counts_the_last_pixel():
    boxes = torch.tensor([[0.0, 0, 1, 0], [1, 0, 2, 0]])  # two pixels each, one shared: IoU 0 or 1/3
    scores = torch.tensor([0.9, 0.8])
    assert mmcv_ops.nms(boxes, scores, 0.3, offset=0)[1].tolist() == [0, 1]
    assert mmcv_ops.nms(boxes, scores, 0.3, offset=1)[1].tolist() == [0]


def test_suppression_of_nothing():
    boxes, scores = torch.zeros(0, 4), torch.zeros(0)
    for op in (mmcv_ops.nms, mmcv_ops.soft_nms):
        dets, kept = op(boxes, scores, 0.5)
        assert dets.shape == (0, 5)
        assert kept.shape == (0,)


@pytest.mark.parametrize('kind', ['nms', 'soft_nms'])
def test_batched_nms_keeps_classes_apart(kind):
    boxes = torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 4.5], [0, 0, 4, 4]])
    dets, kept = mmcv_ops.batched_nms(
        boxes, torch.tensor([0.9, 0.8, 0.7]), torch.tensor([0, 0, 1]), dict(type=kind, iou_threshold=0.5)
    )
    expected = {'nms': [0, 2], 'soft_nms': [0, 2, 1]}[kind]
    assert kept.tolist() == expected
    torch.testing.assert_close(dets[:, :4], boxes[expected])


@stand_in
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_nms_in_other_precisions(dtype):
    boxes = torch.tensor([[0, 0, 4, 4], [0, 0, 4, 5], [8, 8, 9, 9]], dtype=dtype)
    dets, kept = mmcv_ops.nms(boxes, torch.tensor([0.5, 0.75, 0.25], dtype=dtype), 0.5)
    assert kept.tolist() == [1, 2]
    assert dets.dtype == dtype


# ------------------------------------------------------------------------------------------------- RoIAlign

ROIS = torch.tensor([[0, 0.3, 1.1, 5.2, 4.4], [1, -2, 3, 9, 4], [1, 2, 2, 2, 2]], dtype=torch.float64)


@stand_in  # compiled, a bin without samples has a maximum of -10000
@pytest.mark.parametrize('mode', ['avg', 'max'])
@pytest.mark.parametrize('sampling_ratio', [0, 2])
@pytest.mark.parametrize('aligned', [True, False])
def test_roi_align_in_double_precision(mode, sampling_ratio, aligned, seeded):
    features = torch.randn(2, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    options = ((2, 3), 0.8, sampling_ratio, mode, aligned)
    expected = mmcv_ops_loops.roi_align_reference(features, ROIS, *options)
    torch.testing.assert_close(mmcv_ops.roi_align(features, ROIS, *options), expected)
    assert torch.autograd.gradcheck(lambda f: mmcv_ops.roi_align(f, ROIS, *options), features)


def test_roi_align_of_no_regions():
    features = torch.randn(1, 2, 4, 4, requires_grad=True)
    for mode in ('avg', 'max'):
        pooled = mmcv_ops.roi_align(features, torch.zeros(0, 5), (3, 3), 1.0, 0, mode, True)
        assert pooled.shape == (0, 2, 3, 3)
        pooled.sum().backward()
        assert not features.grad.any()


def test_roi_align_takes_gradients_that_are_not_contiguous(seeded):
    features = torch.randn(1, 2, 6, 6, dtype=torch.float64, requires_grad=True)
    pooled = mmcv_ops.roi_align(features, ROIS[:1], (2, 2), 1.0, 2)
    grad_output = torch.randn(1, 2, 2, 2, dtype=torch.float64).transpose(2, 3)
    (grad,) = torch.autograd.grad(pooled, features, grad_output)
    (expected,) = torch.autograd.grad(
        mmcv_ops_loops.roi_align_reference(features, ROIS[:1], (2, 2), 1.0, 2, 'avg', True), features, grad_output
    )
    torch.testing.assert_close(grad, expected)


@stand_in
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_roi_align_in_half_precision(dtype, mode, seeded):
    features = torch.randn(2, 2, 5, 6).to(dtype).requires_grad_()
    exact = features.detach().float().requires_grad_()
    pooled, expected = (
        mmcv_ops.roi_align(f, ROIS[:2].to(dtype).to(f), (2, 2), 1.0, 2, mode, True) for f in (features, exact)
    )
    assert pooled.dtype == dtype
    torch.testing.assert_close(pooled, expected.to(dtype))
    pooled.sum().backward()
    expected.sum().backward()
    assert features.grad.dtype == dtype
    torch.testing.assert_close(features.grad.float(), exact.grad, rtol=0.05, atol=0.05)


def test_roi_align_under_autocast(seeded):
    with torch.autocast('cpu', dtype=torch.bfloat16):
        features = torch.nn.functional.conv2d(torch.randn(1, 3, 8, 8), torch.randn(2, 3, 1, 1))
        pooled = mmcv_ops.roi_align(features, torch.tensor([[0.0, 1, 1, 6, 6]]).type_as(features), (2, 2), 1.0, 0)
    assert pooled.dtype == features.dtype == torch.bfloat16


@stand_in
def test_swapped_corners_are_an_error():
    with pytest.raises(ValueError, match=r'corners of region 1 are swapped: \[5.0, 1.0, 2.0, 3.0\]'):
        mmcv_ops.roi_align(torch.zeros(1, 1, 8, 8), torch.tensor([[0.0, 0, 0, 1, 1], [0, 5, 1, 2, 3]]), (2, 2))


# ------------------------------------------------------------------------------------------------- focal loss


@pytest.fixture
def logits(seeded):
    return (3 * torch.randn(6, 4, dtype=torch.float64)).requires_grad_()


TARGET = torch.tensor([0, 3, 4, 4, 2, 1])  # 4 is the background


@stand_in
@pytest.mark.parametrize(('gamma', 'alpha'), [(2.0, 0.25), (0.0, 0.9), (1.5, 0.5)])
def test_focal_loss_in_double_precision(logits, gamma, alpha):
    loss = mmcv_ops.sigmoid_focal_loss(logits, TARGET, gamma, alpha, None, 'none')
    torch.testing.assert_close(loss, mmcv_ops_loops.focal_loss_reference(logits, TARGET, gamma, alpha))
    for reduction in ('mean', 'sum'):
        assert torch.autograd.gradcheck(
            lambda x: mmcv_ops.sigmoid_focal_loss(x, TARGET, gamma, alpha, None, reduction),  # noqa: B023
            logits,
        )


@stand_in
def test_focal_loss_of_extreme_logits_and_of_nothing():
    logits = torch.tensor([[-200.0, 200.0]], requires_grad=True)
    loss = mmcv_ops.sigmoid_focal_loss(logits, torch.tensor([0]), 2.0, 0.25, None, 'none')
    assert loss.tolist() == [[50, 150]]  # shares times logits
    loss.sum().backward()
    assert logits.grad.tolist() == [[-0.25, 0.75]]
    assert mmcv_ops.sigmoid_focal_loss(torch.zeros(0, 3), torch.zeros(0).long(), 2.0, 0.25, None, 'sum') == 0


@stand_in
def test_focal_loss_weighs_the_class_of_the_sample(logits):
    weight = torch.tensor([1.0, 2, 3, 4], dtype=torch.float64)
    samples = TARGET != 4
    x, target = logits[samples], TARGET[samples]
    plain = mmcv_ops.sigmoid_focal_loss(x, target, 2.0, 0.25, None, 'none')
    weighed = mmcv_ops.sigmoid_focal_loss(x, target, 2.0, 0.25, weight, 'none')
    torch.testing.assert_close(weighed, plain * weight[target][:, None])
    assert torch.autograd.gradcheck(lambda x: mmcv_ops.sigmoid_focal_loss(x, target, 2.0, 0.25, weight, 'sum'), x)
    with pytest.raises(ValueError, match='weights for 4 classes and the target 4, which has none'):
        mmcv_ops.sigmoid_focal_loss(logits, TARGET, 2.0, 0.25, weight, 'none')


@stand_in
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_focal_loss_in_half_precision(logits, dtype):
    x = logits.detach().to(dtype).requires_grad_()
    loss = mmcv_ops.sigmoid_focal_loss(x, TARGET, 2.0, 0.25, None, 'none')
    expected = mmcv_ops.sigmoid_focal_loss(x.detach().float(), TARGET, 2.0, 0.25, None, 'none')
    torch.testing.assert_close(loss, expected.to(dtype))
    loss.sum().backward()
    assert x.grad.isfinite().all()
