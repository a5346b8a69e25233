"""The page for people: plain files, served as they are, that ask nothing of any other host."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""What is served, by its ending; the rest of this folder is not."""
VENDOR = "vendor"


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file as it goes out."""

    body: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Page:
    """The document, and its files by name. `version` changes when any of them does: it is part of their address."""

    document: bytes
    version: str
    files: Mapping[str, PageFile]


def load() -> Page:
    """Read the page."""
    folder = files(__name__)
    found = {}
    for prefix, here in (("", folder), (f"{VENDOR}/", folder / VENDOR)):
        for entry in sorted(here.iterdir(), key=lambda entry: entry.name):
            if media_type := MEDIA_TYPES.get(f".{entry.name.rpartition('.')[2]}"):
                found[prefix + entry.name] = PageFile(entry.read_bytes(), media_type)
    document = (folder / "index.html").read_bytes()
    bodies = b"".join(name.encode() + file.body for name, file in found.items())
    version = hashlib.blake2b(bodies, digest_size=8).hexdigest()
    return Page(document.replace(b"{version}", version.encode()), version, found)
