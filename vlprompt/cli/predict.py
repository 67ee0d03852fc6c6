"""Predict images without annotation: classes, segmentations, objects or descriptors, depending on the model.

vlprompt predict plot_micro-rn \
    work_dirs/plot_micro-rn_scenes_16shot/epoch_25.pth a.jpg folder --out predictions
vlprompt predict zero-shot_vit-b16 none a.jpg \
    --class-names cat dog --out predictions
vlprompt predict --adapter builtin:denseclip_micro-rn a.jpg --out predictions
vlprompt predict --class-names sofa cat floor --task segment photo.jpg --out predictions
vlprompt predict --class-names cat dog --task classify photo.jpg --out predictions

--task takes the place of CONFIG and CHECKPOINT: classify is zero-shot CLIP (zero_shot/zero-shot_vit-b16), segment is
NACLIP (segment_by_words/naclip_vit-b16), both with OpenAI's ViT-B/16, for the words of --class-names. Other towers by
--cfg-options, such as model.clip.arch=ViT-L/14, or, without a download, model.clip.arch=micro-vit
model.clip.weights=scenes, which knows drawings alone.

--adapter takes the place of CONFIG and CHECKPOINT too: the folder of an adapter, hf-hub:ORG/NAME, or builtin:NAME, one
that is shipped (vlprompt list --adapters).

With a checkpoint the classes are those that it was trained on; --dataset gives the classes only where CHECKPOINT is
'none', and one with other classes than the checkpoint's is an error.
--class-names gives other classes to a model whose classes are only text (zero-shot CLIP, CoOp, PLOT with shared
contexts); for a model with a trained head it only names its classes, if neither config nor checkpoint does. A single
FILE.txt holds one name per line.

Images are files, folders that are searched at any depth, or patterns in quotes ('photos/*.jpg'). Prints a line per
image and writes to --out

* predictions.json: for classification, classes with scores; for segmentation, the share of every class; for detection,
  class, score and box [x1, y1, x2, y2] in pixels of the file, and masks as COCO's run lengths if there are any; for
  re-identification, the descriptor, of length 1;
* a picture of every image, with its 100 best objects, unless --no-pictures is given; none for re-identification;
* masks/*.png, for segmentation: the class index of every pixel.

--format jsonl writes the same to predictions.jsonl instead, one line for each image as soon as it is predicted;
--format hf writes predictions.json as a list of {"image", "predictions"} in the form of Hugging Face's tasks, masks as
PNG in base64.

Results of an earlier prediction in that folder are moved to its folder earlier/<time>. The folder may lie inside of a
folder of images, which then does not count what is in it, but not be one itself.

Images that cannot be read or predicted are left out and listed at the end, with exit status 1; files of folders that
are no images by their suffix are counted. Images are turned
upright by their EXIF orientation, unless --cfg-options load_image.exif_orientation=False is given.
For searches in the descriptors of many images see vlprompt extract-features.
"""

import argparse
import base64
import io
import json
import sys
from pathlib import Path
from typing import Any

from vlprompt.apis.command_line import ToolParser, add_model_options, before_imports, call, natural, positive, share

TASKS = dict(classify='zero_shot/zero-shot_vit-b16', segment='segment_by_words/naclip_vit-b16')
"""Configs that need no training."""

FILES = dict(json='predictions.json', jsonl='predictions.jsonl', hf='predictions.json')
"""File of the predictions in each format."""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    task = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    task.add_argument(
        '--task', choices=TASKS, help='label by words alone, in place of CONFIG and CHECKPOINT; see above'
    )
    task.add_argument('--adapter', metavar='ADAPTER', help='in place of CONFIG and CHECKPOINT; see above')
    argv = sys.argv[1:] if argv is None else argv
    chosen, _ = task.parse_known_args(argv)
    if chosen.task is not None:
        argv = [TASKS[chosen.task], 'none', *argv]
    elif chosen.adapter is not None:
        argv = [chosen.adapter, chosen.adapter, *argv]
    parser = ToolParser(__doc__, parents=[task])
    add_model_options(parser)
    parser.add_argument('images', nargs='+', type=Path, metavar='IMAGE', help='files, folders or patterns')
    parser.add_argument('--out', required=True, type=Path, metavar='DIR', help='folder of the results')
    parser.add_argument('--top-k', type=positive, help='classes listed of each image, by classifiers (default: 5)')
    parser.add_argument(
        '--score', type=share, help="objects below it are left out, by detectors (default: 0.3, or the model's own)"
    )
    parser.add_argument('--class-names', nargs='+', metavar='NAME', help='classes, or one text file; see above')
    parser.add_argument('--no-pictures', action='store_true', help='write predictions.json alone, and masks')
    parser.add_argument('--format', choices=FILES, default='json', help='form of the predictions')
    parser.add_argument('--batch-size', type=positive, default=1, help='images per batch; of several sizes: one by one')
    parser.add_argument('--workers', type=natural, default=0, help='processes that load images')
    args = parser.parse_intermixed_args(argv)
    if args.task is not None and args.adapter is not None:
        parser.error('choose one of --task and --adapter')
    if args.task is not None and args.class_names is None:
        parser.error(f'--task {args.task} needs words: --class-names NAME ...')
    option = '--adapter' if args.task is None else '--task'
    if (args.task is not None or args.adapter is not None) and (
        given := [path for path in args.images if path.suffix == '.py' or str(path) == 'none']
    ):
        parser.error(f'{option} stands in place of CONFIG and CHECKPOINT: leave {given[0]} out, or {option}')
    return args


