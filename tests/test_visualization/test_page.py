"""The page that shows pictures together."""

import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from vlprompt.visualization.page import Code, Link, PageFigure, PageSection, PageTable, write_page

VOID = ('meta', 'img')


class Tags(HTMLParser):
    """Attributes of all tags by name, and the tags that are open, of which none stays."""

    def __init__(self, text):
        super().__init__()
        self.found, self.opened = {}, []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.setdefault(tag, []).append(dict(attrs))
        if tag not in VOID:
            self.opened.append(tag)

    def handle_endtag(self, tag):
        assert self.opened.pop() == tag


def page(folder, *content, title='Runs', text='Two runs.'):
    path = write_page(folder / 'index.html', title, [text], [PageSection('Training', text, content)])
    written = path.read_text(encoding='utf-8')
    tags = Tags(written)
    assert tags.opened == []
    return written, tags.found


def test_pictures_are_named_beside_the_page(tmp_path):
    (tmp_path / 'a b').mkdir()
    Image.new('RGB', (900, 300)).save(tmp_path / 'a b' / 'curves #1.png')
    _, tags = page(tmp_path, PageFigure(tmp_path / 'a b' / 'curves #1.png', 'Curves', 'Loss.'))
    (image,) = tags['img']
    assert image['src'] == 'a%20b/curves%20%231.png'
    assert (image['width'], image['height'], image['alt']) == ('900', '300', 'Curves')
    assert [link['href'] for link in tags['a']] == ['#part1', image['src']]


def test_nothing_of_a_name_is_markup(tmp_path):
    name = '<script>alert("a & b")</script>'
    table = PageTable([name, 'accuracy'], [[name, '71.25 %']])
    written, tags = page(tmp_path, table, title=name, text=[name, Code(name), Link(name, 'https://a.org/?x="1"&y')])
    assert 'script' not in tags
    assert written.count('&lt;script&gt;alert(&quot;a &amp; b&quot;)&lt;/script&gt;') == 10
    assert tags['a'][-1]['href'] == 'https://a.org/?x="1"&y'


def test_the_page_needs_nothing_else(tmp_path):
    written, tags = page(tmp_path, text=['See ', Link('why', tmp_path.parent / 'docs' / 'claims.md', 'why'), '.'])
    assert not {'script', 'link', 'iframe'} & set(tags)
    assert not re.search(r'https?:|url\(|@import', written)
    assert tags['a'][-1]['href'] == '../docs/claims.md#why'
    assert 'width=device-width' in written
    assert 'prefers-color-scheme: dark' in written


def test_mistakes(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'missing\.png'):
        page(tmp_path, PageFigure(tmp_path / 'missing.png', 'Curves', 'Loss.'))
    with pytest.raises(ValueError, match=r'a row of 1 cells \(CoOp\) in a table of 2 columns'):
        page(tmp_path, PageTable(['', 'accuracy'], [['CoOp']]))
    assert not (tmp_path / 'index.html').exists()
