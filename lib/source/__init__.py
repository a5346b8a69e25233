"""One upstream list, described by a TOML file: where to ask, how to page, which fields to take.

`model` is the file, `upstream` reads the list: `transport` asks, `shared_answers` asks once for several ingestors,
`answer_reader` finds errors, `paging` goes through the pages, and `extract` takes rows out of their records.
"""

from lib.source.key_credits import Allowance
from lib.source.model import SourceFile
from lib.source.reading import Reading
from lib.source.source_file import extra_series, read_source
from lib.source.upstream import Source

__all__ = [
    "Allowance",
    "Reading",
    "Source",
    "SourceFile",
    "extra_series",
    "read_source",
]
