"""Small experiments with what goes beyond the paper, and the page that they make: docs/beyond.md.

python -m scripts.beyond --machine "two cores of an Intel Xeon at 2.5 GHz" --photos $SR_DATA/data/train \
    --vgg19 vgg19.npz --data Set5=$SR_DATA/data/eval/Set5 --domains $SR_DATA/data/domains
python -m scripts.beyond --page    # writes the page anew from docs/runs/beyond.json

Each experiment of scripts/experiments.py trains a few short runs that differ in one thing, evaluates them, and adds a
table and a strip of pictures to the page. `--only NAME …` makes some of them. Interrupted or failed, the same command
goes on where it was; what was measured before stays on the page.
"""

import argparse
import json
import pathlib
import textwrap
import time

import numpy as np

from scripts import experiments, scenes
from scripts.experiments import EXPERIMENTS, SCALE, Experiment, Run
from scripts.runs import ROOT, course, evaluate, read_scores, run
from srgan_jax import generators, models
from srgan_jax.commands.common import report_input_errors
from srgan_jax.errors import InputError
from srgan_jax.evaluation import Table, parse_sets
from srgan_jax.evaluation.tables import scores_table
from srgan_jax.files import replace_text
from srgan_jax.images import decode_image, save_image
from srgan_jax.images.montage import most_different_region, side_by_side

RECORD = ROOT / "docs" / "runs" / "beyond.json"
METRICS = "psnr,ssim,lpips_alex,lr_psnr,contrast,grid"
COLUMNS = ("", "updates", "minutes")
REGION = 128  # HR pixels, the side of the pictures of a strip

PAGE = """# Beyond the paper: small experiments

Each section tries one capability in runs of minutes, on {machine}. Their tables show what happens in
the first hundred or thousand updates, which is not what a long training would give. PSNR and SSIM have the protocol
`matlab` ([evaluation.md](evaluation.md)). The minutes are those of the updates, with other work on the machine beside
some of them. The shipped SRResNet, `srresnet-x4`, was SRResNet-MSE after 6,000 updates then,
and `srgan-x4` had made 2,500 updates from it ([results.md](results.md)). Written by:

```
python -m scripts.beyond --machine … --photos PHOTOS --vgg19 VGG19 --data Set5=SET5 --domains DOMAINS
```

`scripts/experiments.py` has the runs.
"""


def checkpoint_of(folder: pathlib.Path, trial: Run) -> pathlib.Path:
    """Return what a run ends with."""
    return folder / experiments.slug(trial.label) / "checkpoints" / str(trial.updates)


