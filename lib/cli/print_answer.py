"""A running API's answers on stdout, each with the operator's notice."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lib.cli.app import out
from lib.errors import SettingsRejected
from lib.text import no_column

if TYPE_CHECKING:
    import httpx

    from lib.text_table import TextTable

MakeTable = Callable[[Mapping[str, Any], Sequence[str] | None], "TextTable"]


def print_answer(
    answer: "httpx.Response", table: MakeTable | None = None, columns: str | None = None, *, unless_tag: str = ""
) -> str:
    """Print an answer with its notice, as a table or as it came, and return its tag.

    With the tag of an earlier answer it takes its place on a terminal; the same answer is not printed again.
    """
    from lib.cli.client import notice_of

    tag = str(answer.headers.get("etag", ""))
    if tag and tag == unless_tag:
        return tag
    if unless_tag:
        out().clear()
    if table is None:
        print_body(answer.content)
        print_notice(notice_of(answer))
        return tag
    from lib.cli.table import show

    body = answer.json()
    show(out(), table(body, _chosen(columns, body["data"])), notice_of(answer))
    return tag


def print_body(body: bytes) -> None:
    """An answer as it came; JSON indented on a terminal. It ends with a newline."""
    if sys.stdout.isatty() and body.startswith((b"{", b"[")):
        import orjson

        body = orjson.dumps(orjson.loads(body), option=orjson.OPT_INDENT_2)
    sys.stdout.flush()
    sys.stdout.buffer.write(body if body.endswith(b"\n") else body + b"\n")
    sys.stdout.buffer.flush()


def print_notice(notice: str) -> None:
    """The operator's notice, beside an answer that has no place for it."""
    if notice:
        print(notice, file=sys.stderr)


def _chosen(columns: str | None, rows: Sequence[Mapping[str, Any]]) -> list[str] | None:
    """The names of `--columns`; SettingsRejected for one that the rows do not have."""
    if columns is None:
        return None
    names = [name.strip() for name in columns.split(",")]
    for name in names if rows else ():
        if name not in rows[0]:
            known = list(rows[0])
            why = f"{no_column(name, known)}; for example {','.join(known[:2])}"
            raise SettingsRejected(f"--columns {columns}: {why}")
    return names
