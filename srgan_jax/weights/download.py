"""Fetch a file whose checksum is known. An interrupted download goes on, and a damaged file is never used."""

import functools
import hashlib
import http.client
import pathlib
import urllib.error
import urllib.request

from srgan_jax.errors import InputError

CHUNK = 1 << 20  # bytes


def fetch(url: str, path: str | pathlib.Path, **checksums: str) -> None:
    """Download a file to `path`, unless the file is there already.

    The bytes that have come so far are in PATH.partial, and the next call goes on from them. The file gets its final
    name once it is whole and has the checksums.

    Args:
      url: the address.
      path: the file to write. Missing folders are made.
      **checksums: at least one. Each is named "md5" or "sha256" and has the checksum's hexadecimal digits, or only the
        first of them where the publisher names no more.

    Raises:
      InputError: there is no connection, the connection broke, or the file has another checksum.
    """
    path = pathlib.Path(path)
    partial = path.with_name(f"{path.name}.partial")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _download(url, partial)
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise InputError(
                f"{url} cannot be fetched ({reason}). Run the same command again to go on, or fetch it by other means "
                f"and put it at {path}."
            ) from None
        if wrong := _wrong(partial, checksums):
            partial.unlink()
            raise InputError(f"{url}: what came has {wrong}; nothing of it is kept.")
        partial.replace(path)
    elif wrong := _wrong(path, checksums):
        raise InputError(f"{path} is there, but with {wrong} as {url} has; move it away.")


def _download(url: str, partial: pathlib.Path) -> None:
    """Append to `partial` the bytes that are missing."""
    have = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416:  # No byte is missing.
                return
            raise OSError(f"HTTP {error.code} {error.reason}") from None
    with response:
        resumed = response.status == 206
        with partial.open("ab" if resumed else "wb") as file:
            while chunk := response.read(CHUNK):
                file.write(chunk)
        missing = response.length  # the bytes that the server announced but did not send
    if missing:
        raise OSError(f"the connection broke with {missing:,} bytes to go")


def _wrong(path: pathlib.Path, checksums: dict[str, str]) -> str:
    """Say which checksum of a file is another than expected, or return ""."""
    for algorithm, digest in checksums.items():
        with path.open("rb") as file:
            new = functools.partial(hashlib.new, algorithm, usedforsecurity=False)
            found = hashlib.file_digest(file, new).hexdigest()
        if not found.startswith(digest):
            return f"the {algorithm.upper()} {found}, not {digest}"
    return ""
