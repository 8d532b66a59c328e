"""What a training step asks of a TPU or GPU, compiled for it ahead of time on any x86 machine; makes a page of it.

pip install libtpu                                          for TPUs: the wheel has XLA's compiler, no TPU is needed
pip install --no-deps jax-cuda12-plugin jax-cuda12-pjrt nvidia-cuda-nvcc-cu12    for GPUs, of the version of jax
python -m benchmarks.accelerators              compile what is not in docs/runs/accelerators.json yet
python -m benchmarks.accelerators --stages SRResNet-MSE --chips v5e --counts 1 8 --batch 16
python -m benchmarks.accelerators --page       only write docs/accelerators.md

XLA's compilers say which arrays a program keeps in the chip's memory, and which collectives it has; that for TPUs also
says how many operations there are, which arrays stay on the chip, and how many cycles each operation is expected to
take. Divided by what a chip can do at best, these are times, of which the longest bounds the step. No program has been
run: the steps per second on the page are projections.
"""

import argparse
import dataclasses
import importlib.util
import itertools
import json
import math
import os
import pathlib
import re
import tempfile
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")  # do not look for a TPU
os.environ.setdefault("JAX_SKIP_CUDA_CONSTRAINTS_CHECK", "1")  # nor for CUDA's libraries
os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")  # two processes may compile at the same time
# Without a GPU no algorithms can be tried out. The compiler needs a library of functions from CUDA's toolkit.
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_gpu_autotune_level=0"
if toolkit := importlib.util.find_spec("nvidia"):
    os.environ["XLA_FLAGS"] += f" --xla_gpu_cuda_data_dir={toolkit.submodule_search_locations[0]}/cuda_nvcc"

import jax
import numpy as np
from jax.experimental import topologies

from benchmarks.common import CONFIGS, GFLOP, PAPER, ROOT, vgg_file
from srgan_jax.evaluation import Table
from srgan_jax.files import replace_text
from srgan_jax.images.resize import MARGIN_LR
from srgan_jax.parallel import sharding
from srgan_jax.training import stages

RECORD, PAGE_FILE = ROOT / "docs" / "runs" / "accelerators.json", ROOT / "docs" / "accelerators.md"
OPTIMIZERS = ("copied", "divided")
REACHED = 0.5  # the share of the bound that a projection assumes
LAUNCH = 2e-6  # seconds that launching a kernel costs a GPU, unless many are launched as one graph; an assumption


@dataclasses.dataclass(frozen=True)
class Chip:
    """What a chip can do at best, as its maker publishes it.

    Attributes:
      flops: bfloat16 operations per second.
      clock: cycles per second; None where the compiler does not estimate any.
      bandwidth: bytes per second to and from its memory.
      memory: bytes.
      links: bytes per second of all links to other chips together, in one direction.
      topologies: {number of chips: what the compiler calls their arrangement}.
      target: what the compiler for GPUs has to know of the chip; "" for a TPU.
    """

    flops: float
    clock: float | None
    bandwidth: float
    memory: float
    links: float
    topologies: dict[int, str]
    target: str = ""

    def devices(self, count: int) -> list[jax.Device]:
        """Return so many of these chips, to compile for."""
        name = self.topologies[count]
        if self.target:
            return topologies.get_topology_desc(platform="cuda", topology=name, target_config=self.target).devices
        return topologies.get_topology_desc(platform="tpu", topology_name=name).devices


# An H100 with 80 GB (SXM): NVIDIA's data sheet, and what its driver says of it.
H100 = """
platform_name: "CUDA"
device_description_str: "NVIDIA H100 80GB HBM3"
dnn_version_info { major: 9 minor: 10 patch: 2 }
gpu_device_info {
  cuda_compute_capability { major: 9 }
  core_count: 132  fpus_per_core: 128  clock_rate_ghz: 1.98  threads_per_warp: 32
  threads_per_block_limit: 1024  threads_per_core_limit: 2048
  block_dim_limit_x: 2147483647  block_dim_limit_y: 65535  block_dim_limit_z: 65535
  registers_per_core_limit: 65536  registers_per_block_limit: 65536
  shared_memory_per_core: 233472  shared_memory_per_block: 49152  shared_memory_per_block_optin: 232448
  l2_cache_size: 52428800  memory_bandwidth: 3352320000000  device_memory_size: 84942979072
}
"""

