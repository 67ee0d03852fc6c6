"""tools/predict.py on every task: what it prints and writes is what the model predicts."""

import base64
import io
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image

from tests.conftest import MICRO, ROOT
from tests.tiny_project import TinyProject
from vlprompt.apis import ReIDInferencer, find_images, init_model, predict_images
from vlprompt.apis.command_line import call
from vlprompt.apis.inference import LeftOut
from vlprompt.apis.inferencers.class_names import names_for
from vlprompt.cli import predict
from vlprompt.engine import load_config
from vlprompt.engine.checkpoint import describe_model, trained_state
from vlprompt.engine.writing import write_checkpoint
from vlprompt.errors import ConfigError, NonFiniteError
from vlprompt.registry import MODELS

PIPELINE = [dict(type='vlprompt.LoadImage'), dict(type='vlprompt.PackClassification')]
CLIP = dict(arch=dict(MICRO['rn'], _delete_=True), weights=None, image_size=64)


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    return TinyProject.create(tmp_path_factory.mktemp('predicted'))


@pytest.fixture(scope='module')
def config(project):
    """Its config, with a test pipeline that does the same every time."""
    cfg = Config.fromfile(project.config)
    cfg._cfg_dict.pop('pipeline')  # a variable of the file
    steps = cfg.test_dataloader.dataset.pipeline
    steps[1:3] = [dict(type='vlprompt.ResizeImage', size=(32, 32))]
    path = project.root / 'predicted.py'
    path.write_text(cfg.pretty_text)
    return path


@pytest.fixture(scope='module')
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp('photographs')
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (64, 64, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f'{number}.png')
    return folder


def run(*arguments):
    """The images in predictions.json; what is not trained starts from seed 0."""
    torch.manual_seed(0)
    predict.main([str(argument) for argument in arguments])
    return json.loads((arguments[arguments.index('--out') + 1] / 'predictions.json').read_text())['images']


def shrunk(path, folder, **options):
    cfg = load_config(ROOT / 'configs' / path, options)
    (folder / 'small.py').write_text(cfg.pretty_text)
    return folder / 'small.py'


def test_classes(project, config, tmp_path, capsys):
    folder = project.root / 'data' / 'test'
    images = run(config, 'none', folder, folder / 'cup' / '0.png', '--top-k', 2, '--out', tmp_path)
    last, summary = capsys.readouterr().out.splitlines()[-2:]
    assert [image['image'] for image in images] == [str(p) for p in [*find_images(folder), folder / 'cup' / '0.png']]
    torch.manual_seed(0)
    sample = next(predict_images(init_model(config), [folder / 'cup' / '0.png']))
    scores, labels = sample.pred_score.topk(2)
    names = ['apple', 'boat', 'cup']
    assert [entry['name'] for entry in images[-1]['classes']] == [names[label] for label in labels]
    assert [entry['score'] for entry in images[-1]['classes']] == pytest.approx(scores.tolist(), abs=1e-6)
    assert last.endswith(
        f'0.png: {", ".join(f"{names[k]} {100 * s:.1f} %" for k, s in zip(labels, scores, strict=True))}'
    )
    assert summary == f'{len(images)} of {len(images)} images: {tmp_path / "predictions.json"}'
    assert len(list(tmp_path.glob('*.png'))) == len(images)


def test_files_that_are_no_images_are_counted(project, config, photographs, tmp_path, capsys):
    folder = tmp_path / 'mixed'
    folder.mkdir()
    for name in ('a.heic', 'b.HEIC', 'c', 'notes.txt'):
        (folder / name).write_text('x')
    (folder / '0.png').write_bytes((photographs / '0.png').read_bytes())
    assert len(run(config, 'none', folder, '--out', tmp_path / 'out', '--no-pictures')) == 1
    told = f'{folder}: 2 files .heic and 1 file without suffix are left out, since they are no images'
    assert told in capsys.readouterr().out.splitlines()


