"""Files as their users have them: in onnxruntime, torch.export and open_clip, without this package."""

import json
import os
import re
import runpy
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from tests.conftest import ROOT, run_tool
from tests.test_export.conftest import NAMES, noise
from vlprompt.apis import init_model, predict_images
from vlprompt.apis.command_line import user_message
from vlprompt.apis.tuned_clip import write_clip
from vlprompt.cli import export
from vlprompt.engine.checkpoint import describe_model, trained_state
from vlprompt.engine.writing import write_checkpoint
from vlprompt.errors import EnvironmentProblem, ExportError
from vlprompt.export import ExportedModel, export_model
from vlprompt.export.description import preprocess_of
from vlprompt.export.export import require_sizes
from vlprompt.export.files import check_packages
from vlprompt.export.parity import compare
from vlprompt.export.recording import write_onnx
from vlprompt.solvers import Shots

PAGE = (ROOT / 'docs/export.md').read_text()
WITHOUT_TORCH = """
import runpy, sys

del sys.argv[0]
sys.modules['torch'] = None  # an import of it fails
runpy.run_path(sys.argv[0], run_name='__main__')
assert not [name for name in sys.modules if name.split('.')[0] in ('vlprompt', 'mmengine', 'torchvision')]
"""


@pytest.fixture
def photo(tmp_path):
    """A picture that is no square, with structure at all scales."""
    rng = np.random.default_rng(0)
    pixels = np.kron(rng.integers(0, 256, (10, 14, 3)), np.ones((9, 9, 1))) // 2 + rng.integers(0, 128, (90, 126, 3))
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / 'photo.png')
    return tmp_path / 'photo.png'


def infer(*arguments):
    """What tools/onnx_inference.py prints, in a process where torch cannot be imported."""
    command = [sys.executable, '-c', WITHOUT_TORCH, ROOT / 'tools/onnx_inference.py', *arguments]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def onnx_of(path, images):
    session = onnxruntime.InferenceSession(str(path))
    values = session.run(None, dict(image=images.numpy()))
    return session, {o.name: torch.from_numpy(v) for o, v in zip(session.get_outputs(), values, strict=True)}


def test_a_classifier_as_onnx(build, tmp_path, photo):
    model = build('coop/coop_vit-b16')
    export_model(model, tmp_path / 'model.onnx', random_images=True)
    for batch in (1, 4):
        images = noise(batch)
        session, found = onnx_of(tmp_path / 'model.onnx', images)
        with torch.no_grad():
            torch.testing.assert_close(found['logits'], model(images, mode='tensor'), atol=1e-4, rtol=1e-4)
    assert session.get_inputs()[0].shape[1:] == [3, 64, 64]
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about['class_names']) == NAMES
    assert json.loads(about['preprocess'])['steps'] == [
        dict(step='resize_shorter_side', size=64, interpolation='bicubic'),
        dict(step='center_crop', size=[64, 64]),
    ]
    (sample,) = predict_images(model, photo)
    best = sample.pred_score.argsort(descending=True)[:2].tolist()
    expected = ', '.join(f'{NAMES[label]} {sample.pred_score[label]:.4f}' for label in best)
    assert infer(tmp_path / 'model.onnx', photo, '--top-k', 2) == f'{photo}: {expected}\n'
    script = runpy.run_path(str(ROOT / 'tools/onnx_inference.py'))
    (tmp_path / 'broken.png').write_bytes(b'%!PS-Adobe-3.0 EPSF-3.0')
    with pytest.raises(SystemExit, match=r'broken\.png cannot be read: cannot identify'):
        script['load_image'](tmp_path / 'broken.png', True)
    loaded = script['OnnxModel'](tmp_path / 'model.onnx')
    loaded.about['preprocess']['steps'].pop()
    with pytest.raises(SystemExit, match=r'photo\.png is prepared to 64 x 89 pixels, but the file takes 64 x 64 alone'):
        loaded(photo)


def test_a_segmentor_of_any_size_as_onnx(build, tmp_path, photo):
    model = build('denseclip/denseclip_micro-rn_fpn_200i_scenes-160x160', 'dense')
    export_model(model, tmp_path / 'model.onnx', any_size=True, random_images=True)
    images = noise(1, 64, 96)
    session, found = onnx_of(tmp_path / 'model.onnx', images)
    assert all(isinstance(side, str) for side in np.take(session.get_inputs()[0].shape, [0, 2, 3]))
    with torch.no_grad():
        torch.testing.assert_close(found['scores'], model.score_map(images), atol=1e-5, rtol=1e-4)
    assert found['logits'].shape == (1, 3, 64, 96)
    shown = infer(tmp_path / 'model.onnx', photo, '--out', tmp_path / 'masks')
    (sample,) = predict_images(model, photo)
    mask = np.asarray(Image.open(tmp_path / 'masks/00000_photo.png'))
    expected = sample.pred_sem_seg.data[0].numpy()
    assert (mask == expected).mean() > 0.999
    label = np.bincount(expected.ravel(), minlength=3).argmax()
    assert shown.startswith(f'{photo}: {NAMES[label]} ')