# Google Cloud's pages on each generation ("System architecture"). Links are bidirectional there; half is one direction.
# The clocks follow from the operations per second and the number and size of the matrix units.
CHIPS = {
    "v4": Chip(275e12, 1.05e9, 1228e9, 32 * 2**30, 150e9, {8: "v4:2x2x2", 64: "v4:4x4x4", 256: "v4:4x8x8"}),
    "v5e": Chip(197e12, 1.5e9, 819e9, 16 * 2**30, 100e9, {1: "v5e:1x1", 8: "v5e:2x4", 64: "v5e:8x8", 256: "v5e:16x16"}),
    "v5p": Chip(459e12, 1.75e9, 2765e9, 95 * 2**30, 300e9, {8: "v5p:2x2x2", 64: "v5p:4x4x4", 256: "v5p:4x8x8"}),
    "v6e": Chip(
        918e12, 1.75e9, 1640e9, 32 * 2**30, 224e9, {1: "v6e:1x1", 8: "v6e:2x4", 64: "v6e:8x8", 256: "v6e:16x16"}
    ),
    "H100": Chip(989e12, None, 3352e9, 80 * 2**30, 450e9, {1: "1x1x1", 8: "1x1x8"}, H100),
}

BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s16": 2, "u16": 2, "f32": 4, "s32": 4, "u32": 4, "f64": 8}
COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
_CALL = re.compile(rf" = (.*?) ({'|'.join(COLLECTIVES)})(-start)?\((?:.*? channel_id=(\d+))?")
_SHAPE = re.compile(rf"\b({'|'.join(BYTES)})\[([\d,]*)\]")
_LAYOUT = re.compile(rf"{_SHAPE.pattern}\{{([\d,]*)(?::([^}}]*))?\}}")
_INSTRUCTION = re.compile(r"\s+(?:ROOT )?(%[\w.\-]+) = (.*?[)}\]]) ([a-z][\w\-]*)\((.*?)\)(?:, |$)")
_ALIAS = re.compile(r"\{(\d+)\}: \((\d+), \{\}\)")
FREE = ("parameter", "constant", "get-tuple-element", "tuple", "bitcast")  # these move nothing


def collectives(hlo: str) -> dict[str, dict[str, int]]:
    """Return {kind: {"count", "bytes"}} of the collective operations in the text of a compiled program.

    The bytes are those of the results, on each device. An operation that is begun and ended apart counts once, and so
    does one that other operations advance, each by some part: it has the same channel in all of them.
    """
    found: dict[str, dict[str, int]] = {}
    seen = set()
    for line in hlo.splitlines():
        if not (call := _CALL.search(line)) or (call[4] and call.groups() in seen):
            continue
        seen.add(call.groups())
        result, kind, started, _ = call.groups()
        shapes = _SHAPE.findall(result)
        size = sum(BYTES[dtype] * math.prod(int(n) for n in sides.split(",") if n) for dtype, sides in shapes)
        entry = found.setdefault(kind, {"count": 0, "bytes": 0})
        entry["count"] += 1
        entry["bytes"] += size // 2 if started and kind != "all-reduce" else size  # its result names its operand too
    return found