def test_a_name_that_stands_twice_is_an_error(config, photographs, tmp_path):
    with pytest.raises(ConfigError, match=r"^--class-names: 'fish' stands twice$"):
        run(config, 'none', photographs, '--out', tmp_path, '--class-names', 'fish', 'cat', 'fish')


def test_options_of_other_tasks_are_errors(config, photographs, tmp_path):
    with pytest.raises(ConfigError, match='--score is for detectors and has no effect on TextClassifier'):
        run(config, 'none', photographs, '--out', tmp_path, '--score', 0.1)
    for model, message in (('BaseSegmentor', '--top-k is for classifiers'), ('BaseDetector', '--top-k')):
        with pytest.raises(ConfigError, match=message):
            predict.options_of(SimpleNamespace(top_k=3, score=None), type('Model', (type(model, (), {}),), {})())
    detector = type('Model', (type('BaseDetector', (), {}),), {})()
    assert predict.options_of(SimpleNamespace(top_k=None, score=0.1), detector) == dict(score=0.1)
    for option in (('--score', 1.5), ('--score', 'nan'), ('--workers', -1), ('--batch-size', 0)):
        with pytest.raises(SystemExit):
            run(config, 'none', photographs, '--out', tmp_path, *option)


def test_results_of_an_earlier_prediction_are_set_aside(project, tmp_path):
    """And not predicted, if they lie in the folder of the images."""
    images, out = tmp_path / 'images', tmp_path / 'images' / 'predicted'
    shutil.copytree(project.root / 'data' / 'test' / 'cup', images)
    run(project.config, 'none', images, '--out', out)
    (out / 'own.txt').touch()
    (images / '3.png').unlink()
    assert len(run(project.config, 'none', images, '--out', out)) == 3
    assert len(list(out.glob('0*.png'))) == 3
    (target,) = (out / 'earlier').iterdir()
    assert len(list(target.glob('0*.png'))) == 4
    assert len(json.loads((target / 'predictions.json').read_text())['images']) == 4
    assert (out / 'own.txt').exists()


def test_results_lie_inside_of_a_folder_of_images_but_not_among_them(project, tmp_path):
    images, out = tmp_path / 'images', tmp_path / 'images' / 'predicted'
    shutil.copytree(project.root / 'data' / 'test' / 'cup', images)
    before = sorted(images.iterdir())
    for results in (images, images / '..' / 'images'):
        with pytest.raises(ConfigError, match=r'--out .*images is itself a folder of images, .* give another folder'):
            run(project.config, 'none', images, '--out', results)
    assert sorted(images.iterdir()) == before
    expected = run(project.config, 'none', images, '--out', out)
    (images / 'link').symlink_to(out)
    assert run(project.config, 'none', images, '--out', out) == expected
    for path in before:
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r'images holds no images \(.* apart from .*predicted$'):
        run(project.config, 'none', images, '--out', out)
    assert json.loads((out / 'predictions.json').read_text())['images'] == expected


def test_pictures_of_a_killed_prediction_are_set_aside(project, tmp_path, monkeypatch):
    folder, out, killed = project.root / 'data' / 'test' / 'cup', tmp_path / 'out', tmp_path / 'killed'
    draw = predict.draw

    def draw_and_copy(infer, found, path):
        draw(infer, found, path)
        shutil.copytree(out, killed, dirs_exist_ok=True)

    monkeypatch.setattr(predict, 'draw', draw_and_copy)
    run(project.config, 'none', folder, '--out', out)
    monkeypatch.undo()
    assert len(list(killed.glob('0*.png'))) == 4
    assert len(run(project.config, 'none', folder / '3.png', '--out', killed)) == 1
    assert [path.name for path in killed.glob('0*.png')] == ['000000_3.png']
    (target,) = (killed / 'earlier').iterdir()
    assert len(list(target.glob('0*.png'))) == 4


