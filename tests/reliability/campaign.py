"""What a campaign is, and how one is run and counted."""

import dataclasses
import pathlib
import random
import time
from collections.abc import Callable, Iterator


@dataclasses.dataclass
class Setting:
    """What a campaign is given.

    Attributes:
      tries: how many tries it is to make.
      rng: the source of all chance.
      folder: an empty folder of its own.
      notes: sentences for the report, which the campaign may add.
    """

    tries: int
    rng: random.Random
    folder: pathlib.Path
    notes: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Campaign:
    """A row of the table.

    Attributes:
      promise: what is to hold in every try.
      run: yields "" for each try that the promise survived, and a sentence for each that it did not.
      tries: how many tries are made by default.
      nightly: how many are made with --nightly.
    """

    promise: str
    run: Callable[[Setting], Iterator[str]]
    tries: int
    nightly: int


@dataclasses.dataclass
class Result:
    """What came of a campaign: the number of tries, a sentence for each failure, and the seconds that it took."""

    name: str
    promise: str
    seed: int
    tried: int = 0
    failures: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    seconds: float = 0.0


def run_campaign(
    name: str,
    campaign: Campaign,
    *,
    tries: int,
    seed: int,
    folder: pathlib.Path,
    progress: Callable[[Result], object] = lambda result: None,
) -> Result:
    """Run one campaign. An error that it raises itself counts as a failure, and ends it.

    Args:
      name, campaign: a row of table.CAMPAIGNS.
      tries: how many tries to make.
      seed: of all chance. It is mixed with the name, so that campaigns do not share their chances.
      folder: an empty folder.
      progress: called after each try.
    """
    setting = Setting(tries, random.Random(f"{seed} {name}"), folder)
    result, start = Result(name, campaign.promise, seed, notes=setting.notes), time.perf_counter()
    try:
        for failure in campaign.run(setting):
            result.tried += 1
            result.failures += [failure] if failure else []
            result.seconds = time.perf_counter() - start
            progress(result)
    except Exception as error:
        result.tried += 1
        result.failures.append(f"the campaign itself ended: {type(error).__name__}: {error}")
    result.seconds = time.perf_counter() - start
    return result
