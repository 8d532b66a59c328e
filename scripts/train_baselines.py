"""Train the networks that the paper compares with, and SRResNet, by one recipe, and write docs/baselines.md.

python -m scripts.train_baselines --machine "two cores of an Intel Xeon at 2.5 GHz" --photos $SR_DATA/data/train \
    --data Set5=$SR_DATA/data/eval/Set5 Set14=$SR_DATA/data/eval/Set14 BSD100=$SR_DATA/data/eval/BSD100 \
    --hours 1.65 --metrics psnr,ssim,lpips_alex --ship
python -m scripts.train_baselines --page    # writes the page anew from docs/runs/baselines.json

The budget is a number of hours for all networks, by default a night; each trains for the same part of it. First a few
updates of each are timed, which tells how many fit. A long run is up to a tenth faster than these few updates, and ends
that much earlier. Interrupted or failed, the same command goes on where it was. The recipe is the common one of
configs/baselines.py. Each network is trained to its last step in OUT/NETWORK, written as float16 to
OUT/NETWORK.safetensors, and evaluated in OUT/eval/NETWORK. With --ship the small ones that trained for a quarter of an
hour and beat bicubic interpolation go to srgan_jax/pretrained/; give 1.7 hours or more, for all six. The page is made
by scripts/baselines_page.py.
"""

import argparse
import json
import pathlib
import time

import numpy as np

from scripts import baselines_page
from scripts.runs import DOCS, LICENSE, PICTURES, PRETRAINED, RUNS, course, evaluate, read_lines, read_scores, run
from srgan_jax import generators, models
from srgan_jax.commands.common import report_input_errors
from srgan_jax.configs import baselines
from srgan_jax.errors import InputError
from srgan_jax.files import replace_text

RECORD = RUNS / "baselines.json"
TIMED = (10, 100, 1000)  # updates of which the second half is timed; a larger number where a smaller takes no time
ENOUGH = 10.0  # seconds
EVALUATIONS = 12  # of held-out pictures in the course of a run
INTERPOLATIONS = ("nearest", "bicubic")
SHIPPED = {network: f"{network}-x4" for network in ("srcnn", "espcn", "vdsr", "drcn")}  # names for srgan_jax.load
LEAST_GAIN, LEAST_HOURS, MOST_BYTES = 0.2, 0.25, 2_000_000  # dB over bicubic on the first set; each; all together