def test_masks_beside_classes_are_no_results(project, tmp_path):
    (tmp_path / 'masks').mkdir()
    (tmp_path / 'masks' / '000000_own.png').touch()
    for _ in range(2):
        run(project.config, 'none', project.root / 'data' / 'test' / 'cup', '--out', tmp_path, '--no-pictures')
    assert (tmp_path / 'earlier').exists()
    assert (tmp_path / 'masks' / '000000_own.png').exists()


def test_other_classes(project, tmp_path):
    image = project.root / 'data' / 'test' / 'cup' / '0.png'
    names = ['red_cup', 'tea pot', 'kettle', 'saucer']
    images = run(project.config, 'none', image, '--out', tmp_path, '--no-pictures', '--class-names', *names)
    assert {entry['name'] for entry in images[0]['classes']} == {'red cup', 'tea pot', 'kettle', 'saucer'}
    assert [path.name for path in tmp_path.iterdir()] == ['predictions.json']
    lost = ['--cfg-options', f'model.class_names={tmp_path}/lost.txt']  # replaced, so it need not exist
    again = run(project.config, 'none', image, '--out', tmp_path, '--no-pictures', '--class-names', *names, *lost)
    assert again == images


def test_a_score_that_is_nan_is_an_error_with_what_the_model_says(project, config, tmp_path):
    image = project.root / 'data' / 'test' / 'cup' / '0.png'
    transport = ['--cfg-options', 'model.alignment.type=vlprompt.TransportAlignment', 'model.alignment.eps=0.001']
    message = r'0\.png: a score is NaN, so there is no class\. If .* eps=0\.001 .* too small for float32'
    with pytest.raises(NonFiniteError, match=message):
        run(config, 'none', image, '--out', tmp_path, '--no-pictures', *transport)
    assert json.loads((tmp_path / 'predictions.json').read_text())['images'] == []


def test_a_dataset_of_other_classes_than_the_checkpoint_has_is_an_error(photographs, tmp_path):
    config, checkpoint = 'coop/coop_micro-rn', tmp_path / 'epoch_1.pth'
    trained = init_model(config, cfg_options=dict(dataset='eurosat'))
    content = dict(meta=dict(vlprompt=describe_model(trained)), state_dict=trained_state(trained))
    write_checkpoint(content, checkpoint)
    options = ['--out', tmp_path / 'out', '--no-pictures', '--dataset']
    assert run(config, checkpoint, *options, 'eurosat', photographs) == run(
        config, checkpoint, photographs, *options[:3]
    )
    message = r'--dataset dtd has 47 classes .*epoch_1\.pth was trained on 10 .*--class-names'
    with pytest.raises(ConfigError, match=message):
        run(config, checkpoint, photographs, *options, 'dtd')
    images = run(config, checkpoint, photographs, *options, 'dtd', '--class-names', 'owl', 'cat')
    assert {entry['name'] for entry in images[0]['classes']} == {'owl', 'cat'}


def test_a_trained_head_keeps_its_classes(tmp_path):
    model = MODELS.build(
        dict(
            type='vlprompt.HeadClassifier',
            clip=dict(arch=MICRO['vit']),
            num_classes=3,
            head=dict(type='vlprompt.CosineHead', start='text'),
            loss=dict(type='vlprompt.LogitAdjustedLoss'),
            trainable=['head.*'],
        )
    )
    model.dataset_meta = {}
    head = model.head.weight.clone()
    assert names_for(model, ['cat', 'red_owl', 'sea']) == ['cat', 'red owl', 'sea']
    assert torch.equal(model.head.weight, head)
    with pytest.raises(ConfigError, match='2 names for the 3 classes of HeadClassifier'):
        names_for(model, ['cat', 'owl'])
    model.dataset_meta = dict(classes=('cat', 'owl', 'sea'))
    with pytest.raises(ConfigError, match='HeadClassifier was trained for cat, owl, sea and no others'):
        names_for(model, ['ant', 'bee', 'cow'])


