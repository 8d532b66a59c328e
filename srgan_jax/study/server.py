"""The pages of a study, as a Starlette application: consent, instructions, examples, one picture after the other."""

import hashlib
import hmac
import operator
import pathlib
import secrets
import time
from collections.abc import Iterable

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from srgan_jax.study import design as designs
from srgan_jax.study import texts
from srgan_jax.study.design import Shown
from srgan_jax.study.forms import number, read_form, whole
from srgan_jax.study.guard import Buckets, Guard
from srgan_jax.study.pages import markdown, page
from srgan_jax.study.store import Answer, Refused, Store

LOOPBACK = ("localhost", "127.0.0.1", "::1")
YEAR = 365 * 24 * 3600
STATUSES = {"again": 409, "order": 409, "score": 400, "early": 429}
# The numbers that a browser sends with an answer, and the largest value that is believed.
MEASURES = {"milliseconds": 86_400_000, "ratio": 16, "magnification": 128, "width": 100_000, "height": 100_000}


def create_app(
    folder: str | pathlib.Path, store: Store, *, hosts: Iterable[str] = LOOPBACK, guarded: bool = False
) -> Guard:
    """Make the application of a study.

    Args:
      folder: of the study.
      store: its answers, open.
      hosts: the names under which browsers ask for it.
      guarded: whether a new rater needs the study's key, as part of the link.

    Returns:
      The application; an ASGI server such as uvicorn runs it.

    Raises:
      InputError: the folder is no study.
    """
    site = _Site(pathlib.Path(folder), store, guarded=guarded)
    routes = [
        Route("/", site.welcome),
        Route("/begin", site.begin, methods=["POST"]),
        Route("/r/{token}", site.come_back),
        Route("/instructions", site.instructions),
        Route("/examples/{number:int}", site.example),
        Route("/example/{number:int}", site.example_picture),
        Route("/rate", site.rate),
        Route("/picture/{position:int}/{side:int}", site.picture),
        Route("/answer", site.answer, methods=["POST"]),
        Route("/admin", site.admin),
        Route("/favicon.ico", lambda request: Response(status_code=204)),
        Mount("/static", StaticFiles(directory=pathlib.Path(__file__).parent / "static")),
    ]
    # Thirty quick raters behind one address, with an answer a second and three requests for each, are below this.
    return Guard(Starlette(routes=routes), hosts=hosts, buckets=Buckets(rate=100, burst=500))


