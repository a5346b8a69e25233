"""CSV cells: the bytes that Polars itself writes, and texts that no spreadsheet runs."""

import csv
import io

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from query_api.http.formats import FORMULA_STARTS, frame_to_csv, to_cell

STARTS = tuple(FORMULA_STARTS)
TEXTS = st.none() | st.text(st.sampled_from("a1 ,\"\r\n;'é=+-@\t"), max_size=4)


@given(st.lists(TEXTS, min_size=1, max_size=6))
def test_texts_are_quoted_as_polars_quotes_them_once_they_are_safe(texts) -> None:
    safe = [text and ";".join("'" * (cell[:1] in STARTS) + cell for cell in text.split(";")) for text in texts]
    frames = [
        pl.DataFrame({"text": pl.Series(each, dtype=pl.String), "flag": [True] * len(texts)}) for each in (texts, safe)
    ]
    written = frame_to_csv(frames[0])
    assert written == frames[1].write_csv(line_terminator="\r\n").encode()
    rows = list(csv.reader(io.StringIO(written.decode(), newline="")))[1:]
    assert [row[0] for row in rows] == [text or "" for text in safe]


@given(st.lists(TEXTS | st.booleans(), min_size=2, max_size=6))
def test_cells_of_one_text_are_those_of_columns(values) -> None:
    columns = [
        pl.Series(str(place), [value], pl.Boolean if isinstance(value, bool) else pl.String)
        for place, value in enumerate(values)
    ]
    line = frame_to_csv(pl.DataFrame(columns), header=False).decode()
    assert line == f"{','.join(map(to_cell, values))}\r\n"
