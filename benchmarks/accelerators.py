"""What a training step asks of a TPU, compiled for it ahead of time on any x86 machine; writes docs/accelerators.md.

pip install libtpu                                          no TPU is needed: the wheel has XLA's compiler for it
PYTHONPATH=. python benchmarks/accelerators.py              compile what is not in docs/runs/accelerators.json yet
PYTHONPATH=. python benchmarks/accelerators.py --stages SRResNet-MSE --chips v5e --counts 1 8 --batch 16
PYTHONPATH=. python benchmarks/accelerators.py --page       only write the page

XLA's compiler says how many operations a program makes, how many bytes it moves to and from memory, and which
collectives it has. Divided by what a chip can do at best, these are three times, of which the longest bounds the step.
No program has been run: the steps per second on the page are projections.
"""

import argparse
import dataclasses
import json
import math
import os
import pathlib
import re
import tempfile
import time

os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")  # do not look for a TPU
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np
from train_step import CONFIGS, PAPER, vgg_file

from srgan_jax.evaluation import Table
from srgan_jax.files import replace_text
from srgan_jax.images.resize import MARGIN_LR
from srgan_jax.parallel import sharding
from srgan_jax.training import stages

ROOT = pathlib.Path(__file__).parents[1]
RECORD, PAGE_FILE = ROOT / "docs" / "runs" / "accelerators.json", ROOT / "docs" / "accelerators.md"
OPTIMIZERS = ("copied", "divided")
REACHED = 0.5  # the share of the bound that a projection assumes


@dataclasses.dataclass(frozen=True)
class Chip:
    """What a chip can do at best, as its maker publishes it.

    Attributes:
      flops: bfloat16 operations per second.
      bandwidth: bytes per second to and from its memory.
      memory: bytes.
      links: bytes per second of all links to other chips together, in one direction.
      topologies: {number of chips: what libtpu calls their arrangement}.
    """

    flops: float
    bandwidth: float
    memory: float
    links: float
    topologies: dict[int, str]


# Google Cloud's pages on each generation ("System architecture"). Links are bidirectional there; half is one direction.
CHIPS = {
    "v4": Chip(275e12, 1228e9, 32 * 2**30, 150e9, {8: "v4:2x2x2", 64: "v4:4x4x4", 256: "v4:4x8x8"}),
    "v5e": Chip(197e12, 819e9, 16 * 2**30, 100e9, {1: "v5e:1x1", 8: "v5e:2x4", 64: "v5e:8x8", 256: "v5e:16x16"}),
    "v5p": Chip(459e12, 2765e9, 95 * 2**30, 300e9, {8: "v5p:2x2x2", 64: "v5p:4x4x4", 256: "v5p:4x8x8"}),
    "v6e": Chip(918e12, 1640e9, 32 * 2**30, 224e9, {1: "v6e:1x1", 8: "v6e:2x4", 64: "v6e:8x8", 256: "v6e:16x16"}),
}

BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s16": 2, "u16": 2, "f32": 4, "s32": 4, "u32": 4, "f64": 8}
COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
_CALL = re.compile(rf" = (.*?) ({'|'.join(COLLECTIVES)})(-start)?\(")
_SHAPE = re.compile(rf"\b({'|'.join(BYTES)})\[([\d,]*)\]")


def collectives(hlo: str) -> dict[str, dict[str, int]]:
    """{kind: {"count", "bytes"}} of the collective operations in the text of a compiled program.

    The bytes are those of the results, on each device. An operation that is begun and ended apart counts once.
    """
    found: dict[str, dict[str, int]] = {}
    for line in hlo.splitlines():
        if not (call := _CALL.search(line)):
            continue
        result, kind, started = call.groups()
        shapes = _SHAPE.findall(result)
        size = sum(BYTES[dtype] * math.prod(int(n) for n in sides.split(",") if n) for dtype, sides in shapes)
        entry = found.setdefault(kind, {"count": 0, "bytes": 0})
        entry["count"] += 1
        entry["bytes"] += size // 2 if started and kind != "all-reduce" else size  # its result names its operand too
    return found


