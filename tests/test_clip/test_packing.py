"""Layouts of texts, their buckets and chunks."""

import itertools
import pickle
from copy import deepcopy

import pytest
import torch
from torch._subclasses import FakeTensor, FakeTensorMode

from vlprompt.clip.text.packing import (
    PassCosts,
    TextLayout,
    cheap_buckets,
    exact_buckets,
    original_order,
    pack_chunks,
    shared_part,
    uniform_layout,
)

EQUAL = [[3, 1, 3, 2, 1], [1, 3, 2, 3, 1]]
UNEQUAL = [[3, 1, 3], [2, 2, 1]]


def covered(buckets) -> list[tuple[int, int, int]]:
    return [(p, k, b.length) for b in buckets for p, row in zip(b.prompts, b.classes, strict=True) for k in row]


def expected(lengths) -> set[tuple[int, int, int]]:
    return {(p, k, r) for p, row in enumerate(lengths) for k, r in enumerate(row)}


def test_prompts_with_the_same_lengths_share_exact_buckets():
    buckets = exact_buckets(EQUAL)
    assert [(b.length, b.shape) for b in buckets] == [(1, (2, 2)), (2, (2, 1)), (3, (2, 2))]
    assert set(covered(buckets)) == expected(EQUAL)


def test_prompts_with_other_lengths_do_not():
    buckets = exact_buckets(UNEQUAL)
    assert all(len(b.prompts) == 1 for b in buckets)
    assert set(covered(buckets)) == expected(UNEQUAL)


def cost(buckets, costs) -> float:
    return sum(costs.bucket + costs.token * b.num_tokens for b in buckets)


@pytest.mark.parametrize('price', [0, 1, 3, 10, 30, 1000])
@pytest.mark.parametrize('seed', range(3))
def test_cheap_buckets_are_the_cheapest(price, seed):
    """Against all ways to cut the classes sorted by length into at most three parts."""
    lengths = torch.randint(1, 8, (1, 9), generator=torch.Generator().manual_seed(seed)).tolist()
    costs = PassCosts(token=1, bucket=price)
    buckets = cheap_buckets(lengths, costs)
    longest, ways = sorted(lengths[0]), []
    for number in range(3):
        for cuts in itertools.combinations(range(1, 9), number):
            bounds = [0, *cuts, 9]
            ways.append(sum(price + (e - b) * longest[e - 1] for b, e in itertools.pairwise(bounds)))
    assert cost(buckets, costs) == min(ways)
    found = covered(buckets)
    assert {(p, k) for p, k, _ in found} == {(p, k) for p, k, _ in expected(lengths)}
    assert all(length >= lengths[p][k] for p, k, length in found), 'padding alone is added'


def test_cheap_buckets_are_shared_by_all_prompts():
    for lengths in (EQUAL, UNEQUAL):
        for price in (0, 2, 100):
            buckets = cheap_buckets(lengths, PassCosts(1, price))
            assert all(b.prompts == (0, 1) for b in buckets)
            assert len({(p, k) for p, k, _ in covered(buckets)}) == len(lengths) * len(lengths[0])
    assert len(buckets) == 1
    assert buckets[0].classes == ((0, 1, 2),) * 2, 'one bucket keeps the order of the classes'


def test_every_sequence_is_in_one_chunk_of_bounded_size():
    lengths = torch.randint(1, 6, (1, 50)).tolist() * 3
    for max_tokens in (1, 15, 40, 10**6):
        chunks = pack_chunks(exact_buckets(lengths), max_tokens)
        found = [item for chunk in chunks for item in covered(chunk)]
        assert len(found) == len(set(found)) == 150
        assert set(found) == expected(lengths)
        for chunk in chunks:
            smallest = 3 * max(b.length for b in chunk)
            assert sum(b.num_tokens for b in chunk) <= max(max_tokens, smallest)
    assert len(chunks) == 1


def test_original_order():
    buckets = exact_buckets(EQUAL)
    flat = [p * 5 + k for p, k, _ in covered(buckets)]
    assert [flat[place] for place in original_order(buckets, 5)] == list(range(10))


