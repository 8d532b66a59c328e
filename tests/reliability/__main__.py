"""The command line: `python -m tests.reliability [--nightly] [--only NAME …] [--tries N] [--seed N] [--out FILE]`."""

import argparse
import pathlib
import signal
import sys
import tempfile

import tqdm

from srgan_jax.commands.common import report_input_errors
from srgan_jax.errors import InputError, nearest_name
from srgan_jax.files import replace_text
from tests.reliability.campaign import Result, run_campaign
from tests.reliability.report import markdown, page
from tests.reliability.table import CAMPAIGNS

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "reliability.md"


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.reliability", description="Measure reliability, and write docs/reliability.md."
    )
    parser.add_argument("--nightly", action="store_true", help="make many tries, which takes hours")
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", default=[], help=f"run only these of {', '.join(CAMPAIGNS)}"
    )
    parser.add_argument("--tries", type=int, help="make so many tries in each campaign")
    parser.add_argument("--seed", type=int, default=0, help="of all chance (default: 0)")
    parser.add_argument(
        "--out", type=pathlib.Path, help="the page to write (default: docs/reliability.md, if all campaigns are run)"
    )
    return parser.parse_args(arguments)


def run(flags: argparse.Namespace) -> list[Result]:
    """Run the campaigns, and write the page. Return the results."""
    for name in flags.only:
        if name not in CAMPAIGNS:
            raise InputError(f"--only: no campaign {name!r}; {nearest_name(name, CAMPAIGNS)}")
    if flags.tries is not None and flags.tries < 1:
        raise InputError(f"--tries must be at least 1, got {flags.tries}.")
    out = flags.out or (None if flags.only or flags.tries else PAGE)
    results = []
    for name in flags.only or CAMPAIGNS:
        campaign = CAMPAIGNS[name]
        tries = flags.tries or (campaign.nightly if flags.nightly else campaign.tries)
        with (
            tempfile.TemporaryDirectory(prefix=f"reliability-{name}-") as folder,
            tqdm.tqdm(total=tries, desc=name, unit="try", disable=not sys.stderr.isatty()) as bar,
        ):
            results.append(
                run_campaign(
                    name,
                    campaign,
                    tries=tries,
                    seed=flags.seed,
                    folder=pathlib.Path(folder),
                    progress=lambda result, bar=bar: bar.update(result.tried - bar.n),
                )
            )
        for failure in results[-1].failures:
            print(f"{name}: {failure}", file=sys.stderr)
        if out:  # After each campaign, so that a night that is cut short leaves what was measured.
            replace_text(out, page(results, nightly=flags.nightly))
    return results


def main(arguments: list[str] | None = None) -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # Small disks are taken away also then.
    with report_input_errors():
        results = run(parse_arguments(arguments))
        print(markdown(results))
        sys.exit(1 if any(result.failures for result in results) else 0)


if __name__ == "__main__":
    main()
