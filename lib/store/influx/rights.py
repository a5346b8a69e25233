"""Whether a token may write, by a write of nothing."""

import httpx

from lib.errors import StoreRejected, StoreUnavailable
from lib.settings import Settings
from lib.store.influx.failures import MESSAGE_LENGTH, TOKEN


async def may_write(chosen: Settings, client: httpx.AsyncClient) -> bool:
    """Whether the token of the settings may write the raw bucket. InfluxDB checks the right before the body."""
    token = chosen.influx_token.get_secret_value() if chosen.influx_token else ""
    asked = f"InfluxDB at {chosen.store_url}: an empty write to {chosen.influx_bucket}"
    parameters = {"org": chosen.influx_org, "bucket": chosen.influx_bucket, "precision": "s"}
    try:
        answer = await client.post(
            f"{chosen.store_url}/api/v2/write", params=parameters, headers={"Authorization": f"Token {token}"}
        )
    except httpx.HTTPError as exc:
        raise StoreUnavailable(f"{asked}: {type(exc).__name__} {exc}") from exc
    if answer.status_code == httpx.codes.FORBIDDEN:
        return False
    if answer.status_code == httpx.codes.NO_CONTENT:
        return True
    text = f"{asked}: HTTP {answer.status_code} {answer.text[:MESSAGE_LENGTH]}".replace(token or "\0", "***")
    if answer.is_server_error:
        raise StoreUnavailable(text)
    raise StoreRejected(f"{text}; check {TOKEN}, the organisation and the bucket")
