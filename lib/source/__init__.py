"""One upstream list, described by a TOML file: where to ask, how to page, what to take.

`model` is the file, `extract` takes rows out of an answer, `upstream` asks and pages.
"""

from lib.source.model import SourceFile
from lib.source.reading import Reading, UpstreamTime
from lib.source.source_file import read_source
from lib.source.upstream import Allowance, Source

__all__ = ["Allowance", "Reading", "Source", "SourceFile", "UpstreamTime", "read_source"]
