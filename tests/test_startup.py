"""What starting up imports: packages that a task does not need cost seconds at every start."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.tiny_project import TinyProject

UNNEEDED = {
    *('open_clip', 'timm', 'huggingface_hub', 'httpx', 'matplotlib', 'scipy', 'mmdet', 'mmseg'),
    *('onnx', 'onnxruntime', 'onnxscript'),
}
"""What takes seconds to import, and no classification by prompts needs."""

LOOK_UP = """
import sys
import vlprompt.registry as ours
from mmengine.registry import Registry, init_default_scope

init_default_scope('vlprompt')
wanted = dict(
    RUNNERS='PromptRunner', LOOPS='FeatureTrainLoop', HOOKS='PredictionImageHook', LOG_PROCESSORS='PromptLogProcessor',
    MODELS='TextClassifier', OPTIM_WRAPPERS='OptimWrapper', PARAM_SCHEDULERS='WarmupCosineLR',
    DATASETS='FewShotDataset',
    OPTIM_WRAPPER_CONSTRUCTORS='PatternOptimWrapperConstructor', DATA_SAMPLERS='EpochSampler', TRANSFORMS='LoadImage',
    METRICS='Accuracy', VISUALIZERS='Visualizer', VISBACKENDS='LocalVisBackend', EVALUATOR='Evaluator',
    OPTIMIZERS='SGD', MODEL_WRAPPERS='MMDistributedDataParallel', WEIGHT_INITIALIZERS='Normal',
)
assert set(wanted) == {
    name for name, found in vars(ours).items() if isinstance(found, Registry) and not name.startswith('MMENGINE_')
}
for registry, name in wanted.items():
    assert getattr(ours, registry).get(name) is not None, (registry, name)
assert ours.METRICS.get('RetrievalMetric') is not None
"""


def imported_by(code, *arguments):
    """Names of the packages that running ``code`` imports, and what it prints."""
    code += "\nprint('imported:', *{name.split('.')[0] for name in sys.modules})"
    command = [sys.executable, '-c', code, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    printed, _, names = done.stdout.rpartition('imported:')
    return set(names.split()), printed + done.stderr


def test_the_package_itself_is_cheap():
    packages, _ = imported_by('import sys\nimport vlprompt')
    assert 'vlprompt' in packages
    assert not packages & {'torch', 'torchvision', 'numpy', 'mmengine', 'mmcv', 'mmdet', 'mmseg'}


def test_the_folder_around_a_checkout_is_no_trap(tmp_path):
    """There, Python finds the checkout first, and then the package, on the path that an editable install extends."""
    assert 'package-dir = { "" = "." }' in (ROOT / 'pyproject.toml').read_text(), 'without it setuptools does not'
    (tmp_path / 'vlprompt').symlink_to(ROOT)
    code = 'import sys; sys.path[:0] = sys.argv[1:]; import vlprompt; print(vlprompt.__version__)'
    subprocess.run([sys.executable, '-c', code, tmp_path, ROOT], cwd=tmp_path, check=True)


def test_a_classification_run_imports_only_what_it_needs():
    packages, printed = imported_by(LOOK_UP)
    assert {'torch', 'mmengine', 'vlprompt'} <= packages
    assert packages & UNNEEDED == set()
    assert 'not installed' not in printed
    assert 'Failed to' not in printed


HELP = """
import contextlib, io, runpy, sys
from pathlib import Path

tools = sorted(path for path in Path('tools').rglob('*.py') if path.name != '__init__.py')
assert len(tools) > 15
for path in tools:
    sys.argv = [str(path), '--help']
    shown = io.StringIO()
    try:
        with contextlib.redirect_stdout(shown):
            runpy.run_path(str(path), run_name='__main__')
    except SystemExit as end:
        assert not end.code, (path, end.code)
    assert 'usage' in shown.getvalue(), path
    assert not {'torch', 'torchvision', 'mmcv', 'matplotlib', 'scipy', 'cv2'} & set(sys.modules), path
"""


def test_tools_answer_help_before_they_import_what_takes_seconds():
    imported_by(HELP)


RUN = """
import gc, runpy, sys

del sys.argv[0]
runpy.run_path(sys.argv[0], run_name='__main__')
assert gc.isenabled()
assert gc.get_freeze_count() > 100_000, 'the collector looks at what was imported'
"""


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    return TinyProject.create(tmp_path_factory.mktemp('project'))


def test_a_training_and_its_test_import_only_what_they_need(project, tmp_path):
    packages, printed = imported_by(
        RUN,
        'tools/train.py',
        project.config,
        '--work-dir',
        tmp_path,
        '--test',
        '--cfg-options',
        'train_cfg.max_epochs=1',
    )
    assert 'accuracy/top1' in printed
    assert (tmp_path / 'epoch_1.pth').is_file()
    assert packages & UNNEEDED == set()


def test_a_test_imports_only_what_it_needs(project, tmp_path):
    packages, printed = imported_by(RUN, 'tools/test.py', project.config, '--work-dir', tmp_path)
    assert 'accuracy/top1' in printed
    assert packages & UNNEEDED == set()


def test_a_prediction_needs_no_other_clip(project, tmp_path):
    """Its pictures need matplotlib."""
    image = project.root / 'data' / 'test' / 'cup' / '0.png'
    packages, printed = imported_by(RUN, 'tools/predict.py', project.config, 'none', image, '--out', tmp_path / 'out')
    assert '1 of 1 images' in printed
    assert packages & UNNEEDED <= {'matplotlib', 'scipy'}
