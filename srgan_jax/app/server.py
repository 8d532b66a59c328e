"""The server of the page. Nothing on the page comes from another computer, and nothing goes to one.

Gradio would count its users, look for a newer version and load fonts from elsewhere; all of this is turned off here.
"""

import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING

from srgan_jax.app import texts
from srgan_jax.app.archives import Limits
from srgan_jax.errors import InputError

if TYPE_CHECKING:
    import gradio as gr
    from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "localhost", "::1")

# Browsers load nothing for the page but what this server sends.
CONTENT_POLICY = (
    "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; connect-src 'self'; form-action 'self'; "
    "base-uri 'self'; object-src 'none'"
)


def serve(
    models: Sequence[str],
    *,
    limits: Limits | None = None,
    host: str = "127.0.0.1",
    port: int | None = None,
    browser: bool = False,
) -> None:
    """Serve the page until Ctrl+C or SIGTERM comes; by default to this computer alone. The main thread calls this.

    Args:
      models: what generators.load takes; the first one is chosen at the beginning.
      limits: what the page takes; by default the values of Limits.
      host: the address to listen at; "0.0.0.0" serves every computer that reaches this one.
      port: None takes the first free one from 7860 on.
      browser: whether to open the page in the user's browser.

    Raises:
      InputError: a model cannot be loaded, or the port is not free.
    """
    limits = limits or Limits()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    # Gradio leaves what was uploaded in a folder, whose name it reads when it is imported. This one is deleted.
    with tempfile.TemporaryDirectory(prefix="srgan-app-", ignore_cleanup_errors=True) as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        from srgan_jax.app.page import Sessions, create_page

        sessions = Sessions()
        page = create_page(models, sessions, limits=limits)
        try:
            _, address, _ = page.launch(
                server_name=host,
                server_port=port,
                share=False,
                inbrowser=browser,
                quiet=True,
                ssr_mode=False,
                pwa=False,
                run_history=False,
                footer_links=[],
                enable_monitoring=False,
                max_file_size=int(limits.megabytes * 1e6),
                theme=_theme(),
                css=texts.STYLE,
                app_kwargs={"middleware": _middleware(host)},
                prevent_thread_lock=True,
            )
        except OSError:
            where = f"port {port}" if port else "any port from 7860 on"
            raise InputError(
                f"the page cannot be served at {host}, {where}: either another program is there, or the address is not "
                "one of this computer; choose others."
            ) from None
        try:
            print(f"{address} (end with Ctrl+C)", flush=True)
            page.block_thread()
        finally:
            sessions.cancel_all()


def _middleware(host: str) -> list:
    """Return what every request passes through."""
    from starlette.middleware import Middleware  # Gradio brings it
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    policy = [Middleware(_ContentPolicy)]
    if host not in LOOPBACK:
        return policy
    # A page of another site must not reach the server under a name of its own.
    return [*policy, Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "[::1]"])]


def _theme() -> "gr.themes.Base":
    """Return Gradio's theme with the fonts of the reader's system, and with hints that are dark enough to be read."""
    import gradio as gr

    theme = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    return theme.set(block_info_text_color="*neutral_600", block_info_text_color_dark="*neutral_300")


class _ContentPolicy:
    """Adds CONTENT_POLICY to every answer of the server."""

    def __init__(self, app: "ASGIApp") -> None:
        self._app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        async def send_with_policy(message):
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message.get("headers", []),
                    (b"content-security-policy", CONTENT_POLICY.encode()),
                    (b"referrer-policy", b"no-referrer"),
                ]
            await send(message)

        await self._app(scope, receive, send_with_policy)
