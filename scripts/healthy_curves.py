"""Train the small networks of docs/healthy_curves.md and draw its figures.

python -m scripts.healthy_curves --photos PHOTOS --out runs/healthy_curves

About half an hour on two CPU cores. Interrupted, the same command goes on. Without arguments the curves are drawn again
from the logs in docs/runs/healthy_curves/.
"""

import argparse
import pathlib

from scripts.curves import CURVES, draw_curves
from scripts.runs import DOCS, RUNS, run, thinned
from srgan_jax.commands.common import report_input_errors
from srgan_jax.configs import healthy_curves as configs
from srgan_jax.data.sources import create_source, hold_out
from srgan_jax.files import replace_text
from srgan_jax.images import decode_image, save_image
from srgan_jax.images.montage import most_different_region, side_by_side
from srgan_jax.images.resize import imresize

LOGS = RUNS / "healthy_curves"
TITLES = {
    "healthy": "healthy",
    "no_pretraining": "no pretraining",
    "content_weight": "content / 10",
    "discriminator_rate": "D's rate x 10",
}
PANELS = {panel: keys for panel, keys in CURVES.items() if panel != "terms of G's loss"}
PANELS |= {"content": ("g/mse",), "adversarial": ("g/adversarial",)}


def train(name: str, arguments) -> None:
    """Train one of the runs to its end."""
    workdir = arguments.out / name
    flags = {"data.path": arguments.photos}
    if name not in ("pretraining", "no_pretraining"):
        flags["init_from"] = arguments.out / "pretraining"
    if not (workdir / "checkpoints" / str(configs.get_config(name).num_steps)).exists():
        flags = [f"--config.{field}={value}" for field, value in flags.items()]
        run("train.py", f"--config=configs/healthy_curves.py:{name}", f"--workdir={workdir}", *flags)


def draw_pictures(arguments) -> None:
    """Draw docs/healthy_pictures.png: two held-out pictures, as each run's last update enlarges them."""
    config = configs.get_config("healthy")
    config.data.path = arguments.photos
    _, held_out = hold_out(create_source(config.data), config.data.holdout)
    rows = []
    for i in range(2):
        stem = pathlib.PurePath(held_out.name(i)).with_suffix("").as_posix().replace("/", "_")
        shown = {}
        for name, title in ({"pretraining": "pretraining"} | TITLES).items():
            last = configs.get_config(name).num_steps
            shown[title] = decode_image(arguments.out / name / "samples" / "held_out" / stem / f"{last:08d}.png")
        height, width = shown["healthy"].shape[:2]
        hr = held_out[i][:height, :width]
        bicubic = imresize(imresize(hr, 1 / 4), 4)
        region = most_different_region(bicubic, hr, 128)
        rows.append({title: picture[region] for title, picture in (shown | {"original": hr}).items()})
    save_image(DOCS / "healthy_pictures.png", side_by_side(rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", help="folder to train on; without it nothing is trained")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/healthy_curves"))
    arguments = parser.parse_args()
    if arguments.photos:
        arguments.out = arguments.out.resolve()
        LOGS.mkdir(parents=True, exist_ok=True)
        for name in configs.RUNS:
            train(name, arguments)
        for name in TITLES:
            replace_text(LOGS / f"{name}.jsonl", thinned(arguments.out / name / "metrics.jsonl"))
        draw_pictures(arguments)
    logs = {title: LOGS / f"{name}.jsonl" for name, title in TITLES.items()}
    draw_curves(DOCS / "healthy_curves.png", logs, PANELS, sharey="col")


if __name__ == "__main__":
    with report_input_errors():
        main()