class _Site:
    """The pages. Every method answers one route."""

    def __init__(self, folder: pathlib.Path, store: Store, *, guarded: bool) -> None:
        self._folder, self._store, self._guarded = folder, store, guarded
        self._design = designs.read_design(folder)
        self._texts = texts.read_texts(folder / designs.TEXTS)
        self._secret = store.setting("secret").encode()
        # Cookies belong to a host, not to a port: two studies on one machine need two names.
        self._cookie = f"rater_{hashlib.sha256(self._secret).hexdigest()[:8]}"
        self._joins = Buckets(rate=0.5, burst=40)

    async def welcome(self, request: Request) -> Response:
        """Show the consent to a new rater, and send a known one on.

        Who has finished can hand the machine to another person.
        """
        rater, another = self._rater(request), "another" in request.query_params
        if rater and not (another and operator.eq(*self._store.plan(rater))):
            return _see("/rate")
        if not self._may_begin(request.query_params.get("key", "")):
            return self._message(request, "error_key", 403)
        return self._welcome(request, request.query_params.get("key", ""))

    def _welcome(self, request: Request, key: str, error: str = "", status: int = 200) -> Response:
        language = self._language(request)
        visitor = (not self._rater(request) and request.cookies.get(self._cookie)) or secrets.token_urlsafe(16)
        text = page(
            "welcome.html",
            language,
            title=self._design.title,
            consent=markdown(self._texts["consent", language]),
            questions=self._design.questions,
            key=key,
            form=self._form_token(visitor),
            message=texts.LABELS[language][f"error_{error}"] if error else "",
        )
        response = HTMLResponse(text, status)
        self._set_cookie(request, response, self._cookie, visitor)
        self._set_cookie(request, response, "language", language)
        return response

    async def begin(self, request: Request) -> Response:
        """Take a new rater in."""
        form = await read_form(request)
        if not self._is_own_form(request, form):
            return self._message(request, "error_form", 403)
        if not self._may_begin(form.get("key", "")):
            return self._message(request, "error_key", 403)
        if self._rater(request):
            return _see("/rate")
        if form.get("consent") != "yes":
            return self._welcome(request, form.get("key", ""), "consent", 400)
        if not self._joins.take(_address(request)):
            return PlainTextResponse("Too many requests; please wait a moment.", 429, {"retry-after": "5"})
        token = secrets.token_urlsafe(16)
        replies = [form.get(f"reply{i}", "")[:200] for i in range(len(self._design.questions))]
        rater = await run_in_threadpool(
            self._store.join, _digest(token), language=self._language(request), replies=replies
        )
        if rater is None:
            return self._message(request, "error_full", 403)
        response = _see("/instructions")
        self._set_cookie(request, response, self._cookie, token)
        return response

    async def come_back(self, request: Request) -> Response:
        """Take the personal link."""
        token = request.path_params["token"]
        if self._store.rater(_digest(token)) is None:
            return self._message(request, "error_rater", 403)
        response = _see("/rate")
        self._set_cookie(request, response, self._cookie, token)
        return response

    async def instructions(self, request: Request) -> Response:
        """Show the instructions and the personal link."""
        if not self._rater(request):
            return self._message(request, "error_rater", 403)
        language = self._language(request)
        token = request.cookies[self._cookie]
        text = page(
            "instructions.html",
            language,
            title=self._design.title,
            instructions=markdown(self._texts["instructions", language]),
            link=f"{_scheme(request)}://{request.headers['host']}/r/{token}",
            next="/examples/0" if self._design.calibration else "/rate",
        )
        return HTMLResponse(text)

    async def example(self, request: Request) -> Response:
        """Show a picture of the calibration together with its grade."""
        number, examples = request.path_params["number"], self._design.calibration
        if not self._rater(request) or number >= len(examples):
            return self._message(request, "error_rater", 403)
        shown, grade = examples[number]
        text = page(
            "calibration.html",
            self._language(request),
            title=self._design.title,
            number=number + 1,
            count=len(examples),
            shown=shown,
            grade=grade,
            magnification=self._design.magnification,
            next=f"/examples/{number + 1}" if number + 1 < len(examples) else "/rate",
        )
        return HTMLResponse(text)

    async def example_picture(self, request: Request) -> Response:
        """Send the file of a picture of the calibration."""
        number = request.path_params["number"]
        if not self._rater(request) or number >= len(self._design.calibration):
            return PlainTextResponse("There is no such picture.", 404)
        return self._file(self._design.calibration[number][0])

    async def rate(self, request: Request) -> Response:
        """Show the rater's next item."""
        rater = self._rater(request)
        if not rater:
            return self._message(request, "error_rater", 403)
        language, design = self._language(request), self._design
        position, count = self._store.plan(rater)
        item = self._store.item(rater, position)
        if item is None:
            labels, key = texts.LABELS[language], self._store.setting("key") if self._guarded else ""
            other = {"next_page": f"/?another=1&key={key}", "next_label": labels["another"]}
            return self._message(request, "done_text", 200, heading=labels["done"], **other)
        text = page(
            "rate.html",
            language,
            title=design.title,
            position=position,
            count=count,
            more=position + 1 < count,
            pair=bool(item.other),
            shown=design.pictures[item.picture][item.method],
            scores=list(design.answers),
            magnification=design.magnification,
            minimum=design.minimum_seconds,
            form=self._form_token(request.cookies[self._cookie]),
        )
        return HTMLResponse(text)

    async def picture(self, request: Request) -> Response:
        """Send the file of one of the rater's items: an answered one, the current one, or the one after it."""
        rater, (position, side) = self._rater(request), (request.path_params[name] for name in ("position", "side"))
        item = self._store.item(rater, position) if rater and position <= self._store.plan(rater)[0] + 1 else None
        if item is None or side > bool(item.other):
            return PlainTextResponse("There is no such picture.", 404)
        return self._file(self._design.pictures[item.picture][(item.method, item.other)[side]])

    async def answer(self, request: Request) -> Response:
        """Store an answer, and only then go on."""
        rater, form = self._rater(request), await read_form(request)
        if not rater:
            return self._message(request, "error_rater", 403)
        if not self._is_own_form(request, form):
            return self._message(request, "error_form", 403, next_page="/rate")
        try:
            measures = {name: number(form.get(name, ""), largest) for name, largest in MEASURES.items()}
            answer = Answer(whole(form["score"]), **measures)
            rules = {"allowed": self._design.answers, "minimum": self._design.minimum_seconds}
            await run_in_threadpool(self._store.add, rater, whole(form["position"]), answer, **rules)
        except (KeyError, ValueError):
            return self._message(request, "error_score", 400, next_page="/rate")
        except Refused as refused:
            return self._message(request, f"error_{refused.reason}", STATUSES[refused.reason], next_page="/rate")
        return _see("/rate")

    async def admin(self, request: Request) -> Response:
        """Show the owner how far everybody is."""
        if not _equal(request.query_params.get("key", ""), self._store.setting("admin")):
            return PlainTextResponse("Use the link that the command has printed.", 403)
        raters = self._store.progress()
        for rater in raters:
            taken = (rater["last"] or rater["started"]) - rater["started"]
            rater["pace"] = f"{taken / rater['answered']:.1f}" if rater["answered"] else "–"
            rater["when"] = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(rater["last"])) if rater["last"] else "–"
        values = {
            "title": self._design.title,
            "raters": raters,
            "places": self._store.places(),
            "answers": sum(rater["answered"] for rater in raters),
            "finished": sum(rater["answered"] == rater["count"] for rater in raters),
        }
        return HTMLResponse(page("admin.html", **values))

    def _rater(self, request: Request) -> int | None:
        """Return the number of the rater whose browser asks."""
        token = request.cookies.get(self._cookie)
        return self._store.rater(_digest(token)) if token else None

    def _language(self, request: Request) -> str:
        chosen = [request.query_params.get("language", ""), request.cookies.get("language", "")]
        return texts.choose_language(chosen + texts.accepted(request.headers.get("accept-language", "")))

    def _may_begin(self, key: str) -> bool:
        return not self._guarded or _equal(key, self._store.setting("key"))

    def _form_token(self, cookie: str) -> str:
        """Return what a form must hold, to show that it comes from a page for the browser with this cookie."""
        return hmac.new(self._secret, cookie.encode(), hashlib.sha256).hexdigest()

    def _is_own_form(self, request: Request, form: dict[str, str]) -> bool:
        wanted = self._form_token(request.cookies.get(self._cookie, ""))
        return self._cookie in request.cookies and _equal(form.get("form", ""), wanted)

    def _set_cookie(self, request: Request, response: Response, name: str, value: str) -> None:
        secure = _scheme(request) == "https"
        response.set_cookie(name, value, max_age=YEAR, httponly=True, samesite="lax", secure=secure)

    def _file(self, shown: Shown) -> Response:
        headers = {"cache-control": "private, max-age=3600"}
        return FileResponse(self._folder / designs.PICTURES / shown.file, media_type="image/png", headers=headers)

    def _message(
        self,
        request: Request,
        label: str,
        status: int,
        *,
        heading: str = "",
        next_page: str = "",
        next_label: str = "",
    ) -> Response:
        language = self._language(request)
        labels = texts.LABELS[language]
        values = {"title": self._design.title, "heading": heading, "message": labels[label]}
        values |= {"next": next_page, "next_label": next_label or labels["continue"], "keys": not next_label}
        return HTMLResponse(page("message.html", language, **values), status)


def _equal(given: str, wanted: str) -> bool:
    """Compare secrets in a time that does not tell how much of them is right."""
    return hmac.compare_digest(given.encode(errors="replace"), wanted.encode())


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _scheme(request: Request) -> str:
    """Return "https" behind a server with TLS that says so. Who lies about it only gets a link that does not work."""
    return "https" if request.headers.get("x-forwarded-proto") == "https" else request.url.scheme


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _see(place: str) -> Response:
    return RedirectResponse(place, 303)