def test_descriptors_as_onnx(build, tmp_path, photo):
    model = build('clipreid/baseline_vit-b16')
    export_model(model, tmp_path / 'model.onnx', size=(256, 128), random_images=True, images=2)
    assert infer(tmp_path / 'model.onnx', photo, '--out', tmp_path / 'new/found.npz') == f'{photo}: 1.0000\n'
    found = np.load(tmp_path / 'new/found.npz')
    (sample,) = predict_images(model, photo)
    expected = torch.nn.functional.normalize(sample.feature, dim=0)
    np.testing.assert_allclose(found['features'], expected[None].numpy(), atol=1e-5)
    assert found['names'] == [str(photo)]


def test_a_file_of_torch_export(build, tmp_path):
    model = build('coop/coop_vit-b16')
    (comparison,) = export_model(model, tmp_path / 'model.pt2', 'torch-export', half=True, random_images=True, images=3)
    assert 0 < comparison.difference < 2e-2 * comparison.largest
    assert comparison.images == 3
    extra = {'vlprompt.json': ''}
    program = torch.export.load(tmp_path / 'model.pt2', extra_files=extra)
    about = json.loads(extra['vlprompt.json'])
    assert (about['class_names'], about['precision'], about['image_size']) == (NAMES, 'float16', [64, 64])
    assert program.module()(noise(4))[0].shape == (4, 3)
    assert ExportedModel(tmp_path / 'model.pt2', 'torch-export').sizes == (None, 3, 64, 64)


# ------------------------------------------------------------------------------------------------------------ folded


@pytest.fixture
def open_clip_folder(build, tmp_path):
    """``open_clip_folder(model)``: the base weights of a model as open_clip has them."""

    def write(model):
        write_clip(model.clip, tmp_path / 'clip')
        return tmp_path / 'clip'

    return write


SIX_LINES = re.search(r'^```python\n(import json, open_clip.*?)^```', PAGE, re.M | re.S)[1]


def six_lines(folder, classifier, photo):
    """Probabilities by the lines of the page, for an open_clip model in a folder."""
    lines = SIX_LINES.replace("'ViT-B-16-quickgelu', pretrained='openai'", repr(f'local-dir:{folder}'))
    lines = lines.replace('classifier.safetensors', str(classifier)).replace('photo.jpg', str(photo))
    assert str(folder) in lines
    found = {}
    exec(lines, found)
    return found['names'], found['p'].numpy()


@pytest.mark.parametrize('method', ['coop/coop_rn50', 'gda/gda_rn50', 'linear_probe/linear-probe_rn50', 'lpp/lpp_rn50'])
def test_six_lines_of_open_clip(build, open_clip_folder, tmp_path, photo, method):
    model = build(method, 'rn')
    if hasattr(model, 'solver'):
        with torch.no_grad():
            features = torch.randn(12, 2, 24)
            model.solver.fit(Shots(features, torch.arange(12) % 3, model.text_features(), model.scale, 1))
        model._fitted_names = model.class_names
    export_model(model, tmp_path / 'classifier.safetensors', 'folded', random_images=True)
    names, found = six_lines(open_clip_folder(model), tmp_path / 'classifier.safetensors', photo)
    (sample,) = predict_images(model, photo)
    assert names == NAMES
    np.testing.assert_allclose(found, sample.pred_score, atol=1e-4)


@pytest.mark.parametrize(
    ('config', 'tower', 'reason'),
    [
        ('plot/plot_rn50', 'rn', 'TransportAlignment compares local features'),
        ('cocoop/cocoop_vit-b16', 'vit', 'the text of a ConditionalPrompt depends on the image'),
        ('maple/maple_vit-b16', 'vit', 'visual prompts change the image feature'),
        ('clipreid/baseline_vit-b16', 'vit', 'no classifier of whole images'),
    ],
)
def test_classifiers_that_are_not_linear(build, tmp_path, config, tower, reason):
    model = build(config, tower, **({'model.prompt.depth': 2} if 'maple' in config else {}))
    with pytest.raises(ExportError, match=reason):
        export_model(model, tmp_path / 'no.safetensors', 'folded', random_images=True)


