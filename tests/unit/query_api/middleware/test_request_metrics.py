"""Requests counted for Prometheus, by one process and by several."""

import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

from query_api.middleware.request_metrics import RequestMetrics, with_counts
from query_api.middleware.security_headers import security_headers


def samples(metrics: RequestMetrics) -> dict[tuple[str, ...], float]:
    text = metrics.exposition().decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_requests_are_counted_by_route_and_status_and_timed_by_route():
    metrics = RequestMetrics()
    for status, seconds in ((200, 0.0005), (200, 0.02), (404, 0.001), (200, 100)):
        metrics.count("/v1/top", status, seconds)
    metrics.count("/", 200, 0.3)
    found = samples(metrics)
    assert found["topcoins_http_requests_total", "/v1/top", "200"] == 3
    assert found["topcoins_http_requests_total", "/v1/top", "404"] == 1
    assert found["topcoins_http_duration_seconds_count", "/v1/top"] == 4
    assert found["topcoins_http_duration_seconds_sum", "/v1/top"] == pytest.approx(100.0215)
    buckets = {
        ({*key[1:]} - {"/v1/top"}).pop(): value
        for key, value in found.items()
        if key[0].endswith("_bucket") and "/v1/top" in key
    }
    assert (buckets["0.001"], buckets["0.01"], buckets["0.025"], buckets["10.0"], buckets["+Inf"]) == (2, 2, 3, 3, 4)
    assert found["topcoins_http_duration_seconds_count", "/"] == 1


def test_each_worker_reports_the_sum_of_all_and_a_killed_ones_counts_stay(tmp_path):
    metrics = RequestMetrics(tmp_path)
    metrics.count("/", 200, 0.5)
    assert samples(metrics)["topcoins_http_requests_total", "/", "200"] == 1  # what is reported is shared
    other = tmp_path / "1.json"
    other.write_bytes(orjson.dumps([[*row[:2], [2 * value for value in row[2]]] for row in read(tmp_path)]))
    metrics.count("/", 200, 0.5)
    found = samples(metrics)
    assert found["topcoins_http_requests_total", "/", "200"] == 4
    assert found["topcoins_http_duration_seconds_sum", "/"] == 2
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".json"]


def read(folder: Path) -> list[list[Any]]:
    (file,) = folder.glob("*.json")
    rows: list[list[Any]] = orjson.loads(file.read_bytes())
    return rows


@pytest.mark.parametrize(("answers", "status"), [(True, "204"), (False, "499")])
async def test_the_status_of_an_answer_is_counted_and_499_without_one(answers, status):
    async def app(scope, receive, send):
        if answers:
            await send({"type": "http.response.start", "status": 204, "headers": []})

    async def send(message):
        assert message["status"] == 204

    metrics = RequestMetrics()
    await with_counts(security_headers(app), metrics)({"type": "http", "method": "GET"}, None, send)  # type: ignore[arg-type]
    assert re.search(rf'requests_total{{route="other",status="{status}"}} 1.0', metrics.exposition().decode())
