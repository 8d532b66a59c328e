"""What eval.py does: score one method, perhaps compare it with another, perhaps show both beside the interpolations."""

import json
import pathlib

from srgan_jax import processes
from srgan_jax.errors import InputError
from srgan_jax.evaluation import comparison, scoring
from srgan_jax.evaluation.report import Report
from srgan_jax.evaluation.sets import parse_sets
from srgan_jax.files import check_outputs, replace_text
from srgan_jax.upscaling import TILE
from srgan_jax.weights.vgg19 import load_vgg19


def evaluate_and_report(ckpt, data, out, *, protocols, vs=None, report=None, vgg=None, scale=4, tile=TILE) -> None:
    """Evaluate `ckpt` and print its table.

    Args:
      ckpt: what scoring.create_method takes.
      data: entries "NAME=DIR", see sets.read_set.
      out: directory for results.json and the SR images.
      protocols: names out of metrics.PROTOCOLS.
      vs: another method; its files go to OUT/vs, the comparison to OUT/comparison.json.
      report: directory for an HTML page of the methods, nearest and bicubic.
      vgg: file of VGG19's weights, for the feature distance.
      scale: of an interpolation; a network has its own.
      tile: LR pixels computed at once; 0 for whole pictures.
    """
    scoring.check_protocols(protocols)
    out = pathlib.Path(out)
    method = scoring.create_method(ckpt, scale=scale, tile=tile)
    sets = parse_sets(data, scale=method.scale)
    distance = scoring.make_feature_distance(*load_vgg19(vgg, ("vgg54",))) if vgg else None
    other = scoring.create_method(vs, scale=method.scale, tile=tile) if vs else None
    if other and other.scale != method.scale:
        raise InputError(
            f"{vs} enlarges {other.scale} times, but {ckpt} {method.scale} times: they cannot be compared."
        )
    simple = [name for name in scoring.INTERPOLATIONS if name not in (vs, ckpt)] if report else []
    folders = [out, *([out / "vs"] if vs else []), *(pathlib.Path(report) / name for name in simple)]
    outputs = [output for folder in folders for output in scoring.outputs(sets, folder)]
    outputs += [(out / "comparison.json", "the comparison")] if vs else []
    outputs += [(pathlib.Path(report) / "index.html", "the page")] if report else []
    check_outputs(outputs, [file for pairs in sets for file in pairs.files])
    page = Report()

    def run(name, method, folder):
        collect = page.collector(name) if report else None
        results = scoring.run(method, sets, folder, protocols=protocols, distance=distance, on_image=collect)
        page.add(name, results)
        return results

    say = print if processes.is_first() else lambda text: None
    results = run(ckpt, method, out)
    say(scoring.table(results))
    if vs:
        compared = comparison.compare(results, run(vs, other, out / "vs"))
        if processes.is_first():
            replace_text(out / "comparison.json", json.dumps(compared, indent=2) + "\n")
        say("\n" + comparison.comparison_table(compared, ckpt, vs))
    if report:
        methods = [name for name in (vs, ckpt) if name]
        for name in simple:
            run(name, scoring.create_method(name, scale=method.scale), pathlib.Path(report) / name)
        say(f"\n{page.write(report, order=[*simple, *methods])}")