def test_a_solver_with_a_kernel_is_not_linear(build, tmp_path):
    model = build('tip_adapter/tip-adapter_rn50', 'rn')
    with torch.no_grad():
        model.solver.fit(Shots(torch.randn(3, 1, 24), torch.arange(3), model.text_features(), model.scale, 1))
    model._fitted_names = model.class_names
    with pytest.raises(ExportError, match='logits of TipAdapter are not linear'):
        export_model(model, tmp_path / 'no.safetensors', 'folded', random_images=True)


# ------------------------------------------------------------------------------------------------------------ the tool


def test_a_file_that_differs_is_not_kept(build, tmp_path):
    model = build('coop/coop_rn50', 'rn')
    with pytest.raises(ExportError, match=r'logits: max \|difference\|.*FAILED') as caught:
        export_model(model, tmp_path / 'x.pt2', 'torch-export', random_images=True, images=2, half=True, tolerance=1e-9)
    assert user_message(caught.value).startswith('ExportError: the file differs'), 'the tool ends with this message'
    assert not [path for path in tmp_path.iterdir() if path.suffix in ('.pt2', '.tmp')]


def test_the_tool(build, tmp_path):
    model = build('coop/coop_rn50', 'rn')
    content = dict(meta=dict(vlprompt=describe_model(model)), state_dict=trained_state(model))
    write_checkpoint(content, tmp_path / 'trained.pth')
    model.cfg.dump(tmp_path / 'config.py')
    given = [
        tmp_path / 'config.py',
        tmp_path / 'trained.pth',
        '--format',
        'folded',
        '--out',
        tmp_path / 'c.safetensors',
    ]
    shown = run_tool(export.main, *given, '--random-images')
    assert re.match(r'logits: max \|difference\| .* labels equal 100 %, 8 images\nwrote ', shown)
    assert (tmp_path / 'c.safetensors').is_file()


def test_an_adapter_that_ships(tmp_path):
    model = init_model('builtin:coop_micro-rn')
    export_model(model, tmp_path / 'c.safetensors', 'folded', random_images=True, images=1)
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / 'c.safetensors').stat().st_mode & 0o777 == 0o666 & ~mask, 'others may read it, as any new file'
    with safe_open(tmp_path / 'c.safetensors', 'pt') as file:
        assert json.loads(file.metadata()['base'])['name'] == 'micro-rn:scenes'
        assert file.metadata()['config'] == 'coop_micro-rn'


def test_files_that_are_not_what_was_asked_for(monkeypatch):
    images = torch.zeros(2, 3, 4, 4)
    with pytest.raises(ExportError, match=r'logits of the file is \(1, 3\), that of the model \(2, 3\)'):
        compare(lambda x: dict(logits=torch.zeros(2, 3)), lambda x: dict(logits=torch.zeros(1, 3)), [images], 1.0)
    with pytest.raises(ExportError, match='no images to compare on'):
        compare(lambda x: {}, lambda x: {}, [], 1.0)
    require_sizes((None, 3, 4, 4), (None, 3, 4, 4))
    with pytest.raises(ExportError, match='takes images of 2 x 3 x 4 x 4 instead of any x 3 x 4 x any'):
        require_sizes((2, 3, 4, 4), (None, 3, 4, None))
    monkeypatch.setattr('vlprompt.export.recording.LARGEST', 0)
    program = torch.export.export(torch.nn.Linear(2, 2), (torch.zeros(1, 2),))
    with pytest.raises(ExportError, match=r'more than one file of ONNX holds .* \(--half\)'):
        write_onnx(program, 'x.onnx', {}, {})


def test_the_orientation_of_mmcvs_loader(build):
    """It turns images upright unless it is told not to, as vlprompt's own do."""
    model = build('coop/coop_rn50', 'rn')
    for options, upright in (({}, True), (dict(color_type='color_ignore_orientation'), False)):
        model.cfg.test_dataloader.dataset.pipeline[0] = dict(type='LoadImageFromFile', **options)
        assert preprocess_of(model)['exif_orientation'] is upright
    model.cfg.test_dataloader.dataset.pipeline[0] = dict(type='LoadImageFromFile', color_type='grayscale')
    with pytest.raises(ExportError, match="color_type='grayscale' cannot be described"):
        preprocess_of(model)


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setattr('vlprompt.export.files.find_spec', lambda name: None if name == 'onnxscript' else True)
    with pytest.raises(EnvironmentProblem, match=r"onnxscript: pip install 'vlprompt\[export\]'"):
        check_packages('onnx')
    check_packages('folded')


def test_no_test_set(build, tmp_path):
    model = build('coop/coop_rn50', 'rn', data_root=str(tmp_path / 'nowhere'))
    with pytest.raises(Exception, match='--random-images'):
        export_model(model, tmp_path / 'model.onnx')
