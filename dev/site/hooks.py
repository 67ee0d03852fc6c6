"""The documentation site beyond ``docs/``: pages of the rest of the repository, notebooks, listings of source files.

The pages link one another as files of the repository, which a reader of a clone, or of a code host, can follow. For the
site, which knows only ``docs/``, :func:`on_files` brings in whatever is linked or in the navigation, and
:func:`on_page_markdown` turns the links to where that stands:

=========================  ===========================================
file of the repository     page of the site
=========================  ===========================================
``docs/NAME.md``           ``NAME.md``
``README.md``              ``readme.md``, since mkdocs would take it for the home
other ``.md``              the same path
``.ipynb``                 ``.md`` in its place: text and cells; the notebook beside it, for download
any other file             ``source/PATH.md``, a listing
=========================  ===========================================
"""

from __future__ import annotations

import json
import os.path
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
README = Path('README.md')
LANGUAGES = {'.py': 'python', '.sh': 'bash', '.json': 'json', '.yml': 'yaml', '.toml': 'toml'}
# Code is matched first, so that what looks like a link in it stays as it is.
CODE_OR_LINK = re.compile(
    r'(?P<fence>^ *(`{3,}).*?^ *\2)|(?P<code>(`+)(?!`).+?(?<!`)\4(?!`))|\]\((?P<path>[^)\s#:]+)', re.M | re.S
)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Write out the patterns of the navigation."""
    config.nav = _written_out(config.nav)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files outside ``docs/`` that are in the navigation or linked, whatever these link, and notebooks."""
    known = {Path('docs', file.src_uri) for file in files}
    waiting = [path for path in _named(config.nav) if path not in known] + sorted(known)
    seen = set(waiting)
    while waiting:
        path = waiting.pop()
        if path not in known or path.suffix == '.ipynb':
            files.append(_page_of(path, config))
        if path.suffix in ('.md', '.ipynb'):
            found = {target for target in _links(ROOT / path) if target.suffix == '.ipynb' or target not in known}
            waiting += sorted(found - seen)
            seen |= found
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages."""
    here = _file_of(page.file.src_uri)

    def turned(match: re.Match) -> str:
        target = _target(here, match['path']) if match['path'] else None
        if target is None:
            return match[0]
        return '](' + os.path.relpath(_uri(target), os.path.dirname(page.file.src_uri) or '.')

    return CODE_OR_LINK.sub(turned, markdown)


def _written_out(entry: Any) -> Any:
    """Navigation in which file names take the place of patterns; sections without any file are left out.

    A pattern that is wrong does not go unnoticed: mkdocs warns of pages that are in no navigation.
    """
    if isinstance(entry, dict):
        return {title: inner for title, inner in ((t, _written_out(i)) for t, i in entry.items()) if inner}
    if not isinstance(entry, list):
        return entry
    out = []
    for inner in entry:
        if isinstance(inner, str) and '*' in inner:
            base = ROOT / 'docs' if any((ROOT / 'docs').glob(inner)) else ROOT
            paths = sorted(base.glob(inner), key=lambda path: (path.stem != 'index', path))
            out += [_uri(path.relative_to(ROOT)) for path in paths]
        else:
            out.append(_written_out(inner))
    return [inner for inner in out if inner]


def _named(entry: Any) -> Iterator[Path]:
    """Files of the repository that a navigation names."""
    if isinstance(entry, str):
        yield _file_of(entry)
    else:
        for inner in entry.values() if isinstance(entry, dict) else entry:
            yield from _named(inner)


def _links(path: Path) -> set[Path]:
    """Files of the repository that a page links."""
    matches = CODE_OR_LINK.finditer(path.read_text(encoding='utf-8'))
    targets = {_target(path.relative_to(ROOT), match['path']) for match in matches if match['path']}
    return targets - {None}


def _target(page: Path, link: str) -> Path | None:
    """The file that a link of a page leads to, from the root; None: there is none, which mkdocs reports."""
    path = Path(os.path.normpath(page.parent / link))
    return path if (ROOT / path).is_file() else None


def _uri(path: Path) -> str:
    """The site's name of a file of the repository; images and the like keep theirs."""
    inside = path.is_relative_to('docs')
    place = path.relative_to('docs') if inside else path
    if path == README:
        return 'readme.md'
    if path.suffix == '.ipynb':
        place = place.with_suffix('.md')
    elif path.suffix != '.md' and not inside:
        place = Path('source', f'{place}.md')
    return place.as_posix()


def _file_of(uri: str) -> Path:
    """The file of the repository behind a page of the site: the inverse of :func:`_uri`."""
    if uri == 'readme.md':
        return README
    path = Path(uri)
    candidates = [Path('docs', path), Path('docs', path.with_suffix('.ipynb')), path]
    return next((file for file in candidates if (ROOT / file).is_file()), path)


def _page_of(path: Path, config: MkDocsConfig) -> File:
    """A page of the site made of a file of the repository."""
    uri = _uri(path)
    if path.suffix == '.md':
        return File.generated(config, uri, abs_src_path=str(ROOT / path))
    text = (ROOT / path).read_text(encoding='utf-8')
    if path.suffix == '.ipynb':
        return File.generated(config, uri, content=_cells(path, json.loads(text)))
    fence = '`' * 8
    listing = f'# {path}\n\n{fence}{LANGUAGES.get(path.suffix, "text")}\n{text.rstrip()}\n{fence}\n'
    return File.generated(config, uri, content=listing)


def _cells(path: Path, notebook: dict) -> str:
    """A notebook as Markdown: text, code and stored outputs of its cells, and where to get it."""
    parts = []
    for cell in notebook['cells']:
        source = ''.join(cell['source']).strip()
        parts.append(source if cell['cell_type'] == 'markdown' else f'````python\n{source}\n````')
        parts += [_output(output) for output in cell.get('outputs', [])]
    parts.insert(1, f'This page is the notebook <a href="{path.name}" download>{path.name}</a>.')
    return '\n\n'.join(part for part in parts if part) + '\n'


def _output(output: dict) -> str:
    """A picture, or a text; errors and other forms have none."""
    data = output.get('data', {})
    for kind in ('image/jpeg', 'image/png'):
        if kind in data:
            return f'![output of the cell above](data:{kind};base64,{"".join(data[kind].split())})'
    text = ''.join(output.get('text', data.get('text/plain', ''))).rstrip()
    return f'````text\n{text}\n````' if text else ''