def shapes_of(tree):
    return jax.tree.map(lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype), tree)


def compile_step(config, devices):
    """(the step compiled for devices that need not be there, seconds that this took)."""
    mesh, stage = sharding.create_mesh(devices), stages.create_stage(config)
    state = jax.eval_shape(stage.init, jax.random.key(0))
    placement = sharding.of_state(state, mesh, split_optimizer=config.optimizer.sharded)
    side = config.data.crop_size + 2 * MARGIN_LR * config.scale
    batch = {
        "hr": jax.ShapeDtypeStruct((config.batch_size, side, side, config.channels), np.uint8),
        "turn": jax.ShapeDtypeStruct((config.batch_size,), np.int32),
    }
    number = jax.ShapeDtypeStruct((), np.int32)
    start = time.perf_counter()
    step = sharding.compile_step(stage.step, mesh, placement=placement)
    compiled = step.lower(state, batch, shapes_of(stage.frozen), number).compile()
    return compiled, time.perf_counter() - start


def measure(config, devices) -> dict:
    """What the compiler says of a step, for each device."""
    compiled, seconds = compile_step(config, devices)
    cost, memory = compiled.cost_analysis(), compiled.memory_analysis()
    return {
        "flop": cost["flops"],
        "bytes": cost["bytes accessed"],
        "temporaries": memory.temp_size_in_bytes,
        "arguments": memory.argument_size_in_bytes,
        "collectives": collectives(compiled.as_text()),
        "compile_seconds": seconds,
    }


def bounds(measured: dict, chip: Chip, count: int) -> dict[str, float]:
    """Seconds that a step needs at least for its arithmetic, for its memory traffic, and between chips.

    An all-reduce on a ring sends and receives nearly twice its bytes.
    """
    moved = sum((2 if kind == "all-reduce" else 1) * entry["bytes"] for kind, entry in measured["collectives"].items())
    return {
        "arithmetic": measured["flop"] / chip.flops,
        "memory": measured["bytes"] / chip.bandwidth,
        "links": moved * (count - 1) / count / chip.links,
    }


PAGE = """# A training step on TPUs, on paper

XLA's compiler for TPUs runs on any x86 machine. It has compiled the steps of the paper's networks in bfloat16, and this
page shows what it says of them. `benchmarks/accelerators.py` writes it:

```
pip install libtpu
PYTHONPATH=. python benchmarks/accelerators.py
```

**Nothing here has been run on a TPU.** The columns are:

- *batch*: crops of 96 × 96 pixels on each chip.
- *TFLOP* and *GB*: operations, and bytes to and from the chip's memory, of one step on each chip, as the compiler
  estimates them. *MB args* and *MB temp.*: memory of each chip for the state and the batch, and for what is computed on
  the way.
- *optimizer*: whether every chip has a copy of Adam's averages, or a part of them (`config.optimizer.sharded`).
- *collectives*: how many there are, and their MB. They are sums over the chips, of gradients, of BatchNorm's means and
  squares, and of what is logged; where the optimizer is divided, the parts of the parameters are gathered as well.
- *arithmetic*, *memory*, *links*: milliseconds that each would take at the chip's published best. The longest is the
  bound of the step.
- *steps/s* and *hours*: a **projection** that assumes {reached:.0%} of the bound, and the paper's number of updates
  whatever the batch. Real programs reach 30 to 70 % of such bounds; the projection leaves out reading the data.

The published figures are TFLOP/s in bfloat16, GB/s of memory, and GB/s to other chips in one direction: {chips}.

{table}
"""


