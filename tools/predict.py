"""Predict images without annotation: classes, segmentations or objects, depending on the model.

python tools/predict.py configs/plot/plot_micro-rn.py \
    work_dirs/plot_micro-rn_scenes_16shot/epoch_25.pth a.jpg folder --out predictions
python tools/predict.py configs/zero_shot/zero-shot_vit-b16.py none a.jpg \
    --class-names cat dog --out predictions
python tools/predict.py --class-names sofa cat floor --task segment photo.jpg --out predictions
python tools/predict.py --class-names cat dog --task classify photo.jpg --out predictions

--task takes the place of CONFIG and CHECKPOINT: classify is zero-shot CLIP (zero_shot/zero-shot_vit-b16), segment is
NACLIP (segment_by_words/naclip_vit-b16), both with OpenAI's ViT-B/16, for the words of --class-names. Other towers by
--cfg-options, such as model.clip.arch=ViT-L/14, or, without a download, model.clip.arch=micro-vit
model.clip.weights=scenes, which knows drawings alone.

With a checkpoint the classes are those that it was trained on; --dataset gives the classes only where CHECKPOINT is
'none', and one with other classes than the checkpoint's is an error.
--class-names gives other classes to a model whose classes are only text (zero-shot CLIP, CoOp, PLOT with shared
contexts); for a model with a trained head it only names its classes, if neither config nor checkpoint does. A single
FILE.txt holds one name per line.

Images are files, or folders that are searched at any depth. Prints a line per image and writes to --out

* predictions.json: for classification, classes with scores; for segmentation, the share of every class; for detection,
  class, score and box [x1, y1, x2, y2] in pixels of the file, and masks as COCO's run lengths if there are any;
* a picture of every image, with its 100 best objects, unless --no-pictures is given;
* masks/*.png, for segmentation: the class index of every pixel.

Results of an earlier prediction in that folder are moved to its folder earlier/<time>. The folder may lie inside of a
folder of images, which then does not count what is in it, but not be one itself.

Images that cannot be read or predicted are left out and listed at the end, with exit status 1; files of folders that
are no images by their suffix are counted. Images are turned
upright by their EXIF orientation, unless --cfg-options load_image.exif_orientation=False is given.
For re-identification use tools/analysis_tools/extract_features.py and show_rank_list.py.
"""

import argparse
import json
import sys
from abc import ABC, abstractmethod
from collections import Counter
from operator import attrgetter
from pathlib import Path
from typing import Any

from vlprompt.apis.command_line import add_model_options, before_imports, call, natural, positive, share

TASKS = dict(classify='zero_shot/zero-shot_vit-b16', segment='segment_by_words/naclip_vit-b16')
"""Configs that need no training."""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    task = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    task.add_argument(
        '--task', choices=TASKS, help='label by words alone, in place of CONFIG and CHECKPOINT; see above'
    )
    argv = sys.argv[1:] if argv is None else argv
    chosen, _ = task.parse_known_args(argv)
    argv = argv if chosen.task is None else [TASKS[chosen.task], 'none', *argv]
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[task],
        allow_abbrev=False,
    )
    add_model_options(parser)
    parser.add_argument('images', nargs='+', type=Path, metavar='IMAGE', help='files or folders')
    parser.add_argument('--out', required=True, type=Path, metavar='DIR', help='folder of the results')
    parser.add_argument('--top-k', type=positive, help='classes listed of each image, by classifiers (default: 5)')
    parser.add_argument(
        '--score', type=share, help="objects below it are left out, by detectors (default: 0.3, or the model's own)"
    )
    parser.add_argument('--class-names', nargs='+', metavar='NAME', help='classes, or one text file; see above')
    parser.add_argument('--no-pictures', action='store_true', help='write predictions.json alone, and masks')
    parser.add_argument('--batch-size', type=positive, default=1, help='images per batch; of several sizes: one by one')
    parser.add_argument('--workers', type=natural, default=0, help='processes that load images')
    args = parser.parse_intermixed_args(argv)
    if args.task is not None and args.class_names is None:
        parser.error(f'--task {args.task} needs words: --class-names NAME ...')
    if args.task is not None and (
        given := [path for path in args.images if path.suffix == '.py' or str(path) == 'none']
    ):
        parser.error(f'--task stands in place of CONFIG and CHECKPOINT: leave {given[0]} out, or --task')
    return args


before_imports(parse_args, __name__)

