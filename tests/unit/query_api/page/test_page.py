"""The page: which callers get it, how long it may be cached, and that it requests nothing from other hosts."""

import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

import query_api.page
from lib.columns import page_columns
from query_api.http.content_type import prefers_html
from query_api.page import Page, load
from query_api.page.route import POLICY, VIEWS
from tests.fakes import FakeClock
from tests.unit.query_api.market import NOW, calling, stocked

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FOLDER = Path(query_api.page.__file__).parent
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.fixture(scope="module")
def page() -> Page:
    return load(page_columns(()))


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    clock = FakeClock(NOW)
    async with calling(stocked(clock), clock) as caller:
        yield caller


@pytest.mark.parametrize(
    ("accept", "page"),
    [
        (BROWSER, True),
        ("text/html", True),
        ("text/*;q=0.5, text/html;q=0.6", True),
        ("*/*", False),
        ("text/html, application/json", False),
        ("text/html;q=0.8, */*;q=0.9", False),
        ("text/html;q=0, */*", False),
        ("text/csv, text/html;q=0.9", False),
        (None, False),
    ],
)
async def test_a_caller_that_prefers_html_gets_the_page_and_all_others_get_json(client, accept, page) -> None:
    assert prefers_html(accept or "") == page
    headers = {"accept": accept} if accept else {}
    answer = await client.get("/", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html") == page
    assert answer.headers["vary"].startswith("Accept, Accept-Encoding" if len(answer.content) >= 1024 else "Accept")


@pytest.mark.parametrize("format", ["json", "csv", "JSON"])
async def test_a_named_format_wins_over_a_browser(client, format) -> None:
    answer = await client.get("/", params={"format": format}, headers={"accept": BROWSER})
    assert format.lower() in answer.headers["content-type"]


async def test_the_page_is_at_the_root_alone(client) -> None:
    assert (await client.get("/v1/top", headers={"accept": BROWSER})).headers["content-type"] == "application/json"


@pytest.mark.parametrize("query", ["limit=7000", "foo=1", "datetime=x", "view=movers&top=0", "view=nonsense"])
async def test_a_browser_gets_the_page_for_wrong_parameters_too_and_a_program_the_problem(client, query) -> None:
    answer = await client.get(f"/?{query}", headers={"accept": BROWSER})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert (await client.get(f"/?{query}")).status_code == 422


@pytest.mark.parametrize(("view", "path"), VIEWS.items())
async def test_the_address_of_a_view_gives_programs_the_answer_of_the_api(client, view, path) -> None:
    query = {"top": {"datetime": "2026-11-17T14:05:00Z", "limit": 2}, "movers": {"from": "now-5m", "top": 3}}
    params = query.get(path.rpartition("/")[2], {})
    assert (await client.get("/", params={"view": view, **params})).content == (
        await client.get(path, params=params)
    ).content
    assert (await client.get("/", params={"view": view, **params}, headers={"accept": BROWSER})).content.startswith(
        b"<!doctype"
    )


async def test_the_page_takes_the_list_s_own_parameters(client) -> None:
    params = {"datetime": "2026-11-17T14:05:00Z", "limit": "2"}
    answers = [await client.get("/", params=params, headers={"accept": accept}) for accept in (BROWSER, "*/*")]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[1].json()["count"] == 2


async def test_the_page_is_asked_for_again_each_time_and_sent_only_when_it_changed(client, page) -> None:
    headers = {"accept": BROWSER}
    answer = await client.get("/", headers=headers)
    assert answer.content == page.document
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["content-security-policy"] == POLICY
    again = await client.get("/", headers=headers | {"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    head = await client.head("/", headers=headers)
    assert (head.content, head.headers["etag"]) == (b"", answer.headers["etag"])
    assert head.headers["content-length"] == answer.headers["content-length"]


async def test_every_file_the_page_names_is_served_and_may_be_kept_for_ever(client, page) -> None:
    named = re.findall(r'(?:href|src)="(page/[^"]+)"', page.document.decode())
    assert {"page.js", "list.js", "page.css"} <= {path.rpartition("/")[2] for path in named}
    for wanted in ("chart.js", "uPlot", "play.js"):  # loaded when an asset is opened, or played
        assert wanted not in page.document.decode()
    for path in [*named, *(f"page/{page.version}/{name}" for name in page.files)]:
        answer = await client.get(f"/{path}")
        assert answer.status_code == 200, path
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        again = await client.get(f"/{path}", headers={"if-none-match": answer.headers["etag"]})
        assert again.status_code == 304


@pytest.mark.parametrize(("coding", "most"), [("zstd", 35_000), ("gzip", 36_000)])
async def test_every_file_of_the_page_is_small_for_a_browser_that_accepts_a_coding(client, page, coding, most) -> None:
    """Chromium accepts zstd from an address with https or of its own machine, elsewhere gzip."""
    sizes = {}
    for name, file in page.files.items():
        path = f"/page/{page.version}/{name}"
        packed = await client.get(path, headers={"accept-encoding": coding})
        unpacked = zstd.decompress(packed.content) if coding == "zstd" else packed.content  # httpx unpacks gzip
        assert (packed.headers["content-encoding"], unpacked) == (coding, file.body)
        head = await client.head(path, headers={"accept-encoding": coding})
        sizes[name] = int(packed.headers["content-length"])
        assert int(head.headers["content-length"]) == sizes[name] < len(file.body)
        plain = await client.get(path, headers={"accept-encoding": "identity"})
        assert plain.headers["etag"] != packed.headers["etag"] == head.headers["etag"]
        assert (plain.content, plain.headers["vary"]) == (file.body, packed.headers["vary"])
    named = re.findall(r"page/[0-9a-f]+/([^\"]+)", page.document.decode())
    # With 300 bytes of headers each, and 20 KB for 200 rows with their lines: under 60 KB.
    assert sum(sizes[name] + 300 for name in named) < most


async def test_other_files_and_other_versions_are_not_there(client, page) -> None:
    for path in ("none.js", "__init__.py", "vendor/LICENSE", "../app.py", "index.html"):
        assert (await client.get(f"/page/{page.version}/{path}")).status_code == 404
    assert (await client.get("/page/other/page.js")).status_code == 404


def test_every_module_that_is_imported_is_there(page) -> None:
    imports = {
        name: re.findall(r'(?:from |import\()"\./([^"]+)"', file.body.decode())
        for name, file in page.files.items()
        if name.endswith(".js")
    }
    assert imports["page.js"]
    assert {name for names in imports.values() for name in names} <= set(page.files)


def test_no_script_or_style_of_the_page_is_inline_or_from_another_host() -> None:
    for file in FOLDER.glob("*.*"):
        text = file.read_text("utf-8") if file.suffix in (".html", ".js", ".css") else ""
        assert not re.search(r"\son[a-z]+=|style=|javascript:|innerHTML|\beval\(", text), file.name
        addresses = set(re.findall(r"https?://[^\s\"']+", text))
        assert addresses <= {"http://www.w3.org/2000/svg"}, file.name


def test_what_is_not_ours_is_kept_with_its_version_and_licence() -> None:
    readme = (FOLDER / "vendor" / "README.md").read_text("utf-8")
    (version,) = re.findall(r"uPlot ([0-9.]+), MIT", readme)
    assert f"(v{version})" in (FOLDER / "vendor" / "uPlot.js").read_text("utf-8")[:100]
    assert "MIT License" in (FOLDER / "vendor" / "LICENSE").read_text("utf-8")
