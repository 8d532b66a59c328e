"""Generators on the Hugging Face Hub, where hf://USER/NAME is the address of a repository.

A repository holds model.safetensors, which is a release file (release.py); config.json with the architecture, which
the Hub reads to count downloads; and README.md, the model card (card.py). The environment variable HF_ENDPOINT names
another server than the Hub's.
"""

import json
import os
import pathlib
import re
import tempfile
from types import ModuleType
from typing import Any

import srgan_jax
from srgan_jax.errors import InputError
from srgan_jax.weights.card import model_card
from srgan_jax.weights.release import without_folders, write_release

PREFIX = "hf://"
FILE = "model.safetensors"
_ADDRESS = re.compile(r"hf://([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")


def fetch(address: str) -> pathlib.Path:
    """Download the release file of a repository, or take it from the cache where it is up to date.

    Args:
      address: "hf://USER/NAME", or "hf://USER/NAME@REVISION" for a branch, a tag or a commit.

    Returns:
      The path of the file in the cache of huggingface_hub.

    Raises:
      InputError: the address has another form, huggingface_hub is not installed, there is no such repository or
        revision, it is closed to the user, it holds no release file, or there is no connection.
    """
    hub = _library()
    repository, revision = _parts(address)
    try:
        path = hub.hf_hub_download(repository, FILE, revision=revision, **_library_options())
    except Exception as error:
        raise _described(address, error) from None
    return pathlib.Path(path)


def push(
    generator: Any, address: str, *, private: bool | None = None, half: bool = False, message: str | None = None
) -> str:
    """Upload a generator to a repository, which is made if it is missing, as one commit.

    A model card that the repository has already is kept, because somebody may have edited it. Paths of folders in the
    training's config are shortened to their last part.

    Args:
      generator: generators.Generator.
      address: "hf://USER/NAME" or "USER/NAME", perhaps with "@BRANCH".
      private: whether a new repository is private; by default as the Hub's settings of the user say.
      half: whether to store float16, see release.write_release.
      message: of the commit.

    Returns:
      The web address of the commit.

    Raises:
      InputError: as `fetch` raises it, or the user may not write to the repository.
    """
    hub = _library()
    address = address if address.startswith(PREFIX) else PREFIX + address
    repository, revision = _parts(address)
    info = dict(generator.info)
    if "config" in info:
        info["config"] = without_folders(info["config"])
    options = _library_options()
    api = hub.HfApi(endpoint=options.pop("endpoint"), **options)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        write_release(folder / FILE, generator.architecture, generator.variables, info=info, half=half)
        config = {"library_name": "srgan_jax", "architecture": generator.architecture}
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        (folder / "README.md").write_text(model_card(repository, generator.architecture, info), encoding="utf-8")
        try:
            api.create_repo(repository, private=private, exist_ok=True)
            kept = ["README.md"] if api.file_exists(repository, "README.md", revision=revision) else []
            commit = api.upload_folder(
                repo_id=repository,
                folder_path=folder,
                revision=revision,
                ignore_patterns=kept,
                commit_message=message or f"Upload a generator of srgan_jax {srgan_jax.__version__}",
            )
        except Exception as error:
            raise _described(address, error) from None
    return str(commit.commit_url)


def _library() -> ModuleType:
    try:
        import huggingface_hub
    except ImportError:
        raise InputError(
            "addresses hf://USER/NAME need huggingface_hub: pip install 'srgan-jax[hub]' (requirements-hub.txt)."
        ) from None
    return huggingface_hub


def _library_options() -> dict[str, str | None]:
    """Return what every call tells the library. It would read HF_ENDPOINT once, when it is imported."""
    endpoint = (os.environ.get("HF_ENDPOINT") or "").rstrip("/") or None
    return {"endpoint": endpoint, "library_name": "srgan_jax", "library_version": srgan_jax.__version__}


def _parts(address: str) -> tuple[str, str | None]:
    """Return (USER/NAME, revision) of an address."""
    if not (match := _ADDRESS.fullmatch(address)):
        raise InputError(f"{address}: an address on the Hub is hf://USER/NAME or hf://USER/NAME@REVISION.")
    return match[1], match[2]


def _described(address: str, error: Exception) -> Exception:
    """Return an error of the library as an InputError, or the error itself if it is none that is expected."""
    from huggingface_hub import errors

    log_in = "log in with `hf auth login`, or set HF_TOKEN"
    reason = " ".join(str(error).split())[:300]
    sentences = {
        errors.GatedRepoError: f"its owner grants access one by one; ask for it on the model's page, and {log_in}.",
        errors.RepositoryNotFoundError: "there is no such repository, or it is closed to you; check the name, or "
        f"{log_in}.",
        errors.RevisionNotFoundError: "the repository has no such branch, tag or commit.",
        errors.LocalEntryNotFoundError: f"it cannot be fetched, and is not in the cache ({reason}).",
        errors.EntryNotFoundError: f"the repository holds no {FILE}, the file that push_to_hub writes; a file of "
        "another project is converted by `srgan-weights import`.",
        errors.HFValidationError: f"the Hub does not allow this name ({reason}).",
        errors.HfHubHTTPError: f"the Hub has refused this ({reason}); to write to it, {log_in}.",
        OSError: f"the Hub cannot be reached ({reason}).",
    }
    for kind, sentence in sentences.items():
        if isinstance(error, kind):
            return InputError(f"{address}: {sentence}")
    return error
