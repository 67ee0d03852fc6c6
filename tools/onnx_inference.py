"""Predict images with a file of vlprompt export --format onnx: NumPy, Pillow and onnxruntime suffice.

python tools/onnx_inference.py coop.onnx photo.jpg folder
python tools/onnx_inference.py dense.onnx photo.jpg --out masks
python tools/onnx_inference.py reid.onnx query.jpg gallery --out features.npz

The file tells the task. Classification prints the most likely classes with their probabilities; segmentation writes a
PNG with the class of every pixel of each image and prints the shares of the classes; re-identification writes names and
features (rows of unit length) of all images, and prints how similar each is to the first.

This script imports nothing of vlprompt: it may be copied, and read as the description of how images are prepared.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff', '.ppm')
PLAIN = ('1', 'L', 'LA', 'P', 'PA', 'RGB', 'RGBA', 'RGBX', 'CMYK', 'YCbCr')
"""Pillow's modes of 8 bits per channel or less."""
FORMATS = ('JPEG', 'PNG', 'BMP', 'WEBP', 'TIFF', 'PPM')
"""Pillow knows others that run programs, whatever the suffix of the file."""
PROVIDERS = ('CUDAExecutionProvider', 'CPUExecutionProvider')
"""Of onnxruntime, those that are tried, in this order."""


def load_image(path: Path, upright: bool) -> Image.Image:
    """An image file as RGB, turned upright by its EXIF orientation or as it is stored; transparency is dropped."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            image = ImageOps.exif_transpose(image) if upright else image
            if image.mode not in PLAIN:
                raise SystemExit(f'{path}: pixels of mode {image.mode}; save it with 8 bits per channel')
            return image.convert('RGB')
    except (OSError, SyntaxError, ValueError) as error:  # Pillow's ways to say so
        raise SystemExit(f'{path} cannot be read: {error}') from error


def interpolate(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W, ...) as (height, width, ...) float32: bilinear without smoothing, as OpenCV and PyTorch do it."""
    values = values.astype(np.float32)
    for axis, new in enumerate((height, width)):
        old = values.shape[axis]
        place = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
        low = np.floor(place).astype(int)
        shape = [-1 if other == axis else 1 for other in range(values.ndim)]
        share = (place - low).astype(np.float32).reshape(shape)
        upper = np.minimum(low + 1, old - 1)
        values = values.take(low, axis) * (1 - share) + values.take(upper, axis) * share
    return values


def resize_plainly(image: Image.Image, height: int, width: int) -> Image.Image:
    """An image resized without smoothing."""
    return Image.fromarray(np.floor(interpolate(np.asarray(image), height, width) + 0.5).astype(np.uint8))


def apply_step(image: Image.Image, step: dict[str, Any]) -> Image.Image:
    """One step of the preparation that the file describes."""
    kind, size = step['step'], step.get('size')
    width, height = image.size
    if kind == 'resize_shorter_side':
        short = min(width, height)
        sides = [size if side == short else int(size * side / short) for side in (width, height)]
        return image.resize(sides, Image.Resampling[step['interpolation'].upper()])
    if kind == 'resize':
        return image.resize(size[::-1], Image.Resampling[step['interpolation'].upper()])
    if kind == 'fit':
        factor = min(step['long'] / max(width, height), step['short'] / min(width, height))
        return resize_plainly(image, int(height * factor + 0.5), int(width * factor + 0.5))
    if kind == 'stretch':
        return resize_plainly(image, *size)
    if kind == 'center_crop':
        top, left = round((height - size[0]) / 2), round((width - size[1]) / 2)
        return image.crop((left, top, left + size[1], top + size[0]))
    raise SystemExit(f'the file asks for {kind!r}, which this script does not know: take a newer one')


def prepare(path: Path, preprocess: dict[str, Any]) -> np.ndarray:
    """An image file as input (1, 3, H, W) float32."""
    image = load_image(path, preprocess['exif_orientation'])
    for step in preprocess['steps']:
        image = apply_step(image, step)
    pixels = np.asarray(image, dtype=np.float32)
    pixels = pixels if preprocess['channels'] == 'RGB' else pixels[..., ::-1]
    mean, std = (np.asarray(preprocess[name], dtype=np.float32) for name in ('mean', 'std'))
    return ((pixels / 255 - mean) / std).transpose(2, 0, 1)[None]


