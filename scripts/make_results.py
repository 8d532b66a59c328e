"""Make docs/results.md's tables and figures from the logs and scores in docs/runs/.

python -m scripts.make_results                                                     from what is in docs/runs/
python -m scripts.make_results --release runs/release --data Set5=DATA/Set5 Set14=DATA/Set14 BSD100=DATA/BSD100

The second takes logs, scores and pictures from what scripts/train_release.py wrote, and the HR pictures from DATA.
"""

import argparse
import json
import pathlib
import re

import matplotlib.pyplot as plt
import numpy as np

from scripts.train_release import MODELS, hours
from srgan_jax.commands.common import report_input_errors
from srgan_jax.errors import InputError
from srgan_jax.evaluation import Table, parse_sets
from srgan_jax.files import replace_text
from srgan_jax.images import decode_image, save_image
from srgan_jax.images.montage import most_different_region, side_by_side

DOCS = pathlib.Path(__file__).parents[1] / "docs"
RUNS = DOCS / "runs"
SETS = ("Set5", "Set14", "BSD100")

# PSNR (dB) and SSIM in the paper's tables 1 and 2, for each of SETS; table 1 has no BSD100.
PAPER = {
    "nearest": ("26.26 / .7552", "24.64 / .7100", "25.02 / .6606"),
    "bicubic": ("28.43 / .8211", "25.99 / .7486", "25.94 / .6935"),
    "SRCNN": ("30.07 / .8627", "27.18 / .7861", "26.68 / .7291"),
    "SelfExSR": ("30.33 / .872", "27.45 / .7972", "26.83 / .7387"),
    "DRCN": ("31.52 / .8938", "28.02 / .8074", "27.21 / .7493"),
    "ESPCN": ("30.76 / .8784", "27.66 / .8004", "27.02 / .7442"),
    "srresnet_mse": ("32.05 / .9019", "28.49 / .8184", "27.58 / .7620"),
    "srresnet_vgg22": ("30.51 / .8803", "27.19 / .7807"),
    "srgan_mse": ("30.64 / .8701", "26.92 / .7611"),
    "srgan_vgg22": ("29.84 / .8468", "26.44 / .7518"),
    "srgan_vgg54": ("29.40 / .8472", "26.02 / .7397", "25.16 / .6688"),
}
TABLE_1 = ("srresnet_mse", "srresnet_vgg22", "srgan_mse", "srgan_vgg22", "srgan_vgg54")
TABLE_2 = ("nearest", "bicubic", "SRCNN", "SelfExSR", "DRCN", "ESPCN", "srresnet_mse", "srgan_vgg54")

SHOWN = (("Set14", "img_002"), ("Set14", "img_011"), ("BSD100", "img_045"))  # in the strip

# Panels of plots: title -> what is in it.
CURVES = {
    "terms of G's loss": ("g/mse", "g/l1", "g/vgg54", "g/pre34", "g/lr_l1", "g/adversarial"),
    "what D thinks": ("d/real", "d/fake"),
    "norm of the gradients": ("g/grad_norm", "d/grad_norm"),
    "PSNR, dB": ("held_out/psnr_y", "Set5/psnr_y", "Set5_ema/psnr_y"),
}


