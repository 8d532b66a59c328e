"""Read what a browser sends, and believe none of it."""

import json
from urllib.parse import parse_qs

from starlette.requests import Request


async def read_form(request: Request) -> dict[str, str]:
    """Return the fields of a form, the first value of each; {} where the body is no form."""
    try:
        fields = parse_qs((await request.body()).decode(), keep_blank_values=True, max_num_fields=50)
    except ValueError:
        return {}
    return {name: values[0] for name, values in fields.items()}


def number(text: str, largest: float) -> float | None:
    """Return a number from 0 to the largest that is believed, None for "", or raise a ValueError."""
    value = json.loads(text) if text else None
    if value is not None and (type(value) not in (int, float) or not 0 <= value <= largest):
        raise ValueError(text)
    return value


def whole(text: str) -> int:
    """Return a whole number, or raise a ValueError."""
    value = number(text, 1_000_000)
    if type(value) is not int:
        raise ValueError(text)
    return value