class OnnxModel:
    """A file of vlprompt export: ``model(path)`` gives its outputs by name.

    Attributes:
        about: the description in the file; texts are texts, all else is what its JSON says.
    """

    def __init__(self, path: Path) -> None:
        import onnxruntime

        providers = [name for name in PROVIDERS if name in onnxruntime.get_available_providers()]
        self.session = onnxruntime.InferenceSession(str(path), providers=providers)
        stored = self.session.get_modelmeta().custom_metadata_map
        if stored.get('format') != 'vlprompt-model':
            raise SystemExit(f'{path} is no file of vlprompt export: it describes no preparation of images')
        texts = ('format', 'vlprompt_version', 'task', 'method', 'config', 'precision')
        self.about = {name: value if name in texts else json.loads(value) for name, value in stored.items()}

    def __call__(self, path: Path) -> dict[str, np.ndarray]:
        names = [output.name for output in self.session.get_outputs()]
        image = prepare(path, self.about['preprocess'])
        size, own = self.about.get('image_size'), list(image.shape[2:])
        if size not in (None, own):
            raise SystemExit(
                f'{path} is prepared to {own[0]} x {own[1]} pixels, but the file takes {size[0]} x {size[1]} alone: '
                'export the model with --any-size'
            )
        values = self.session.run(names, dict(image=image))
        return {name: value[0] for name, value in zip(names, values, strict=True)}


def classify(model: OnnxModel, paths: list[Path], args: argparse.Namespace) -> None:
    """Print the most likely classes of images."""
    names = model.about['class_names']
    for path in paths:
        logits = model(path)['logits']
        shares = np.exp(logits - logits.max())
        shares /= shares.sum()
        best = shares.argsort()[::-1][: args.top_k]
        print(f'{path}: ' + ', '.join(f'{names[label]} {shares[label]:.4f}' for label in best))


def label_pixels(logits: np.ndarray, height: int, width: int) -> np.ndarray:
    """(height, width) labels of logits (K, H, W), which are resized, one class at a time."""
    labels = np.zeros((height, width), dtype=np.int64)
    best = interpolate(logits[0], height, width)
    for label, own in enumerate(logits[1:], 1):
        own = interpolate(own, height, width)
        labels[own > best] = label
        best = np.maximum(best, own)
    return labels


def segment(model: OnnxModel, paths: list[Path], args: argparse.Namespace) -> None:
    """Write the classes of pixels, at the size of the files, and print the shares of the classes."""
    names = model.about['class_names']
    for number, path in enumerate(paths):
        width, height = load_image(path, model.about['preprocess']['exif_orientation']).size
        labels = label_pixels(model(path)['logits'], height, width)
        counts = np.bincount(labels.ravel(), minlength=len(names))
        found = [label for label in counts.argsort()[::-1] if counts[label]]
        print(f'{path}: ' + ', '.join(f'{names[label]} {counts[label] / labels.size:.4f}' for label in found))
        if args.out is not None:
            args.out.mkdir(parents=True, exist_ok=True)
            mask = Image.fromarray(labels.astype(np.uint8 if len(names) <= 256 else np.uint16))
            mask.save(args.out / f'{number:05d}_{path.stem}.png')


def embed(model: OnnxModel, paths: list[Path], args: argparse.Namespace) -> None:
    """Write the features of images, and print how similar they are to the first."""
    features = np.stack([model(path)['features'] for path in paths])
    for path, cosine in zip(paths, features @ features[0], strict=True):
        print(f'{path}: {cosine:.4f}')
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        np.savez(args.out, features=features, names=np.array([str(path) for path in paths]))


TASKS = dict(classification=classify, segmentation=segment, embedding=embed)


def files_of(places: list[Path]) -> Iterator[Path]:
    """The files, and the images in the folders, sorted."""
    for place in places:
        if place.is_dir():
            yield from sorted(path for path in place.rglob('*') if path.suffix.lower() in SUFFIXES and path.is_file())
        elif place.is_file():
            yield place
        else:
            raise SystemExit(f'no image or folder at {place}')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('model', type=Path, help='file of vlprompt export --format onnx')
    parser.add_argument('images', nargs='+', type=Path, metavar='IMAGE', help='files or folders')
    parser.add_argument('--top-k', type=int, default=5, help='printed classes of an image (default: 5)')
    parser.add_argument('--out', type=Path, help='folder of the masks, or .npz file of the features')
    args = parser.parse_args()
    paths = list(files_of(args.images))
    if not paths:
        raise SystemExit(f'no images in {", ".join(map(str, args.images))}')
    model = OnnxModel(args.model)
    if args.out is not None and model.about['task'] == 'classification':
        parser.error('--out has no effect on a classifier, whose classes are printed')
    TASKS[model.about['task']](model, paths, args)


if __name__ == '__main__':
    try:
        main()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of the output, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is flushed at the end
        sys.exit(1)