def _bytes(shape: re.Match) -> tuple[int, bool]:
    """Return (bytes of an array with the padding of its tiles, whether it lies in the chip's memory).

    An array that does not lie there is on the chip itself.
    """
    dtype, sides, order, layout = shape.groups(default="")
    lengths = [int(n) for n in sides.split(",") if n]
    if order and (tile := re.match(r"T\(([\d,]+)\)", layout)):
        minor_first = zip(map(int, order.split(",")), map(int, reversed(tile[1].split(","))), strict=False)
        for axis, length in minor_first:
            lengths[axis] = -(-lengths[axis] // length) * length
    return BYTES[dtype] * math.prod(lengths), "S(" not in layout


def memory_traffic(hlo: str) -> int:
    """Return the bytes that a compiled program moves between the chip and its memory, by its text.

    For a TPU the compiler has decided for every array whether it lies on the chip: its layout then ends with S(1). For
    a GPU all arrays lie in memory; what the cache saves is not counted. An operation reads and writes what lies in
    memory, once each. A copy or slice that was begun by itself moves what it makes. The cost analysis of JAX counts
    "bytes accessed" on the chip, too, and what an operation reads several times.
    """
    arrays: dict[str, list[tuple[int, bool]]] = {}
    total = 0
    for line in hlo[hlo.index("\nENTRY") :].splitlines():
        if not (found := _INSTRUCTION.match(line)):
            continue
        name, result, kind, operands = found.groups()
        arrays[name] = [_bytes(shape) for shape in _LAYOUT.finditer(result)]
        if kind in ("copy-start", "slice-start"):
            total += min(arrays[name][:2])[0]
        elif kind not in FREE and not kind.endswith("-done"):
            read, written = [arrays.get(operand, []) for operand in re.findall(r"%[\w.\-]+", operands)], arrays[name]
            if "calls=%async_collective_fusion" in line:  # It hands on the arrays of a collective that goes on beside.
                passed = [tuple(map(int, pair)) for pair in _ALIAS.findall(line)]
                written = [array for i, array in enumerate(written) if i not in {output for output, _ in passed}]
                read = [array for i, array in enumerate(read) if i not in {operand for _, operand in passed}]
            total += sum(size for size, in_memory in [*itertools.chain(*read), *written] if in_memory)
    return total


def cycles(hlo: str) -> int:
    """Return the cycles that the compiler expects a program for a TPU to take, without its collectives."""
    return sum(map(int, re.findall(r'"estimated_cycles":"(\d+)"', hlo)))


def kernels(hlo: str) -> int:
    """Return how many kernels a program for a GPU launches."""
    launched = ("fusion", "custom-call", "copy", "copy-start", *COLLECTIVES, *(f"{kind}-start" for kind in COLLECTIVES))
    found = map(_INSTRUCTION.match, hlo[hlo.index("\nENTRY") :].splitlines())
    return sum(line.group(3) in launched for line in found if line)


def shapes_of(tree):
    return jax.tree.map(lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype), tree)


def compile_step(config, devices):
    """Return (the step compiled for devices that need not be there, seconds that this took)."""
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
    """Return what the compiler says of a step, for each device; "flop" and "accessed" may be None."""
    compiled, seconds = compile_step(config, devices)
    cost, memory, hlo = compiled.cost_analysis() or {}, compiled.memory_analysis(), compiled.as_text()
    return {
        "flop": cost.get("flops"),
        "accessed": cost.get("bytes accessed"),
        "traffic": memory_traffic(hlo),
        "cycles": cycles(hlo),
        "kernels": kernels(hlo),
        "temporaries": memory.temp_size_in_bytes,
        "arguments": memory.argument_size_in_bytes,
        "collectives": collectives(hlo),
        "compile_seconds": seconds,
    }


def bounds(measured: dict, chip: Chip, count: int) -> dict[str, float]:
    """Return the seconds that a step needs at best for its arithmetic, its memory and between chips; and as expected.

    "expected" is for a TPU the compiler's own estimate, which knows how much of the chip's units an operation leaves
    idle, and for a GPU the time of launching kernels. An all-reduce on a ring moves nearly twice its bytes.
    """
    flop = measured["flop"] or GFLOP[measured["stage"]] * 1e9 * measured["batch"]
    moved = sum((2 if kind == "all-reduce" else 1) * entry["bytes"] for kind, entry in measured["collectives"].items())
    times = {
        "arithmetic": flop / chip.flops,
        "memory": measured["traffic"] / chip.bandwidth,
        "links": moved * (count - 1) / count / chip.links,
    }
    return times | {"expected": measured["cycles"] / chip.clock if chip.clock else measured["kernels"] * LAUNCH}