import numpy as np
from mmengine.config import Config
from mmengine.structures import BaseDataElement as DataSample
from PIL import Image
from torch import nn

from vlprompt.apis import load_files, model_from, predict_sound, runs
from vlprompt.apis.inference import LeftOut, pipeline_of
from vlprompt.clip.classnames import read_class_names
from vlprompt.datasets.dense.palette import voc_palette
from vlprompt.datasets.exif import applies_exif
from vlprompt.datasets.images import numbered_name, numbered_pattern
from vlprompt.engine.data_arguments import shipped_names
from vlprompt.engine.work_dir import written_whole
from vlprompt.errors import ConfigError
from vlprompt.files import naming_place, set_aside
from vlprompt.messages import enumerate_names, printable
from vlprompt.prompts import readable
from vlprompt.registry import MODELS
from vlprompt.visualization import (
    Segmentation,
    draw_objects,
    draw_prediction,
    draw_segmentation,
    fit_longest_side,
    objects_of,
    read_image,
    save_figure,
    title_of,
)
from vlprompt.visualization.figures import shorten

PREDICTIONS = 'predictions.json'
DEFAULT_TOP_K, DEFAULT_SCORE = 5, 0.3

MAX_DRAWN = 100
"""Largest number of objects in a picture."""


def build_model(args: argparse.Namespace) -> nn.Module:
    """The model, for ``--class-names`` if its classes are text alone."""
    cfg = runs.read_config(args)
    args.score = lower_threshold(cfg, args.score)
    any_names = getattr(MODELS.get((cfg.get('model') or {}).get('type')), 'open_vocabulary', False)
    model = model_from(args, cfg, class_names=args.class_names if any_names else None)
    if args.dataset is not None and args.checkpoint != 'none' and args.class_names is None:
        check_dataset_option(args, model)
    if args.checkpoint == 'none' and getattr(model, 'base_source', model) is None:
        print('WARNING: the model has random weights, so its predictions mean nothing: set model.clip.weights')
    return model


def lower_threshold(cfg: Config, score: float | None) -> float | None:
    """Let a detector find objects with at least this score, and return the score of those that count.

    Objects below the ``score_thr`` of its ``test_cfg`` would be dropped before.  None: 0.3, or that if it is higher.
    """
    settings = (cfg.get('model') or {}).get('test_cfg') or {}
    own = [part for part in (settings, *settings.values()) if isinstance(part, dict) and 'score_thr' in part]
    if score is None:
        return max([DEFAULT_SCORE, *(part['score_thr'] for part in own)]) if own else None
    for part in own:
        if part['score_thr'] > score:
            print(f"--score {score:g}: the model's own threshold is lowered to it (score_thr={part['score_thr']:g})")
            part['score_thr'] = score
    return score


def check_dataset_option(args: argparse.Namespace, model: nn.Module) -> None:
    """Refuse ``--dataset`` beside a checkpoint of other classes, by their number where a list of names is shipped.

    The names themselves may be spelled in the data's own way.

    Raises:
        ConfigError: another number of classes.
    """
    trained, named = model.dataset_meta.get('classes'), shipped_names(model.cfg)
    if trained is not None and named is not None and len(trained) != len(named):
        raise ConfigError(
            f'--dataset {args.dataset} has {len(named)} classes ({shorten(", ".join(named), 60)}), but '
            f'{args.checkpoint} was trained on {len(trained)} ({shorten(", ".join(trained), 60)}) and predicts these: '
            'leave --dataset out, or, for a model whose classes are only text, give others by --class-names'
        )


def names_of(given: list[str] | None) -> list[str] | None:
    """The names of ``--class-names``; a single ``*.txt`` is a file with one name per line.

    Raises:
        ConfigError: a name stands twice.
    """
    if given is not None and len(given) == 1 and given[0].endswith('.txt'):
        given = read_class_names(given[0])
    twice = [name for name, times in Counter(given or ()).items() if times > 1]
    if twice:
        raise ConfigError(f'--class-names: {enumerate_names(map(repr, twice))} stands twice')
    return given


