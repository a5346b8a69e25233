"""A key is sent to its upstream alone, even when the upstream refuses it and repeats it."""

import json

import pytest

from tests.flow.processes import WITHIN_S, eventually

pytestmark = pytest.mark.stack

CMC, COINDESK, INFLUX = (f"canary-{name}-5f3a9c1e7b" for name in ("cmc", "coindesk", "influx"))
CANARY = "canary-"
PATHS = {
    "/v3/cryptocurrency/listings/latest": (CMC, 1),
    "/v1/key/info": (CMC, 1),
    "/asset/v1/top/list": (COINDESK, 6),
}
"""The key that an address gets, and how many requests it answers first. Ranks need some: they have no other source, and
on a busy machine the first ones fail."""
PAGES = ("/", "/?format=csv", "/v1/status", "/v1/gaps", "/metrics", "/readyz", "/openapi.json", "/docs", "/none")


def echoing(path: str, key: str, answered: int) -> str:
    """A fault script: the first requests are answered, then every kind of error repeats the key."""
    echo = f"your key is {key}"
    limited = {"status": {"error_code": 1008, "error_message": echo}, "Err": {"type": 99, "message": echo}}
    coded = {"status": {"error_code": key, "error_message": echo}, "Err": {"type": key, "message": echo}}
    refused = {"status": {"error_code": 1001, "error_message": echo}, "Err": {"type": 2, "message": echo}}
    faults = [
        (500, f"<html>{echo}</html>"),
        (429, json.dumps(limited)),
        (200, echo),
        (200, json.dumps(coded)),
        (401, json.dumps(refused)),
    ]
    lines = []
    for number, (status, body) in enumerate(faults, answered + 1):
        count = 1000 if status == 401 else 1
        lines.append(f"[[fault]]\nkind = 'error'\npath = '{path}'\nfirst = {number}\ncount = {count}")
        lines.append(f"status = {status}\nbody = '''{body}'''")
        if status == 429:
            lines.append("retry_after = 1")  # else it is waited for the next minute
    return "\n".join(lines)


@pytest.fixture
def secrets(tmp_path_factory):
    """Files outside of all that is looked through: two keys and the upstream's faults."""
    folder = tmp_path_factory.mktemp("secrets")
    (folder / "cmc").write_text(f"{CMC}\n")
    (folder / "coindesk").write_text(COINDESK)
    (folder / "faults.toml").write_text("\n".join(echoing(path, *keys) for path, keys in PATHS.items()))
    return folder


def test_a_key_that_an_upstream_sends_back_appears_nowhere(stage, secrets):
    simulated = stage.simulator("--assets", "50", "--unlimited", "--faults", str(secrets / "faults.toml"))
    urls = {name: value for name, value in simulated.items() if name.endswith("_URL")}
    common = {**urls, "ASSETS": 50, "INTERVAL": "1s", "LOG_LEVEL": "debug", "INFLUX_TOKEN": INFLUX}
    in_files = {"CMC_API_KEY_FILE": secrets / "cmc", "COINDESK_API_KEY_FILE": secrets / "coindesk"}
    price = stage.service("ingest_price", LOG_FORMAT="json", CMC_API_KEY=CMC, COINDESK_API_KEY=COINDESK, **common)
    log = stage.folder / "rank.log"
    stage.service("ingest_rank", RANK_SOURCE="coindesk", LOG_FILE=log, LOG_FORMAT="json", **in_files, **common)
    api = stage.api(LOG_FORMAT="console", CMC_API_KEY=CMC, **common)
    assert api.answers("/").json()["count"] > 40
    other = stage.folder / "other" / "topcoins.db"
    console = stage.service("ingest_price", other, LOG_FORMAT="console", **in_files, **common)

    hidden = "your key is ***"  # prices go on without a key; ranks have no other source
    eventually(lambda: hidden in price.out)
    eventually(lambda: hidden in console.out)
    eventually(lambda: "SourceRejected" in log.read_text("utf-8") and hidden in log.read_text("utf-8"))
    for page in PAGES:
        answer = api.get(page)
        assert CANARY not in answer.text
        assert CANARY not in str(answer.headers)
    commands = stage.alive()
    assert len(commands) == 5
    assert not [command for command in commands if CANARY in command]
    files = [path for path in stage.folder.rglob("*") if path.is_file()]
    assert {"topcoins.db", "rank.log"} <= {path.name for path in files}
    assert not [path for path in files if CANARY.encode() in path.read_bytes()]


def test_a_key_that_is_no_key_is_refused_without_showing_it(stage, secrets):
    (secrets / "cmc").write_text(f"{CMC} and more")
    for settings in ({"CMC_API_KEY": f"{CMC} and more"}, {"CMC_API_KEY_FILE": secrets / "cmc"}):
        process = stage.service("ingest_price", **settings)
        assert process.ends(WITHIN_S) == 1
        assert "TOPCOINS_CMC_API_KEY" in process.err
        assert CANARY not in process.err + process.out
