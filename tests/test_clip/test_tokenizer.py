"""CLIP's byte-pair encoding."""

import random
from importlib.machinery import ModuleSpec

import pytest
from open_clip.tokenizer import SimpleTokenizer, get_clean_fn
from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES, OPENAI_IMAGENET_TEMPLATES

from vlprompt.clip import bpe_lengths, classnames, decode, encode, tokenize
from vlprompt.clip.templates import HAND, templates
from vlprompt.clip.text import bpe
from vlprompt.clip.text.bpe import clip_encoding
from vlprompt.clip.text.cleaning import CLEANING
from vlprompt.errors import EnvironmentProblem

TEXTS = ['a photo of a cat.', 'Crème   brûlée &amp; TEA', 'X X X X golden retriever.', '']
ODD = [
    *('&lt;b&gt; &amp;amp;amp; &eacute;&#233; &nbsp; &unknown; AT&T', 'fish & chips', '&AMP;'),
    *('<start_of_text> <END_OF_TEXT> </w> <', "it's DON'T we'Ll 'S 's'", 'a_b __ c', '2nd 12³ ½ Ⅷ'),
    *('schÃ¶n â€œquotedâ€\x9d', 'naïve nai\u0308ve', 'Straße ſ İ ǅ Σς', 'ﬁne ＦＵＬＬ'),
    *('猫の写真 🐈\u200d⬛ 👩🏽\u200d🚀', 'кошка قطة עברית', '\ufffd \ufeff \U0010ffff', '  '),
    *('\ttab\r\nline\x0b\u2028\xa0\u3000\u200b.', '\x00\x1b[31mred\x1b[0m\x7f'),
]


@pytest.fixture(scope='module')
def reference():
    return SimpleTokenizer()


def test_ids_are_those_of_open_clip(reference):
    assert tokenize(TEXTS).equal(reference(TEXTS))


def test_the_vocabulary_is_that_of_open_clip(reference):
    assert clip_encoding().ids == reference.encoder
    assert clip_encoding().ranks == reference.bpe_ranks


def shipped_texts():
    names = [name for key in classnames.FOLDER.glob('*.txt') for name in classnames.read_class_names(key)]
    assert len(names) > 2500
    own = [template.format('X') for template in {*HAND.values(), *templates('ensemble-80'), *templates('ensemble-7')}]
    return [*names, *own, *IMAGENET_CLASSNAMES, *(template('X') for template in OPENAI_IMAGENET_TEMPLATES)]


def random_texts(number):
    draw = random.Random(0)
    signs = [chr(code) for code in range(0x250)] + [chr(draw.randrange(0xE000, 0x20000)) for _ in range(500)]
    pieces = [*signs, *(piece for text in ODD for piece in text.split()), *'&;# ' * 30]
    return [''.join(draw.choices(pieces, k=draw.randrange(12))) for _ in range(number)]


@pytest.mark.parametrize('texts', [shipped_texts, lambda: ODD, lambda: random_texts(2000)], ids=['ours', 'odd', 'any'])
def test_every_text_has_the_ids_of_open_clip(reference, texts):
    for text in texts():
        ids = clip_encoding().encode(text)
        assert ids == reference.encode(text), text
        assert clip_encoding().decode(ids) == reference.decode(ids), text


def test_any_ids_have_the_text_of_open_clip(reference):
    draw = random.Random(0)
    for ids in (draw.choices(range(49408), k=6) for _ in range(500)):
        assert decode(ids) == reference.decode(ids)


@pytest.mark.parametrize('way', CLEANING)
def test_texts_are_cleaned_as_by_open_clip(way):
    for text in ODD + random_texts(1000):
        assert CLEANING[way](text) == get_clean_fn(way)(text), text


@pytest.mark.parametrize('found', ['nothing', 'no vocabulary'])
def test_a_missing_vocabulary_is_named(monkeypatch, tmp_path, found):
    spec = ModuleSpec('open_clip', None, is_package=True)
    spec.submodule_search_locations.append(str(tmp_path))
    monkeypatch.setattr(bpe.importlib.util, 'find_spec', lambda name: None if found == 'nothing' else spec)
    with pytest.raises(EnvironmentProblem, match=r'open_clip, which has .*\n  pip install .*open_clip_torch'):
        bpe.clip_encoding.__wrapped__()


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
