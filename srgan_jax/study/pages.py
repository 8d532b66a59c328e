"""Pages as HTML: templates, in which every value is escaped, and Markdown without HTML in it."""

from typing import Any

import jinja2
from markdown_it import MarkdownIt
from markupsafe import Markup

from srgan_jax.study.texts import LABELS, LANGUAGES

ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("srgan_jax.study"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
MARKDOWN = MarkdownIt("js-default")  # HTML is shown as text, and links to scripts are no links


def markdown(text: str) -> Markup:
    """Return Markdown as HTML. Tags within it are escaped, and so are links that would run a script."""
    return Markup(MARKDOWN.render(text))


def page(template: str, language: str = LANGUAGES[0], **values: Any) -> str:
    """Return the page of a template of this package, in one of the languages."""
    names = [(code, LABELS[code]["language"]) for code in LANGUAGES]
    values |= {"labels": LABELS[language], "language": language, "languages": names}
    return ENVIRONMENT.get_template(template).render(values)