@pytest.mark.parametrize('batch_size', [1, 2])
def test_broken_images_are_left_out_and_named(config, photographs, tmp_path, capsys, batch_size):
    first, second = tmp_path / 'a.png', tmp_path / 'b.png'
    first.write_text('no image')
    second.write_bytes((photographs / '0.png').read_bytes()[:2000])
    options = ['--batch-size', batch_size, '--out', tmp_path / 'out']
    with pytest.raises(SystemExit, match=rf'^2 of 5 images are left out: {first}, {second}$'):
        run(config, 'none', first, photographs, second, photographs / '0.png', *options)
    images = json.loads((tmp_path / 'out' / 'predictions.json').read_text())['images']
    assert [Path(image['image']).name for image in images] == ['0.png', '1.png', '0.png']
    assert images[0] == images[2]
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith(f'{first}: left out (image {first} cannot be read: ') for line in lines) == 1


def odd_folder(folder, good):
    """Three good images, one of them with the longest name, one with odd bytes; and what cannot be predicted."""
    folder.mkdir()
    for name in ('a.png', f'b{"b" * 248}_.png', 'c_M\udce4rz $x^$.png'):
        (folder / name).write_bytes(good.read_bytes())
    (folder / 'empty.png').touch()
    os.mkfifo(folder / 'pipe.png')
    (folder / 'link.png').symlink_to('/dev/zero')
    (folder / 'lost.png').symlink_to(folder / 'nowhere')
    (folder / 'text.png').write_text('<html>')
    (folder / 'half.png').write_bytes(good.read_bytes()[:2000])
    Image.fromarray(np.zeros((8, 8), np.float32)).save(folder / 'float.png', 'TIFF')
    Image.new('1', (14000, 13000)).save(folder / 'huge.png')
    return {'empty', 'pipe', 'link', 'lost', 'text', 'half', 'float', 'huge'}


@pytest.mark.parametrize('options', [[], ['--batch-size', 4, '--workers', 1]])
def test_odd_images_never_end_a_folder(config, photographs, tmp_path, capsys, options):
    odd = odd_folder(tmp_path / 'in', photographs / '0.png')
    arguments = [config, 'none', tmp_path / 'in', '--out', tmp_path / 'out', *options]
    with pytest.raises(SystemExit, match=r'^8 of 11 images are left out: ') as stopped:
        call(lambda: run(*arguments))
    assert {Path(name).stem for name in str(stopped.value).split(': ', 1)[1].split(', ')} == odd
    images = json.loads((tmp_path / 'out' / 'predictions.json').read_text())['images']
    assert [os.fsencode(image['image']) for image in images] == [
        os.fsencode(path) for path in find_images(tmp_path / 'in') if path.stem not in odd
    ]
    assert images[0]['classes'] == images[1]['classes'] == images[2]['classes']
    pictures = sorted(path.name for path in (tmp_path / 'out').glob('*.png'))
    assert pictures == ['000000_a.png', f'000001_{"b" * 244}.png', '000002_c_M\udce4rz $x^$.png']
    printed = capsys.readouterr().out
    assert 'c_M\\udce4rz $x^$.png: ' in printed
    for name in odd:
        assert f'{tmp_path}/in/{name}.png: left out (image {tmp_path}/in/{name}.png ' in printed


def test_a_pipe_among_files_is_left_out(config, photographs, tmp_path):
    os.mkfifo(tmp_path / 'pipe.png')
    with pytest.raises(SystemExit, match=r'^1 of 2 images are left out: .*pipe\.png$'):
        run(config, 'none', tmp_path / 'pipe.png', photographs / '0.png', '--out', tmp_path / 'out', '--no-pictures')


def test_class_names_of_a_file(project, tmp_path):
    image = project.root / 'data' / 'test' / 'cup' / '0.png'
    (tmp_path / 'names.txt').write_bytes(b'\xef\xbb\xbfred_cup\nteapot\n')
    images = run(
        project.config, 'none', image, '--out', tmp_path, '--no-pictures', '--class-names', tmp_path / 'names.txt'
    )
    assert {entry['name'] for entry in images[0]['classes']} == {'red cup', 'teapot'}


