"""Fetching a file of known contents, so that an interrupted download goes on and a damaged one is never used."""

import hashlib
import http.client
import pathlib
import urllib.error
import urllib.request

from srgan_jax.errors import InputError

CHUNK = 1 << 20


def fetch(url: str, path, *, algorithm: str, digest: str) -> None:
    """Download to `path`, unless it is there already.

    What has come so far is in PATH.partial, from which the next call goes on; it gets its final name once it is whole
    and has the checksum.

    Args:
      algorithm: "md5" or "sha256".
      digest: the checksum in hexadecimal digits, or the first of them where the publisher names no more.

    Raises:
      InputError: no connection, one that broke, or other contents.
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
        if not (found := _digest(partial, algorithm)).startswith(digest):
            partial.unlink()
            raise InputError(
                f"{url}: what came has the {algorithm.upper()} {found}, not {digest}; nothing of it is kept."
            )
        partial.replace(path)
    elif not (found := _digest(path, algorithm)).startswith(digest):
        raise InputError(
            f"{path} is there, but with the {algorithm.upper()} {found}, not {digest} as {url} has; move it away."
        )


def _download(url: str, partial: pathlib.Path) -> None:
    """Append what is missing to `partial`."""
    have = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416:  # nothing is missing
                return
            raise OSError(f"HTTP {error.code} {error.reason}") from None
    with response:
        resumed = response.status == 206
        with partial.open("ab" if resumed else "wb") as file:
            while chunk := response.read(CHUNK):
                file.write(chunk)
        missing = response.length  # of what the server has announced
    if missing:
        raise OSError(f"the connection broke with {missing:,} bytes to go")


def _digest(path: pathlib.Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
