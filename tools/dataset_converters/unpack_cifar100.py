"""Unpack the Python archive of CIFAR-100 into images and lists, in the order of the archive.

    vlprompt unpack-cifar100 cifar-100-python.tar.gz --out data/cifar100

makes ``{train,test}/<class>/<number>.png``, ``{train,test}.txt`` with lines ``path label``, and ``classnames.txt``.
CIFAR100-LT is cut out of these when it is loaded, by ``imbalance`` and ``split_seed`` of the dataset; since the draw
depends on the order of the images, the same images are kept as by code that reads the archive itself.
"""

import argparse
import gzip
import hashlib
import io
import pickle
import tarfile
import zlib
from pathlib import Path
from typing import Any

from PIL import Image

from vlprompt.apis.command_line import ToolParser, call
from vlprompt.errors import DataError
from vlprompt.files import set_aside

MEMBERS = dict(meta='fine_label_names', train='fine_labels', test='fine_labels')
"""Files of the archive, with an entry that each has."""

MD5 = 'eb9058c3a382ffc7106e4002c42a8d85'


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = ToolParser(__doc__)
    parser.add_argument('source', type=Path, help='cifar-100-python.tar.gz, or the folder that it unpacks to')
    parser.add_argument('--out', type=Path, required=True, help='folder to write, made if absent')
    return parser.parse_args(argv)


def read_archive(source: Path) -> dict[str, dict[str, Any]]:
    """The pickled dicts ``meta``, ``train`` and ``test``; only arrays and plain values are built from them.

    Raises:
        DataError: it is damaged, or something else.
        FileNotFoundError: one of them is missing.
    """
    from vlprompt.clip.inert_pickle import InertUnpickler  # takes seconds, which --help need not wait for

    try:
        content = {
            name: InertUnpickler(io.BytesIO(data), encoding='latin1').load() for name, data in _members(source).items()
        }
        if missing := [name for name, key in MEMBERS.items() if key not in content[name]]:
            raise pickle.UnpicklingError(f'no {MEMBERS[missing[0]]} in {missing[0]}')
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, pickle.UnpicklingError, TypeError) as error:
        reason = str(error).partition('\n')[0].rstrip(':') or type(error).__name__
        raise DataError(f'{source} is damaged or not the archive of CIFAR-100: {reason}') from error
    return content


def _members(source: Path) -> dict[str, bytes]:
    """The files of the archive, or of the folder, by name."""
    if source.is_dir():
        return {name: (source / name).read_bytes() for name in MEMBERS}
    with tarfile.open(source) as archive:
        files = {Path(member.name).name: member for member in archive if member.isfile()}
        missing = [name for name in MEMBERS if name not in files]
        if missing:
            raise FileNotFoundError(f'{source} has no {", ".join(missing)}; is it cifar-100-python.tar.gz?')
        return {name: archive.extractfile(files[name]).read() for name in MEMBERS}


def write_split(data: dict[str, Any], names: list[str], split: str, out: Path) -> int:
    """Write the images and the list of a split; returns the number of images."""
    for name in names:
        (out / split / name).mkdir(parents=True, exist_ok=True)
    lines = []
    images = data['data'].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    for number, (image, label) in enumerate(zip(images, data['fine_labels'], strict=True)):
        path = f'{split}/{names[label]}/{number:05d}.png'
        Image.fromarray(image).save(out / path)
        lines.append(f'{path} {label}')
    (out / f'{split}.txt').write_text('\n'.join(lines) + '\n', encoding='utf-8')
    return len(lines)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    if args.source.is_file() and hashlib.md5(args.source.read_bytes(), usedforsecurity=False).hexdigest() != MD5:
        print(f'note: {args.source} is not the published archive (md5 {MD5})')
    content = read_archive(args.source)
    names = content['meta']['fine_label_names']
    set_aside(args.out, ['train', 'test', 'train.txt', 'test.txt', 'classnames.txt'])
    counts = {split: write_split(content[split], names, split, args.out) for split in ('train', 'test')}
    (args.out / 'classnames.txt').write_text('\n'.join(names) + '\n', encoding='utf-8')
    print(f'{args.out}: {counts["train"]} train, {counts["test"]} test images of {len(names)} classes')


if __name__ == '__main__':
    call(main)