def test_mistakes(project, tmp_path):
    test = project.root / 'data' / 'test'
    assert LeftOut().files_of([test / '*' / '[01].png']) == [path for path in find_images(test) if path.stem in '01']
    with pytest.raises(FileNotFoundError, match=r'no image .* matches nowhere\*'):
        LeftOut().files_of([Path('nowhere*')])
    with pytest.raises(FileNotFoundError, match=r'no image or folder at nowhere\.png'):
        run(project.config, 'none', 'nowhere.png', '--out', tmp_path)
    (tmp_path / 'file').touch()
    with pytest.raises(SystemExit, match=r'^ConfigError: --out .*file is a file, not a folder$'):
        call(lambda: run(project.config, 'none', project.root / 'data' / 'test', '--out', tmp_path / 'file'))
    with pytest.raises(SystemExit):
        run(project.config, 'none', project.root, '--top-k', 0, '--out', tmp_path)
    with pytest.raises(ConfigError, match="there is no phase 'groups'"):
        run(project.config, 'none', project.root, '--phase', 'groups', '--out', tmp_path)


def test_descriptors(photographs, tmp_path, capsys):
    config = ROOT / 'configs/clipreid/baseline_micro-vit.py'
    options = ['--cfg-options', 'model.num_ids=2', 'model.num_cameras=2', 'model.num_views=1']
    images = run(config, 'none', photographs, '--out', tmp_path, *options)
    expected = ReIDInferencer(config, cfg_options={'model.num_ids': 2, 'model.num_cameras': 2, 'model.num_views': 1})
    for image, feature in zip(images, expected(photographs), strict=True):
        assert image['feature'] == pytest.approx(feature.tolist(), abs=1e-5)
        assert np.linalg.norm(image['feature']) == pytest.approx(1, abs=1e-4)
    assert f'0.png: descriptor of {len(images[0]["feature"])} numbers' in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ['predictions.json']


def test_lines_of_json(config, photographs, tmp_path):
    (tmp_path / 'broken.png').write_text('no image')
    arguments = ['--out', tmp_path / 'out', '--no-pictures', '--format']
    expected = run(config, 'none', photographs, *arguments, 'json')
    with pytest.raises(SystemExit, match='1 of 3 images are left out'):
        run(config, 'none', photographs, tmp_path / 'broken.png', *arguments, 'jsonl')
    lines = (tmp_path / 'out' / 'predictions.jsonl').read_text().splitlines()
    assert [json.loads(line) for line in lines] == expected
    assert not (tmp_path / 'out' / 'predictions.json').exists(), 'of the run before, set aside'


def test_a_killed_run_leaves_the_lines_that_it_has(config, photographs, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        predict, 'draw', lambda infer, found, path: seen.append((tmp_path / 'predictions.jsonl').read_text())
    )
    predict.main([str(word) for word in (config, 'none', photographs, '--out', tmp_path, '--format', 'jsonl')])
    assert [text.count('\n') for text in seen] == [1, 2]


def test_the_form_of_hugging_face(config, photographs, tmp_path):
    predict.main([str(word) for word in (config, 'none', photographs, '--out', tmp_path, '--format', 'hf')])
    images = json.loads((tmp_path / 'predictions.json').read_text())
    assert [Path(image['image']).name for image in images] == ['0.png', '1.png']
    assert [set(entry) for entry in images[0]['predictions']] == 3 * [{'label', 'score'}]
    red = Image.new('L', (3, 2), 255)
    decoded = Image.open(io.BytesIO(base64.b64decode(json.loads(json.dumps(red, default=predict.in_json)))))
    assert (decoded.mode, decoded.size, decoded.getextrema()) == ('L', (3, 2), (255, 255))