def name_classes(model: nn.Module, names: list[str] | None) -> list[str]:
    """Names of the model's classes, after setting other ones if requested.

    Raises:
        ConfigError: it has no names, or accepts no others.
    """
    known = model.dataset_meta.get('classes')
    if names is None and known is None:
        raise ConfigError('the checkpoint does not name the classes: list them with --class-names')
    if names is None:
        return [readable(name) for name in known]
    if not getattr(model, 'open_vocabulary', False) and known is not None:
        raise ConfigError(
            f'--class-names: {type(model).__name__} was trained for {shorten(", ".join(known), 120)} and no others'
        )
    size = number_of_classes(model)
    if size not in (None, len(names)):
        raise ConfigError(f'--class-names: {len(names)} names for the {size} classes of {type(model).__name__}')
    return [readable(name) for name in names]


def number_of_classes(model: nn.Module) -> int | None:
    """Of a model whose head was built for them."""
    for part in ('', 'decode_head.', 'bbox_head.', 'roi_head.bbox_head.'):
        try:
            return attrgetter(f'{part}num_classes')(model)
        except AttributeError:
            continue
    return None


class Report(ABC):
    """Output for one prediction: a line, an entry of predictions.json, a picture.

    Args:
        classes: their names.
        meta: of the dataset that the model was trained on.
        args: of the command line.
    """

    files: tuple[str, ...] = ()
    """Shell-style names of the files beside predictions.json and pictures."""

    def __init__(self, classes: list[str], meta: dict[str, Any], args: argparse.Namespace) -> None:
        self.classes = classes
        self.palette = meta.get('palette')
        self.args = args

    @abstractmethod
    def record(self, sample: DataSample) -> dict[str, Any]:
        """The entry of predictions.json."""

    @abstractmethod
    def line(self, record: dict[str, Any]) -> str:
        """An entry in words."""

    @abstractmethod
    def draw(self, sample: DataSample, image: np.ndarray, path: Path) -> None:
        """Write the picture of an image (H, W, 3) uint8."""


class ClassReport(Report):
    """The most likely classes."""

    def record(self, sample: DataSample) -> dict[str, Any]:
        found = sample.pred_score.topk(min(self.args.top_k, len(self.classes)))
        scores, labels = found.values.tolist(), found.indices.tolist()
        return dict(
            classes=[
                dict(name=self.classes[label], score=round(score, 6))
                for label, score in zip(labels, scores, strict=True)
            ]
        )

    def line(self, record: dict[str, Any]) -> str:
        return ', '.join(f'{entry["name"]} {100 * entry["score"]:.1f} %' for entry in record['classes'])

    def draw(self, sample: DataSample, image: np.ndarray, path: Path) -> None:
        draw_prediction(fit_longest_side(image), sample.pred_score.cpu(), self.classes, top_k=self.args.top_k).save(
            path
        )


class SegmentationReport(Report):
    """The class of every pixel."""

    files = (f'masks/{numbered_pattern()}',)

    def record(self, sample: DataSample) -> dict[str, Any]:
        mask = sample.pred_sem_seg.data[0].cpu().numpy()
        path = self.args.out / 'masks' / numbered_name(sample.number, sample.img_path)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask.astype(np.uint8 if len(self.classes) <= 256 else np.uint16)).save(path)
        labels, counts = np.unique(mask, return_counts=True)
        order = np.argsort(-counts, kind='stable')
        shares = {self.classes[labels[i]]: round(float(counts[i]) / mask.size, 6) for i in order}
        return dict(mask=str(path.relative_to(self.args.out)), shares=shares)

    def line(self, record: dict[str, Any]) -> str:
        return ', '.join(f'{name} {100 * share:.1f} %' for name, share in record['shares'].items())

    def draw(self, sample: DataSample, image: np.ndarray, path: Path) -> None:
        image = fit_longest_side(image)
        palette = self.palette or voc_palette(len(self.classes) + 1)[1:]  # black is for what has no class
        shown = Segmentation(sample.pred_sem_seg.data[0].cpu().numpy(), self.classes, palette)
        save_figure(draw_segmentation(image, shown.resized(image.shape[:2]), title_of(sample.img_path, 1)), path)


