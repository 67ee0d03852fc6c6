"""CLIP's byte-pair encoding."""

import pytest
from open_clip.tokenizer import SimpleTokenizer

from vlprompt.clip import bpe_lengths, decode, encode, tokenize

TEXTS = ['a photo of a cat.', 'Crème   brûlée &amp; TEA', 'X X X X golden retriever.', '']


def test_ids_are_those_of_open_clip():
    assert tokenize(TEXTS).equal(SimpleTokenizer()(TEXTS))


def test_known_ids():
    ids = tokenize('A photo of a X X X X person.')[0]
    assert ids[:12].tolist() == [49406, 320, 1125, 539, 320, 343, 343, 343, 343, 2533, 269, 49407]
    assert not ids[12:].any()
    assert ids.argmax() == 11


def test_context_length():
    assert tokenize(['cat'], context_length=5).shape == (1, 5)


def test_a_text_that_just_fits():
    assert tokenize('fire hydrant', context_length=5)[0, -1] == 49407


def test_too_long_class_is_named():
    with pytest.raises(ValueError, match=r"class 'red_fire_hydrant' .*takes 7 tokens.*only 5 positions"):
        tokenize(['cat', 'red big fire hydrant'], 5, names=['cat', 'red_fire_hydrant'])


def test_too_long_text_is_shown():
    with pytest.raises(ValueError, match="text 'red big fire hydrant'"):
        tokenize('red big fire hydrant', 5)


def test_names_must_match_texts():
    with pytest.raises(ValueError, match='1 names for 2 texts'):
        tokenize(['a', 'b'], names=['a'])


def test_lengths_and_round_trip():
    assert bpe_lengths(['cat', 'chest of drawers', '']) == [1, 3, 0]
    assert decode(encode('a photo of a cat.')).strip() == 'a photo of a cat .'
