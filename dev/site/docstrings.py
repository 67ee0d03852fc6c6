"""Docstrings as Markdown: cross-references of Sphinx become links, ``::`` before a literal block a colon."""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r':(?:class|func|meth|mod|attr|data|exc|obj):`(?P<short>~?)(?P<path>[^`]+)`')


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

    text = re.sub(r':math:`([^`]+)`', r'`\1`', ROLE.sub(link, text))
    text = re.sub(r'^( *)Example:$', r'\1Examples:', text, flags=re.MULTILINE)  # the section whose ``>>>`` is code
    return re.sub(r' ?::(?=\n\n)', ':', text)


class MarkdownDocstrings(griffe.Extension):
    """Rewrites the docstrings of all objects as they are read."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Called with every module, class, function and attribute."""
        if obj.docstring is not None:
            scope = obj.path if obj.is_class or obj.is_module else obj.parent.path
            obj.docstring.value = as_markdown(obj.docstring.value, scope)
