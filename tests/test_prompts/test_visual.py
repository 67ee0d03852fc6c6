"""Visual prompts and the prompt pool."""

import pytest
import torch
import torch.nn.functional as F

from vlprompt.alignment import match_keys, spherical_kmeans
from vlprompt.prompts import PromptPool, VisualPrompt


def test_deep_and_shallow_tokens(seeded):
    deep = VisualPrompt(768, 12, 16)
    assert deep.tokens.numel() == 92160
    assert [tuple(t.shape) for t in deep().blocks] == [(10, 768)] * 12
    assert deep.tokens.std().item() == pytest.approx(0.02, rel=0.02)
    shallow = VisualPrompt(768, 12, 16, length=5, depth=1, init='uniform')
    assert [tuple(t.shape) for t in shallow().blocks] == [(5, 768)]
    assert 0.061 < shallow.tokens.max() <= 0.0625
    assert len(VisualPrompt(8, 12, 16, depth=9)().blocks) == 9, 'the tokens of the ninth block flow on'
    with pytest.raises(ValueError, match='init'):
        VisualPrompt(8, 2, 16, init='xavier')
    for depth in (0, 3):
        with pytest.raises(ValueError, match=f'depth={depth} must be from 1 to 2'):
            VisualPrompt(8, 2, 16, depth=depth)
    for project in (0, -1, 1.5):
        with pytest.raises(ValueError, match=f'VisualPrompt: project={project} must be a whole number, at least 1, or'):
            VisualPrompt(8, 2, 16, project=project)


def test_projection_and_dropout(seeded):
    prompt = VisualPrompt(64, 3, 16, length=4, project=8, dropout=0.5)
    assert prompt.tokens.shape == (3, 4, 8)
    assert prompt().blocks[0].shape == (4, 64)
    assert any((tokens == 0).any() for tokens in prompt().blocks)
    torch.testing.assert_close(prompt.eval()().blocks[2], prompt.projection(prompt.tokens[2]))


class TestPool:
    @pytest.fixture
    def pool(self, seeded):
        return PromptPool(8, 3, size=5, length=2, first_block=1, topk=2)

    def test_has_the_published_sizes(self):
        with torch.device('meta'):
            pool = PromptPool(768, 12)
        assert pool.tokens.numel() == 921600
        assert pool.keys.numel() == 15360

    def test_images_get_the_mean_of_their_groups(self, pool):
        query = torch.randn(6, 8)
        match = pool.match(query)
        cosine = F.cosine_similarity(query[:, None], pool.keys[None], dim=2)
        torch.testing.assert_close(match.similarity, cosine.topk(2).values)
        blocks = pool(match)
        assert len(blocks) == 2
        for number, tokens in enumerate(blocks):
            expected = torch.stack([pool.tokens[rows, number].mean(0) for rows in match.index])
            torch.testing.assert_close(tokens, expected)

    def test_only_the_similarity_trains_the_keys(self, pool):
        match = pool.match(torch.randn(6, 8))
        (from_tokens,) = torch.autograd.grad(pool(match)[0].sum(), pool.keys, allow_unused=True)
        assert from_tokens is None
        match.similarity.mean().backward()
        assert pool.keys.grad.abs().sum() > 0

    def test_counts_what_is_used(self, pool):
        match = pool.match(torch.randn(6, 8))
        assert pool.usage.sum() == 12
        assert pool.usage.tolist() == torch.bincount(match.index.flatten(), minlength=5).tolist()
        pool.reset_usage()
        assert pool.usage.sum() == 0
        assert set(pool.state_dict()) == {'tokens', 'keys'}

    def test_fits_keys_and_mean_to_queries(self, seeded):
        centres = 4 * F.one_hot(torch.arange(4), 8).float()
        queries = 3 + (centres[:, None] + 0.1 * torch.randn(4, 25, 8)).flatten(0, 1)
        pool = PromptPool(8, 3, size=4, first_block=1, topk=1, key_init='kmeans', center=True)
        length = pool.keys.norm(dim=1).mean().item()
        assert pool.needs_queries
        pool.fit(queries, torch.Generator().manual_seed(0))
        torch.testing.assert_close(pool.mean_query, queries.mean(0))
        torch.testing.assert_close(pool.keys.norm(dim=1), torch.full((4,), length))
        groups = pool.match(queries).index.view(4, 25)
        assert sorted(rows.unique().tolist() for rows in groups) == [[0], [1], [2], [3]]
        assert 'mean_query' in pool.state_dict()

    def test_options_are_checked(self):
        with pytest.raises(ValueError, match='topk=3'):
            PromptPool(8, 3, size=2, first_block=1, topk=3)
        with pytest.raises(ValueError, match='first_block=3'):
            PromptPool(8, 3, first_block=3)
        with pytest.raises(ValueError, match='key_init'):
            PromptPool(8, 3, first_block=1, key_init='k-means')


def test_matching_ignores_length():
    query, keys = torch.tensor([[1.0, 0.1]]), torch.tensor([[100.0, 100.0], [0.01, 0.0], [-1.0, 0.0]])
    assert match_keys(query, keys, 2).index.tolist() == [[1, 0]]


def test_kmeans_of_fewer_points_than_clusters():
    with pytest.raises(ValueError, match='2 features'):
        spherical_kmeans(torch.randn(2, 4), 3, torch.Generator())
    same = torch.ones(6, 4)
    assert torch.isfinite(spherical_kmeans(same, 3, torch.Generator().manual_seed(0))).all()
