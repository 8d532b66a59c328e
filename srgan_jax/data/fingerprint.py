"""Fingerprints of the training pictures, by which a run notices and names what has changed between two starts."""

import hashlib
import json
import pathlib
from typing import Any

from srgan_jax import digests, trees
from srgan_jax.data.sources import Source
from srgan_jax.errors import InputError, printable
from srgan_jax.files import replace_text
from srgan_jax.parallel import processes

LISTED = 20_000  # A fingerprint lists the names of at most so many pictures; of more it keeps a digest alone.
SHOWN = 3  # A message lists so many names.

# These fields of the config say how a process reads the pictures. They do not say which pictures these are.
MAY_DIFFER = {"data/path", "data/workers", "data/prefetch", "data/cache_mb"}

Fingerprint = dict[str, Any]


def fingerprint(source: Source) -> Fingerprint:
    """Describe a source by the names and identities of its pictures.

    Args:
      source: the pictures.

    Returns:
      A JSON object {"count": the number of pictures, "sha256": the digest of all names and identities, "pictures":
      {name: identity}}. The entry "pictures" is missing where there are more than LISTED pictures.
    """
    digest, listed = hashlib.sha256(), {}
    for index in range(len(source)):
        name, identity = source.name(index), source.identity(index)
        digest.update(digests.name_bytes(f"{name}\0{identity}\n"))
        if len(source) <= LISTED:
            listed[name] = identity
    return {"count": len(source), "sha256": digest.hexdigest()} | ({"pictures": listed} if listed else {})


def differences(old: Fingerprint, new: Fingerprint) -> str:
    """Say in a sentence what has changed between two fingerprints, or return "" if nothing has."""
    if old["sha256"] == new["sha256"]:
        return ""
    before, after = old.get("pictures"), new.get("pictures")
    if before is None or after is None:
        return f"the training pictures are not those of the last start ({old['count']} then, {new['count']} now)"
    parts = []
    for what, names in (
        ("added", after.keys() - before.keys()),
        ("removed", before.keys() - after.keys()),
        ("replaced", {name for name in before.keys() & after.keys() if before[name] != after[name]}),
    ):
        if names:
            shown = ", ".join(map(printable, sorted(names)[:SHOWN])) + (" …" if len(names) > SHOWN else "")
            parts.append(f"{len(names)} {what} ({shown})")
    return f"the training pictures have changed since the last start: {'; '.join(parts)}"


def check_unchanged(path: pathlib.Path, new: Fingerprint) -> str:
    """Compare a new fingerprint with the one in a file, and write the new one to the file.

    Args:
      path: the JSON file; it may be missing.
      new: the new fingerprint.

    Returns:
      The sentence of `differences`; "" if the file is missing; or a sentence that says that it cannot be read.
    """
    changed = ""
    if path.exists():
        try:
            changed = differences(json.loads(path.read_text(encoding="utf-8")), new)
        except (KeyError, TypeError, ValueError):
            changed = f"{path} cannot be read: whether the training pictures have changed is not known"
    replace_text(path, json.dumps(new) + "\n")
    return changed


def check_same_on_all_processes(config: dict[str, Any], pictures: Fingerprint) -> None:
    """Check that all processes of a run were started with one config and the same pictures.

    Args:
      config: the config as nested dicts. The fields in MAY_DIFFER may differ between processes.
      pictures: the fingerprint of this process's pictures.

    Raises:
      InputError: a process has another config or other pictures than process 0.
    """
    told = processes.gather({"config": trees.flat(config), "pictures": pictures["sha256"]})
    ours = told[0]["config"]
    for number, theirs in enumerate(told):
        if theirs["pictures"] != told[0]["pictures"]:
            raise InputError(f"process {number} sees other training pictures than process 0; give all the same source.")
        for field in sorted((ours.keys() | theirs["config"].keys()) - MAY_DIFFER):
            if ours.get(field) != theirs["config"].get(field):
                values = f"{theirs['config'].get(field)!r} in process {number} and {ours.get(field)!r} in process 0"
                raise InputError(f"config.{field.replace('/', '.')} is {values}; start all processes with one config.")
