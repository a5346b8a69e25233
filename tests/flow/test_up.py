"""`topcoins up`: it judges the processes it started, whatever their settings are, and waits for what is away."""

import signal
import socket
from contextlib import closing

import pytest

from lib.access import new_key
from tests.flow.processes import upstream
from tests.ports import free_port

pytestmark = pytest.mark.stack


@pytest.fixture
def config(stage):
    """Writes a settings file with a table for the API and gives the settings that name it."""
    port, safe_port = free_port(), free_port()

    def write(**api: object) -> tuple[dict[str, object], int]:
        own = {"http_port": port, "http_safe_port": safe_port, **api}
        lines = [f"{name} = {value!r}".replace("'", '"') for name, value in own.items()]
        path = stage.folder / "topcoins.toml"
        path.write_text("\n".join(['archive_url = "none"', "assets = 50", "[query_api]", *lines]))
        return {"CONFIG": path}, port

    return write


def test_with_client_keys_and_ipv6_in_the_file_up_prints_the_addresses_and_runs_on(stage, config):
    settings, port = config(http_host="::1", client_keys=new_key("me").line)
    run = stage.topcoins("up", **settings, **stage.simulator("--assets", "60", "--unlimited"))
    run.until(lambda: f"curl -H \"X-Api-Key: $KEY\" 'http://[::1]:{port}?limit=200'" in run.err)
    assert "No list" not in run.err
    run.send(signal.SIGUSR1)
    run.send(signal.SIGTERM)
    assert run.ends() == 0
    assert stage.alive() == [command for command in stage.alive() if "simulate" in command]


def test_an_upstream_that_is_away_is_reported_and_waited_for(stage, config):
    settings, port = config()
    away = free_port()
    run = stage.topcoins("up", **settings, **upstream(away), INTERVAL="5s")
    run.until(lambda: "No list is stored yet. The services keep trying." in run.err)
    run.until(lambda: "price: source away: coinmarketcap" in run.err)
    assert f"curl 'http://localhost:{port}?limit=200'" in run.err
    stage.simulator("--assets", "60", "--unlimited", port=away)
    run.until(lambda: "The first list is stored." in run.err)
    run.send(signal.SIGINT)
    assert run.ends() == 0


@pytest.mark.parametrize("setting", ["http_port", "http_safe_port"])
def test_a_taken_port_is_refused_before_anything_starts(stage, config, setting):
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        settings, _ = config(**{setting: taken.getsockname()[1]})
        run = stage.topcoins("up", **settings)
        assert run.ends() == 2
    assert run.err.endswith(f"with TOPCOINS_{setting.upper()}\n")
    assert run.out == ""


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"SPOOL_DIR": "/dev/null/spool"}, "TOPCOINS_SPOOL_DIR: /dev/null/spool/price can't be written"),
        ({"STORE_URL": "sqlite:////dev/null/t.db"}, "TOPCOINS_STORE_URL: /dev/null can't be written"),
        ({"LOG_FILE": "/dev/null/log"}, "TOPCOINS_LOG_FILE: /dev/null can't be written"),
        ({"LOG_FILE": "/dev"}, "TOPCOINS_LOG_FILE: /dev is a folder; for example /var/log/topcoins.log"),
        ({"PRICE_SOURCE": "acme"}, "TOPCOINS_PRICE_SOURCE: source 'acme': there is no file of this name; for example"),
        ({"EXTRA_SOURCES": "/a.toml"}, "TOPCOINS_EXTRA_SOURCES: source '/a.toml': there is no file of this name"),
        ({"HTTP_HOST": "192.0.2.7"}, "set TOPCOINS_HTTP_HOST to an address of this machine"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_starts(stage, config, settings, named):
    own, _ = config()
    run = stage.topcoins("up", **own, **settings)
    assert run.ends() == 2
    assert named in run.err
    assert run.out == ""
