"""What the scripts share: they run our commands one after another, and read what these have written.

A script imports modules such as this one, which are no commands, and never another script.
"""

import json
import os
import pathlib
import subprocess
import sys

from srgan_jax.errors import InputError

ROOT = pathlib.Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
RUNS = DOCS / "runs"  # logs and scores that pages are made from
PRETRAINED = ROOT / "srgan_jax" / "pretrained"

# The runs of train_release by their names and as pages call them: the paper's variants (table 1), an SRResNet and an
# SRGAN of other recipes, and a light network.
MODELS = {
    "srresnet_mse": "SRResNet-MSE",
    "srresnet_l1": "SRResNet, L1",
    "srgan_consistent": "SRGAN, consistent",
    "fast": "ECBSR, light",
    "srgan_vgg54": "SRGAN-VGG54",
    "srresnet_vgg22": "SRResNet-VGG22",
    "srgan_mse": "SRGAN-MSE",
    "srgan_vgg22": "SRGAN-VGG22",
}

PICTURES = "400 photographs of BSDS500, the 91 of Yang et al. and 19 large ones"  # that the shipped models learned from
LICENSE = "for research use only, as the photographs that the weights have learned from were published for research"


def run(*command) -> None:
    """Run one of our commands; an InputError if it fails, after its own message."""
    command = [str(word) for word in command]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, *command], cwd=ROOT, env=environment)
    if done.returncode:
        raise InputError(f"{' '.join(command[:3])} ended with status {done.returncode}.")


def evaluate(method, out: pathlib.Path, data, *more) -> None:
    """Score a method on the evaluation sets, unless that has been done; `more` are further flags of eval.py."""
    if not (out / "results.json").exists():
        run("eval.py", "--ckpt", method, "--out", out, "--data", *data, *more)


def read_lines(log: pathlib.Path) -> list[dict]:
    """Read a run's metrics.jsonl: a dict for each line."""
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def read_scores(folder: pathlib.Path) -> dict[str, dict]:
    """Read the mean scores that eval.py has written to a folder: {set: {metric or protocol: …}}."""
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return {name: dataset["mean"] for name, dataset in results["datasets"].items()}


def course(log: pathlib.Path) -> dict:
    """Return how a run went: {"updates", "hours", "curve": [[hours, PSNR of held-out pictures], …]}.

    The hours are those of the updates, without the evaluations between them.

    Args:
      log: metrics.jsonl of the run, beside its config.json.
    """
    batch_size = json.loads((log.parent / "config.json").read_text(encoding="utf-8"))["batch_size"]
    seconds, done, curve = 0.0, 0, []
    for line in read_lines(log):
        if "images_per_second" in line:
            seconds += batch_size * (line["step"] - done) / line["images_per_second"]
            done = line["step"]
        elif line.get("held_out/psnr_y") is not None:
            curve.append([round(seconds / 3600, 4), round(line["held_out/psnr_y"], 3)])
    return {"updates": done, "hours": seconds / 3600, "curve": curve}


def thinned(log: pathlib.Path) -> str:
    """Return every evaluation of a run's metrics.jsonl and some 300 of its other lines, with four digits a number."""
    lines = read_lines(log)
    every = -(-len(lines) // 300)
    lines = [line for i, line in enumerate(lines) if i % every == 0 or "g/loss" not in line]
    rounded = [{k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in line.items()} for line in lines]
    return "".join(json.dumps(line) + "\n" for line in rounded)
