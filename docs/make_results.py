"""Draw the figures of docs/results.md: the curves of two runs, and crops of what they make of evaluation pictures.

python docs/make_results.py --runs runs/cpu_srresnet_mse runs/cpu_srgan_vgg54 \
    --out out/bicubic out/srresnet out/srgan --data Set5=DATA/Set5 Set14=DATA/Set14 --show Set5/img_003 Set14/img_002

`--out` are directories that eval.py wrote. The curves are drawn from docs/runs/, where thinned logs of --runs are kept;
without --runs they are drawn from those alone.
"""

import argparse
import json
import pathlib

import matplotlib.pyplot as plt
import numpy as np

from srgan_jax.evaluation import parse_sets
from srgan_jax.images import decode_image, save_image
from srgan_jax.pictures import most_different_region, side_by_side
from srgan_jax.scripts import report_input_errors

DOCS = pathlib.Path(__file__).parent
LOGS = DOCS / "runs"
NAMES = ("bicubic", "SRResNet", "SRGAN")


def keep_log(run: pathlib.Path) -> None:
    """Copy a run's metrics to docs/runs/, four digits of each and at most 200 lines between evaluations."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    every = -(-len(lines) // 200)
    kept = [line for i, line in enumerate(lines) if i % every == 0 or "g/loss" not in line]
    rounded = [{k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in line.items()} for line in kept]
    LOGS.mkdir(exist_ok=True)
    (LOGS / f"{run.name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in rounded))


def draw_curves() -> None:
    """docs/curves.png: a row of plots for each log in docs/runs/."""
    logs = sorted(LOGS.glob("*.jsonl"), key=lambda path: "srgan" in path.name)
    panels = (("g/mse", "g/vgg54", "g/adversarial"), ("d/real", "d/fake"), ("g/grad_norm",), ("psnr_y",))
    figure, axes = plt.subplots(len(logs), len(panels), figsize=(16, 3.4 * len(logs)), squeeze=False)
    for row, log in zip(axes, logs, strict=True):
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        for axis, names in zip(row, panels, strict=True):
            for name in sorted({key for line in lines for key in line if any(key.endswith(n) for n in names)}):
                points = np.array([(line["step"], line[name]) for line in lines if line.get(name) is not None])
                axis.plot(*points.T, label=name, marker="o" if len(points) < 20 else None)
            if not axis.lines:
                axis.set_axis_off()
                continue
            axis.set(xlabel="step", title=log.stem, yscale="linear" if names[0] in ("psnr_y", "d/real") else "log")
            axis.legend()
    figure.tight_layout()
    figure.savefig(DOCS / "curves.png", dpi=70)


def draw_comparison(outs, sets, shown) -> None:
    """docs/comparison.png: a row for each of the pictures SET/STEM, from three directories of eval.py."""
    rows = []
    for entry in shown:
        name, _, stem = entry.partition("/")
        pairs = next(pairs for pairs in sets if pairs.name == name)
        _, hr, _ = pairs.pair(pairs.stems.index(stem))
        pictures = {label: decode_image(out / name / f"{stem}.png") for label, out in zip(NAMES, outs, strict=True)}
        region = most_different_region(pictures["bicubic"], hr, 160)
        rows.append({label: picture[region] for label, picture in (pictures | {"HR": hr}).items()})
    save_image(DOCS / "comparison.png", side_by_side(rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", nargs="*", default=[], type=pathlib.Path)
    parser.add_argument("--out", nargs=3, type=pathlib.Path, metavar=tuple(name.upper() for name in NAMES))
    parser.add_argument("--data", nargs="+", default=[], metavar="NAME=DIR")
    parser.add_argument("--show", nargs="+", default=[], metavar="NAME/STEM")
    arguments = parser.parse_args()
    for run in arguments.runs:
        keep_log(run)
    draw_curves()
    if arguments.out:
        draw_comparison(arguments.out, parse_sets(arguments.data, scale=4), arguments.show)


if __name__ == "__main__":
    with report_input_errors():
        main()