def test_options_that_choose_what_is_trained_are_errors(project, config, photographs, tmp_path):
    options = ['--out', tmp_path / 'out', '--no-pictures']
    with pytest.raises(ConfigError, match=r'^--shots 4 has no effect where nothing is trained'):
        run('coop/coop_micro-rn', 'none', photographs, *options, '--shots', 4)
    with pytest.raises(ConfigError, match=r'^--seed 1 has no effect beside a checkpoint'):
        run(config, tmp_path / 'epoch_1.pth', photographs, *options, '--seed', 1)
    first, second = (run(config, 'none', photographs, *options, '--seed', seed) for seed in (1, 2))
    assert first != second, 'prompts are drawn'


def test_names_with_commas_are_told_apart(project, photographs, tmp_path, capsys):
    names = ['sofa, couch', 'cat']
    run(project.config, 'none', photographs / '0.png', '--out', tmp_path, '--no-pictures', '--class-names', *names)
    assert '"sofa, couch" ' in capsys.readouterr().out


def test_a_single_class_is_warned_of(project, photographs, tmp_path, caplog):
    run(project.config, 'none', photographs / '0.png', '--out', tmp_path, '--no-pictures', '--class-names', 'cat')
    assert "'cat' is the only class, so every image is it by 100 %" in caplog.text


def test_segmentation(photographs, tmp_path, capsys):
    with DefaultScope.overwrite_default_scope('mmseg'):
        config = shrunk(
            'denseclip/clip_micro-rn_fpn_200i_scenes-160x160.py',
            tmp_path,
            **{
                'model.backbone.clip': CLIP,
                'model.neck.in_channels': [32, 64, 128, 256],
                'model.decode_head.num_classes': 3,
            },
        )
        with pytest.raises(ConfigError, match='does not name the classes: list them with --class-names'):
            run(config, 'none', photographs, '--out', tmp_path / 'out')
        names = ['sky', 'road', 'tree']
        with pytest.raises(ConfigError, match='2 names for the 3 classes of EncoderDecoder'):
            run(config, 'none', photographs, '--out', tmp_path / 'out', '--class-names', *names[:2])
        images = run(config, 'none', photographs, '--out', tmp_path / 'out', '--class-names', *names)
        (tmp_path / 'out' / 'masks' / 'own.png').touch()
        run(config, 'none', photographs / '0.png', '--out', tmp_path / 'out', '--class-names', *names)
        assert sorted(path.name for path in (tmp_path / 'out' / 'masks').iterdir()) == ['000000_0.png', 'own.png']
        run(config, 'none', photographs, '--out', tmp_path / 'out', '--class-names', *names)
        torch.manual_seed(0)
        samples = list(predict_images(init_model(config), find_images(photographs)))
        Image.new('RGB', (640, 4)).save(tmp_path / 'flat.png')
        arguments = [config, 'none', tmp_path / 'flat.png', photographs, '--class-names', *names]
        with pytest.raises(SystemExit, match=r'^1 of 3 images are left out: .*flat\.png$'):
            run(*arguments, '--out', tmp_path / 'odd')
        assert f'{tmp_path}/flat.png: left out (' in capsys.readouterr().out
        kept = json.loads((tmp_path / 'odd' / 'predictions.json').read_text())['images']
        assert [image['shares'] for image in kept] == [image['shares'] for image in images]
    for image, sample in zip(images, samples, strict=True):
        mask = np.asarray(Image.open(tmp_path / 'out' / image['mask']))
        expected = sample.pred_sem_seg.data[0].numpy()
        assert np.array_equal(mask, expected)
        assert sum(image['shares'].values()) == pytest.approx(1, abs=1e-5)
        assert set(image['shares']) == {names[k] for k in np.unique(expected)}
    assert len(list((tmp_path / 'out').glob('*.png'))) == 2


