"""`srgan-weights`, which `python -m srgan_jax.weights` is too: trained networks in and out.

release RUN -o model.safetensors    the generator of a run or checkpoint as one safetensors file
push RUN hf://USER/NAME             the same file, with a model card, to the Hugging Face Hub
vgg19 IN -o vgg19.safetensors       VGG19 for the content loss
metrics FILE… -o DIR                AlexNet and VGG16 for LPIPS and DISTS
import IN -o model.safetensors      a generator of another project
export IN -o model.onnx             ours for others: ONNX, StableHLO, or a PyTorch state dict
"""

import argparse
import dataclasses
import json
import pathlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from srgan_jax.commands.common import add_version, report_input_errors
from srgan_jax.errors import InputError
from srgan_jax.files import check_outputs

if TYPE_CHECKING:
    from srgan_jax.generators import Generator


def release(arguments: argparse.Namespace) -> None:
    from srgan_jax import generators
    from srgan_jax.weights.release import write_release

    generator = generators.load(arguments.input, step=arguments.step).folded()
    if arguments.blend_with is not None:
        generator = _blended(generator, generators.load(arguments.blend_with).folded(), arguments.blend)
    info = _described(generator, arguments)
    write_release(arguments.out, generator.architecture, generator.variables, info=info, half=arguments.half)
    print(f"{arguments.out}: {generator.name}")


def _blended(first: "Generator", second: "Generator", share: float) -> "Generator":
    """Return what lies between two generators, with what is known of the first one's training."""
    from srgan_jax.upscaling import blend

    mixed = blend(first, second, share)
    about = {"with": pathlib.PurePath(second.name).name, "share": share, "sha256": second.sha256()}
    info = {name: value for name, value in first.info.items() if name != "evaluation"}
    return dataclasses.replace(mixed, info=info | mixed.info | {"blend": about})


def push(arguments: argparse.Namespace) -> None:
    from srgan_jax import generators
    from srgan_jax.weights import hub

    generator = generators.load(arguments.input, step=arguments.step).folded()
    generator = dataclasses.replace(generator, info=_described(generator, arguments))
    print(hub.push(generator, arguments.address, private=arguments.private or None, half=arguments.half))


def _described(generator: "Generator", arguments: argparse.Namespace) -> dict:
    """Return what is known of a generator, without the folders of this machine, and with what the flags say of it."""
    from srgan_jax.weights.release import without_folders

    info = generator.info
    if "config" in info:
        info = info | {"config": without_folders(info["config"])}
    if arguments.license:
        info = info | {"license": arguments.license}
    if arguments.results:
        info = info | {"evaluation": info.get("evaluation", {}) | _scores(arguments.results, generator)}
    return info


def _scores(path: str, generator: "Generator") -> dict:
    """Return the means in a results.json of eval.py, if they are those of this very generator."""
    try:
        results = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        sha256 = results["method"]["sha256"]
        datasets = {name: {"lr": d["lr"], "mean": d["mean"]} for name, d in results["datasets"].items()}
        scores = {"datasets": datasets, "protocols": results["protocols"]}
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise InputError(f"{path}: not a results.json that eval.py wrote for a network ({error}).") from None
    if sha256 != generator.sha256():
        raise InputError(f"{path}: scores of another network than {generator.name}; evaluate that one.")
    return scores


def _sha256(text: str) -> str:
    if not re.fullmatch("[0-9a-fA-F]{64}", text):
        raise argparse.ArgumentTypeError(f"expected the 64 hexadecimal digits of a SHA-256, got {text!r}")
    return text.lower()


def vgg19(arguments: argparse.Namespace) -> None:
    from srgan_jax import digests
    from srgan_jax.weights import vgg19
    from srgan_jax.weights.download import fetch

    source = arguments.input or pathlib.Path(arguments.out).with_name(vgg19.KERAS_FILE)
    if arguments.download:
        known = {"sha256": arguments.sha256} if arguments.sha256 else {}
        fetch(vgg19.KERAS_URL, source, md5=vgg19.KERAS_MD5, **known)
    elif not arguments.input:
        raise InputError("vgg19 needs a file of weights, or --download.")
    elif arguments.sha256:
        raise InputError("--sha256 is for --download; a file that is at hand is converted as it is.")
    preprocessing = vgg19.convert_vgg19(source, arguments.out)
    print(f"{arguments.out}: VGG19, preprocessing {preprocessing}; source SHA-256 {digests.of_file(source)}")


def metrics(arguments: argparse.Namespace) -> None:
    from srgan_jax.weights import perceptual

    if not arguments.download and not arguments.files:
        raise InputError("metrics needs files of weights, or --download.")
    out = arguments.out or perceptual.folder()
    for path in arguments.files:
        for said in perceptual.convert(path, out):
            print(said)
    if arguments.download:
        for said in perceptual.download(out):
            print(said)


def import_(arguments: argparse.Namespace) -> None:
    from srgan_jax import generators
    from srgan_jax.exchange import layouts
    from srgan_jax.models import count_parameters
    from srgan_jax.weights import arrays
    from srgan_jax.weights.release import write_release

    state = arrays.read_arrays(arguments.input)
    try:
        layout, module, variables = layouts.from_state_dict(state, scale=arguments.scale)
    except InputError as error:
        raise InputError(f"{arguments.input}: {error}") from None
    info = {"source": {"file": pathlib.Path(arguments.input).name, "layout": layout}}
    generator = generators.create(module, variables, name=arguments.input, info=info)
    write_release(arguments.out, generator.architecture, generator.variables, info=info)
    print(f"{arguments.out}: {layouts.LAYOUTS[layout].about}, x{module.scale}, {count_parameters(module):,} parameters")