PAGE = """# A training step on TPUs and GPUs, on paper

XLA's compilers for TPUs and for NVIDIA's GPUs run on any x86 machine. They have compiled the steps of the paper's
networks in bfloat16, and this page shows what they say of them. `benchmarks/accelerators.py` writes it; how to install
the compilers stands at its beginning.

**Nothing here has been run on an accelerator.** The columns are:

- *batch*: crops of 96 × 96 pixels on each chip.
- *TFLOP*: operations of one step on each chip. The compiler for GPUs does not count them; there *arithmetic* counts the
  convolutions and dense layers.
- *GB moved*: between the chip and its memory. For a TPU the compiler says of every array whether it is kept on the
  chip, and most are; for a GPU what the cache saves is not known. *GB accessed* is the compiler's other count, which
  has what is read and written on the chip, too.
- *MB args* and *MB temp.*: memory of each chip for the state and the batch, and for what is computed on the way.
- *optimizer*: whether every chip has a copy of Adam's averages, or a part of them (`config.optimizer.sharded`).
- *collectives*: how many there are, and their MB. They are sums over the chips, of gradients, of BatchNorm's means and
  squares, and of what is logged; where the optimizer is divided, the parts of the parameters are gathered as well.
- *arithmetic*, *memory*, *links*: milliseconds that each would take at the chip's published best.
- *expected*: milliseconds that the compiler's own estimate of cycles takes at a TPU's clock. It knows that few channels
  leave most of a matrix unit idle. For a GPU, 2 µs for each of the *kernels* that it has to launch, which is an
  assumption. The longest of these times is the bound of the step.
- *steps/s* and *hours*: a **projection** that assumes {reached:.0%} of the bound, and the paper's number of updates
  whatever the batch. It leaves out reading the data.

The published figures are TFLOP/s in bfloat16, GB/s of memory, GB/s to other chips in one direction, and a TPU's clock:
{chips}.

{table}
{changes}"""

# What made the step cheaper: measured as the page says, before and after the change.
CHANGES = """
## What made the steps cheaper

G's last convolution, 9×9 with 3 outputs, is computed on the grid before the last pixel shuffle, where it is one of 5×5
with 12 outputs, and the PReLU stands before the shuffle. The function is the same except for rounding
(`models.layers.convolve_subpixels`). The shuffle and its gradient, which a TPU's memory layout makes expensive, then
fall away. On 8 chips of v5e with 16 crops each, before and after:

| | millions of cycles | GB moved | GB accessed | MB temp. |
|---|---|---|---|---|
| SRResNet-MSE, before | 10.68 | 0.30 | 2.85 | 132 |
| SRResNet-MSE | 5.74 | 0.23 | 2.16 | 91 |
| SRGAN-VGG54, before | 25.1 | 2.27 | 11.51 | 499 |
| SRGAN-VGG54 | 20.3 | 2.22 | 11.08 | 485 |
| SRGAN-VGG54, other pooling | 17.5 | 2.28 | 10.30 | 448 |

For one H100, SRResNet-MSE moves 1.12 GB instead of 1.20, and SRGAN-VGG54 5.54 GB instead of 5.61. The compiler for TPUs
needed 56 s of a CPU for the step of SRResNet-MSE instead of 100. The PReLU before the shuffle alone saved 3 % of the
cycles.

The last line is with VGG19's pooling as the maxima of windows on TPUs (`models.layers.max_pool`). Maxima of
neighbouring pixels, which are better on CPUs and GPUs, make a TPU copy arrays between layouts.

Dividing the optimizer (`config.optimizer.sharded`) halves the memory for the state. It costs 8 % more cycles, and 100
MB more between the chips, which gather the updates. Gradients and updates are declared to be whole on every chip.
Without that the compiler let the division reach into the convolutions: there were 672 collectives with 1,087 MB, and a
step took three times as long.

What is left of SRResNet-MSE's cycles are the 3×3 convolutions of the residual blocks (33 %), whose 64 channels fill a
quarter of a matrix unit; the last convolution (22 %); sums and slopes in the blocks (13 %); the first pixel shuffle
(9 %); and Adam (6 %). The bound is not the memory: nearly all arrays of a step stay on the chip.

## What was tried and left out

All of this was compiled for v5e in bfloat16, with 16 crops; the first two by small programs that are not kept here:

- Two pictures side by side in 128 channels, by kernels that are half zeros: four of the blocks' convolutions with their
  gradients need 224 thousand cycles, as without. Two neighbouring columns in 128 channels: 204 thousand, which would be
  3 % of the step of SRResNet-MSE, for kernels that are hard to read.
- A scan over the 16 residual blocks: alone they are compiled in 6 s instead of 22. But they take 344 MB of temporaries
  instead of 9, since what the gradients need no longer stays on the chip, and stacking the blocks' parameters and
  taking them apart takes another 15 % of the blocks' cycles.
- Less optimisation: with `JAX_OPTIMIZATION_LEVEL=O1` the step of SRResNet-MSE is compiled in 25 s instead of some 40,
  but takes 1.7 times as many cycles. That may be of use where one tries something for a few steps.
- The first pixel shuffle can be avoided as the second is. Its convolution would have four times the operations, most of
  them with zeros.
"""


