"""What a run learns from, in short: so that a source that has changed between two starts is noticed and named."""

import hashlib
import json
import pathlib
from typing import Any

from srgan_jax import digests
from srgan_jax.data.sources import Source
from srgan_jax.errors import InputError
from srgan_jax.files import replace_text
from srgan_jax.parallel import processes

LISTED = 20_000  # pictures whose names are kept; of more only a digest
SHOWN = 3  # names in a message

# Fields of the config that say how a process gets at the pictures, and not which these are.
MAY_DIFFER = {"data/path", "data/workers", "data/prefetch", "data/cache_mb"}

Fingerprint = dict[str, Any]


def fingerprint(source: Source) -> Fingerprint:
    """Describe a source by the names and identities of its pictures.

    Returns:
      {"count": pictures, "sha256": of all names and identities, "pictures": {name: identity}}, without "pictures"
      where there are more than LISTED. JSON.
    """
    digest, listed = hashlib.sha256(), {}
    for index in range(len(source)):
        name, identity = source.name(index), source.identity(index)
        digest.update(f"{name}\0{identity}\n".encode())
        if len(source) <= LISTED:
            listed[name] = identity
    return {"count": len(source), "sha256": digest.hexdigest()} | ({"pictures": listed} if listed else {})


def differences(old: Fingerprint, new: Fingerprint) -> str:
    """What has changed between two fingerprints, as a sentence; "" if nothing has."""
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
            shown = ", ".join(sorted(names)[:SHOWN]) + (" …" if len(names) > SHOWN else "")
            parts.append(f"{len(names)} {what} ({shown})")
    return f"the training pictures have changed since the last start: {'; '.join(parts)}"


def check_unchanged(path: pathlib.Path, new: Fingerprint) -> str:
    """Compare with the fingerprint in a file, and write the new one there; returns the sentence of `differences`."""
    changed = ""
    if path.exists():
        try:
            changed = differences(json.loads(path.read_text(encoding="utf-8")), new)
        except (KeyError, TypeError, ValueError):
            changed = f"{path} cannot be read: whether the training pictures have changed is not known"
    replace_text(path, json.dumps(new) + "\n")
    return changed


def check_same_on_all_processes(config: dict, pictures: Fingerprint) -> None:
    """Raise an InputError if the processes of a run were started with different configs or pictures."""
    told = processes.gather({"config": digests.flat(config), "pictures": pictures["sha256"]})
    ours = told[0]["config"]
    for number, theirs in enumerate(told):
        if theirs["pictures"] != told[0]["pictures"]:
            raise InputError(f"process {number} sees other training pictures than process 0; give all the same source.")
        for field in sorted((ours.keys() | theirs["config"].keys()) - MAY_DIFFER):
            if ours.get(field) != theirs["config"].get(field):
                values = f"{theirs['config'].get(field)!r} in process {number} and {ours.get(field)!r} in process 0"
                raise InputError(f"config.{field.replace('/', '.')} is {values}; start all processes with one config.")
