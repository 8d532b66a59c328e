"""Train, measure and ship the released models, one after another.

python -m scripts.train_release --hardware cpu --machine "two cores of an Intel Xeon at 2.5 GHz" \
    --photos $SR_DATA/data/train --vgg19 vgg19.npz \
    --data Set5=$SR_DATA/data/eval/Set5 Set14=$SR_DATA/data/eval/Set14 BSD100=$SR_DATA/data/eval/BSD100

Interrupted or failed, the same command goes on where it was. The recipes are in configs/release.py. Each model is
trained to its last step in OUT/NAME, then evaluated, once, into OUT/eval/NAME; those that ship go to
srgan_jax/pretrained/ with their cards. A model that starts from another takes what that other's run in OUT ended with,
or the shipped srresnet-x4 where OUT has no such run. scripts/make_results.py makes the results page from it all.
"""

import argparse
import json
import os
import pathlib

from scripts.runs import LICENSE, MODELS, PICTURES, PRETRAINED, course, evaluate, run
from srgan_jax import generators
from srgan_jax.commands.common import report_input_errors
from srgan_jax.configs import release
from srgan_jax.errors import InputError
from srgan_jax.files import replace_text
from srgan_jax.losses import frozen_networks, selected
from srgan_jax.metrics import METRICS

SHIPPED = {"srresnet_l1": "srresnet-x4", "srgan_consistent": "srgan-x4", "fast": "fast-x4"}  # names for srgan_jax.load

# The run that a model starts from. The paper's SRGANs start from SRResNet-MSE (section 3.2).
STARTS = {"srresnet_l1": "srresnet_mse", "srgan_consistent": "srresnet_l1"} | dict.fromkeys(
    ("srgan_mse", "srgan_vgg22", "srgan_vgg54"), "srresnet_mse"
)
ORIGINS = {"fast": "Zhang et al., ACM Multimedia 2021"}  # of networks that are not the paper's
# The paper's run whose length a card compares with, where the model is not the paper's.
PAPERS = {"srresnet_l1": "srresnet_mse", "srgan_consistent": "srgan_vgg54", "fast": "srresnet_mse"}

CARD = """# {name}

{what} ({origin}), ×4, RGB: `srgan_jax.load("{name}")`, `python upscale.py … --ckpt {name}`.

- **Learned from** {pictures}, but for 10 of them, which were held out for
  choosing. None is in Set5, Set14 or BSD100. LR pictures are bicubic reductions of them.
- **Recipe**: `configs/release.py:{recipe}`, run by `scripts/train_release.py`; {steps:,} updates of {batch} crops of
  {crop} × {crop} pixels{start}. The SRGAN paper has {paper:,} on 350,000 ImageNet pictures.
- **Machine**: {machine}; {hours:.1f} hours of computing.
- **File**: float16, {size:.1f} MB; computes in float32. SHA-256 of the arrays `{sha256}`.

| PSNR (dB) / SSIM | {columns} |
|---|{rules}|
| `paper` | {paper_scores} |
| `matlab` | {matlab_scores} |
{other_scores}
**Limits.** {limits}
It has seen photographs of everyday scenes, reduced by bicubic interpolation: it knows nothing of drawings and text, and
takes noise, blur and compression artefacts for detail. Not for medical, forensic or scientific pictures, nor for
telling who or what is in one.

**Licence.** The photographs behind these weights were published for research, most without a stated licence. So the
weights are for research use too; the Apache licence of the code does not cover them.
"""
LIMITS = {
    "content": "It was trained for the least error of the pixels: what cannot be known is left smooth.",
    "adversarial": "It invents detail that looks plausible and need not have been there.",
}
REMARKS = {  # on a recipe, or on what came out of it
    "cpu_srgan_vgg54": "After so few updates its pictures are pale, with a faint grid: it is shipped to be looked at\n"
    "and trained further. For enlarging photos take srgan-x4.",
    "cpu_fast": "It is small, for videos and for pages that must not wait. The PSNR of srresnet-x4 is .2 to .45 dB\n"
    "higher.",
    "cpu_srgan_consistent": "Its losses are not the paper's. What it gives is made consistent with the picture that\n"
    "it enlarges, as in these scores, unless one says --no-consistent.",
}
OTHERS = ("lpips_alex", "lr_psnr", "contrast", "grid")  # further metrics of a card, where they were measured


def last_checkpoint(name: str, arguments) -> pathlib.Path:
    """Return what a model's run ends with."""
    steps = arguments.steps or release.get_config(f"{arguments.hardware}_{name}").num_steps
    return arguments.out / name / "checkpoints" / str(steps)


def result_of(name: str, arguments) -> str:
    """Return the generator that a run ends with, or its running average where there is one; for generators.load."""
    average = release.get_config(f"{arguments.hardware}_{name}").ema_decay
    return f"{last_checkpoint(name, arguments)}{generators.EMA if average else ''}"


def start_of(name: str, arguments) -> pathlib.Path | str:
    """Return what a model starts from, for init_from: the last checkpoint of another's run, or a shipped model."""
    checkpoint = last_checkpoint(STARTS[name], arguments)
    return checkpoint if checkpoint.exists() else SHIPPED["srresnet_l1"]


