"""Run the pages of a study until somebody stops them."""

import contextlib
import pathlib
import signal
import socket
from collections.abc import Callable, Iterator, Sequence

import uvicorn

from srgan_jax.errors import InputError
from srgan_jax.files import locked
from srgan_jax.study import design as designs
from srgan_jax.study.server import LOOPBACK, create_app
from srgan_jax.study.store import Store

EVERYWHERE = ("0.0.0.0", "::")


def serve(
    folder: str | pathlib.Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    names: Sequence[str] = (),
    say: Callable[[str], None] = print,
) -> None:
    """Serve a study until SIGINT or SIGTERM.

    Args:
      folder: of the study, which no other program may serve at the time.
      host: the address to listen at. Everybody else than this machine reaches other addresses than the loopback's; then
        a rater needs the study's key, which is a part of the link.
      port: 0 for any that is free.
      names: under which other machines know this one, in addition to its own name and address.
      say: gets the links for raters and for the owner.

    Raises:
      InputError: the folder is no study, or another program serves it; or the address cannot be used.
    """
    folder = pathlib.Path(folder)
    designs.read_design(folder)
    with (
        locked(folder),
        contextlib.closing(Store(folder / designs.ANSWERS)) as store,
        _listening(host, port) as listener,
    ):
        port = listener.getsockname()[1]
        own = host in LOOPBACK
        hosts = [*LOOPBACK, *names, *([host] if host not in EVERYWHERE else _own_names())]
        app = create_app(folder, store, hosts=hosts, guarded=not own)
        shown = "127.0.0.1" if own else next(name for name in hosts if name not in LOOPBACK)
        address = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"
        say(f"For raters:    {address}/" + ("" if own else f"?key={store.setting('key')}"))
        say(f"For the owner: {address}/admin?key={store.setting('admin')}")
        say("Ctrl+C stops the pages; what raters have answered is kept, and they can go on later.")
        options = {"access_log": False, "log_level": "warning", "server_header": False, "proxy_headers": False}
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", timeout_graceful_shutdown=5, **options))
        # uvicorn stops at a signal, and raises it again at the end: this closes the store first.
        with _quietly(), _ending_at_sigterm():
            server.run(sockets=[listener])


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise InputError(f"cannot listen at {host}, port {port} ({error}); choose another port or address.") from None
    with listener:
        yield listener


@contextlib.contextmanager
def _ending_at_sigterm() -> Iterator[None]:
    """Let SIGTERM end the program as an exception would, so that files are closed."""

    def end(*_):
        raise SystemExit(0)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Let Ctrl+C end the pages without an error: it is how their owner ends them."""
    with contextlib.suppress(KeyboardInterrupt):
        yield


def _own_names() -> list[str]:
    """Return this machine's address in its network, if it has one, and its name."""
    names = [socket.gethostname().lower()]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect(("192.0.2.1", 9))  # an address of nobody (RFC 5737); nothing is sent
        names.insert(0, probe.getsockname()[0])
    return names
