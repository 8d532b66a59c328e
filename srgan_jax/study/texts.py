"""What raters read, in English, German and Korean: labels of the pages, and the consent and instructions in Markdown.

`create` copies the Markdown into the study, where its owner may change it before raters come.
"""

import json
import pathlib
from collections.abc import Iterable
from typing import Any

from srgan_jax.errors import InputError

FOLDER = pathlib.Path(__file__).parent / "texts"
LABELS: dict[str, dict[str, Any]] = json.loads((FOLDER / "labels.json").read_text(encoding="utf-8"))
LANGUAGES = tuple(LABELS)  # the first one is the one for everybody else
PAGES = ("consent", "instructions")


def copy_texts(folder: str | pathlib.Path, kind: str) -> None:
    """Write the consent and the instructions for a kind of study into a new folder, in all languages."""
    folder = pathlib.Path(folder)
    folder.mkdir()
    for language in LANGUAGES:
        for page, source in (("consent", "consent"), ("instructions", f"instructions.{kind}")):
            text = (FOLDER / f"{source}.{language}.md").read_text(encoding="utf-8")
            (folder / f"{page}.{language}.md").write_text(text, encoding="utf-8")


def read_texts(folder: str | pathlib.Path) -> dict[tuple[str, str], str]:
    """Read {(page, language): Markdown} from a study.

    Raises:
      InputError: a file is missing, or is no text in UTF-8.
    """
    texts = {}
    for language in LANGUAGES:
        for page in PAGES:
            path = pathlib.Path(folder) / f"{page}.{language}.md"
            try:
                texts[page, language] = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise InputError(f"{path}: expected what raters read, as a text in UTF-8 ({error}).") from None
    return texts


def choose_language(wishes: Iterable[str]) -> str:
    """Return the first language of a list such as ["de-AT", "fr"] that the pages have, or English."""
    for wish in wishes:
        language = wish.strip().lower().partition("-")[0]
        if language in LANGUAGES:
            return language
    return LANGUAGES[0]


def accepted(header: str) -> list[str]:
    """Return the languages of an Accept-Language header (RFC 9110, section 12.5.4), the most wanted one first."""
    wishes = []
    for part in header.split(","):
        language, _, weight = part.partition(";q=")
        try:
            wishes.append((-float(weight or 1), language.strip()))
        except ValueError:
            continue
    return [language for _, language in sorted(wishes, key=lambda wish: wish[0])]