def rows(record: dict) -> list[list[str]]:
    order = [list(names) for names in (CONFIGS, CHIPS, OPTIMIZERS)]
    lines = []
    for entry in sorted(
        record.values(),
        key=lambda entry: (
            *(of.index(entry[field]) for of, field in zip(order, ("stage", "chip", "optimizer"), strict=True)),
            entry["count"],
            entry["batch"],
        ),
    ):
        chip = CHIPS[entry["chip"]]
        times = bounds(entry, chip, entry["count"])
        longest = max(times, key=times.get)
        marked = {name: f"**{1e3 * t:.2f}**" if name == longest else f"{1e3 * t:.2f}" for name, t in times.items()}
        per_second = REACHED / times[longest]
        calls = entry["collectives"].values()
        lines.append(
            [
                entry["stage"],
                f"{entry['count']} × {entry['chip']}",
                str(entry["batch"]),
                entry["optimizer"],
                f"{entry['flop'] / 1e12:.3f}" if entry["flop"] else "",
                f"{entry['traffic'] / 1e9:.2f}",
                f"{entry['accessed'] / 1e9:.2f}" if entry["accessed"] else "",
                f"{entry['arguments'] / 1e6:.0f}",
                f"{entry['temporaries'] / 1e6:.0f}",
                f"{sum(c['count'] for c in calls)}, {sum(c['bytes'] for c in calls) / 1e6:.1f}",
                *(marked.get(name, "") for name in ("arithmetic", "memory", "links", "expected")),
                f"{entry['kernels']:,}" if chip.target else "",
                f"{per_second:.0f}",
                f"{PAPER[entry['stage']] / per_second / 3600:.1f}",
                f"{entry['compile_seconds']:.0f}",
            ]
        )
    return lines


def page(record: dict) -> str:
    """Return the text of docs/accelerators.md."""
    header = ["stage", "chips", "batch", "optimizer", "TFLOP", "GB moved", "GB accessed", "MB args", "MB temp."]
    header += [
        "collectives",
        "arithmetic",
        "memory",
        "links",
        "expected",
        "kernels",
        "steps/s",
        "hours",
        "compiled in s",
    ]
    chips = "; ".join(
        f"{name} {chip.flops / 1e12:.0f}, {chip.bandwidth / 1e9:.0f}, {chip.links / 1e9:.0f}"
        + (f", {chip.clock / 1e9:.2f} GHz" if chip.clock else "")
        for name, chip in CHIPS.items()
    )
    return PAGE.format(reached=REACHED, chips=chips, table=Table(header, rows(record)).markdown(), changes=CHANGES)


def read(path: pathlib.Path) -> dict:
    """Return what has been compiled until now, perhaps by another process."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--stages", nargs="+", choices=CONFIGS, default=list(CONFIGS))
    parser.add_argument("--chips", nargs="+", choices=CHIPS, default=list(CHIPS))
    parser.add_argument("--counts", nargs="+", type=int, default=[8], help="of chips (default: 8)")
    parser.add_argument("--batch", nargs="+", type=int, default=[16], help="crops on each chip (default: 16)")
    parser.add_argument("--optimizer", nargs="+", choices=OPTIMIZERS, default=["copied"], help="how it is placed")
    parser.add_argument("--page", action="store_true", help="only write the page")
    parser.add_argument("--record", type=pathlib.Path, default=RECORD)
    parser.add_argument("--out", type=pathlib.Path, default=PAGE_FILE)
    arguments = parser.parse_args(words)
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
            key = f"{stage} {count} {name} {batch} {optimizer}"
            if key in read(arguments.record) or count not in CHIPS[name].topologies:
                continue
            devices = CHIPS[name].devices(count)
            config = CONFIGS[stage].get_config()
            config.batch_size, config.vgg_weights, config.dtype = batch * len(devices), vgg, "bfloat16"
            config.optimizer.sharded = optimizer == "divided"
            measured = measure(config, devices)
            about = {"stage": stage, "chip": name, "count": count, "batch": batch, "optimizer": optimizer}
            record = read(arguments.record) | {key: about | measured}
            replace_text(arguments.record, json.dumps(record, indent=1) + "\n")
            print(f"{key}: compiled in {measured['compile_seconds']:.0f} s", flush=True)
    replace_text(arguments.out, page(read(arguments.record)))


if __name__ == "__main__":
    main()
