"""The README and the pages of docs/, parsed: their fenced blocks, links, anchors and code spans.

A fence's words say what a test does with a block of commands:

- `sh`: run it, on the simulated market
- `sh serve`: run it until its last command serves, then end it with Ctrl-C
- `sh parse-only REASON`: only parse it

A `python` block is run too; `tests/readers` runs `python pandas` blocks. A `python MODULE` block is an excerpt, run
with the names of that module. A `toml NAME` or `csv NAME` block is the file of that name for the commands.
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
REASONS = {
    "docker": "needs Docker or root",
    "network": "fetches from the internet",
    "influxdb": "needs an InfluxDB of the reader's",
    "object-store": "needs an object store of the reader's",
    "real-market": "spends credits of a real key",
    "repository": "checks or changes this repository",
}
_FENCE = re.compile(r"^```(?P<words>[^\n`]*)\n(?P<text>.*?)^```$", re.M | re.S)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"!?\[(?:[^\]]*)\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+)$", re.M)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block."""

    page: Path
    line: int
    words: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def language(self) -> str:
        return self.words[0] if self.words else ""

    @property
    def is_commands(self) -> bool:
        return self.language == "sh"

    @property
    def is_only_parsed(self) -> bool:
        return "parse-only" in self.words

    @property
    def serves(self) -> bool:
        return "serve" in self.words

    @property
    def is_file(self) -> bool:
        return self.language in ("toml", "csv") and len(self.words) == 2

    @property
    def runs(self) -> bool:
        return self.is_commands and not self.is_only_parsed and not self.serves

    @property
    def commands(self) -> list[str]:
        """Its lines, without comments; a line that ends with a backslash continues."""
        joined = self.text.replace("\\\n", " ")
        return [line for line in (re.sub(r"(?:^|\s)#.*", "", line).strip() for line in joined.splitlines()) if line]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text("utf-8")
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, tuple(found["words"].split()), found["text"])
        for found in _FENCE.finditer(text)
    ]


def all_blocks() -> list[Block]:
    return [block for page in PAGES for block in blocks(page)]


def examples(page: Path) -> list[tuple[Block, Block]]:
    """Each block of one command that an example answer follows directly, and that answer."""
    text = page.read_text("utf-8")
    found = [*_FENCE.finditer(text)]
    made = blocks(page)
    return [
        (made[n], made[n + 1])
        for n in range(len(found) - 1)
        if made[n].runs and not made[n + 1].is_commands and not text[found[n].end() : found[n + 1].start()].strip()
    ]


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", page.read_text("utf-8"))


def spans(page: Path) -> list[str]:
    """The code spans of a page."""
    return _SPAN.findall(prose(page))


def links(page: Path) -> list[str]:
    """Where the links and pictures of a page lead."""
    return _LINK.findall(_SPAN.sub("", prose(page)))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in _HEADING.findall(prose(page))]
    return set(plain)


def sections(page: Path) -> dict[str, str]:
    """The text under each heading, up to the next heading."""
    parts = _HEADING.split(page.read_text("utf-8"))
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def first_column(text: str) -> list[str]:
    """The code spans in the first column of the tables of a text."""
    rows = re.findall(r"(?m)^\| (.*?) \|", text)
    return [name for row in rows for name in _SPAN.findall(row)]
