"""`topcoins init`: makes an InfluxDB ready: organisation, buckets, task, scraper, one scoped token per consumer.

Each step changes only what is missing or different, so that it can be run again, also after it stopped half-way.
"""

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from lib.errors import SettingsRejected, StoreRejected, StoreUnavailable
from lib.store.influx.flux import hourly, metrics
from lib.store.influx.hourly import TASK, task

CONSUMERS: Mapping[str, tuple[str, ...]] = {
    "ingest_price": ("write", "read"),
    "ingest_rank": ("write", "read"),
    "query_api": ("read", "read hourly"),
    "grafana": ("read", "read hourly", "read metrics"),
}
"""The rights of each consumer's token. An ingestor reads markers, to know what was stored before a restart."""

OPERATOR = "operator"
TOKEN = "influx_token"
PASSWORD = "password"
GRAFANA_PASSWORD = "admin_password"
SCRAPER = "topcoins"
METRICS_RETENTION = timedelta(days=14)
TIMEOUT_S = 30.0


@dataclass(slots=True, kw_only=True)
class Setup:
    """Makes the server ready and writes each token to `folder`/CONSUMER/influx_token.

    With `scrape`, the server itself reads the metrics at this address every ten seconds, and sends no headers.
    `made` is what was made or changed, `kept` what needed no change.
    """

    url: str
    org: str
    bucket: str
    retention: timedelta
    folder: Path
    client: httpx.Client
    scrape: str | None = None
    made: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    _token: str = field(default="", repr=False)

    def run(self) -> None:
        """Run all steps.

        StoreUnavailable when the server is away; SettingsRejected when it is set up already and the operator's token is
        not in the folder. A token is written as soon as it is made: InfluxDB does not show it again.
        """
        self._onboard()
        org_id = self._organisation()
        buckets = {
            "": self._ensure_bucket(org_id, self.bucket, self.retention),
            "hourly": self._ensure_bucket(org_id, hourly(self.bucket), timedelta()),
            "metrics": self._ensure_bucket(org_id, metrics(self.bucket), METRICS_RETENTION),
        }
        self._ensure_task(org_id)
        if self.scrape:
            self._ensure_scraper(org_id, buckets["metrics"], self.scrape)
        for consumer, rights in CONSUMERS.items():
            self._ensure_token(org_id, consumer, [_permission(right, org_id, buckets) for right in rights])
        self._secret("grafana", GRAFANA_PASSWORD, 0o440)

    def _onboard(self) -> None:
        """Give a fresh server the operator's token. It is written to its file first, so that it cannot be lost."""
        fresh = self._ask("GET", "setup", authorized=False)["allowed"]
        file = self.folder / OPERATOR / TOKEN
        if not fresh and not file.exists():
            raise SettingsRejected(
                f"InfluxDB at {self.url} is set up already, and {file} does not contain its"
                " operator's token; put it there"
            )
        self._token = self._secret(OPERATOR, TOKEN, 0o400)
        password = self._secret(OPERATOR, PASSWORD, 0o400) if fresh else ""
        if fresh:
            body = {"username": OPERATOR, "password": password, "org": self.org, "bucket": self.bucket}
            self._ask("POST", "setup", authorized=False, json={**body, "token": self._token})
        self._note("server", made=fresh)

    def _organisation(self) -> str:
        own = [each for each in self._ask("GET", "orgs")["orgs"] if each["name"] == self.org]
        self._note(f"organisation {self.org}", made=not own)
        organisation = own[0] if own else self._ask("POST", "orgs", json={"name": self.org})
        return str(organisation["id"])

    def _ensure_bucket(self, org_id: str, name: str, retention: timedelta) -> str:
        seconds = int(retention.total_seconds())
        rules = [{"type": "expire", "everySeconds": seconds}] if seconds else []
        existing = self._ask("GET", "buckets", params={"orgID": org_id, "name": name}, missing={"buckets": []})[
            "buckets"
        ]
        if not existing:
            self._note(f"bucket {name}", made=True)
            body = {"orgID": org_id, "name": name, "retentionRules": rules}
            return str(self._ask("POST", "buckets", json=body)["id"])
        kept = sum(rule["everySeconds"] for rule in existing[0]["retentionRules"])
        if kept != seconds:
            self._ask("PATCH", f"buckets/{existing[0]['id']}", json={"retentionRules": rules})
        self._note(f"bucket {name}", made=kept != seconds)
        return str(existing[0]["id"])

    def _ensure_task(self, org_id: str) -> None:
        existing = self._ask("GET", "tasks", params={"orgID": org_id, "name": TASK})["tasks"]
        wanted = {"orgID": org_id, "flux": task(self.bucket, self.retention), "status": "active"}
        self._ensure_one("tasks", f"task {TASK}", existing, wanted)

    def _ensure_scraper(self, org_id: str, bucket_id: str, url: str) -> None:
        """One scraper of our name. Another address replaces it: the server takes no change of one that it has begun."""
        existing = self._ask("GET", "scrapers", params={"orgID": org_id})["configurations"]
        own = [each for each in existing if each["name"] == SCRAPER]
        wanted = {"name": SCRAPER, "type": "prometheus", "url": url, "orgID": org_id, "bucketID": bucket_id}
        self._ensure_one("scrapers", f"scraper of {url}", own, wanted)

    def _ensure_one(self, kind: str, what: str, own: Sequence[Mapping[str, Any]], wanted: Mapping[str, str]) -> None:
        """Have one that is as wanted, and no other one of our own."""
        same = [each for each in own if wanted.items() <= each.items()]
        for each in own:
            if each not in same[:1]:
                self._ask("DELETE", f"{kind}/{each['id']}")
        if not same:
            self._ask("POST", kind, json=wanted)
        self._note(what, made=not same)

    def _ensure_token(self, org_id: str, consumer: str, permissions: Sequence[Mapping[str, Any]]) -> None:
        file = self.folder / consumer / TOKEN
        description = f"topcoins {consumer}"
        existing = self._ask("GET", "authorizations", params={"orgID": org_id})["authorizations"]
        own = [each for each in existing if each["description"] == description]
        if file.exists() and _has_exactly(own, permissions) and self._works(file.read_text("utf-8").strip()):
            self._note(f"token of {consumer}", made=False)
            return
        for each in own:  # its file is lost, or its rights differ
            self._ask("DELETE", f"authorizations/{each['id']}")
        body = {"orgID": org_id, "description": description, "permissions": permissions}
        _write_secret(file, self._ask("POST", "authorizations", json=body)["token"], 0o440)
        self._note(f"token of {consumer}", made=True)

    def _works(self, token: str) -> bool:
        flux = f'from(bucket: "{self.bucket}") |> range(start: -1s) |> limit(n: 1)'
        response = self._send("POST", "query", token, params={"org": self.org}, json={"query": flux})
        return response.is_success

    def _secret(self, owner: str, name: str, mode: int) -> str:
        """The secret in its file; a random one is written where there is no file."""
        file = self.folder / owner / name
        if not file.exists():
            _write_secret(file, secrets.token_urlsafe(32), mode)
            self._note(f"{name} of {owner}", made=True)
        return file.read_text("utf-8").strip()

    def _note(self, what: str, *, made: bool) -> None:
        (self.made if made else self.kept).append(what)

    def _ask(self, method: str, path: str, *, authorized: bool = True, missing: Any = None, **options: Any) -> Any:
        response = self._send(method, path, self._token if authorized else None, **options)
        if response.status_code == httpx.codes.NOT_FOUND and missing is not None:
            return missing
        text = f"InfluxDB at {self.url}: {method} {path}: HTTP {response.status_code}"
        if response.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise StoreRejected(f"{text}: {self.folder / OPERATOR / TOKEN} is not this server's operator token")
        if response.is_server_error:
            raise StoreUnavailable(text)
        if not response.is_success:
            raise StoreRejected(f"{text}: {response.text[:300]}")
        return response.json() if response.content else None

    def _send(self, method: str, path: str, token: str | None, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Token {token}"} if token else {}
        try:
            return self.client.request(
                method, f"{self.url}/api/v2/{path}", headers=headers, timeout=TIMEOUT_S, **options
            )
        except httpx.HTTPError as exc:
            raise StoreUnavailable(f"InfluxDB at {self.url} does not answer: {exc}") from exc


def _permission(right: str, org_id: str, buckets: Mapping[str, str]) -> dict[str, Any]:
    action, _, which = right.partition(" ")
    return {"action": action, "resource": {"type": "buckets", "id": buckets[which], "orgID": org_id}}


def _has_exactly(own: Sequence[Mapping[str, Any]], permissions: Sequence[Mapping[str, Any]]) -> bool:
    """Whether there is one authorization, in force, of exactly these permissions."""
    given = [{(p["action"], p["resource"].get("id")) for p in each["permissions"]} for each in own]
    wanted = {(p["action"], p["resource"]["id"]) for p in permissions}
    return given == [wanted] and own[0]["status"] == "active"


def _write_secret(file: Path, secret: str, mode: int) -> None:
    """Write the whole secret or nothing. No other user can read it at any moment."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f".{file.name}.part")
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(secret)
            out.flush()
            os.fsync(out.fileno())
        part.chmod(mode)
        part.rename(file)
    except OSError as exc:
        raise SettingsRejected(f"{file} can't be written: {exc.strerror}") from exc