def rows(record: dict) -> list[list[str]]:
    lines = []
    for entry in record.values():
        chip, times = CHIPS[entry["chip"]], None
        times = bounds(entry, chip, entry["count"])
        longest = max(times, key=times.get)
        per_second = REACHED / times[longest]
        calls = entry["collectives"].values()
        lines.append(
            [
                entry["stage"],
                f"{entry['count']} × {entry['chip']}",
                str(entry["batch"]),
                entry["optimizer"],
                f"{entry['flop'] / 1e12:.3f}",
                f"{entry['bytes'] / 1e9:.2f}",
                f"{entry['arguments'] / 1e6:.0f}",
                f"{entry['temporaries'] / 1e6:.0f}",
                f"{sum(c['count'] for c in calls)}, {sum(c['bytes'] for c in calls) / 1e6:.1f}",
                *(f"**{1e3 * t:.2f}**" if name == longest else f"{1e3 * t:.2f}" for name, t in times.items()),
                f"{per_second:.0f}",
                f"{PAPER[entry['stage']] / per_second / 3600:.1f}",
                f"{entry['compile_seconds']:.0f}",
            ]
        )
    return lines


def page(record: dict) -> str:
    """The text of docs/accelerators.md."""
    header = ["stage", "chips", "batch", "optimizer", "TFLOP", "GB", "MB args", "MB temp.", "collectives"]
    header += ["arithmetic", "memory", "links"]
    header += ["steps/s", "hours", "compiled in s"]
    chips = "; ".join(
        f"{name} {chip.flops / 1e12:.0f}, {chip.bandwidth / 1e9:.0f}, {chip.links / 1e9:.0f}"
        for name, chip in CHIPS.items()
    )
    return PAGE.format(reached=REACHED, chips=chips, table=Table(header, rows(record)).markdown())


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--stages", nargs="+", choices=CONFIGS, default=list(CONFIGS))
    parser.add_argument("--chips", nargs="+", choices=CHIPS, default=["v5e", "v4", "v5p", "v6e"])
    parser.add_argument("--counts", nargs="+", type=int, default=[8], help="of chips (default: 8)")
    parser.add_argument("--batch", nargs="+", type=int, default=[16], help="crops on each chip (default: 16)")
    parser.add_argument("--optimizer", nargs="+", choices=OPTIMIZERS, default=["copied"], help="how it is placed")
    parser.add_argument("--page", action="store_true", help="only write the page")
    parser.add_argument("--record", type=pathlib.Path, default=RECORD)
    parser.add_argument("--out", type=pathlib.Path, default=PAGE_FILE)
    arguments = parser.parse_args(words)
    record = json.loads(arguments.record.read_text(encoding="utf-8")) if arguments.record.exists() else {}
    with tempfile.TemporaryDirectory() as directory:
        vgg = None if arguments.page else vgg_file(directory)
        for stage, name, count, batch, optimizer in (
            (stage, name, count, batch, optimizer)
            for stage in arguments.stages
            for name in arguments.chips
            for count in arguments.counts
            for batch in arguments.batch
            for optimizer in arguments.optimizer
            if not arguments.page
        ):
            key, topology = f"{stage} {count} {name} {batch} {optimizer}", CHIPS[name].topologies.get(count)
            if key in record or topology is None:
                continue
            from jax.experimental import topologies

            devices = topologies.get_topology_desc(platform="tpu", topology_name=topology).devices
            config = CONFIGS[stage].get_config()
            config.batch_size, config.vgg_weights, config.dtype = batch * len(devices), vgg, "bfloat16"
            config.optimizer.sharded = optimizer == "divided"
            measured = measure(config, devices)
            about = {"stage": stage, "chip": name, "count": count, "batch": batch, "optimizer": optimizer}
            record[key] = about | measured
            replace_text(arguments.record, json.dumps(record, indent=1) + "\n")
            print(f"{key}: compiled in {measured['compile_seconds']:.0f} s", flush=True)
    replace_text(arguments.out, page(record))


if __name__ == "__main__":
    main()