class ObjectReport(Report):
    """Boxes, and masks if the model has them."""

    def record(self, sample: DataSample) -> dict[str, Any]:
        found = objects_of(sample.pred_instances).above(self.args.score)
        objects = [
            dict(name=self.classes[label], score=round(float(score), 6), box=[round(float(x), 2) for x in box])
            for label, score, box in zip(found.labels, found.scores, found.boxes, strict=True)
        ]
        if found.masks is not None:
            for entry, mask in zip(objects, found.masks, strict=True):
                entry['mask'] = run_lengths(mask)
        return dict(objects=objects[::-1])  # the best one first

    def line(self, record: dict[str, Any]) -> str:
        counts = Counter(found['name'] for found in record['objects'])
        best = {found['name']: found['score'] for found in record['objects'][::-1]}
        return ', '.join(f'{n} {name} ({100 * best[name]:.0f} %)' for name, n in counts.items()) or 'nothing'

    def draw(self, sample: DataSample, image: np.ndarray, path: Path) -> None:
        found = objects_of(sample.pred_instances).above(self.args.score)
        heading = f'{100 * self.args.score:.0f} % and more'
        if len(found.labels) > MAX_DRAWN:
            heading = f'{heading}, best of {len(found.labels)}'
        panel = {heading: found.last(MAX_DRAWN)}
        palette = self.palette or voc_palette(len(self.classes) + 1)[1:]
        save_figure(draw_objects(image, panel, self.classes, palette, title_of(sample.img_path, 1)), path)


def draw(report: Report, sample: DataSample, upright: bool) -> None:
    """Write the picture of an image as the model saw it, or say why there is none."""
    try:
        image = read_image(sample.img_path, upright)
    except OSError as error:  # it has changed since
        print(printable(f'{sample.img_path}: no picture ({error})'), flush=True)
    else:
        report.draw(sample, image, report.args.out / numbered_name(sample.number, sample.img_path))


def run_lengths(mask: np.ndarray) -> dict[str, Any]:
    """(H, W) bool as COCO's compressed run lengths."""
    from pycocotools.mask import encode  # comes with mmdet

    code = encode(np.asfortranarray(mask.astype(np.uint8)))
    return dict(size=list(map(int, code['size'])), counts=code['counts'].decode())


def write_records(report: Report, records: list[dict[str, Any]]) -> Path:
    """Write predictions.json, and return its path."""
    path = report.args.out / PREDICTIONS
    with written_whole(path) as file:
        file.write_text(json.dumps(dict(config=report.args.config, classes=report.classes, images=records), indent=1))
    return path


REPORTS = {'BaseSegmentor': SegmentationReport, 'BaseDetector': ObjectReport}
"""The task of a model, by its base class in mmseg or mmdet; others are classifiers."""


def report_of(model: nn.Module, args: argparse.Namespace) -> type[Report]:
    """The report for the task of a model.

    Raises:
        ConfigError: an option of another task.
    """
    bases = {base.__name__ for base in type(model).__mro__}
    kind = next((kind for name, kind in REPORTS.items() if name in bases), ClassReport)
    for option, value, owner in (('--top-k', args.top_k, ClassReport), ('--score', args.score, ObjectReport)):
        if value is not None and kind is not owner:
            task = 'classifiers' if owner is ClassReport else 'detectors'
            raise ConfigError(f'{option} is for {task} and has no effect on {type(model).__name__}: leave it out')
    return kind


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    left_out = LeftOut()
    paths = left_out.files_of(args.images, results=args.out)
    if args.out.exists() and not args.out.is_dir():
        raise ConfigError(f'--out {args.out} is a file, not a folder')
    args.class_names = names_of(args.class_names)
    model = build_model(args)
    if hasattr(model, 'describe'):
        raise ConfigError(f'{args.config}: for re-identification use tools/analysis_tools/extract_features.py')
    kind = report_of(model, args)
    args.top_k, args.score = args.top_k or DEFAULT_TOP_K, DEFAULT_SCORE if args.score is None else args.score
    report = kind(name_classes(model, args.class_names), model.dataset_meta, args)
    upright = applies_exif(pipeline_of(model))
    set_aside(args.out, [PREDICTIONS], [numbered_pattern(), *kind.files], keep=paths)
    args.out.mkdir(parents=True, exist_ok=True)
    records = []
    target = write_records(report, records)  # so that a killed run leaves no pictures without it
    try:
        samples = predict_sound(model, load_files(model, paths), args.batch_size, args.workers, left_out)
        for number, sample in enumerate(samples):
            sample.set_metainfo(dict(number=number))
            record = report.record(sample)
            print(printable(f'{sample.img_path}: {report.line(record)}'), flush=True)
            records.append(dict(image=sample.img_path, **record))
            if not args.no_pictures:
                with naming_place(args.out):
                    draw(report, sample, upright)
    finally:  # what ends the run loses nothing of the images before
        write_records(report, records)
        print(f'{len(records)} of {len(paths)} images: {target}')
    left_out.end()


if __name__ == '__main__':
    call(main)
