"""An HTML page that shows pictures and tables together: one file, without scripts and without the network.

    >>> figure = PageFigure('curves.png', 'Training', 'Accuracy on validation images. Higher is better.')
    >>> text = ['It learns 16 context vectors; ', Link('the paper', 'https://arxiv.org/abs/2109.01134'), ' has more.']
    >>> section = PageSection('CoOp', text, [figure])
    >>> write_page('work_dirs/coop/index.html', 'What was learned', [], [section])

Pictures stay files beside the page, or below it, and are named relative to it, so that its folder can be moved, zipped
and sent as a whole.  All texts are escaped.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from PIL import Image

from vlprompt.files import written_whole


class Link(NamedTuple):
    """A link in a text.

    Attributes:
        text: what is read.
        target: an address with a scheme (``https://...``), or a file, which the page names relative to itself.
        anchor: of a place in the file, without ``#``; an address has it already.
    """

    text: str
    target: str | Path
    anchor: str = ''


class Code(NamedTuple):
    """A command or a name in a text, in the letters of code."""

    text: str


Text = str | Sequence[str | Link | Code]
"""A text of the page, in parts if it has links or code."""


@dataclass(frozen=True)
class PageFigure:
    """A picture with what a reader needs to understand it.

    Attributes:
        path: of the picture, in the page's folder or anywhere else.
        title: what is drawn, in a few words.
        caption: what is drawn and what to look at, in a sentence or two.
    """

    path: str | Path
    title: str
    caption: Text


@dataclass(frozen=True)
class PageTable:
    """A table of texts; all columns but the first are aligned to the right.

    Attributes:
        head: names of the columns.
        rows: as long as the head.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class PageSection:
    """A part of the page with a heading, which the list at its top links to.

    Attributes:
        title: its heading.
        text: one paragraph.
        content: figures and tables, in their order.
    """

    title: str
    text: Text
    content: Sequence[PageFigure | PageTable] = field(default=())


def write_page(path: str | Path, title: str, intro: Sequence[Text], sections: Sequence[PageSection]) -> Path:
    """Write the page.

    Args:
        path: of the page, such as ``'report/index.html'``; its folder is made.
        title: its name and first line.
        intro: paragraphs below it.
        sections: its parts.

    Returns:
        The path.

    Raises:
        FileNotFoundError, OSError: a picture is missing, or is none.
        ValueError: a row of a table has not as many cells as its head.
    """
    path = Path(path)
    folder = path.parent
    contents = '\n'.join(
        f'<li><a href="#part{number}">{escape(section.title)}</a></li>' for number, section in enumerate(sections, 1)
    )
    parts = '\n'.join(_section(number, section, folder) for number, section in enumerate(sections, 1))
    paragraphs = '\n'.join(f'<p>{_text(text, folder)}</p>' for text in intro)
    folder.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as file:
        file.write_text(
            _PAGE.format(title=escape(title), style=_STYLE, intro=paragraphs, contents=contents, parts=parts),
            encoding='utf-8',
        )
    return path


def _section(number: int, section: PageSection, folder: Path) -> str:
    shown = [_figure(item, folder) if isinstance(item, PageFigure) else _table(item) for item in section.content]
    lines = [
        f'<section id="part{number}">',
        f'<h2>{escape(section.title)}</h2>',
        f'<p>{_text(section.text, folder)}</p>',
        *shown,
        '</section>',
    ]
    return '\n'.join(lines)


def _figure(figure: PageFigure, folder: Path) -> str:
    """The picture, which a click opens in full size; a wide one can be moved sideways on a small screen."""
    with Image.open(figure.path) as picture:
        width, height = picture.size
    address, title = _address(figure.path, folder), escape(figure.title)
    return (
        f'<figure>\n<h3>{title}</h3>\n<figcaption>{_text(figure.caption, folder)}</figcaption>\n'
        f'<div class="frame"><a href="{address}"><img src="{address}" alt="{title}" width="{width}" height="{height}" '
        f'style="min-width:min({width}px, {_LEGIBLE}px)" loading="lazy"></a></div>\n</figure>'
    )


def _table(table: PageTable) -> str:
    for row in table.rows:
        if len(row) != len(table.head):
            raise ValueError(f'a row of {len(row)} cells ({", ".join(row)}) in a table of {len(table.head)} columns')
    head = ''.join(f'<th scope="col">{escape(name)}</th>' for name in table.head)
    rows = '\n'.join(
        f'<tr><th scope="row">{escape(first)}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in cells)}</tr>'
        for first, *cells in table.rows
    )
    return f'<div class="frame"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table></div>'


def _text(text: Text, folder: Path) -> str:
    parts = [text] if isinstance(text, str) else text
    return ''.join(_part(part, folder) for part in parts)


def _part(part: str | Link | Code, folder: Path) -> str:
    if isinstance(part, Link):
        anchor = f'#{quote(part.anchor)}' if part.anchor else ''
        return f'<a href="{_address(part.target, folder)}{anchor}">{escape(part.text)}</a>'
    return f'<code>{escape(part.text)}</code>' if isinstance(part, Code) else escape(part)


def _address(target: str | Path, folder: Path) -> str:
    """The target of a link for an attribute: an address as it is, a file relative to the page's folder."""
    if isinstance(target, str) and target.startswith(('https://', 'http://')):
        return escape(target)
    return escape(quote(Path(os.path.relpath(target, folder)).as_posix()))


_LEGIBLE = 720
"""Pixels: narrower than this a picture is not made for a small screen, where it is moved sideways instead."""

_STYLE = """
:root { color-scheme: light dark; --ground: #ffffff; --text: #202124; --muted: #5f6368; --rule: #dadce0;
  --link: #0b57d0; --code: #f1f3f4; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #17181a; --text: #e8eaed; --muted: #a4a9b0; --rule: #3c4043; --link: #8ab4f8; --code: #26282b; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--text); font: 16px/1.55 system-ui, sans-serif;
  overflow-wrap: break-word; }
main { max-width: 68rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0.5rem 0 1rem; }
h2 { font-size: 1.4rem; line-height: 1.3; margin: 3rem 0 0.5rem; padding-top: 1rem; border-top: 1px solid var(--rule); }
h3 { font-size: 1.05rem; margin: 0; }
p { max-width: 46rem; }
a { color: var(--link); }
code { background: var(--code); border-radius: 4px; padding: 0.1em 0.3em; font-size: 0.9em; }
figure { margin: 2rem 0; }
figcaption { max-width: 46rem; color: var(--muted); margin: 0.15rem 0 0.6rem; }
.frame { overflow-x: auto; }
img { display: block; max-width: 100%; height: auto; background: #ffffff; border-radius: 6px; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: 0.35rem 0.9rem 0.35rem 0; text-align: right; border-bottom: 1px solid var(--rule); }
th:first-child { text-align: left; white-space: nowrap; }
thead th { color: var(--muted); font-weight: 600; }
tbody th { font-weight: 400; }
nav ul { padding-left: 1.2rem; columns: 18rem; max-width: 46rem; }
""".strip()

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
{intro}
<nav>
<ul>
{contents}
</ul>
</nav>
{parts}
</main>
</body>
</html>
"""