before_imports(parse_args, __name__)

import numpy as np
from PIL import Image
from torch import nn

from vlprompt.apis import Inferencer, Prediction, init_inferencer, model_from, runs
from vlprompt.apis.inference import LeftOut
from vlprompt.apis.inferencers.build import inferencer_for
from vlprompt.apis.inferencers.class_names import read_names
from vlprompt.datasets.images import numbered_name, numbered_pattern
from vlprompt.engine.data_arguments import shipped_names
from vlprompt.errors import ConfigError
from vlprompt.files import naming_place, set_aside, shortened, written_whole
from vlprompt.messages import printable
from vlprompt.registry import MODELS

MASKS = 'masks'

TASK_OPTIONS = dict(top_k='classifiers', score='detectors')
"""Option -> whose it is."""


def build_model(args: argparse.Namespace) -> nn.Module:
    """The model, for ``--class-names`` if its classes are text alone."""
    cfg = runs.read_config(args)
    runs.refuse_idle_options(args, cfg)
    any_names = getattr(MODELS.get((cfg.get('model') or {}).get('type')), 'open_vocabulary', False)
    model = model_from(args, cfg, class_names=args.class_names if any_names else None)
    if args.dataset is not None and args.checkpoint != 'none' and args.class_names is None:
        check_dataset_option(args, model)
    if args.checkpoint == 'none' and getattr(model, 'base_source', model) is None:
        print('WARNING: the model has random weights, so its predictions mean nothing: set model.clip.weights')
    return model


def check_dataset_option(args: argparse.Namespace, model: nn.Module) -> None:
    """Refuse ``--dataset`` beside a checkpoint of other classes, by their number where a list of names is shipped.

    The names themselves may be spelled in the data's own way.

    Raises:
        ConfigError: another number of classes.
    """
    trained, named = model.dataset_meta.get('classes'), shipped_names(model.cfg)
    if trained is not None and named is not None and len(trained) != len(named):
        raise ConfigError(
            f'--dataset {args.dataset} has {len(named)} classes ({shortened(", ".join(named), 60)}), but '
            f'{args.checkpoint} was trained on {len(trained)} ({shortened(", ".join(trained), 60)}) and predicts '
            'these: leave --dataset out, or, for a model whose classes are only text, give others by --class-names'
        )


def options_of(args: argparse.Namespace, model: nn.Module) -> dict[str, Any]:
    """The options of the model's task that are given.

    Raises:
        ConfigError: one of another task.
    """
    given = {name: value for name in TASK_OPTIONS if (value := getattr(args, name)) is not None}
    for name in given:
        if name not in inferencer_for(model).default_options:
            option = f'--{name.replace("_", "-")}'
            raise ConfigError(
                f'{option} is for {TASK_OPTIONS[name]} and has no effect on {type(model).__name__}: leave it out'
            )
    return given