@pytest.mark.parametrize(('task', 'entry'), [('classify', 'classes'), ('segment', 'shares')])
def test_words_alone(photographs, tmp_path, task, entry):
    """Without config and checkpoint; the words may stand before the images."""
    small = ('--cfg-options', 'model.clip.arch=micro-vit', 'model.clip.weights=scenes')
    words = ('--class-names', 'sofa', 'cat', 'floor')
    images = run(*words, '--task', task, *photographs.iterdir(), *small, '--out', tmp_path)
    assert len(images) == 2
    named = images[0][entry] if task == 'segment' else [found['name'] for found in images[0][entry]]
    assert set(named) <= {'sofa', 'cat', 'floor'}
    assert len(list(tmp_path.glob('*.png'))) == 2
    assert len(list(tmp_path.glob('masks/*.png'))) == (2 if task == 'segment' else 0)


@pytest.mark.parametrize(('weights', 'warns'), [('scenes', False), ('None', True)])
def test_random_weights_are_said(photographs, tmp_path, capsys, weights, warns):
    options = ('--cfg-options', 'model.clip.arch=micro-vit', f'model.clip.weights={weights}')
    image = next(photographs.iterdir())
    run('--class-names', 'sofa', 'cat', '--task', 'classify', image, *options, '--out', tmp_path, '--no-pictures')
    assert ('random weights' in capsys.readouterr().out) == warns


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('--task', 'segment', 'a.jpg'), 'needs words: --class-names'),
        (('--task', 'segment', 'x.py', 'none', 'a.jpg', '--class-names', 'cat'), 'leave x.py out, or --task'),
        (('--task', 'detect', 'a.jpg', '--class-names', 'cat'), "invalid choice: 'detect'"),
    ],
)
def test_mistakes_with_words_alone(arguments, message, tmp_path, capsys):
    with pytest.raises(SystemExit):
        predict.main([*arguments, '--out', str(tmp_path)])
    assert message in capsys.readouterr().err


def test_instances(photographs, tmp_path, capsys):
    from pycocotools import mask as coco_mask

    with DefaultScope.overwrite_default_scope('mmdet'):
        config = shrunk(
            'denseclip_det/mask-rcnn_denseclip-micro-rn_fpn_400i_scenes-160x160.py',
            tmp_path,
            **{
                'model.backbone.clip': CLIP,
                'model.class_names': list('abcdefghij'),
                'model.neck.out_channels': 8,
                'model.backbone.matching.context_decoder.width': 64,
                'model.backbone.matching.context_decoder.layers': 1,
                'model.rpn_head.feat_channels': 8,
                'model.roi_head.bbox_head.fc_out_channels': 8,
                'model.roi_head.mask_head.conv_out_channels': 8,
                'model.test_cfg.rcnn.score_thr': 0.0,
                'model.test_cfg.rcnn.max_per_img': 5,
            },
        )
        images = run(config, 'none', photographs, '--score', 0, '--out', tmp_path / 'out')
        with pytest.raises(ConfigError, match=r'was trained for .* and no others'):
            run(config, 'none', photographs, '--out', tmp_path / 'out', '--class-names', *'klmnopqrst')
        Image.new('RGB', (3000, 1)).save(tmp_path / 'line.png')
        with pytest.raises(SystemExit, match=r'^1 of 3 images are left out: .*line\.png$'):
            run(config, 'none', tmp_path / 'line.png', photographs, '--out', tmp_path / 'odd')
        assert f'{tmp_path}/line.png: left out (image {tmp_path}/line.png: ' in capsys.readouterr().out
    for image in images:
        scores = [found['score'] for found in image['objects']]
        assert len(scores) == 5
        assert scores == sorted(scores, reverse=True)
        for found in image['objects']:
            assert coco_mask.decode(found['mask']).shape == (64, 64)
            x1, y1, x2, y2 = found['box']
            assert 0 <= x1 <= x2 <= 64
            assert 0 <= y1 <= y2 <= 64
    assert len(list((tmp_path / 'out').glob('*.png'))) == 2
