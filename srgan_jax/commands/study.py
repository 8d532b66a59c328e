"""`srgan-study`, which `python -m srgan_jax.study` is too: opinion tests.

create OUT --methods A=DIR B=DIR …    make a study out of folders of pictures
serve DIR                             show it to raters, in their browsers
analyse DIR -o REPORT                 what the answers mean
simulate DIR                          answer as raters of known taste would, to try everything out
"""

import argparse
from collections.abc import Sequence

from srgan_jax.commands.common import add_version, report_input_errors
from srgan_jax.errors import InputError


def create(flags: argparse.Namespace) -> None:
    from srgan_jax.study.creating import create as make

    options = {name: value for name, value in vars(flags).items() if name not in ("run", "out", "methods")}
    made = make(flags.out, flags.methods, **options)
    count = len(made.pictures)
    print(f"{flags.out}: {count} pictures by {len(made.methods)} methods ({', '.join(made.methods)})")
    print(f"Change {flags.out}/texts to what your raters shall read, then: python -m srgan_jax.study serve {flags.out}")


def serve(flags: argparse.Namespace) -> None:
    from srgan_jax.study.serving import serve as run

    run(flags.study, host=flags.host, port=flags.port, names=flags.name)


def analyse(flags: argparse.Namespace) -> None:
    from srgan_jax.study.report import analyse as run

    print(run(flags.input, flags.out, scores=flags.scores, without=flags.without))


def simulate(flags: argparse.Namespace) -> None:
    from srgan_jax.study.simulate import fill

    opinions = {}
    for entry in flags.opinions:
        method, _, opinion = entry.rpartition("=")
        try:
            opinions[method] = float(opinion)
        except ValueError:
            raise InputError(f"--opinions: expected METHOD=NUMBER, such as bicubic=1.8, got {entry!r}.") from None
    options = {"bias": flags.bias, "noise": flags.noise, "seed": flags.seed}
    answers = fill(flags.study, flags.raters, opinions=opinions, **options)
    print(f"{flags.study}: {answers} simulated answers; reports will say that they are simulated")


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m srgan_jax.study", description="Opinion tests: which pictures look good to people?"
    )
    add_version(parser)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(function, what):
        made = commands.add_parser(function.__name__, help=what, description=what)
        made.set_defaults(run=function)
        return made

    made = command(create, "make a study out of folders of pictures")
    made.add_argument("out", metavar="OUT", help="directory of the study, which does not exist yet")
    made.add_argument(
        "--methods", nargs="+", required=True, metavar="[NAME=]DIR", help="folders that srgan-eval, or you, have filled"
    )
    made.add_argument("--data", nargs="+", default=[], metavar="NAME=DIR", help="HR pictures, as for srgan-eval")
    made.add_argument("--no-reference", dest="reference", action="store_false", help="do not show HR among the methods")
    made.add_argument("--calibration", metavar="DIR", help="HR pictures outside of the test, for examples of 1 and 5")
    made.add_argument("--kind", choices=("acr", "pairs"), default="acr", help="grades 1 to 5 (default), or pairs")
    made.add_argument("--title", default="Which pictures look good?", help="what raters read first")
    made.add_argument("--raters", type=int, default=30, help="how many can take part (default: %(default)s)")
    made.add_argument("--per-rater", type=int, metavar="N", help="questions in a session (default: all)")
    made.add_argument("--repeats", type=int, default=0, metavar="N", help="questions that are asked again (default: 0)")
    made.add_argument("--pictures", type=int, metavar="N", help="pictures, chosen at random (default: all)")
    made.add_argument(
        "--minimum-seconds", type=float, default=1.0, metavar="S", help="before an answer counts (default: %(default)s)"
    )
    made.add_argument(
        "--magnification",
        type=int,
        default=0,
        metavar="N",
        help="screen pixels for each pixel (default: by the screen)",
    )
    made.add_argument("--ask", dest="questions", nargs="+", default=[], metavar="TEXT", help="questions to the rater")
    made.add_argument("--seed", type=int, default=0, help="of the order of the pictures")

    made = command(serve, "show a study to raters, in their browsers")
    made.add_argument("study", metavar="DIR", help="what `create` has written")
    made.add_argument("--host", default="127.0.0.1", help="0.0.0.0 for other machines too (default: this one alone)")
    made.add_argument("--port", type=int, default=8000, help="(default: %(default)s)")
    made.add_argument("--name", nargs="+", default=[], metavar="HOST", help="further names that this machine has")

    made = command(analyse, "write a report and tables of a study's answers")
    made.add_argument("input", metavar="DIR|CSV", help="a study, or a table rater,image,method,score")
    made.add_argument("-o", "--out", required=True, metavar="REPORT", help="directory for the report and its tables")
    made.add_argument(
        "--scores",
        nargs="+",
        default=[],
        metavar="[METHOD=]DIR",
        help="folders of srgan-eval, for metrics and opinions",
    )
    made.add_argument("--without", nargs="+", default=[], metavar="RATER", help="raters to leave out, by their numbers")

    made = command(simulate, "answer a study as simulated raters, to try everything out")
    made.add_argument("study", metavar="DIR", help="what `create` has written; its answers will be marked as simulated")
    made.add_argument("--raters", type=int, default=20, help="how many (default: %(default)s)")
    made.add_argument("--opinions", nargs="+", default=[], metavar="METHOD=MOS", help="what they think of the methods")
    made.add_argument("--bias", type=float, default=0.3, help="how kind or strict raters are (default: %(default)s)")
    made.add_argument("--noise", type=float, default=0.7, help="how unsure of a grade (default: %(default)s)")
    made.add_argument("--seed", type=int, default=0, help="of the raters")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    flags = parse_arguments(arguments)
    with report_input_errors():
        flags.run(flags)


if __name__ == "__main__":
    main()
