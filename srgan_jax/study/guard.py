"""What stands before every page: the checks of Host and Origin, limits of size and rate, and the headers of safety."""

import time
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY = 8192  # bytes of a form; the largest one has a few short replies
METHODS = ("GET", "HEAD", "POST")
HEADERS = {
    "content-security-policy": "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "same-origin",  # "no-referrer" would make browsers send the Origin "null" with forms
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class Buckets:
    """Limits how often something happens for one key: `burst` times at once, and `rate` times a second after that."""

    LARGEST = 10_000  # keys that are remembered

    def __init__(self, *, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._left: dict[str, tuple[float, float]] = {}  # key -> how many are left, and when that was

    def take(self, key: str) -> bool:
        """Say whether it may happen once more for this key, and count it."""
        now = self._clock()
        left, then = self._left.get(key, (self._burst, now))
        left = min(self._burst, left + (now - then) * self._rate)
        if len(self._left) >= self.LARGEST and key not in self._left:
            self._left.clear()  # forgetting is kinder than refusing everybody
        self._left[key] = (max(left - 1, 0) if left >= 1 else left, now)
        return left >= 1


class Guard:
    """An ASGI application around another one.

    Args:
      app: the application.
      hosts: the names and addresses under which the application may be asked for, without ports. A page that another
        site has loaded under a name of its own (DNS rebinding) is refused by this.
      buckets: the limit of requests for each client's address.
    """

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str], buckets: Buckets) -> None:
        self._app, self._hosts, self._buckets = app, frozenset(host.lower() for host in hosts), buckets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request, and pass it on."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # there are no web sockets here

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                static = scope["path"].startswith("/static/")
                headers.setdefault("cache-control", "max-age=600" if static else "no-store")
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None and scope["method"] == "POST":
            body = await _read(receive)
            receive = _replayed(body or b"", receive)
            refusal = PlainTextResponse("The form is too large.", 413) if body is None else None
        await (refusal or self._app)(scope, receive, send_safely)

    def _refusal(self, scope: Scope) -> Response | None:
        """Return the answer to a request that must not be passed on, or None."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if _name(host) not in self._hosts:
            return PlainTextResponse("This address does not belong to the study.", 421)
        if scope["method"] not in METHODS:
            return PlainTextResponse("This method is not used here.", 405)
        if not self._buckets.take((scope.get("client") or ("",))[0]):
            return PlainTextResponse("Too many requests; please wait a moment.", 429, {"retry-after": "1"})
        if scope["method"] == "POST":
            origin = headers.get("origin", "")
            if not host or urlsplit(origin).netloc.lower() != host.lower():
                return PlainTextResponse("This form comes from another page.", 403)
            length = headers.get("content-length", "0")
            if not length.isdigit() or int(length) > BODY:
                return PlainTextResponse("The form is too large.", 413)
        return None


async def _read(receive: Receive) -> bytes | None:
    """Return the body of a request, or None if it is too large, or its client was lost."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > BODY or message["type"] == "http.disconnect":
            return None
    return body


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that begins with a body that was read already."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


def _name(host: str) -> str:
    """Return the name in "name", "name:port" or "[address]:port", in small letters; "" where there is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""