def train(folder: pathlib.Path, trial: Run, places: dict[str, str]) -> None:
    """Train one run to its end, unless that has been done."""
    if checkpoint_of(folder, trial).exists():
        return
    every = max(1, trial.updates // 4)
    fields = {"num_steps": trial.updates, "eval_every": every, "save_every": every, "log_every": min(20, every)}
    fields |= {
        field: value.format(**places) if isinstance(value, str) else value for field, value in trial.fields.items()
    }
    flags = [f"--config.{field}={value}" for field, value in fields.items()]
    workdir = folder / experiments.slug(trial.label)
    run("train.py", f"--config=configs/{trial.config}", f"--workdir={workdir}", *flags)


def scores_of(method, folder: pathlib.Path, trial: Run, data: list[str]) -> dict:
    """Return the scores of a run on the sets, {set: mean}, measured once."""
    out = folder / "eval" / experiments.slug(trial.label)
    evaluate(method, out, data, "--protocol", "matlab", "--metrics", METRICS, *trial.evaluation)
    return read_scores(out)


def cost(method) -> dict:
    """Return how large and how fast a network is, as it is released."""
    generator = generators.load(str(method)).folded()
    module, _ = models.fold_batch_norm(generator.module, generator.variables)
    scale = module.scale
    lr = np.random.default_rng(0).integers(0, 256, (720 // scale, 1280 // scale, 3), np.uint8)
    seconds = []
    for _ in range(4):  # the first one compiles
        start = time.perf_counter()
        generator.upscale(lr)
        seconds.append(time.perf_counter() - start)
    return {
        "parameters": models.count_parameters(module),
        "gflop": 2 * models.multiply_adds(module) / 1e9,
        "seconds": float(np.median(seconds[1:])),
    }


def regions(folder: pathlib.Path, experiment: Experiment, sets) -> dict[str, np.ndarray]:
    """Return what each run makes of LR, and HR, {label: picture}, where the first run is furthest from HR."""
    pairs = next(pairs for pairs in sets if pairs.name == experiment.shown[0])
    stem = experiment.shown[1] or pairs.stems[0]
    _, hr, _ = pairs.pair(pairs.stems.index(stem))
    pictures = {
        trial.label: decode_image(folder / "eval" / experiments.slug(trial.label) / pairs.name / f"{stem}.png")
        for trial in experiment.runs
    }
    region = most_different_region(next(iter(pictures.values())), hr, REGION)
    return {label: picture[region] for label, picture in (pictures | {"original": hr}).items()}


def perform(name: str, arguments) -> dict:
    """Make an experiment -> what the page says of it."""
    experiment, folder = EXPERIMENTS[name], arguments.out / name
    places = {
        "photos": arguments.photos,
        "vgg19": arguments.vgg19 or "",
        "domains": str(arguments.domains),
        "out": str(folder),
    }
    data = list(arguments.data) + experiment.prepare(folder, arguments)
    rows, heat_maps = [], {}
    for trial in experiment.runs:
        trial = trial.scaled(arguments.share)
        method = trial.method or checkpoint_of(folder, trial)
        if not trial.method:
            train(folder, trial, places)
        average = f"{method}{generators.EMA}" if trial.average else str(method)
        if experiment.depth:
            means, heat_maps[trial.label], original = scenes.score(average, folder / "scored", SCALE)
            scores = {"rendered scenes": means}
        else:
            scores = scores_of(average, folder, trial, data)
        row = {"label": trial.label, "scores": scores, "updates": trial.updates}
        if not trial.method:
            row["hours"] = course(folder / experiments.slug(trial.label) / "metrics.jsonl")["hours"]
        if experiment.costs:
            row["cost"] = cost(method)
        rows.append(row)
    if experiment.depth:
        shown = heat_maps | {"original": original}
    else:
        shown = regions(folder, experiment, parse_sets(data, scale=SCALE))
    save_image(arguments.docs / f"beyond_{name}.png", side_by_side([shown]))
    return {"rows": rows, "machine": arguments.machine}


def section(name: str, measured: dict) -> str:
    """Return a section of the page."""
    experiment, rows = EXPERIMENTS[name], measured["rows"]
    lines = [f"## {experiment.title}", "", textwrap.fill(experiment.question, 120), ""]
    for dataset in rows[0]["scores"]:
        lines += [f"**{dataset}**", ""]
        cells = [
            ([row["label"], f"{row['updates']:,}" if row["updates"] else "", minutes(row)], row["scores"][dataset])
            for row in rows
        ]
        table = depth_table(cells) if experiment.depth else scores_table(COLUMNS, cells)
        lines += [table.markdown(), ""]
    if experiment.costs:
        cells = [
            [row["label"], f"{c['parameters']:,}", f"{c['gflop']:.1f}", f"{c['seconds']:.2f}"]
            for row in rows
            for c in [row["cost"]]
        ]
        lines += [Table(["", "parameters", "GFLOP", "s for 1280×720"], cells).markdown(), ""]
    lines += [f"![{', '.join(row['label'] for row in rows)}, original](beyond_{name}.png)", ""]
    return "\n".join(lines)


def depth_table(rows: list[tuple[list[str], dict[str, float]]]) -> Table:
    """Return the scores of metrics.values, in metres."""
    cells = [[*names, f"{s['psnr']:.2f}", f"{s['rmse']:.3f}", f"{s['mae']:.3f}"] for names, s in rows]
    return Table([*COLUMNS, "PSNR (dB) ↑", "RMSE (m) ↓", "MAE (m) ↓"], cells)


def minutes(row: dict) -> str:
    return f"{60 * row['hours']:.0f}" if "hours" in row else ""


def write_page(record: dict, docs: pathlib.Path) -> None:
    """Write docs/beyond.md from what was measured."""
    machines = sorted({measured["machine"] for measured in record.values()})
    parts = [PAGE.format(machine=" and ".join(machines))]
    parts += [section(name, record[name]) for name in EXPERIMENTS if name in record]
    replace_text(docs / "beyond.md", "\n".join(parts))


def parse_arguments(words=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--page", action="store_true", help="only write the page")
    parser.add_argument("--only", nargs="+", choices=EXPERIMENTS, default=list(EXPERIMENTS))
    parser.add_argument("--machine", help="in words, for the page")
    parser.add_argument("--photos", help="folder to train on")
    parser.add_argument("--vgg19", help="file of VGG19's weights")
    parser.add_argument("--data", nargs="+", metavar="NAME=DIR", help="evaluation sets, as for eval.py")
    parser.add_argument("--domains", type=pathlib.Path, help="folder with thermal/ and others")
    parser.add_argument("--share", type=float, default=1.0, help="of the updates of every run, to try this script")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/beyond"))
    parser.add_argument("--docs", type=pathlib.Path, default=ROOT / "docs")
    parser.add_argument("--record", type=pathlib.Path, default=RECORD)
    arguments = parser.parse_args(words)
    arguments.out = arguments.out.resolve()
    if not arguments.page:
        for name in ("machine", "photos", "data"):
            if not getattr(arguments, name):
                raise InputError(f"--{name} is needed for experiments; --page only writes the page.")
    return arguments


def main(words=None):
    arguments = parse_arguments(words)
    record = json.loads(arguments.record.read_text(encoding="utf-8")) if arguments.record.exists() else {}
    for name in [] if arguments.page else arguments.only:
        record[name] = perform(name, arguments)
        replace_text(arguments.record, json.dumps(record, indent=1) + "\n")
        write_page(record, arguments.docs)
    write_page(record, arguments.docs)


if __name__ == "__main__":
    with report_input_errors():
        main()
