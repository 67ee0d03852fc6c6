"""Words near context vectors: exact distances, readable tokens, an honest note."""

import json

import pytest
import torch
from PIL import Image

from vlprompt.clip.text.tokenizer import CLIP_TOKENIZER, END_TOKEN, START_TOKEN, encode
from vlprompt.visualization.figures import save_figure
from vlprompt.visualization.nearest_words import (
    draw_words,
    drawable,
    format_words,
    nearest_rows,
    nearest_words,
    printable_tokens,
    spacing_note,
    table_spacing,
    words_to_json,
)

(CAT,), (DOG,), (OWL,) = encode('cat'), encode('dog'), encode('owl')
TOKENS = torch.tensor([DOG, CAT, OWL])


@pytest.fixture(scope='module')
def table():
    """Token embedding that is zero but for three words, which stand apart."""
    table = torch.zeros(49408, 4)
    table[DOG, 0], table[CAT, 1], table[OWL, 2] = 1, 2, 3
    return table


def test_a_words_own_embedding_is_at_distance_0(table):
    context = torch.stack([table[CAT], table[DOG] + torch.tensor([0, 0, 0, 0.5])])[None]
    (prompt,) = nearest_words(context, table, top_k=2, tokens=TOKENS)
    assert prompt.name == 'prompt 1'
    assert [[near.word for near in vector] for vector in prompt.words] == [['cat', 'dog'], ['dog', 'cat']]
    assert prompt.words[0][0].distance == 0
    assert prompt.words[0][1].distance == pytest.approx(5**0.5)
    assert prompt.words[1][0].distance == pytest.approx(0.5)
    assert prompt.words[1][0].token == DOG


def test_all_printable_tokens_by_default(table):
    prompts = nearest_words(table[[OWL, CAT]].unsqueeze(1), table, top_k=1)
    assert [prompt.words[0][0].word for prompt in prompts] == ['owl', 'cat']
    assert [prompt.name for prompt in prompts] == ['prompt 1', 'prompt 2']


@pytest.mark.parametrize('count', [3, 300])  # 300 vectors are more than one chunk
def test_distances_equal_the_definition(seeded, count):
    vectors, table = torch.randn(count, 8), torch.randn(50, 8)
    distances, rows = nearest_rows(vectors, table, 3)
    expected = (vectors[:, None] - table).double().square().sum(-1).sqrt().sort(1)
    torch.testing.assert_close(distances.double(), expected.values[:, :3])
    assert rows.equal(expected.indices[:, :3])


def test_tokens_as_people_read_them():
    assert [CLIP_TOKENIZER.word(token) for token in encode('cat!')] == ['cat', '!']
    assert CLIP_TOKENIZER.word(0) == '!…'  # the same sign within a word
    assert CLIP_TOKENIZER.word(START_TOKEN) == CLIP_TOKENIZER.word(END_TOKEN) == ''
    assert CLIP_TOKENIZER.word(128) == ''  # a lone byte of a longer UTF-8 sequence
    printable = printable_tokens(2000)
    assert printable[0] == 0
    assert 128 not in printable
    assert (printable.diff() > 0).all()


def test_spacing_of_a_regular_table():
    assert table_spacing(torch.arange(20.0)[:, None] * 0.5) == 0.5


def test_note_counts_vectors_near_words(table):
    prompts = nearest_words(torch.stack([table[CAT], table[CAT] * 1.45])[None], table, 1, TOKENS)
    note = spacing_note(prompts, spacing=1.0)
    assert '(from 0.00 to 0.90)' in note
    assert '1 of 2 vectors are closer than half' in note
    assert 'No vector is closer' in spacing_note(nearest_words(table[CAT] + torch.ones(1, 1, 4), table, 1, TOKENS), 1.0)


def test_outputs(table, tmp_path):
    prompts = nearest_words(table[[CAT, DOG]].unsqueeze(0).repeat(3, 1, 1), table, 2, TOKENS)
    lines = format_words(prompts).splitlines()
    assert lines[0] == 'prompt 1'
    assert lines[1].split() == ['1', 'cat', '0.0000', 'dog', '2.2361']
    stored = json.loads(json.dumps(words_to_json(prompts, 1.0)))
    assert stored['prompts'][2]['context'][1][0] == dict(word='dog', token=DOG, distance=0.0)
    with Image.open(save_figure(draw_words(prompts, 1.0, 'words'), tmp_path / 'words.png')) as picture:
        assert picture.width > 500


def test_letters_without_a_shape():
    assert drawable('çà 👊') == 'çà □'
