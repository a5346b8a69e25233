"""The operator's notice as a header of every answer."""

from string import ascii_letters, digits, punctuation
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_VISIBLE = "".join({*ascii_letters, *digits, *punctuation, " "} - {"%"})


class NoticeHeader:
    """Adds `X-Notice`, with `%` before what is not ASCII."""

    def __init__(self, app: ASGIApp, notice: str) -> None:
        self._app = app
        self._header = (b"x-notice", quote(notice, safe=_VISIBLE).encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with the header."""

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), self._header]}
            await send(message)

        await self._app(scope, receive, add)
