"""Make docs/results.md's tables and figures from the logs and scores in docs/runs/.

python -m scripts.make_results                                                     from what is in docs/runs/
python -m scripts.make_results --release runs/release --data Set5=DATA/Set5 Set14=DATA/Set14 BSD100=DATA/BSD100

The second takes logs, scores and pictures from what scripts/train_release.py wrote, and the HR pictures from DATA.
"""

import argparse
import json
import pathlib
import re

from scripts.curves import CURVES, draw_curves
from scripts.paper import PAPER, SETS
from scripts.runs import DOCS, MODELS, RUNS, course, thinned
from srgan_jax.commands.common import report_input_errors
from srgan_jax.errors import InputError
from srgan_jax.evaluation import Table, parse_sets
from srgan_jax.files import replace_text
from srgan_jax.images import decode_image, save_image
from srgan_jax.images.montage import most_different_region, side_by_side

TABLE_1 = ("srresnet_mse", "srresnet_vgg22", "srgan_mse", "srgan_vgg22", "srgan_vgg54")
TABLE_2 = ("nearest", "bicubic", "SRCNN", "SelfExSR", "DRCN", "ESPCN", "srresnet_mse", "srgan_vgg54")

SHOWN = (("Set14", "img_002"), ("Set14", "img_011"), ("BSD100", "img_045"))  # in the strip


def keep(release: pathlib.Path, name: str) -> None:
    """Copy a model's scores and log to docs/runs/."""
    results = json.loads((release / "eval" / name / "results.json").read_text(encoding="utf-8"))
    kept = {"step": results["method"].get("step"), "sha256": results["method"].get("sha256")}
    kept["scores"] = {dataset: scores["mean"] for dataset, scores in results["datasets"].items()}
    log = release / name / "metrics.jsonl"
    if log.exists():
        kept["hours"] = round(course(log)["hours"], 2)
        replace_text(RUNS / f"{name}.jsonl", thinned(log))
    replace_text(RUNS / f"{name}.json", json.dumps(kept, indent=1) + "\n")


def ours(name: str, protocol: str) -> list[str]:
    """Return a method's scores on each of SETS as measured, "" where they have not been."""
    path = RUNS / f"{name}.json"
    scores = json.loads(path.read_text(encoding="utf-8"))["scores"] if path.exists() else {}
    cells = [scores[dataset][protocol] if dataset in scores else None for dataset in SETS]
    return [f"{cell['psnr']:.2f} / {cell['ssim']:.4f}".replace("/ 0.", "/ .") if cell else "" for cell in cells]


def table(methods, sets: int) -> str:
    """Return the paper's figures beside ours, on the first so many of SETS."""
    names = [f"{dataset}, {whose}" for dataset in SETS[:sets] for whose in ("paper", "ours")]
    rows = []
    for method in methods:
        cells = [cell for pair in zip(PAPER[method], ours(method, "paper"), strict=False) for cell in pair]
        rows.append([MODELS.get(method, method), *cells[: 2 * sets]])
    return Table(["PSNR (dB) / SSIM", *names], rows).markdown()


def matlab_table() -> str:
    """Return our scores under the protocol that most papers use, for every method that has been run."""
    rows = []
    for method in ("nearest", "bicubic", *MODELS):
        cells = ours(method, "matlab")
        if any(cells):
            about = json.loads((RUNS / f"{method}.json").read_text(encoding="utf-8"))
            trained = [f"{about['step']:,}", f"{about['hours']:.1f}"] if "hours" in about else ["", ""]
            rows.append([MODELS.get(method, method), *cells, *trained])
    return Table(["PSNR (dB) / SSIM", *SETS, "updates", "hours"], rows).markdown()


def with_tables(page: str) -> str:
    """Return the page with its tables as they are to be, between their marks."""
    for name, text in {"1": table(TABLE_1, 2), "2": table(TABLE_2, 3), "matlab": matlab_table()}.items():
        marks = f"<!-- table {name} -->", "<!-- end -->"
        pattern = re.compile(f"{marks[0]}.*?{marks[1]}", re.DOTALL)
        page, found = pattern.subn(lambda _, text=text, marks=marks: f"{marks[0]}\n{text}\n{marks[1]}", page)
        if found != 1:
            raise InputError(f"docs/results.md: expected {marks[0]} … {marks[1]} once, found it {found} times.")
    return page


def draw_strip(release: pathlib.Path, sets) -> None:
    """Draw docs/comparison.png: a row for each of SHOWN, of the methods that were evaluated, where bicubic is worst."""
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
