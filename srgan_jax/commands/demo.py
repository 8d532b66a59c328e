"""`make demo`: train both stages in small, evaluate them, and put the pictures side by side. No download, no VGG."""

import argparse
import pathlib
import time
from collections.abc import Sequence

from srgan_jax.commands.common import add_common_flags, report_input_errors
from srgan_jax.progress import be_quiet, duration, say

with report_input_errors():  # names the extra that is missing
    from srgan_jax import evaluation
    from srgan_jax.configs import demo as configs
    from srgan_jax.data.sources import create_source, hold_out
    from srgan_jax.images import save_image
    from srgan_jax.images.montage import most_different_region, side_by_side
    from srgan_jax.images.resize import nearest
    from srgan_jax.training import loop


def train(out: pathlib.Path, *, smoke: bool) -> dict[str, pathlib.Path]:
    """Train SRResNet, then SRGAN from it; returns their run directories by name."""
    runs = {"SRResNet": out / "srresnet", "SRGAN": out / "srgan"}
    for (name, workdir), previous in zip(runs.items(), (None, runs["SRResNet"]), strict=True):
        config = configs.get_config(workdir.name)
        config.init_from = str(previous or "")
        if smoke:
            config.num_steps, config.optimizer.warmup_steps = 4, 1
        say(f"\nTraining {name} on the built-in photographs")
        loop.train(config, workdir)
    return runs


def main(argv: Sequence[str] | None = None) -> None:
    with report_input_errors():
        run(argv)


def run(argv: Sequence[str] | None = None) -> None:
    """Do what the flags say."""
    parser = argparse.ArgumentParser(prog="python -m srgan_jax.demo", description=__doc__)
    parser.add_argument("--out", default="runs/demo", help="directory for everything that it writes")
    parser.add_argument("--smoke", action="store_true", help="only a few steps: does everything run?")
    add_common_flags(parser)
    arguments = parser.parse_args(argv)
    be_quiet(arguments.quiet)
    out, start = pathlib.Path(arguments.out), time.perf_counter()

    runs = train(out / "smoke" if arguments.smoke else out, smoke=arguments.smoke)
    config = configs.get_config()
    _, photos = hold_out(create_source(config.data), config.data.holdout)
    pairs = evaluation.source_set("held-out photos", photos, scale=config.scale)

    say("\nEvaluating on the photographs that were held out of training")
    rows, scorers = [], evaluation.make_scorers(("psnr", "ssim", "contrast"), protocols=("paper", "matlab"))
    pictures = {stem: {} for stem in pairs.stems}
    for name, ckpt in {"bicubic": "bicubic", **runs}.items():

        def keep(stem, lr, sr, hr, name=name):
            pictures[stem] |= {"LR": nearest(lr, config.scale), name: sr, "HR": hr}

        method = evaluation.create_method(str(ckpt), scale=config.scale)
        rows.append(([name], evaluation.score(method.enlarge, pairs, metrics=scorers, on_image=keep)["mean"]))
    say(f"\n{evaluation.scores_table(['method'], rows).markdown()}")

    strips = []
    for shown in pictures.values():
        region = most_different_region(shown["bicubic"], shown["HR"], 192, grid=config.scale)
        strips.append({name: shown[name][region] for name in ("LR", "bicubic", *runs, "HR")})
    save_image(out / "comparison.png", side_by_side(strips))
    say(f"\n{out / 'comparison.png'} shows them side by side. Took {duration(time.perf_counter() - start)}.")


if __name__ == "__main__":
    main()
