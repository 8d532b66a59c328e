"""Pages in HTML that need no other file and load nothing: their templates (templates/), and pictures as text."""

import base64
import functools
import io
import pathlib
import re
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from srgan_jax.errors import InputError
from srgan_jax.images.montage import as_rgb

if TYPE_CHECKING:
    import jinja2

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tabs and line breaks


def _visible(value: object) -> object:
    """Return a text whose control characters, which names of pictures may have, are escapes such as "\\x1b"."""
    if not isinstance(value, str):
        return value
    return type(value)(_CONTROL.sub(lambda match: repr(match[0])[1:-1], value))


@functools.cache
def environment() -> "jinja2.Environment":
    """Return the templates, in which every value is escaped, control characters as well.

    Raises:
      InputError: Jinja2 is not installed.
    """
    try:
        import jinja2
        import markupsafe
    except ImportError:
        raise InputError("pages need Jinja2: pip install 'srgan-jax[eval]' (requirements-eval.txt).") from None

    def code(text: str) -> markupsafe.Markup:
        """Return text in which `words between backticks` are set as code."""
        return markupsafe.Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(markupsafe.escape(text))))

    loader = jinja2.FileSystemLoader(pathlib.Path(__file__).parent / "templates")
    options = {"autoescape": True, "undefined": jinja2.StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    templates = jinja2.Environment(loader=loader, finalize=_visible, **options)
    templates.filters["code"] = code
    return templates


def render(template: str, **values) -> str:
    """Fill a template of templates/ with values. What is HTML or SVG already is marked by the template as safe."""
    return environment().get_template(template).render(**values)


def embed(picture: np.ndarray | Image.Image, kind: str, *, quality: int = 85) -> str:
    """Encode a picture as the text of an address.

    Args:
      picture: uint8 [H, W, 1 or 3], or a Pillow image.
      kind: "PNG", or with losses "JPEG" or "WEBP".
      quality: 1 to 100, of formats with losses.
    """
    data = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(np.ascontiguousarray(as_rgb(picture)))
    image.save(data, kind, quality=quality)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(data.getvalue()).decode()}"