def record(infer: Inferencer, found: Prediction, out: Path, number: int) -> dict[str, Any]:
    """The entry of an image in predictions.json; the mask of a segmentation is written."""
    if infer.task == 'classification':
        return dict(classes=[dict(name=e['label'], score=round(e['score'], 6)) for e in infer.to_dict(found)])
    if infer.task == 're-identification':
        return dict(feature=[round(value, 6) for value in infer.to_dict(found)])
    if infer.task == 'segmentation':
        path = out / MASKS / numbered_name(number, found.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        mask = infer.to_array(found).astype(np.uint8 if len(found.class_names) <= 256 else np.uint16)
        Image.fromarray(mask).save(path)
        shares = {name: round(share, 6) for name, share in infer.shares(found).items()}
        return dict(mask=str(path.relative_to(out)), shares=shares)
    objects = infer.objects(found)
    entries = [
        dict(name=found.class_names[label], score=round(float(score), 6), box=[round(float(x), 2) for x in box])
        for label, score, box in zip(objects.labels, objects.scores, objects.boxes, strict=True)
    ]
    if objects.masks is not None:
        for entry, mask in zip(entries, objects.masks, strict=True):
            entry['mask'] = run_lengths(mask)
    return dict(objects=entries[::-1])  # the best one first


def run_lengths(mask: np.ndarray) -> dict[str, Any]:
    """(H, W) bool as COCO's compressed run lengths."""
    from pycocotools.mask import encode  # comes with mmdet

    code = encode(np.asfortranarray(mask.astype(np.uint8)))
    return dict(size=list(map(int, code['size'])), counts=code['counts'].decode())


def in_json(value: Any) -> str:
    """A PIL image as PNG in base64: the ``default`` of :func:`json.dumps`."""
    if not isinstance(value, Image.Image):
        raise TypeError(f'{type(value).__name__} has no form in JSON')
    content = io.BytesIO()
    value.save(content, 'PNG')
    return base64.b64encode(content.getvalue()).decode()


def draw(infer: Inferencer, found: Prediction, path: Path) -> None:
    """Write the picture of an image as the model saw it, or say why there is none."""
    try:
        picture = infer.draw(found)
    except OSError as error:  # the image has changed since
        print(printable(f'{found.name}: no picture ({error})'), flush=True)
    else:
        with naming_place(path.parent):
            picture.save(path)


class Results:
    """The file of predictions: there from the beginning, so that a killed run leaves no pictures without it.

    Args:
        args: of the command line.
        infer: for the names of the classes.
    """

    def __init__(self, args: argparse.Namespace, infer: Inferencer) -> None:
        self.args, self.classes = args, list(infer.class_names)
        self.path = args.out / FILES[args.format]
        self.count = 0
        self.entries: list[dict[str, Any]] = []  # that are not written yet
        self.write()

    def add(self, entry: dict[str, Any]) -> None:
        self.count += 1
        line = json.dumps(entry, default=in_json)
        if self.args.format == 'jsonl':
            with naming_place(self.path), open(self.path, 'a') as file:
                file.write(f'{line}\n')
        else:
            self.entries.append(json.loads(line))  # masks as PNG, which are small

    def write(self) -> None:
        """Write all of them, unless each is there already."""
        if self.args.format == 'jsonl':
            if self.count:
                return
            text = ''
        elif self.args.format == 'hf':
            text = json.dumps(self.entries, indent=1)
        else:
            content = dict(config=self.args.config, classes=self.classes, images=self.entries)
            text = json.dumps(content, indent=1)
        with written_whole(self.path) as file:
            file.write_text(text)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    left_out = LeftOut()
    paths = left_out.files_of(args.images, results=args.out)
    if args.out.exists() and not args.out.is_dir():
        raise ConfigError(f'--out {args.out} is a file, not a folder')
    if args.class_names is not None:
        names = args.class_names
        is_file = len(names) == 1 and names[0].endswith('.txt')
        args.class_names = read_names(names[0] if is_file else names, '--class-names')
    model = build_model(args)
    infer = init_inferencer(model, class_names=args.class_names, **options_of(args, model))
    masks = [f'{MASKS}/{numbered_pattern()}'] if infer.task == 'segmentation' else []
    set_aside(args.out, sorted(set(FILES.values())), [numbered_pattern(), *masks], keep=paths)
    args.out.mkdir(parents=True, exist_ok=True)
    results = Results(args, infer)
    stream = infer.stream(paths, batch_size=args.batch_size, num_workers=args.workers, progress=False)
    try:
        for found in stream:
            if found.error is not None:
                left_out(found.name, found.error)
                continue
            print(printable(f'{found.name}: {infer.summary(found)}'), flush=True)
            number = results.count
            if args.format == 'hf':
                results.add(dict(image=found.name, predictions=infer.to_dict(found)))
            else:
                results.add(dict(image=found.name, **record(infer, found, args.out, number)))
            if infer.draws and not args.no_pictures:
                draw(infer, found, args.out / numbered_name(number, found.name))
    finally:  # what ends the run loses nothing of the images before
        results.write()
        print(f'{results.count} of {len(paths)} images: {results.path}')
    left_out.end()


if __name__ == '__main__':
    call(main)
