"""Docstrings, which are reStructuredText inside, as Markdown: cross-references, formulas, tables, literal blocks."""

from __future__ import annotations

import re
from typing import Any

import griffe
from latex2mathml.converter import convert

ROLE = re.compile(r':(?:class|func|meth|mod|attr|data|exc|obj):`(?P<short>~?)(?P<path>[^`]+)`')
FORMULA = re.compile(
    r'^(?P<indent> *)\.\. math::(?P<text>.*\n(?:(?P=indent) +\S.*\n|\n(?=(?P=indent) ))*)', re.MULTILINE
)
TABLE = re.compile(
    r'^(?P<indent> *)(?P<border>=+(?: +=+)+)\n(?P<rows>(?:.*\n)+?)(?P=indent)(?P=border)(?=\s*\n\s*\n|\s*\Z)',
    re.MULTILINE,
)


def as_markdown(text: str, scope: str) -> str:
    """A docstring in the Markdown of mkdocstrings.

    Args:
        text: the docstring.
        scope: dotted path of its object, which paths without a package are relative to.
    """

    def link(match: re.Match) -> str:
        path = match['path'].lstrip('.')
        title = path.rsplit('.', 1)[-1] if match['short'] else path
        full = path if path.startswith('vlprompt') else f'{scope}.{path}'
        return f'<autoref identifier="{full}" optional><code>{title}</code></autoref>'

    text = TABLE.sub(_table, text + '\n')
    text = FORMULA.sub(lambda match: f'{match["indent"]}{_mathml(match["text"], "block")}\n', text)
    text = re.sub(r':math:`([^`]+)`', lambda match: _mathml(match[1], 'inline'), text)
    text = ROLE.sub(link, text)
    text = re.sub(r'^( *)Example:$', r'\1Examples:', text, flags=re.MULTILINE)  # the section whose ``>>>`` is code
    return re.sub(r' ?::(?=\n\n)', ':', text).rstrip()


def _mathml(latex: str, display: str) -> str:
    """A formula that browsers draw by themselves."""
    formula = convert(' '.join(latex.split()).replace('&=', '='), display=display)
    return formula if display == 'block' else f'<span>{formula}</span>'  # which Markdown would take for a block


def _table(match: re.Match) -> str:
    """A simple table of reStructuredText in pipes; a line without a first cell goes on with the row before."""
    columns = [column.span() for column in re.finditer('=+', match['border'])]
    columns[-1] = (columns[-1][0], None)
    shift = len(match['indent'])
    rows: list[list[str]] = []
    head = False
    for line in match['rows'].splitlines():
        if line.strip().startswith('==='):
            head = True
            continue
        cells = [line[shift:][start:end].strip() for start, end in columns]
        if cells[0] or not rows:
            rows.append(cells)
        else:
            rows[-1] = [f'{before} {after}'.strip() for before, after in zip(rows[-1], cells, strict=True)]
    if not head:
        rows.insert(0, [''] * len(columns))
    rows.insert(1, ['---'] * len(columns))
    return '\n'.join(f'{match["indent"]}| {" | ".join(cells)} |' for cells in rows)


class MarkdownDocstrings(griffe.Extension):
    """Rewrites the docstrings of all objects as they are read."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Called with every module, class, function and attribute."""
        if obj.docstring is not None:
            scope = obj.path if obj.is_class or obj.is_module else obj.parent.path
            obj.docstring.value = as_markdown(obj.docstring.value, scope)
