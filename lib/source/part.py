"""What every table of a source file is made of: its keys, names, paths and expressions."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from lib import schema
from lib.source.expression import check_expression

RESERVED = (schema.MARKER, schema.CLAIM, schema.TIER, "tick", "time")
"""Names that the stores use themselves; `time` is one of InfluxDB's."""
RESERVED_PREFIX = "sqlite_"
"""SQLite makes no table whose name begins with this."""


def _name(text: str) -> str:
    if not schema.NAME.fullmatch(text):
        raise ValueError(f"{text!r} is not a name; write lower-case letters, digits and _, such as market_cap")
    return text


def _unreserved(name: str) -> str:
    if name in RESERVED or name.startswith(RESERVED_PREFIX):
        raise ValueError(f"{name!r} is a name the stores use themselves; write another, such as market_cap")
    return name


UrlPath = Annotated[str, Field(pattern=r"^/", description="a path that begins with /")]
Jmes = Annotated[str, AfterValidator(check_expression)]
Name = Annotated[str, AfterValidator(_name)]
StoredName = Annotated[Name, AfterValidator(_unreserved)]


class Part(BaseModel):
    """A table of a source file: no key it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")
