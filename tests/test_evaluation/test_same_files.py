"""Files with the same content, found without reading most of them."""

import hashlib
import os

import numpy as np
import pytest

from vlprompt.evaluation import same_files as module
from vlprompt.evaluation.same_files import SAMPLE, same_files


@pytest.fixture
def files(tmp_path):
    """Contents by name: a and b are copies, c has their size, d differs in a byte between the samples, e is alone."""
    long = bytes(range(256)) * (5 * SAMPLE // 256)
    other = bytearray(long)
    other[10] ^= 1
    contents = dict(a=b'abc', b=b'abc', c=b'abd', d=long, e=bytes(other), f=long, g=b'longer')
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def numbers_of(folder, names, **options):
    return same_files([str(folder / name) for name in names], **options).numbers.tolist()


def test_copies_have_equal_numbers(files):
    assert numbers_of(files, 'abcdefg') == [0, 0, 2, 3, 4, 3, 6]


def test_python_3_10_and_files_of_several_blocks(files, monkeypatch):
    monkeypatch.delattr(hashlib, 'file_digest', raising=False)  # of Python 3.11
    monkeypatch.setattr(module, 'BLOCK', 1000)
    assert numbers_of(files, 'abcdefg') == [0, 0, 2, 3, 4, 3, 6]


def test_links_and_repeated_paths_are_the_same_file(files):
    (files / 'h').symlink_to(files / 'g')
    os.link(files / 'g', files / 'i')
    assert numbers_of(files, 'ghig') == [0, 0, 0, 0]


def test_missing_files_and_folders_are_like_no_other(files):
    (files / 'pipe').mkdir()
    assert numbers_of(files, ['lost', 'lost', 'pipe', 'a', 'b']) == [0, 1, 2, 3, 3]


def test_empty_files_are_not_compared(files):
    for name in 'xy':
        (files / name).touch()
    assert numbers_of(files, 'xy') == [0, 1]


def test_files_of_one_group_are_not_read(files, monkeypatch):
    read = []
    digest = module._digest
    monkeypatch.setattr(module, '_digest', lambda path: read.append(os.path.basename(path)) or digest(path))
    assert numbers_of(files, 'abdf', groups=[0, 0, 1, 1]) == [0, 1, 2, 3]
    assert read == []
    assert numbers_of(files, 'adeb', groups=[0, 0, 0, 1]) == [0, 1, 2, 0]
    assert sorted(read) == ['a', 'b'], 'only files that another group may have'


def test_a_link_stands_for_all_groups_that_it_is_in(files):
    (files / 'link').symlink_to(files / 'a')
    assert numbers_of(files, ['a', 'link', 'b'], groups=[0, 1, 1]) == [0, 0, 0]


def test_whole_files_are_read_up_to_a_limit(files):
    paths = [str(files / name) for name in 'df']
    found = same_files(paths, most_bytes=5 * SAMPLE)
    assert found.numbers.tolist() == [0, 1]
    assert found.skipped == 1


def test_thousands_of_files(tmp_path):
    rng = np.random.default_rng(0)
    contents = rng.integers(0, 256, (2000, 40), dtype=np.uint8)
    contents[1500] = contents[3]
    paths = [tmp_path / f'{i}' for i in range(2000)]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content.tobytes())
    numbers = same_files([str(path) for path in paths]).numbers
    assert numbers[1500] == 3
    assert len(set(numbers.tolist())) == 1999
