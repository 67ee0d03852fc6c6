"""The benchmark runs, and what it compares is the same."""

from tests.test_clip.conftest import load_tool


def test_quick_mode():
    results = load_tool('text_tower').main(['--quick'])
    assert set(results) == {'text', 'plot'}
    for result in results.values():
        assert result['difference'] < 1e-5
        assert min(result['fast'], result['plain']) > 0
    assert results['text']['plain_kept'] > 5 * results['text']['fast_kept']
