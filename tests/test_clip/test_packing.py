"""Grouping and chunking of text sequences."""

import torch

from vlprompt.clip.text.packing import group_by_length, original_order, pack_chunks


def covered(groups) -> list[tuple[int, int, int]]:
    return [
        (int(p), int(k), g.length) for g in groups for p, row in zip(g.prompts, g.classes, strict=True) for k in row
    ]


def expected(lengths) -> set[tuple[int, int, int]]:
    return {(p, k, r) for p, row in enumerate(lengths) for k, r in enumerate(row)}


EQUAL = [[3, 1, 3, 2, 1], [1, 3, 2, 3, 1]]
UNEQUAL = [[3, 1, 3], [2, 2, 1]]


def test_prompts_with_the_same_lengths_share_groups():
    groups = group_by_length(EQUAL)
    assert [(g.length, tuple(g.classes.shape)) for g in groups] == [(1, (2, 2)), (2, (2, 1)), (3, (2, 2))]
    assert set(covered(groups)) == expected(EQUAL)


def test_prompts_with_other_lengths_do_not():
    groups = group_by_length(UNEQUAL)
    assert all(len(g.prompts) == 1 for g in groups)
    assert set(covered(groups)) == expected(UNEQUAL)


def test_every_sequence_is_in_one_chunk_of_bounded_size():
    lengths = torch.randint(1, 6, (1, 50)).tolist() * 3
    for max_tokens in (1, 15, 40, 10**6):
        chunks = pack_chunks(group_by_length(lengths), max_tokens)
        found = [item for chunk in chunks for item in covered(chunk)]
        assert len(found) == len(set(found)) == 150
        assert set(found) == expected(lengths)
        for chunk in chunks:
            smallest = 3 * max(g.length for g in chunk)
            assert sum(g.num_tokens for g in chunk) <= max(max_tokens, smallest)
    assert len(chunks) == 1


def test_original_order():
    groups = group_by_length(EQUAL)
    flat = torch.tensor([p * 5 + k for p, k, _ in covered(groups)])
    assert flat[original_order(groups, 5)].equal(torch.arange(10))
