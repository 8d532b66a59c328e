"""The table of results, and the page docs/reliability.md."""

import datetime
import importlib.metadata
import os
import platform

import srgan_jax
from srgan_jax.errors import printable
from tests.reliability.campaign import Result

VERSIONS = ("jax", "jaxlib", "flax", "orbax-checkpoint", "numpy", "pillow", "tifffile", "imagecodecs", "safetensors")

INTRODUCTION = """# Reliability

<!-- Written by python -m tests.reliability; change tests/reliability/report.py instead. -->

This page says how often the program was attacked, and how often it held. `python -m tests.reliability` makes the
attacks and writes the page; `--nightly` makes many more of them, `--only NAME` runs some campaigns, and `--seed N`
makes others of the same kind. The networks are tiny and the processor is a CPU. Runs that are compared bit for bit are
held to one core, because JAX's results on a CPU vary with the number of threads.

No failure in n tries only means that fewer than about 3 in n such tries fail (with a confidence of 95 %).
"""


def markdown(results: list[Result]) -> str:
    """Return the table of results."""
    lines = ["| campaign | tried | survived | failed | seed | seconds |", "|---|---|---|---|---|---|"]
    for result in results:
        failed = len(result.failures)
        counts = f"{result.tried:,} | {result.tried - failed:,} | {failed:,}"
        lines.append(f"| {result.name} | {counts} | {result.seed} | {result.seconds:.0f} |")
    return "\n".join(lines)


def page(results: list[Result], *, nightly: bool) -> str:
    """Return the text of docs/reliability.md."""
    parts = [INTRODUCTION, markdown(results), "\n## What is promised\n"]
    parts += [f"- **{result.name}**: {result.promise}" for result in results]
    notes = [f"- **{result.name}**: {printable(note)}" for result in results for note in result.notes]
    parts += ["\n## Measured beside\n", *notes] if notes else []
    failures = [f"- **{result.name}**: {printable(failure)}" for result in results for failure in result.failures]
    parts += ["\n## Failures\n", *failures] if failures else []
    versions = ", ".join(f"{name} {_version(name)}" for name in VERSIONS)
    parts.append(
        f"\n## Versions\n\nsrgan_jax {srgan_jax.__version__}, Python {platform.python_version()}, {versions}; "
        f"{platform.system()} {platform.release()} on {os.cpu_count()} cores of {platform.machine()}; "
        f"{datetime.date.today().isoformat()}{', --nightly' if nightly else ''}."
    )
    return "\n".join(parts) + "\n"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "missing"
