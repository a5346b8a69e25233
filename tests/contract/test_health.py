"""The containers' health checks: what they ask, what they say, and what they do not load."""

import subprocess
import sys
from datetime import timedelta

import pytest

from lib.clock import utc_now
from lib.health import main
from lib.schema import PRICE
from tests.sample import sample_snapshot

NOW = utc_now().replace(microsecond=0)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def environ(influx_bucket, tmp_path) -> dict[str, str]:
    (tmp_path / "influx_token").write_text(influx_bucket.server.token)
    return {
        "TOPCOINS_STORE_URL": influx_bucket.server.url,
        "TOPCOINS_INFLUX_TOKEN_FILE": str(tmp_path / "influx_token"),
        "TOPCOINS_INFLUX_BUCKET": influx_bucket.name,
    }


@pytest.mark.influx
async def test_a_series_is_healthy_while_its_newest_tick_is_at_most_three_intervals_old(influx_bucket, environ):
    assert "no tick of price is stored" in str(main(["tick", "price"], environ, NOW))
    store = influx_bucket.store(utc_now)
    await store.write(sample_snapshot(PRICE, NOW - 3 * MINUTE, 5))
    await store.close()
    assert main(["tick", "price"], environ, NOW) is None
    late = main(["tick", "price"], environ, NOW + MINUTE)
    assert late is not None
    assert "240 s ago; one is expected every 60 s" in late
    assert "no tick of volume_rank" in str(main(["tick", "volume_rank"], environ, NOW))


@pytest.mark.influx
def test_a_refused_token_is_reported_and_not_shown(environ, tmp_path):
    (tmp_path / "influx_token").write_text("canary")
    why = str(main(["tick", "price"], environ, NOW))
    assert "HTTP 401" in why
    assert "canary" not in why


@pytest.mark.influx
def test_an_absent_store_and_an_absent_token_are_reported(environ):
    away = main(["tick", "price"], environ | {"TOPCOINS_STORE_URL": "http://127.0.0.1:9"}, NOW)
    assert "http://127.0.0.1:9 can't be asked" in str(away)
    assert "can't be asked" in str(main(["tick", "price"], environ | {"TOPCOINS_INFLUX_TOKEN_FILE": "/none"}, NOW))


@pytest.mark.influx
def test_an_address_is_healthy_while_it_answers_200(influxd):
    assert main(["answer", f"{influxd.url}/health"], {}, NOW) is None
    assert "HTTP 401" in str(main(["answer", f"{influxd.url}/api/v2/orgs"], {}, NOW))
    assert "does not answer" in str(main(["answer", "http://127.0.0.1:9/readyz"], {}, NOW))


def test_a_check_loads_neither_polars_nor_the_settings():
    code = "import sys, lib.health; sys.exit(any(name in sys.modules for name in ('polars', 'pydantic', 'asyncio')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_wrong_check_says_how_to_write_one():
    assert "python -m lib.health tick SERIES" in str(main([], {}, NOW))
