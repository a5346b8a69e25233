"""The page for people: plain files, served as they are, that ask nothing of any other host."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files

from lib.columns import Column

MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""What is served, by its ending; the rest of this folder is not."""
VENDOR = "vendor"
_COMMENT = re.compile(rb"^ *(?://[^\n]*|/\*\*?(?:[^*]|\*(?!/))*\*/)\n|^ +", re.MULTILINE)
"""A line of a comment, and indentation: a fifth of the bytes that a browser would load for nothing."""
_IMPORT = re.compile(r'^import .* from "\./([a-z_]+\.js)";$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file as it is sent."""

    body: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Page:
    """The document, and its files by name. `version` changes when any of them does: it is part of their address."""

    document: bytes
    version: str
    files: Mapping[str, PageFile]


def load(columns: Sequence[Column] = ()) -> Page:
    """Read the page. Each of these columns that has a heading gets a column in the page's table."""
    folder = files(__name__)
    page_files = {}
    for prefix, here in (("", folder), (f"{VENDOR}/", folder / VENDOR)):
        for entry in sorted(here.iterdir(), key=lambda entry: entry.name):
            if media_type := MEDIA_TYPES.get(f".{entry.name.rpartition('.')[2]}"):
                body = entry.read_bytes() if prefix else _COMMENT.sub(b"", entry.read_bytes())
                page_files[prefix + entry.name] = PageFile(body, media_type)
    document = (folder / "index.html").read_bytes().replace(b"{columns}", _headings(columns).encode())
    document = document.replace(b"{modules}", _preloads(page_files).encode())
    bodies = b"".join(name.encode() + file.body for name, file in page_files.items())
    version = hashlib.blake2b(bodies, digest_size=8).hexdigest()
    return Page(document.replace(b"{version}", version.encode()), version, page_files)


def _preloads(page_files: Mapping[str, PageFile]) -> str:
    """Lets a browser load all modules at once; without it, each is found when the one that imports it has come.

    Modules that are imported when they are wanted are not among them.
    """
    modules, wanted = dict[str, None](), ["page.js"]
    while wanted:
        name = wanted.pop()
        for imported in _IMPORT.findall(page_files[name].body.decode()):
            if imported not in modules:
                modules[imported] = None
                wanted.append(imported)
    return "".join(f'<link rel="modulepreload" href="page/{{version}}/{name}">\n' for name in sorted(modules))


def _headings(columns: Sequence[Column]) -> str:
    return "".join(
        f'<th scope="col" class="number further {each.name}" data-column="{each.name}" data-kind="{each.kind.value}"'
        f' title="{escape(each.description)}"><button type="button" data-sort="{each.name}">{escape(each.heading)}'
        "</button></th>"
        for each in columns
        if each.heading
    )