def export(arguments: argparse.Namespace) -> None:
    from srgan_jax import generators
    from srgan_jax.exchange.export import export as write

    generator = generators.load(arguments.input).at_scale(arguments.scale)
    if arguments.scale not in (None, generator.module.scale):
        its = " or ".join(map(str, generator.module.heads))
        raise InputError(f"--scale: {generator.name} enlarges {its} times, got {arguments.scale}.")
    said = write(generator, arguments.out, layout=arguments.layout)
    print(f"{arguments.out}: {said}")


def _add_description(parser: argparse.ArgumentParser) -> None:
    """Add the flags of commands that write a release: which checkpoint it holds, how, and what its header says."""
    parser.add_argument("--step", type=int, help="of the run, the checkpoint to take instead of the best")
    parser.add_argument("--results", metavar="JSON", help="results.json of eval.py on it, to put into the header")
    parser.add_argument("--license", metavar="TEXT", help="what the weights may be used for, to put into the header")
    parser.add_argument("--half", action="store_true", help="store float16: half the size, read as float32")


def parse_arguments(args: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m srgan_jax.weights", description="Trained networks in and out.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(function, what, input_help, out_help, **input_options):
        subparser = commands.add_parser(function.__name__.rstrip("_"), help=what, description=what)
        subparser.set_defaults(run=function)
        subparser.add_argument("input", metavar="IN", help=input_help, **input_options)
        subparser.add_argument("-o", "--out", required=True, metavar="OUT", help=out_help)
        return subparser

    subparser = command(
        release,
        "write the generator of a run as one safetensors file",
        "run directory (its best checkpoint is taken), one checkpoint, or a file of this kind",
        "file to write, ending in .safetensors",
    )
    _add_description(subparser)
    subparser.add_argument(
        "--blend-with", metavar="CKPT", help="mix in another generator of the same architecture, by --blend"
    )
    subparser.add_argument(
        "--blend", type=float, metavar="SHARE", help="of the other generator, from 0 (IN alone) to 1 (the other alone)"
    )

    what = "upload the generator of a run, with a model card, to the Hugging Face Hub"
    subparser = commands.add_parser("push", help=what, description=what)
    subparser.set_defaults(run=push, out=None)
    subparser.add_argument("input", metavar="IN", help="run directory, one checkpoint, or .safetensors file")
    subparser.add_argument("address", metavar="hf://USER/NAME[@BRANCH]", help="the repository; made if it is missing")
    subparser.add_argument("--private", action="store_true", help="make a new repository private")
    _add_description(subparser)

    subparser = command(
        vgg19,
        "convert VGG19's ImageNet weights for the content loss",
        "Keras' .h5, torchvision's .pth or .safetensors, or .npz under either's names",
        "file to write, ending in .safetensors",
        nargs="?",
    )
    subparser.add_argument("--download", action="store_true", help="first fetch Keras' file to IN, or beside OUT")
    subparser.add_argument(
        "--sha256", type=_sha256, metavar="HEX", help="that the fetched file must have, beside the MD5 that Keras names"
    )

    what = "convert AlexNet and VGG16 for the metrics LPIPS and DISTS"
    subparser = commands.add_parser("metrics", help=what, description=what)
    subparser.set_defaults(run=metrics, input=None)
    subparser.add_argument(
        "files", nargs="*", metavar="FILE", help="torchvision's .pth, or .safetensors or .npz of the same arrays"
    )
    subparser.add_argument("-o", "--out", metavar="DIR", help="folder to write to (default: where metrics look)")
    subparser.add_argument(
        "--download", action="store_true", help="fetch all that is needed to DIR first (800 MB; needs PyTorch)"
    )

    subparser = command(
        import_,
        "convert a generator of another project, told by the names of its arrays",
        ".pth or .pt (needs PyTorch), or .safetensors, .npz, .h5 of the same names",
        "file to write, ending in .safetensors",
    )
    subparser.add_argument("--scale", type=int, help="of SRCNN and VDSR, whose arrays do not tell it (default: 4)")

    subparser = command(
        export,
        "write a generator for programs without srgan_jax",
        "run directory, one checkpoint, or .safetensors file",
        ".onnx, .stablehlo, or for a PyTorch state dict .pth, .pt or .safetensors",
    )
    subparser.add_argument("--layout", help="of a state dict: the project whose names of arrays it has")
    subparser.add_argument("--scale", type=int, help="of a network with several scales, the one to export")
    add_version(parser)
    parsed = parser.parse_args(args)
    if (getattr(parsed, "blend", None) is None) != (getattr(parsed, "blend_with", None) is None):
        parser.error("--blend and --blend-with need each other")
    return parsed


def run(args: Sequence[str] | None = None) -> None:
    """Do what the flags say."""
    arguments = parse_arguments(args)
    if arguments.input and arguments.out:
        check_outputs([(arguments.out, arguments.input)], [arguments.input])
    arguments.run(arguments)


def main(args: Sequence[str] | None = None) -> None:
    with report_input_errors():
        run(args)


if __name__ == "__main__":
    main()
