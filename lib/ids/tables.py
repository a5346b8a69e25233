"""Tables of ids that people keep: CSV with the columns source, own and cmc_id."""

import csv
from collections import defaultdict
from collections.abc import Mapping

from lib.ids.rules import Decision, Decisions, Rule
from lib.text import is_digits

HEADER = ["source", "own", "cmc_id"]
EXAMPLE = "coinpaprika,btc-bitcoin,1"

Tables = Mapping[str, Decisions]
"""The decisions of each source."""


def read_table(text: str, rule: Rule) -> Tables:
    """The table of a CSV text; an empty `cmc_id` says that the asset has none. ValueError names the faulty line."""
    rows = csv.reader(text.removeprefix("\ufeff").splitlines())
    header = next(rows, [])
    if [column.strip() for column in header] != HEADER:
        raise ValueError(f"line 1: the columns must be {','.join(HEADER)}, not {','.join(header)[:100]!r}")
    tables: dict[str, dict[str, Decision]] = defaultdict(dict)
    for row in rows:
        if not row or row[0].lstrip().startswith("#"):
            continue
        source, decision = _decision([cell.strip() for cell in row], rule, rows.line_num)
        if decision.own in tables[source]:
            raise ValueError(f"line {rows.line_num}: {decision.own!r} of {source} is there twice")
        tables[source][decision.own] = decision
    return dict(tables)


def _decision(row: list[str], rule: Rule, line: int) -> tuple[str, Decision]:
    if len(row) != len(HEADER) or not row[0] or not row[1]:
        raise ValueError(f"line {line}: {','.join(row)[:100]!r} is not source, own id and cmc_id, such as {EXAMPLE}")
    source, own, cmc_id = row
    if not cmc_id:
        return source, Decision(own, None, rule, f"the {rule} gives it no id")
    if not (is_digits(cmc_id) and 0 < int(cmc_id) < 10_000_000):
        raise ValueError(f"line {line}: cmc_id {cmc_id[:20]!r} is not a CoinMarketCap id, such as {EXAMPLE}")
    return source, Decision(own, int(cmc_id), rule)