def flags(network: str, arguments, num_steps: int, **more) -> list[str]:
    """Return what train.py is given for a run of the common recipe, with `more` fields changed."""
    every = max(1, num_steps // EVALUATIONS)
    changes = {
        "data.path": arguments.photos,
        "num_steps": num_steps,
        "eval_every": every,
        "save_every": every,
        "log_every": min(20, every),
        "optimizer.warmup_steps": min(100, num_steps // 10),
    }
    recipe = f"--config=configs/baselines.py:{network}_common"
    return [recipe, *(f"--config.{field}={value}" for field, value in (changes | arguments.changes | more).items())]


def seconds_per_update(network: str, arguments) -> float:
    """Train for a few updates and read how long the later ones took."""
    for updates in TIMED:
        workdir = arguments.out / "timed" / f"{network}_{updates}"
        settings = flags(network, arguments, updates, eval_every=0, save_every=0, log_every=updates // 2)
        run("train.py", *settings, f"--workdir={workdir}")
        lines = read_lines(workdir / "metrics.jsonl")
        speed = [line["images_per_second"] for line in lines if "images_per_second" in line][-1]
        batch_size = json.loads((workdir / "config.json").read_text(encoding="utf-8"))["batch_size"]
        if updates * batch_size / speed > ENOUGH:
            break
    return batch_size / speed


def make_plan(arguments) -> dict[str, int]:
    """Return how many updates each network makes: {network: updates}, the same whenever the command is given again."""
    path, budget = arguments.out / "plan.json", {"hours": arguments.hours, "updates": arguments.updates}
    plan = {"budget": budget, "updates": {}, "seconds": {}}
    if path.exists():
        plan = json.loads(path.read_text(encoding="utf-8"))
        if plan["budget"] != budget:
            raise InputError(
                f"{path} is of the budget {plan['budget']}, not {budget}; choose another folder for --out."
            )
    hours_each = arguments.hours / len(arguments.networks)
    for network in arguments.networks:
        if network not in plan["updates"]:
            plan["seconds"][network] = seconds_per_update(network, arguments)
            fitting = max(2, int(3600 * hours_each / plan["seconds"][network]))
            plan["updates"][network] = arguments.updates or fitting
            replace_text(path, json.dumps(plan, indent=1) + "\n")
        print(f"{network}: {plan['updates'][network]:,} updates of {plan['seconds'][network]:.3g} s", flush=True)
    return {network: plan["updates"][network] for network in arguments.networks}


def time_to_enlarge(generator: generators.Generator) -> float:
    """Return the seconds for a result of 1280 × 720 pixels, once the network is compiled."""
    scale = generator.module.scale
    lr = np.random.default_rng(0).integers(0, 256, (720 // scale, 1280 // scale, 3), np.uint8)
    generator.upscale(lr)
    start = time.perf_counter()
    generator.upscale(lr)
    return time.perf_counter() - start


def describe(network: str, arguments) -> dict:
    """Return what the page says of a network apart from its scores; measured once."""
    path = arguments.out / f"{network}.json"
    if not path.exists():
        generator = generators.load(arguments.out / f"{network}.safetensors")
        module = generator.module
        about = {
            "parameters": models.count_parameters(module),
            "gflop": 2 * models.multiply_adds(module) / 1e9,
            "seconds": time_to_enlarge(generator),
            "sha256": generator.sha256(),
        }
        about |= course(arguments.out / network / "metrics.jsonl")
        replace_text(path, json.dumps(about, indent=1) + "\n")
    return json.loads(path.read_text(encoding="utf-8"))


def ship(record: dict, arguments) -> None:
    """Put the networks that are small and good enough, with their cards, where srgan_jax.load finds them."""
    first = next(iter(record["scores"]["bicubic"]))
    files = []
    for network, name in SHIPPED.items():
        if network not in arguments.networks:
            continue
        of_network, of_bicubic = (record["scores"][m][first]["matlab"]["psnr"] for m in (network, "bicubic"))
        hours = record["networks"][network]["hours"]
        if of_network - of_bicubic < LEAST_GAIN:
            print(f"{name} is not shipped: {of_network - of_bicubic:+.2f} dB on {first}, {LEAST_GAIN} are wanted.")
        elif hours < LEAST_HOURS:
            print(f"{name} is not shipped: it trained for {hours:.3f} hours, {LEAST_HOURS} are wanted; raise --hours.")
        else:
            files.append((network, name, arguments.out / f"{network}.safetensors"))
    if sum(file.stat().st_size for _, _, file in files) > MOST_BYTES:
        raise InputError(
            f"the files of {', '.join(name for _, name, _ in files)} are larger than {MOST_BYTES:,} bytes."
        )
    for network, name, file in files:
        shipped = arguments.pretrained / f"{name}.safetensors"
        results = arguments.out / "eval" / network / "results.json"
        described = ("--half", "--results", results, "--license", LICENSE)
        run("-m", "srgan_jax.weights", "release", file, *described, "-o", shipped)
        card = baselines_page.card(network, name, shipped.stat().st_size, record, arguments.pictures)
        replace_text(shipped.with_suffix(".md"), card)


def parse_arguments(words=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--machine", help="in words, for the page")
    parser.add_argument("--photos", help="folder to train on")
    parser.add_argument("--pictures", default=PICTURES)
    parser.add_argument("--data", nargs="+", metavar="NAME=DIR", help="evaluation sets, as for eval.py")
    parser.add_argument("--metrics", help="as for eval.py; the page shows psnr,ssim,lpips_alex, which take less time")
    parser.add_argument("--hours", type=float, default=8.0, help="of training, for all (default: %(default)s)")
    parser.add_argument("--updates", type=int, help="of every network, instead of as many as fit into its hours")
    parser.add_argument("--networks", nargs="+", choices=baselines.NETWORKS, default=list(baselines.NETWORKS))
    parser.add_argument("--selfexsr", metavar="DIR", help="published result pictures of SelfExSR, as for eval.py --sr")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/baselines"))
    parser.add_argument("--docs", type=pathlib.Path, default=DOCS, help="where the page is written")
    parser.add_argument("--remark", default="", help="a sentence for the page, on what is special in these runs")
    parser.add_argument("--page", action="store_true", help="only write the page anew from what was measured")
    parser.add_argument("--ship", action="store_true", help="put the small networks that are good into the package")
    parser.add_argument("--pretrained", type=pathlib.Path, default=PRETRAINED)
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="FIELD=VALUE", help="of every config, to try this script"
    )
    arguments = parser.parse_args(words)
    arguments.changes = dict(entry.split("=", 1) for entry in arguments.set)
    arguments.out = arguments.out.resolve()
    if arguments.page:
        return arguments
    for name in ("machine", "photos", "data"):
        if not getattr(arguments, name):
            raise InputError(f"--{name} is needed for training; --page only writes the page.")
    if arguments.hours <= 0 or (arguments.updates is not None and arguments.updates < 2):
        raise InputError(
            f"--hours must be above 0 and --updates at least 2, got {arguments.hours}, {arguments.updates}."
        )
    if not pathlib.Path(arguments.photos).is_dir():
        raise InputError(f"--photos {arguments.photos}: no such folder; it holds the pictures to train on.")
    if arguments.ship and arguments.hours / len(arguments.networks) < LEAST_HOURS:
        raise InputError(f"--ship needs {LEAST_HOURS} hours for each network: raise --hours or name fewer networks.")
    return arguments


def main(words=None):
    arguments = parse_arguments(words)
    if arguments.page:
        baselines_page.write(arguments.docs, json.loads(RECORD.read_text(encoding="utf-8")))
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    metrics = ["--metrics", arguments.metrics] if arguments.metrics else []
    for name in INTERPOLATIONS:
        evaluate(name, arguments.out / "eval" / name, arguments.data, *metrics)
    methods = [*INTERPOLATIONS, *arguments.networks]
    if arguments.selfexsr:
        out = arguments.out / "eval" / "selfexsr"
        if not (out / "results.json").exists():
            run("eval.py", "--sr", arguments.selfexsr, "--out", out, "--data", *arguments.data, *metrics)
        methods.append("selfexsr")
    for network, num_steps in make_plan(arguments).items():
        checkpoint = arguments.out / network / "checkpoints" / str(num_steps)
        if not checkpoint.exists():
            run("train.py", *flags(network, arguments, num_steps), f"--workdir={arguments.out / network}")
        half = arguments.out / f"{network}.safetensors"
        if not half.exists():
            run("-m", "srgan_jax.weights", "release", checkpoint, "--half", "-o", half)
        evaluate(half, arguments.out / "eval" / network, arguments.data, *metrics)
    record = {
        "machine": arguments.machine,
        "remark": arguments.remark,
        "networks": {network: describe(network, arguments) for network in arguments.networks},
        "scores": {method: read_scores(arguments.out / "eval" / method) for method in methods},
    }
    baselines_page.write(arguments.docs, record)
    print(arguments.docs / "baselines.md")
    if arguments.ship:
        ship(record, arguments)


if __name__ == "__main__":
    with report_input_errors():
        main()
