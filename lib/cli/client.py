"""A running API, asked by the command line: where it is, what it answers, and what a refusal means."""

import os
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import httpx
import orjson
from pydantic import TypeAdapter, ValidationError

from lib import settings
from lib.cli.exit_code import ExitCode, Refused
from lib.endpoint import http_url, to_ask
from lib.errors import SettingsRejected
from lib.http_client import open_sync_client
from lib.redaction import shown, without_keys
from lib.settings.values import ApiUrl
from lib.text import without_control

TIMEOUT_S = 30
BODY_TIMEOUT_S = 120
"""A body asks for long work."""
_OTHER = "name another address: --url http://localhost:PORT, or its port as TOPCOINS_HTTP_PORT"
MATCHES = 3
"""The number of assets that an error names for a name that is no ticker."""
_SEARCH = "; to search by name: /v1/assets?q="
_OPTIONS = {"more": "--columns ", "id": "the asset "}
"""The names of parameters that have no option of their own. A table of `top` asks for its columns by `more`."""
_NUMBER = re.compile(r"\[Errno -?\d+\] ")
_CODES: Mapping[int, ExitCode] = {
    HTTPStatus.UNAUTHORIZED: ExitCode.NOT_ALLOWED,
    HTTPStatus.FORBIDDEN: ExitCode.NOT_ALLOWED,
    HTTPStatus.TOO_MANY_REQUESTS: ExitCode.NOT_ALLOWED,
    HTTPStatus.NOT_FOUND: ExitCode.NO_DATA,
}


def refusal(response: httpx.Response, names: Mapping[str, str] | None = None) -> Refused:
    """The error of an answer that is not a success, from its problem document. The body must have been read.

    `names` are the caller's own for the API's parameters, up to the value; by default options of the command line.
    """
    try:
        problem = orjson.loads(response.content)
        _, detail, example = problem["title"], problem["detail"], str(problem.get("example") or "")
        detail = _with_own_name(detail, str(problem.get("parameter") or ""), names)
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        host = str(response.url.copy_with(path="/", query=None)).rstrip("/")
        return other_program(host, f" with the status {response.status_code}")
    text = detail + (f"; for example {example}" if example and example not in detail else "")
    if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Refused(text, ExitCode.NO_ANSWER)
    return Refused(text, _CODES.get(response.status_code, ExitCode.WRONG_USE))


def notice_of(response: httpx.Response) -> str:
    """The operator's notice, such as that of a simulated market; empty without one."""
    return without_control(unquote(response.headers.get("x-notice", "")))


def _with_own_name(detail: str, parameter: str, names: Mapping[str, str] | None) -> str:
    own = f"{parameter}="
    if not parameter or not detail.startswith(own):
        return detail
    name = _OPTIONS.get(parameter, f"--{parameter.replace('_', '-')} ") if names is None else names.get(parameter, own)
    return f"{name}{detail.removeprefix(own)}"


def searched_name(error: Refused) -> str:
    """The name of the asset that the API refused because it is no ticker; empty in other errors."""
    return unquote(str(error).partition(_SEARCH)[2])


def with_matches(error: Refused, answer: Mapping[str, Any]) -> Refused:
    """That error with the assets of an answer of the search."""
    rows = [f"{row['cmc_id']} {row['symbol']} {row['name']}" for row in answer["data"]]
    found = f"by name there are (id, ticker, name): {'; '.join(rows)}" if rows else "no asset has such a name either"
    return Refused(f"{str(error).partition(_SEARCH)[0]}; {found}", error.code)


def other_program(at: str, how: str = "") -> Refused:
    """The error of an address at which something else answers; `how` says what shows it."""
    return Refused(f"another program answers at {without_keys(at)}{how}, no topcoins API; {_OTHER}", ExitCode.NO_ANSWER)


def no_answer(at: str, cause: Exception) -> Refused:
    """The error of an address that does not answer, or with something else than HTTP."""
    if isinstance(cause, httpx.RemoteProtocolError):
        return other_program(at)
    why = _NUMBER.sub("", str(cause))
    text = f"{without_keys(at)} does not answer ({why}); start it with topcoins demo or topcoins up, or {_OTHER}"
    return Refused(text, ExitCode.NO_ANSWER)


def address(url: str | None, *, for_browser: bool = False) -> str:
    """The API's address: of the option `--url`, else of the settings. A browser refuses the port 6667."""
    if url is None:
        chosen = settings.load(os.environ, "query_api")
        port = (for_browser and chosen.http_safe_port) or chosen.http_port
        return http_url(to_ask(chosen.http_host), port)
    try:
        return TypeAdapter(ApiUrl).validate_python(url)
    except ValidationError as exc:  # its text has the address, and so a password in it
        why = exc.errors()[0]["msg"].removeprefix("Value error, ")
    if _lacks_scheme(url):
        why = "http:// is missing before the host"
    raise SettingsRejected(f"--url {shown(url)}: {why}; for example http://127.0.0.1:6667")


def _lacks_scheme(url: str) -> bool:
    try:
        return "://" not in url and bool(urlsplit(f"//{url}").hostname)
    except ValueError:
        return False


def asset_path(id: str | int) -> str:
    """The address of an asset. Its id or ticker is one segment: SettingsRejected for what a URL takes for another."""
    id = str(id)
    if not id.strip() or "/" in id or id in (".", ".."):
        raise SettingsRejected(f"the asset {id!r} is no CoinMarketCap id and no ticker; for example 1 or BTC")
    return f"/v1/assets/{quote(id, safe='')}"


def key_header() -> dict[str, str]:
    """The header with this client's key, if it has one."""
    key = settings.load(os.environ).client_key
    return {"x-api-key": key.get_secret_value()} if key else {}


def sent(parameters: Mapping[str, Any]) -> dict[str, str]:
    """The parameters of a request, without those that are None."""
    return {name: str(value) for name, value in parameters.items() if value is not None}


def ask(url: str | None, path: str, parameters: Mapping[str, Any], *, body: bytes | None = None) -> httpx.Response:
    """A running API's answer, read whole; a body is sent with POST. Parameters may be None. Raises Refused."""
    at = address(url)
    method, timeout_s = ("GET", TIMEOUT_S) if body is None else ("POST", BODY_TIMEOUT_S)
    try:
        with open_sync_client(os.environ, at, headers=key_header(), timeout_s=timeout_s) as client:
            response = client.request(method, f"{at}{path}", params=sent(parameters), content=body)
    except httpx.HTTPError as exc:
        raise no_answer(at, exc) from exc
    if not response.is_success:
        error = refusal(response)
        if name := searched_name(error):
            error = with_matches(error, ask(url, "/v1/assets", {"q": name, "limit": MATCHES}).json())
        raise error
    if not response.headers.get("content-type", "").startswith(("application/json", "text/csv")):
        raise other_program(at)
    return response