def needs_vgg(config) -> bool:
    """Return whether a term of the config's loss reads VGG19."""
    return "vgg" in frozen_networks(selected(config.losses.to_dict()))


def train(name: str, arguments) -> None:
    """Train one model to its end."""
    recipe = f"{arguments.hardware}_{name}"
    config = release.get_config(recipe)
    flags = {"data.path": arguments.photos}
    if name in STARTS:
        flags["init_from"] = start_of(name, arguments)
    if needs_vgg(config):
        flags["vgg_weights"] = arguments.vgg19
    if arguments.steps:
        flags |= {"num_steps": arguments.steps, "optimizer.warmup_steps": 0}
    if not last_checkpoint(name, arguments).exists():
        flags = [f"--config.{field}={value}" for field, value in flags.items()]
        run("train.py", f"--config=configs/release.py:{recipe}", f"--workdir={arguments.out / name}", *flags)


def score_rows(results: dict) -> str:
    """Return the rows of a card's table for those of OTHERS that were measured."""
    means = [dataset["mean"] for dataset in results["datasets"].values()]
    measured = [name for name in OTHERS if all(name in mean for mean in means)]
    rows = [[METRICS[name].label, *(METRICS[name].text(mean[name]) for mean in means)] for name in measured]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def model_card(name: str, file: pathlib.Path, arguments) -> str:
    """Return what a user has to know of a shipped model."""
    recipe = f"{arguments.hardware}_{name}"
    config = release.get_config(recipe)
    paper = release.paper_config(PAPERS.get(name, name))
    results = json.loads((arguments.out / "eval" / name / "results.json").read_text(encoding="utf-8"))

    start = f", from {MODELS[STARTS[name]]}" if name in STARTS else ""

    def scores(protocol):
        means = [dataset["mean"][protocol] for dataset in results["datasets"].values()]
        return " | ".join(f"{mean['psnr']:.2f} / {mean['ssim']:.4f}" for mean in means)

    return CARD.format(
        name=SHIPPED[name],
        what=MODELS[name],
        origin=ORIGINS.get(name, "Ledig et al., CVPR 2017"),
        pictures=arguments.pictures,
        recipe=recipe + (f" with num_steps={arguments.steps}" if arguments.steps else ""),
        steps=int(last_checkpoint(name, arguments).name),
        batch=config.batch_size,
        crop=config.data.crop_size,
        start=start,
        paper=paper.num_steps,
        machine=arguments.machine,
        hours=course(arguments.out / name / "metrics.jsonl")["hours"],
        size=file.stat().st_size / 1e6,
        sha256=results["method"]["sha256"],
        columns=" | ".join(results["datasets"]),
        rules="---|" * (len(results["datasets"]) - 1) + "---",
        paper_scores=scores("paper"),
        matlab_scores=scores("matlab"),
        other_scores=score_rows(results),
        limits="\n".join([LIMITS[config.stage], *filter(None, [REMARKS.get(recipe)])]),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--hardware", required=True, choices=release.HARDWARE)
    parser.add_argument("--machine", required=True, help="in words, for the cards")
    parser.add_argument("--photos", required=True, help="folder to train on")
    parser.add_argument("--pictures", default=PICTURES)
    parser.add_argument("--vgg19", help="file of VGG19's weights, for SRGAN")
    parser.add_argument("--data", required=True, nargs="+", metavar="NAME=DIR", help="evaluation sets, as for eval.py")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["srresnet_mse", *SHIPPED])
    parser.add_argument("--steps", type=int, help="of every model, instead of the recipe's: to try this script")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/release"))
    parser.add_argument("--pretrained", type=pathlib.Path, default=PRETRAINED)
    arguments = parser.parse_args()
    arguments.out = arguments.out.resolve()
    for name in arguments.models:  # now, not hours later
        if f"{arguments.hardware}_{name}" not in release.RECIPES:
            raise InputError(f"configs/release.py has no recipe {arguments.hardware}_{name}: choose other --models.")
        if needs_vgg(release.paper_config(name)) and not (arguments.vgg19 and os.path.isfile(arguments.vgg19)):
            raise InputError(f"{name} needs VGG19's weights: --vgg19 {arguments.vgg19 or 'FILE'} is no file.")

    for name in ("nearest", "bicubic"):
        evaluate(name, arguments.out / "eval" / name, arguments.data)
    for name in arguments.models:
        train(name, arguments)
        half = arguments.out / f"{name}.safetensors"
        checkpoint = result_of(name, arguments)
        run("-m", "srgan_jax.weights", "release", checkpoint, "--half", "-o", half)
        evaluate(half, arguments.out / "eval" / name, arguments.data, "--vs", checkpoint)
        if name in SHIPPED:
            shipped = arguments.pretrained / f"{SHIPPED[name]}.safetensors"
            results = arguments.out / "eval" / name / "results.json"
            described = ("--results", results, "--license", LICENSE)
            run("-m", "srgan_jax.weights", "release", half, "--half", *described, "-o", shipped)
            replace_text(shipped.with_suffix(".md"), model_card(name, shipped, arguments))


if __name__ == "__main__":
    with report_input_errors():
        main()
