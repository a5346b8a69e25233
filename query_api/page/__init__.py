"""The page for people: plain files, served as they are, that ask nothing of any other host."""

import hashlib
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
    found = {}
    for prefix, here in (("", folder), (f"{VENDOR}/", folder / VENDOR)):
        for entry in sorted(here.iterdir(), key=lambda entry: entry.name):
            if media_type := MEDIA_TYPES.get(f".{entry.name.rpartition('.')[2]}"):
                found[prefix + entry.name] = PageFile(entry.read_bytes(), media_type)
    document = (folder / "index.html").read_bytes().replace(b"{columns}", _headings(columns).encode())
    bodies = b"".join(name.encode() + file.body for name, file in found.items())
    version = hashlib.blake2b(bodies, digest_size=8).hexdigest()
    return Page(document.replace(b"{version}", version.encode()), version, found)


def _headings(columns: Sequence[Column]) -> str:
    return "".join(
        f'<th scope="col" class="number further" data-column="{each.name}" data-kind="{each.kind.value}"'
        f' title="{escape(each.description)}">{escape(each.heading)}</th>'
        for each in columns
        if each.heading
    )
