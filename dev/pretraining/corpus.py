"""Images, captions and named regions of the built-in world, drawn once and kept as memory maps."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from vlprompt.datasets.generated.captions import Attribute
from vlprompt.datasets.generated.people import PERSON
from vlprompt.datasets.generated.pretraining import pretraining_example
from vlprompt.datasets.generated.vocabulary import SHAPES
from vlprompt.datasets.generated.workers import drawing_pool
from vlprompt.files import read_json

CELL = 8
"""Pixels of a side of the cells in which the coverage of regions is stored."""
CAPTIONS, CLAIMS, REGIONS, WORDS = 7, 6, 9, 3
"""Most captions of an example, things that one of them claims, regions, and words for a shape."""
NONE = -1


@dataclass
class Corpus:
    """N captioned images with named regions. Numbers of texts and attribute sets are ``NONE`` where there is none.

    Attributes:
        images: (N, H, W, 3) uint8 RGB.
        coverage: (N, h, w, REGIONS) uint8, how much of each cell of ``CELL`` pixels a region covers, 255: all.
        captions: (N, CAPTIONS) texts.
        claims: (N, CAPTIONS, CLAIMS) attribute sets.
        phrases: (N, REGIONS) texts.
        phrase_claims: (N, REGIONS) attribute sets.
        truths: (N, REGIONS) attribute sets.
        texts: all different texts.
        sets: (S, A) bool, the A attributes of each attribute set.
        words: (S, WORDS) texts that name the shape in an attribute set and nothing else, ``NONE`` beyond the last.
        names: (S,) the attribute set of that shape alone; ``NONE`` for sets without a shape.
        places: (S,) bool, whether a set says what is behind the objects.
    """

    images: np.ndarray
    coverage: np.ndarray
    captions: np.ndarray
    claims: np.ndarray
    phrases: np.ndarray
    phrase_claims: np.ndarray
    truths: np.ndarray
    texts: list[str]
    sets: np.ndarray
    words: np.ndarray
    names: np.ndarray
    places: np.ndarray

    def __len__(self) -> int:
        return len(self.images)


class _Numbers(dict):
    """Numbers of things in the order of their first look-up."""

    def __missing__(self, key: object) -> int:
        self[key] = len(self)
        return self[key]


def _draw(index: int, seed: int, size: int, rare_share: float) -> tuple[tuple, np.ndarray]:
    """Image, captions and (phrase, truth) of the regions of an example, and the coverage of its regions."""
    example = pretraining_example(seed, index, size, rare_share)
    cells = size // CELL
    coverage = np.zeros((cells, cells, REGIONS), np.uint8)
    for number, region in enumerate(example.regions):
        mask = region.mask.astype(np.float32)
        coverage[..., number] = 255 * cv2.resize(mask, (cells, cells), interpolation=cv2.INTER_AREA)
    regions = [(region.phrase, region.truth) for region in example.regions]
    return (example.image, example.captions, regions), coverage


def load_corpus(folder: Path, count: int, size: int, seed: int, rare_share: float, workers: int) -> Corpus:
    """The corpus in a folder, which is drawn there first unless it is complete."""
    stem = folder / f'regions_seed{seed}_n{count}_size{size}_rare{rare_share:g}'
    images, coverage, numbers, words = (Path(f'{stem}{end}') for end in ('.npy', '_cover.npy', '.npz', '.json'))
    if not words.is_file():  # written last, so its presence says that all are complete
        folder.mkdir(parents=True, exist_ok=True)
        _fill(
            images,
            coverage,
            numbers,
            words,
            count,
            partial(_draw, seed=seed, size=size, rare_share=rare_share),
            size,
            workers,
        )
    content, arrays = read_json(words), np.load(numbers)
    names = _name_shapes(content)
    attributes = content['attributes']
    sets = np.zeros((len(content['sets']), len(attributes)), bool)
    for row, members in enumerate(content['sets']):
        sets[row, members] = True
    places = sets[:, [kind == 'place' for kind, _ in attributes]].any(axis=1)
    maps = (np.load(file, mmap_mode='r') for file in (images, coverage))
    return Corpus(
        *maps,
        **{name: arrays[name] for name in arrays.files},
        texts=content['texts'],
        sets=sets,
        places=places,
        **names,
    )


def _name_shapes(content: dict[str, list]) -> dict[str, np.ndarray]:
    """Texts and attribute sets of shapes alone, which are added to the content of a corpus."""
    texts, sets, attributes = content['texts'], content['sets'], content['attributes']
    known = dict(zip(texts, range(len(texts)), strict=True))
    shapes = SHAPES | dict(person=PERSON)
    alone = {number: name for number, (kind, name) in enumerate(attributes) if kind == 'shape'}
    names, words = {}, np.full((len(sets) + len(alone), WORDS), NONE, np.int32)
    for attribute, shape in alone.items():
        names[attribute] = len(sets)
        sets.append([attribute])
        for word in shapes[shape]:
            if word not in known:
                known[word] = len(texts)
                texts.append(word)
        numbers = [known[word] for word in shapes[shape]]
        words[names[attribute], : len(numbers)] = numbers
    named = np.full(len(sets), NONE, np.int32)
    for row, members in enumerate(sets):
        for attribute in members:
            if attribute in names:
                named[row] = names[attribute]
                words[row] = words[names[attribute]]
    return dict(words=words, names=named)


def _fill(images: Path, coverage: Path, numbers: Path, words: Path, count: int, draw, size: int, workers: int) -> None:
    cells = size // CELL
    pixels = np.lib.format.open_memmap(images, 'w+', np.uint8, (count, size, size, 3))
    covers = np.lib.format.open_memmap(coverage, 'w+', np.uint8, (count, cells, cells, REGIONS))
    captions = np.full((count, CAPTIONS), NONE, np.int32)
    claims = np.full((count, CAPTIONS, CLAIMS), NONE, np.int32)
    phrases, phrase_claims, truths = np.full((3, count, REGIONS), NONE, np.int32)
    texts: dict[str, int] = _Numbers()
    sets: dict[frozenset[Attribute], int] = _Numbers()
    start = time.time()
    with drawing_pool(workers) as pool:
        for index, ((image, lines, regions), cover) in enumerate(pool.imap(draw, range(count), chunksize=32)):
            pixels[index], covers[index] = image, cover
            for number, line in enumerate(lines):
                captions[index, number] = texts[line.text]
                claims[index, number, : len(line.claims)] = [sets[claim] for claim in line.claims]
            for number, (phrase, truth) in enumerate(regions):
                phrases[index, number], truths[index, number] = texts[phrase.text], sets[truth]
                phrase_claims[index, number] = sets[phrase.claims[0]]
    pixels.flush()
    covers.flush()
    attributes = sorted({attribute for members in sets for attribute in members})
    place = {attribute: number for number, attribute in enumerate(attributes)}
    np.savez(numbers, captions=captions, claims=claims, phrases=phrases, phrase_claims=phrase_claims, truths=truths)
    content = dict(
        texts=list(texts), attributes=attributes, sets=[sorted(place[member] for member in members) for members in sets]
    )
    words.write_text(json.dumps(content))
    print(f'drew {count} images in {time.time() - start:.0f} s', flush=True)
