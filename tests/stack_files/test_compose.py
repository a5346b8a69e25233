"""compose.yaml and compose.demo.yaml, against the settings, the Dockerfile and the conventions of the stack."""

import os
import re
import shutil
import subprocess
from datetime import timedelta
from typing import Any

import httpx
import pytest

from lib import settings
from lib.cli.demo import SIMULATED as SIMULATED_NOTICE
from lib.clock import utc_now
from lib.schema import OWN
from lib.settings import SERVICES, Settings
from lib.simulator.app import create_app
from lib.simulator.market import Market
from lib.simulator.vendor import Plan
from tests.docs.test_pages import OPERATING, documented_settings
from tests.programs import built_program, missing
from tests.stack_files.files import ROOT, compose, interpolated, variables

DEMO = ("compose.yaml", "compose.demo.yaml")
REAL = compose()["services"]
SIMULATED = compose(*DEMO)["services"]
LONGEST_TICK = timedelta(seconds=60)
SERIES = {"ingest_price": "price", "ingest_rank": "volume_rank"}
ONE_SHOT = ("init", "history")


def environment(service: dict[str, Any], environ: dict[str, str] | None = None) -> dict[str, str]:
    """What the container would see of our settings, without the secrets' files."""
    found = {name: interpolated(str(value), environ or {}) for name, value in service["environment"].items()}
    return {name: value for name, value in found.items() if not name.endswith("_TOKEN_FILE")}


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def mounts(service: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The named volume or path of each mount, with where it is seen and how."""
    split = [(*interpolated(mount, {}).split(":"), "rw") for mount in service.get("volumes", [])]
    return [(source, seen, mode) for source, seen, mode, *_ in split]


@pytest.mark.parametrize("name", REAL)
def test_every_service_follows_the_conventions(name):
    service = REAL[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert not service["user"].startswith(("0", "root"))
    assert service["mem_limit"] == service["memswap_limit"]
    assert service["restart"] == ("no" if name == "init" else "unless-stopped")
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert seconds(service["stop_grace_period"]) > LONGEST_TICK.total_seconds()
    assert not {"privileged", "cap_add", "pid", "ipc", "container_name"} & service.keys()
    assert "network_mode" not in service


@pytest.mark.parametrize("name", ["simulator", "history"])
def test_the_services_of_the_demo_follow_the_conventions_too(name):
    wanted = ("cap_drop", "security_opt", "read_only", "user", "logging", "stop_grace_period", "pull_policy", "image")
    assert {key: SIMULATED[name][key] for key in wanted} == {key: REAL["query_api"][key] for key in wanted}
    assert SIMULATED[name]["mem_limit"] == SIMULATED[name]["memswap_limit"]
    assert SIMULATED[name]["networks"] == ["store"]


def test_the_image_is_built_by_one_service_and_pulled_by_none():
    ours = {name: service for name, service in SIMULATED.items() if service["image"] == "topcoins:local"}
    assert len(ours) == 7
    assert [name for name, service in SIMULATED.items() if "build" in service] == ["init"]
    assert {service["pull_policy"] for service in ours.values()} == {"never"}


def test_influxdb_is_stopped_by_the_signal_that_it_handles():
    assert REAL["influxdb"]["stop_signal"] == "SIGINT"


@pytest.mark.parametrize("name", [name for name in SIMULATED if name not in ONE_SHOT])
def test_what_stays_up_has_a_health_check_that_ends_before_the_next_begins(name):
    check = SIMULATED[name]["healthcheck"]
    assert check["test"][0] == "CMD"
    assert seconds(check["timeout"]) < seconds(check["interval"])
    assert {"retries", "start_period"} <= check.keys()


def test_nothing_starts_before_what_it_needs_is_healthy_or_done():
    assert REAL["init"]["depends_on"] == {"influxdb": {"condition": "service_healthy"}}
    for name in (*SERVICES, "grafana"):
        assert REAL[name]["depends_on"] == {
            "influxdb": {"condition": "service_healthy"},
            "init": {"condition": "service_completed_successfully"},
        }
    for name in SERIES:
        assert SIMULATED[name]["depends_on"]["simulator"]["condition"] == "service_healthy"


def test_other_peoples_images_are_pinned_to_a_release():
    images = {service["image"] for service in SIMULATED.values()}
    assert images == {"topcoins:local", "influxdb:2.9.1", "grafana/grafana:13.2.3", "chrislusf/seaweedfs:4.53"}


def test_only_the_api_is_published_beyond_loopback():
    published = {name: [interpolated(port, {}) for port in service.get("ports", [])] for name, service in REAL.items()}
    assert {name: ports for name, ports in published.items() if ports} == {
        "query_api": ["0.0.0.0:6667:6667", "0.0.0.0:8667:8667"],
        "grafana": ["127.0.0.1:3000:3000"],
    }
    assert all(service.get("ports") == REAL.get(name, {}).get("ports") for name, service in SIMULATED.items())


def test_the_published_ports_are_those_the_api_listens_on():
    chosen = settings.load(environment(REAL["query_api"]), "query_api")
    inside = [int(port.rsplit(":", 1)[1]) for port in REAL["query_api"]["ports"]]
    assert inside == [chosen.http_port, chosen.http_safe_port]
    assert chosen.listeners["metrics_port"] == ("0.0.0.0", 9668)
    assert chosen.metrics_port not in inside
    assert chosen.http_host == "0.0.0.0"


def test_the_store_is_on_a_network_without_a_way_out():
    assert compose()["networks"]["store"] == {"internal": True}
    assert REAL["influxdb"]["networks"] == ["store"]
    assert REAL["init"]["networks"] == ["store"]


def test_influxdb_scrapes_the_port_of_metrics_on_their_common_network():
    command = REAL["init"]["command"]
    assert command[command.index("--scrape") + 1] == (
        f"http://query_api:{settings.load(environment(REAL['query_api']), 'query_api').metrics_port}/metrics"
    )
    assert "store" in REAL["query_api"]["networks"]


@pytest.mark.parametrize("service", SERVICES)
def test_with_no_env_file_every_setting_is_its_default(service):
    chosen = settings.load(environment(REAL[service]), service).model_dump()
    given: dict[str, object] = {"store_url": "http://influxdb:8086", "log_format": "json"}
    if service == "query_api":
        given |= {"http_host": "0.0.0.0", "metrics_host": "0.0.0.0", "metrics_port": 9668, "archive_url": "/archive"}
    assert chosen == Settings().model_dump() | given


@pytest.mark.parametrize("name", SERIES)
def test_the_simulated_ingestors_ask_the_simulator_alone(name):
    service = SIMULATED[name]
    chosen = settings.load(environment(service, {"TOPCOINS_CMC_API_KEY": "real", "CMC_API_KEY_FILE": "/real"}), name)
    port = SIMULATED["simulator"]["command"][SIMULATED["simulator"]["command"].index("--port") + 1]
    assert set(chosen.source_urls.values()) == {f"http://simulator:{port}"}
    assert {key.get_secret_value() for key in chosen.api_keys.values()} == {"demo"}
    assert {*SIMULATED["simulator"]["networks"]} <= {*service["networks"]}


def test_the_demo_says_that_its_market_is_simulated():
    notice = settings.load(environment(SIMULATED["query_api"]), "query_api").notice
    assert notice == SIMULATED_NOTICE
    assert settings.load(environment(REAL["query_api"], {"TOPCOINS_NOTICE": "mine"}), "query_api").notice == "mine"


def test_the_simulated_stack_keeps_its_volumes_apart():
    assert compose(*DEMO)["name"] != compose()["name"]


def test_a_key_is_given_to_the_ingestors_that_use_it_alone():
    keyed = {"TOPCOINS_CMC_API_KEY": "cmc", "TOPCOINS_COINDESK_API_KEY": "coindesk"}
    loaded = {name: settings.load(environment(REAL[name], keyed), name).api_keys for name in SERVICES}
    assert {name: set(keys) for name, keys in loaded.items()} == {
        "ingest_price": {"cmc_api_key"},
        "ingest_rank": {"cmc_api_key", "coindesk_api_key"},
        "query_api": set(),
    }
    assert "KEY" not in " ".join(REAL["init"]["environment"])


@pytest.mark.parametrize("name", SERIES)
def test_a_keys_file_is_named_to_the_service_only_when_it_is_given(name):
    secrets = compose()["secrets"]
    for secret in REAL[name]["secrets"]:
        variable, on_host = f"TOPCOINS_{secret.upper()}_FILE", f"{secret.upper()}_FILE"
        assert environment(REAL[name])[variable] == ""
        assert environment(REAL[name], {on_host: "/keys/one"})[variable] == f"/run/secrets/{secret}"
        assert interpolated(secrets[secret]["file"], {on_host: "/keys/one"}) == "/keys/one"
        assert interpolated(secrets[secret]["file"], {}) == "/dev/null"


def test_each_consumer_sees_its_own_token_read_only_and_no_other():
    made = {source: seen for source, seen, _ in mounts(REAL["init"])}
    assert made == {f"token_{name}": f"/tokens/{name}" for name in ("operator", *SERVICES, "grafana")}
    assert REAL["init"]["command"][:4] == ["topcoins", "init", "--folder", "/tokens"]
    for name in (*SERVICES, "grafana"):
        tokens = [mount for mount in mounts(REAL[name]) if mount[0].startswith("token_")]
        assert tokens == [(f"token_{name}", f"/tokens/{name}", "ro")]
    for name in SERVICES:
        assert REAL[name]["environment"]["TOPCOINS_INFLUX_TOKEN_FILE"] == f"/tokens/{name}/influx_token"


def test_the_causes_of_gaps_are_read_where_the_ingestors_write_them():
    (folder,) = re.findall(r"TOPCOINS_SPOOL_DIR=(\S+)", (ROOT / "Dockerfile").read_text("utf-8"))
    services = [REAL[name] for name in (*SERIES, "archive", "query_api")]
    assert not any("TOPCOINS_SPOOL_DIR" in service["environment"] for service in services)
    assert {source for service in services for source, seen, _ in mounts(service) if seen == folder} == {"spool"}
    assert all("spool" in [source for source, *_ in mounts(service)] for service in services)


def test_every_volume_is_declared_and_used():
    used = {source for service in REAL.values() for source, *_ in mounts(service) if not source.startswith(".")}
    assert used == set(compose()["volumes"])
    assert set(compose(*DEMO)["volumes"]) == used


def test_what_is_mounted_from_the_repository_exists():
    for service in REAL.values():
        for source, _, mode in mounts(service):
            if source.startswith("."):
                assert (ROOT / source).exists()
                assert mode == "ro"


def test_env_example_names_every_variable_with_its_default():
    text = (ROOT / ".env.example").read_text("utf-8")
    named = dict(re.findall(r"(?m)^#?([A-Z_]+)=(.*)$", text))
    read = (ROOT / "compose.yaml").read_text("utf-8")
    assert set(named) == variables(read)
    for name, default in re.findall(r"\$\{(\w+):-([^}]*)\}", read):
        if not name.endswith("_FILE"):
            assert named[name] == default, name


def test_env_example_sets_nothing():
    given = re.findall(r"(?m)^([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text("utf-8"))
    assert given == [("TOPCOINS_CMC_API_KEY", ""), ("TOPCOINS_COINDESK_API_KEY", "")]


@pytest.mark.parametrize("name", SERIES)
def test_an_ingestors_health_is_asked_of_its_own_series(name):
    assert REAL[name]["healthcheck"]["test"] == ["CMD", "python", "-m", "lib.health", "tick", SERIES[name]]
    assert SERIES[name] in OWN


async def test_the_simulators_health_check_asks_what_it_serves():
    *command, url = SIMULATED["simulator"]["healthcheck"]["test"]
    assert command == ["CMD", "python", "-m", "lib.health", "answer"]
    app = create_app(Market(1, 5), utc_now, plan=Plan.unlimited())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
        assert (await client.get(url)).status_code == httpx.codes.OK


def test_every_documented_setting_is_passed_by_compose_or_listed_as_not_for_compose():
    named = {name for service in REAL.values() for name in service.get("environment", {})}
    passed = named | {name.removesuffix("_FILE") for name in named}
    (listed,) = re.findall(r"(?s)\n\*\*Not for Compose\*\* are (.*?):", OPERATING.read_text("utf-8"))
    left_out = {f"TOPCOINS_{name}" for name in re.findall(r"`([A-Z_]+)`", listed)}
    documented = {f"TOPCOINS_{name}" for name in documented_settings()}
    assert documented - passed == left_out, "pass it in compose.yaml, or list it under Not for Compose in operating.md"


@pytest.mark.parametrize("files", [("compose.yaml",), DEMO])
def test_compose_itself_accepts_the_files(files):
    named = [part for name in files for part in ("-f", name)]
    assert config(*named, "config", "-q") == ""


def test_the_object_store_runs_only_with_its_profile():
    assert "seaweedfs" not in config("config", "--services").split()
    assert "seaweedfs" in config("--profile", "objects", "config", "--services").split()


def test_the_object_store_has_the_archives_keys_and_is_reached_inside_alone():
    given = {"TOPCOINS_ARCHIVE_ACCESS_KEY": "user", "TOPCOINS_ARCHIVE_SECRET_KEY": "canary"}
    store = REAL["seaweedfs"]
    keys = {name: interpolated(value, given) for name, value in store["environment"].items()}
    assert keys == {"AWS_ACCESS_KEY_ID": "user", "AWS_SECRET_ACCESS_KEY": "canary"}
    assert (store["networks"], store.get("ports")) == (["store"], None)
    for name in ("archive", "query_api"):
        chosen = settings.load(environment(REAL[name], given), name)
        assert chosen.archive_secret_key
        assert (chosen.archive_access_key, chosen.archive_secret_key.get_secret_value()) == ("user", "canary")


@pytest.mark.parametrize("missing", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_the_object_store_does_not_start_without_its_keys(missing):
    *shell, script, name = REAL["seaweedfs"]["entrypoint"]
    keys = {"AWS_ACCESS_KEY_ID": "user", "AWS_SECRET_ACCESS_KEY": "canary"}
    script = script.replace("$$", "$").replace("/entrypoint.sh", "echo")
    started = subprocess.run([*shell, script, name, "server"], env=keys, capture_output=True, text=True)
    assert (started.returncode, started.stdout) == (0, "server\n")
    refused = subprocess.run([*shell, script, name, "server"], env=keys | {missing: ""}, capture_output=True, text=True)
    assert refused.returncode == 1
    assert "TOPCOINS_ARCHIVE_ACCESS_KEY" in refused.stdout


def config(*arguments: str) -> str:
    """What Compose prints, without settings of this machine; it must not complain."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("TOPCOINS_", "COMPOSE_"))}
    ended = subprocess.run([*compose_program(), *arguments], cwd=ROOT, env=environ, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def compose_program() -> list[str]:
    """The pinned Compose that `.ci/build.sh compose` makes, or the one of this machine."""
    built = built_program("compose", "docker-compose")
    if built.exists():
        return [str(built)]
    if shutil.which("docker") and not subprocess.run(["docker", "compose", "version"], capture_output=True).returncode:
        return ["docker", "compose"]
    why = f"no Compose: neither docker compose nor {built}: .ci/build.sh compose"
    raise missing(why, required="TOPCOINS_TEST_REQUIRE_COMPOSE")