def thinned(log: pathlib.Path) -> str:
    """Of a run's metrics.jsonl every evaluation and some 300 lines of the rest, four digits of each number."""
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    every = -(-len(lines) // 300)
    lines = [line for i, line in enumerate(lines) if i % every == 0 or "g/loss" not in line]
    rounded = [{k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in line.items()} for line in lines]
    return "".join(json.dumps(line) + "\n" for line in rounded)


def keep(release: pathlib.Path, name: str) -> None:
    """Copy a model's scores and log to docs/runs/."""
    results = json.loads((release / "eval" / name / "results.json").read_text(encoding="utf-8"))
    kept = {"step": results["method"].get("step"), "sha256": results["method"].get("sha256")}
    kept["scores"] = {dataset: scores["mean"] for dataset, scores in results["datasets"].items()}
    log = release / name / "metrics.jsonl"
    if log.exists():
        kept["hours"] = round(hours(log), 2)
        replace_text(RUNS / f"{name}.jsonl", thinned(log))
    replace_text(RUNS / f"{name}.json", json.dumps(kept, indent=1) + "\n")


def ours(name: str, protocol: str) -> list[str]:
    """A method's scores on each of SETS as measured, "" where they have not been."""
    path = RUNS / f"{name}.json"
    scores = json.loads(path.read_text(encoding="utf-8"))["scores"] if path.exists() else {}
    cells = [scores[dataset][protocol] if dataset in scores else None for dataset in SETS]
    return [f"{cell['psnr']:.2f} / {cell['ssim']:.4f}".replace("/ 0.", "/ .") if cell else "" for cell in cells]


def table(methods, sets: int) -> str:
    """The paper's figures beside ours, on the first so many of SETS."""
    names = [f"{dataset}, {whose}" for dataset in SETS[:sets] for whose in ("paper", "ours")]
    rows = []
    for method in methods:
        cells = [cell for pair in zip(PAPER[method], ours(method, "paper"), strict=False) for cell in pair]
        rows.append([MODELS.get(method, method), *cells[: 2 * sets]])
    return Table(["PSNR (dB) / SSIM", *names], rows).markdown()


def matlab_table() -> str:
    """Ours under the protocol that most papers use, for every method that has been run."""
    rows = []
    for method in ("nearest", "bicubic", *MODELS):
        cells = ours(method, "matlab")
        if any(cells):
            about = json.loads((RUNS / f"{method}.json").read_text(encoding="utf-8"))
            trained = [f"{about['step']:,}", f"{about['hours']:.1f}"] if "hours" in about else ["", ""]
            rows.append([MODELS.get(method, method), *cells, *trained])
    return Table(["PSNR (dB) / SSIM", *SETS, "updates", "hours"], rows).markdown()


def with_tables(page: str) -> str:
    """The page with its tables as they are to be, between their marks."""
    for name, text in {"1": table(TABLE_1, 2), "2": table(TABLE_2, 3), "matlab": matlab_table()}.items():
        marks = f"<!-- table {name} -->", "<!-- end -->"
        pattern = re.compile(f"{marks[0]}.*?{marks[1]}", re.DOTALL)
        page, found = pattern.subn(lambda _, text=text, marks=marks: f"{marks[0]}\n{text}\n{marks[1]}", page)
        if found != 1:
            raise InputError(f"docs/results.md: expected {marks[0]} … {marks[1]} once, found it {found} times.")
    return page


def draw_curves(path: pathlib.Path, logs: dict[str, pathlib.Path], panels: dict[str, tuple], *, sharey=False) -> None:
    """A row of plots for each log, by its title; `sharey` as in plt.subplots."""
    size = (4 * len(panels), 3 * len(logs))
    figure, axes = plt.subplots(len(logs), len(panels), figsize=size, squeeze=False, sharey=sharey)
    for row, (title, log) in zip(axes, logs.items(), strict=True):
        lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        for axis, (panel, keys) in zip(row, panels.items(), strict=True):
            for key in keys:
                points = np.array([(line["step"], line[key]) for line in lines if key in line])
                if len(points):
                    axis.plot(*points.T, label=key, marker="o" if len(points) < 20 else None)
            if not axis.lines:
                axis.set_axis_off()
                continue
            axis.set(yscale="linear" if "PSNR" in panel or "thinks" in panel else "log")
            axis.set_title(f"{title}: {panel}", fontsize=10)
            axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=70)
    plt.close(figure)


def draw_strip(release: pathlib.Path, sets) -> None:
    """docs/comparison.png: a row for each of SHOWN, of the methods that were evaluated, where bicubic is worst."""
    rows = []
    for dataset, stem in SHOWN:
        pairs = next(pairs for pairs in sets if pairs.name == dataset)
        _, hr, _ = pairs.pair(pairs.stems.index(stem))
        pictures = {}
        for method, label in {"bicubic": "bicubic", "srresnet_l1": "SRResNet", "srgan_consistent": "SRGAN"}.items():
            path = release / "eval" / method / dataset / f"{stem}.png"
            if path.exists():
                pictures[label] = decode_image(path)
        region = most_different_region(pictures["bicubic"], hr, 160)
        rows.append({label: picture[region] for label, picture in (pictures | {"original": hr}).items()})
    save_image(DOCS / "comparison.png", side_by_side(rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--release", type=pathlib.Path, help="what scripts/train_release.py was given as --out")
    parser.add_argument("--data", nargs="+", metavar="NAME=DIR", help="the evaluation sets, as for eval.py")
    arguments = parser.parse_args()
    if arguments.release:
        if not arguments.data:
            raise InputError("--release needs --data: the HR pictures for the strip.")
        RUNS.mkdir(exist_ok=True)
        for results in sorted(arguments.release.glob("eval/*/results.json")):
            keep(arguments.release, results.parent.name)
        draw_strip(arguments.release, parse_sets(arguments.data, scale=4))
    page = DOCS / "results.md"
    replace_text(page, with_tables(page.read_text(encoding="utf-8")))
    logs = {title: RUNS / f"{name}.jsonl" for name, title in MODELS.items() if (RUNS / f"{name}.jsonl").exists()}
    draw_curves(DOCS / "curves.png", logs, CURVES)


if __name__ == "__main__":
    with report_input_errors():
        main()
