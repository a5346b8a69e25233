"""`topcoins ids`: how the ids of other providers' assets were found."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from lib.cli.app import Json, app, console, load_settings, out
from lib.errors import SettingsRejected

if TYPE_CHECKING:
    from rich.table import Table

    from lib.ingest.ids.report import IdsReport

NONE_YET = (
    "No provider's ids were matched yet. CoinMarketCap's and CoinDesk's lists have CoinMarketCap's ids; for any other"
    " provider this shows which of its assets have which id, once its first list was read."
)
TRY = "To compare one with what is stored: TOPCOINS_CHECK_SOURCE=coinpaprika topcoins up"


@app.command()
def ids(
    source: Annotated[str | None, typer.Argument(help="Only this provider, such as coinpaprika.")] = None,
    json: Json = False,
) -> None:
    """Show which CoinMarketCap ids other providers' assets have.

    Also the refusals and the changes.
    """
    from lib.ingest.ids.report import read_reports

    reports = read_reports(load_settings().spool_dir)
    names = list(dict.fromkeys(report.source for report in reports))
    if source and source not in names:
        there_are = f"there are: {', '.join(names)}" if names else TRY
        raise SettingsRejected(f"no list of {source} was read yet; {there_are}")
    reports = [report for report in reports if source in (None, report.source)]
    if json:
        print(f"[{','.join(report.model_dump_json() for report in reports)}]")
        return
    if not reports:
        console().print(f"{NONE_YET}\n{TRY}", soft_wrap=True)
    for report in reports:
        _show(report)


def _show(report: "IdsReport") -> None:
    answer = out()
    rules = ", ".join(f"{count} by {rule}" for rule, count in sorted(report.rules.items(), key=lambda each: -each[1]))
    what = f"{report.source} as {report.series}"
    answer.print(f"{what}, list of {report.at:%Y-%m-%dT%H:%M:%SZ}, map of {report.map_day or 'no day'}")
    answer.print(
        f"{report.matched} of {report.listed} assets have an id: {rules or 'none'}; {report.without} have no candidate,"
        f" and {report.untested} no price of CoinMarketCap to test it by."
    )
    if comparison := report.comparison:
        shares = ", ".join(f"{share:.0%} of the first {places}" for places, share in comparison.unshared.items())
        off = f"{comparison.price_off:.1%} of {comparison.assets} by more than 5 %"
        answer.print(
            f"Prices differ by {comparison.price_median:.2%} in the median from {comparison.price_source}, {off}."
        )
        answer.print(f"Not shared with {comparison.rank_source}: {shares}." if shares else "No ranks to compare with.")
    if report.refused:
        rows = [(each.own, each.symbol, each.name, each.why) for each in report.refused]
        answer.print(_table("Without an id, and why", ("own id", "symbol", "name", "why"), rows))
    if report.changed:
        rows = [(each.own, str(each.pinned), str(each.now or "none"), each.why) for each in report.changed]
        answer.print(_table("Pinned, and would now be decided otherwise", ("own id", "pinned", "now", "why"), rows))


def _table(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> "Table":
    from lib.cli.table import folded

    table = folded(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    return table