class TestPlan:
    ENDS = [[6, 4, 6, 5, 4], [4, 6, 5, 6, 4]]
    CPU = torch.device('cpu')

    def test_rows_and_ends(self):
        """Each packed row holds its own token, found by writing (prompt, class, position) into the suffix."""
        layout, shared = TextLayout(self.ENDS), 4
        suffix = torch.tensor([[[[p, k, s] for s in range(4, 7)] for k in range(5)] for p in range(2)])
        for costs, max_tokens in itertools.product((None, PassCosts(1, 4), PassCosts(0, 1)), (None, 4)):
            plan = layout.plan(shared, costs, max_tokens, self.CPU)
            ends = []
            for chunk in plan.chunks:
                rows = suffix.flatten(0, 2)
                rows = rows if chunk.rows is None else rows[chunk.rows]
                assert len(rows) == sum(bucket.num_tokens for bucket in chunk.buckets)
                ends.append(rows[chunk.ends])
            ends = torch.cat(ends)
            ends = ends if plan.order is None else ends[plan.order]
            assert ends.tolist() == [[p, k, self.ENDS[p][k]] for p in range(2) for k in range(5)]

    def test_a_single_bucket_takes_the_rows_as_they_are(self):
        plan = TextLayout(self.ENDS).plan(4, PassCosts(0, 1), None, self.CPU)
        assert plan.order is None
        assert plan.chunks[0].rows is None

    @pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
    def test_masks(self, dtype):
        (chunk,) = TextLayout([[3, 2]]).plan(2, PassCosts(0, 1), None, self.CPU, dtype).chunks
        inf = float('inf')
        assert chunk.masks[0].tolist() == [[0, 0, 0, -inf], [0, 0, 0, 0]]
        assert chunk.end_masks[0].tolist() == [[[[0, 0, 0, 0]]], [[[0, 0, 0, -inf]]]]
        for mask in (*chunk.masks, *chunk.end_masks):
            assert mask.dtype == dtype
            assert {stride % 8 for stride in mask.stride()[:-1]} == {0}, 'as fused kernels want it'
        (exact,) = TextLayout([[3, 3]]).plan(2, None, None, self.CPU).chunks
        assert exact.masks[0].tolist() == [[False, True], [False, False]]
        assert exact.end_masks == [None]

    def test_plans_serve_training_and_hold_data(self):
        layout = TextLayout(self.ENDS)
        with FakeTensorMode():
            layout.plan(4, None, None, self.CPU)
        with torch.inference_mode():
            plan = layout.plan(4, None, None, self.CPU)
        assert layout.plan(4, None, None, self.CPU) is plan
        assert not isinstance(plan.order, FakeTensor)
        assert not plan.order.is_inference()

    def test_rows_of_a_suffix_that_all_prompts_share(self):
        own, same = (
            TextLayout(self.ENDS).plan(4, None, None, self.CPU, same=same).chunks[0].rows for same in (False, True)
        )
        assert torch.equal(same, own % (5 * 3))

    def test_plans_are_made_once(self):
        layout = TextLayout(self.ENDS)
        assert layout.plan(4, None, 3, self.CPU) is layout.plan(4, None, 3, self.CPU)
        assert layout.copies(3) is layout.copies(3)
        assert layout.copies(1) is layout
        assert layout.copies(3).ends == tuple(map(tuple, self.ENDS)) * 3
        assert uniform_layout(3, 7).ends == ((7, 7, 7),)
        assert layout.select(slice(1, 3)) is layout.select(slice(1, 3))

    def test_layouts_are_copied_and_saved(self):
        layout = TextLayout(self.ENDS)
        layout.plan(4, None, None, self.CPU)
        assert deepcopy(layout).ends == layout.ends
        assert deepcopy(layout).plan(4, None, None, self.CPU) is not layout.plan(4, None, None, self.CPU)
        assert pickle.loads(pickle.dumps(layout)).ends == layout.ends

    def test_selection_and_extremes(self):
        layout = TextLayout(self.ENDS)
        assert (layout.first, layout.last, layout.find(5)) == (4, 6, (0, 3))
        assert layout.select(torch.tensor([3, 0])).ends == ((5, 6), (6, 4))
        assert layout.select(torch.tensor([True, False, False, False, True])).ends == ((6, 4), (4, 4))
        assert layout.tensor().tolist() == self.ENDS

    def test_prompts_have_as_many_classes(self):
        with pytest.raises(ValueError, match=r'as many classes, got \[2, 1\]'):
            TextLayout([[3, 4], [3]])


def test_shared_part_of_texts():
    ids = torch.tensor([[[40, 1, 2, 49], [40, 1, 3, 49]]])
    assert shared_part(ids, torch.tensor([[3, 3]]), causal=True).shared == 2
    assert shared_part(ids, torch.tensor([[3, 3]]), causal=False).shared == 0
