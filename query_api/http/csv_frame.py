"""A frame as CSV: RFC 4180 with CRLF, numbers as plain decimals that read back equal, text that no spreadsheet runs."""

import re
from decimal import Decimal

import polars as pl

FORMULA_STARTS = "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"
"""A spreadsheet runs a text cell that begins so. The last four are the full-width =+-@ of East Asian keyboards.

https://owasp.org/www-community/attacks/CSV_Injection
"""
_FORMULA = f"^([{re.escape(FORMULA_STARTS)}])"


def frame_to_csv(frame: pl.DataFrame, *, header: bool = True) -> bytes:
    """The frame as CSV; null is an empty cell, and times end in `Z`."""
    columns = [_plain(column) if column.dtype == pl.Float64 else column for column in frame]
    texts = pl.DataFrame(columns).with_columns(pl.col(pl.String).exclude(_floats(frame)).str.replace(_FORMULA, "'$1"))
    csv = texts.write_csv(include_header=header, line_terminator="\r\n", datetime_format="%Y-%m-%dT%H:%M:%S%.fZ")
    return csv.encode()


def _floats(frame: pl.DataFrame) -> list[str]:
    return [name for name, kind in frame.schema.items() if kind == pl.Float64]


def _plain(values: pl.Series) -> pl.Series:
    """Floats as text. Few need an exponent, so that only these are written anew, without it."""
    texts = values.cast(pl.String)
    exponents = texts.str.contains("e", literal=True).fill_null(False)
    if not exponents.any():
        return texts
    places = exponents.arg_true()
    return texts.scatter(places, [format(Decimal(text), "f") for text in texts.gather(places)])
