"""What benchmarks/accelerators.py reads out of compiled programs, and the page that it makes of it."""

import json
import pathlib
import subprocess
import sys

import pytest

from benchmarks import accelerators

ROOT = pathlib.Path(__file__).parents[1]

HLO = """
  %all-reduce.1 = f32[64,64]{1,0:T(8,128)} all-reduce(%fusion), channel_id=1, to_apply=%add
  %all-reduce.2 = (bf16[10]{0}, f32[3,3]{1,0}) all-reduce(%a, %b), replica_groups={{0,1}}
  %start = (f32[8]{0}, f32[32]{0}) all-gather-start(%c), dimensions={0}
  %done = f32[32]{0} all-gather-done(%start)
  %other = f32[5]{0} add(%all-reduce.1, %d)
  %all-gather.1 = f32[64,8]{1,0} all-gather(%param_0.1), channel_id=7, dimensions={0}
  %all-gather.2 = f32[64,8]{1,0} all-gather(%param_0.2), channel_id=7, dimensions={0}
  ROOT %permute = pred[7]{0} collective-permute(%e), source_target_pairs={{0,1}}
"""
MEASURED = {"flop": 197e12, "traffic": 819e9 * 2, "accessed": 4e12, "cycles": 1.5e9 * 1.5, "compile_seconds": 3.0}
MEASURED |= {"temporaries": 1e6, "arguments": 1e6, "kernels": 3}

# A copy from the memory to the chip, a fusion that reads it and a padded array of the memory, and writes to the chip.
ENTRY = """
ENTRY %main (p: bf16[8,64]) -> bf16[8,64] {
  %p = bf16[8,64]{1,0:T(8,128)(2,1)} parameter(0)
  %q = f32[3]{0:T(128)} parameter(1)
  %copy-start = (bf16[8,64]{1,0:T(8,128)(2,1)S(1)}, bf16[8,64]{1,0:T(8,128)(2,1)}, u32[]{:S(2)}) copy-start(%p)
  %copy-done = bf16[8,64]{1,0:T(8,128)(2,1)S(1)} copy-done(%copy-start)
  %fusion = bf16[8,64]{1,0:T(8,128)(2,1)S(1)} fusion(%copy-done, %q), backend_config={"estimated_cycles":"70"}
  %other = (bf16[4]{0}, s32[]) fusion(%fusion), calls=%f, backend_config={"estimated_cycles":"30"}
  %by = (f32[2]{0}, f32[9]{0}) fusion(%q, %g), output_to_operand_aliasing={{1}: (1, {})}, calls=%async_collective_fusion
}
"""


def test_collectives_are_counted_with_their_bytes():
    assert accelerators.collectives(HLO) == {
        "all-reduce": {"count": 2, "bytes": 4 * 64 * 64 + 2 * 10 + 4 * 9},
        "all-gather": {"count": 2, "bytes": 4 * (8 + 32) // 2 + 4 * 64 * 8},
        "collective-permute": {"count": 1, "bytes": 7},
    }


def test_what_leaves_the_chip_is_counted_and_the_compilers_cycles():
    padded = 2 * 8 * 128
    of_q = 4 * 128
    assert accelerators.memory_traffic(ENTRY) == padded + of_q + 2 * 4 + of_q + 4 * 2
    assert accelerators.cycles(ENTRY) == 100 and accelerators.kernels(ENTRY) == 4


def test_the_longest_time_bounds_a_step():
    chip = accelerators.CHIPS["v5e"]
    measured = MEASURED | {"collectives": {"all-reduce": {"count": 1, "bytes": 100e9}}}
    expected = {"arithmetic": 1, "memory": 2, "links": 2 * 7 / 8, "expected": 1.5}
    assert accelerators.bounds(measured, chip, 8) == pytest.approx(expected)
    assert accelerators.bounds(measured, chip, 1)["links"] == 0
    gpu = MEASURED | {"flop": None, "stage": "SRResNet-MSE", "batch": 16, "collectives": {}}
    of_gpu = accelerators.bounds(gpu, accelerators.CHIPS["H100"], 1)
    assert of_gpu["expected"] == 3 * accelerators.LAUNCH
    assert of_gpu["arithmetic"] == pytest.approx(16 * 7.7e9 / 989e12)


def test_the_page(tmp_path):
    entry = MEASURED | {"stage": "SRResNet-MSE", "chip": "v5e", "count": 8, "batch": 16, "optimizer": "copied"}
    entry |= {"collectives": {}}
    (tmp_path / "record.json").write_text(json.dumps({"a": entry}))
    accelerators.main(["--page", "--record", str(tmp_path / "record.json"), "--out", str(tmp_path / "page.md")])
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert (
        "| SRResNet-MSE | 8 × v5e | 16 | copied | 197.000 | 1638.00 | 4000.00 | 1 | 1 | 0, 0.0 | 1000.00 | **2000.00** "
        "| 0.00 | 1500.00 |  |" in page
    )
    assert "**projection** that assumes 50% of the bound" in page and "v5e 197, 819, 100, 1.50 GHz" in page


def test_the_committed_page_is_what_its_record_makes():
    if not accelerators.RECORD.exists():
        pytest.skip("nothing has been compiled yet")
    record = json.loads(accelerators.RECORD.read_text(encoding="utf-8"))
    assert accelerators.PAGE_FILE.read_text(encoding="utf-8") == accelerators.page(record)


PROGRAM = """
import jax
from benchmarks import accelerators
from jax.experimental import topologies
from srgan_jax.configs import srresnet_mse
config = srresnet_mse.get_config()
config.generator.features, config.generator.num_blocks, config.data.crop_size = 16, 1, 32
config.batch_size, config.dtype, config.optimizer.sharded = 16, "bfloat16", {divided}
devices = topologies.get_topology_desc(platform="tpu", topology_name="v5e:2x4").devices
print(accelerators.json.dumps(accelerators.measure(config, devices)))
"""


@pytest.mark.slow
@pytest.mark.parametrize("divided", [False, True])
def test_between_the_chips_there_are_sums_alone(divided, tmp_path):
    """Of the gradients, of BatchNorm's statistics, and of the metrics: no more bytes than these have.

    Where the optimizer is divided, the parts of the parameters' updates are gathered as well, and nothing else.
    """
    pytest.importorskip("libtpu")
    environment = {"PYTHONPATH": f"{ROOT}:{':'.join(sys.path)}", "PATH": "/usr/bin:/bin"}
    environment |= {"HOME": str(tmp_path), "TPU_SKIP_MDS_QUERY": "1", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(divided=divided)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    measured = json.loads(done.stdout.splitlines()[-1])
    assert set(measured["collectives"]) == ({"all-reduce", "all-gather"} if divided else {"all-reduce"})
    parameters = 4 * (9 * 9 * 3 * 16 + 16 + 3 * 9 * 16 * 16 + 2 * (9 * 16 * 64 + 64) + 9 * 9 * 16 * 3 + 3)
    assert parameters * 0.4 < measured["collectives"]["all-reduce"]["bytes"] < parameters * 1.2
    assert not divided or parameters * 0.9 < measured["collectives"]["all-gather"]["bytes"] < parameters
    assert measured["flop"] > 0 and 0 < measured["traffic"] < measured["accessed"] and measured["cycles"] > 0
