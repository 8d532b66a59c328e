"""The campaigns of reliability: that they count rightly, and that they notice what they are there to notice.

How the program fares in them is in docs/reliability.md, which python -m tests.reliability writes.
"""

import random

import numpy as np
import pytest

from srgan_jax.data.loader import CropLoader
from srgan_jax.errors import InputError
from srgan_jax.weights import checkpoints as library
from tests.reliability import __main__ as command
from tests.reliability import batches, checkpoints, exhaustion, nonfinite, pictures, report, tiles, weights
from tests.reliability.campaign import Campaign, Setting, run_campaign
from tests.reliability.table import CAMPAIGNS


def setting(tmp_path, tries):
    return Setting(tries, random.Random(0), tmp_path)


def failures(campaign, tmp_path, tries):
    outcomes = list(campaign(setting(tmp_path, tries)))
    assert len(outcomes) >= tries
    return [outcome for outcome in outcomes if outcome]


def test_the_table():
    assert len(CAMPAIGNS) == 12
    for campaign in CAMPAIGNS.values():
        assert campaign.promise.endswith(".") and 0 < campaign.tries < campaign.nightly


def test_counting(tmp_path):
    def run(given):
        given.notes.append("a note")
        for number in range(given.tries):
            yield "" if number % 2 else f"number {number}\x1b failed"
        raise OSError("no more")

    seen = []
    result = run_campaign(
        "odd",
        Campaign("It holds.", run, 1, 2),
        tries=4,
        seed=7,
        folder=tmp_path,
        progress=lambda r: seen.append(r.tried),
    )
    assert seen == [1, 2, 3, 4]
    assert result.tried == 5 and result.failures[2] == "the campaign itself ended: OSError: no more"
    text = report.page([result], nightly=True)
    assert "| odd | 5 | 2 | 3 | 7 |" in text and r"number 2\x1b failed" in text
    for part in ("# Reliability", "- **odd**: It holds.", "- **odd**: a note", "jax ", "--nightly"):
        assert part in text


def test_chance_comes_from_the_seed_and_the_name(tmp_path):
    drawn = []

    def run(given):
        drawn.append(given.rng.random())
        yield ""

    for name, seed in (("a", 0), ("a", 0), ("b", 0), ("a", 1)):
        run_campaign(name, Campaign(".", run, 1, 2), tries=1, seed=seed, folder=tmp_path)
    assert drawn[0] == drawn[1] and len(set(drawn)) == 3


def test_command_line(tmp_path, monkeypatch, capsys):
    def run(given):
        yield from [""] * given.tries

    monkeypatch.setattr(command, "CAMPAIGNS", {"easy": Campaign("It holds.", run, 3, 5)})
    for flags, tried in ((["--only", "easy"], 3), (["--only", "easy", "--nightly"], 5), (["--tries", "2"], 2)):
        with pytest.raises(SystemExit) as stop:
            command.main([*flags, "--out", str(tmp_path / "page.md")])
        assert stop.value.code == 0 and f"| easy | {tried} | {tried} | 0 | 0 |" in capsys.readouterr().out
        assert f"| easy | {tried} |" in (tmp_path / "page.md").read_text()
    for flags, message in (
        (["--only", "esy"], "no campaign 'esy'; did you mean 'easy'"),
        (["--tries", "0"], "at least 1"),
    ):
        with pytest.raises(InputError, match=message):
            command.run(command.parse_arguments(flags))


# Each campaign in short; and with the safety taken away, which it must notice.


def test_batches(tmp_path):
    assert failures(batches.batches, tmp_path, 60) == []


def test_batches_that_depend_on_the_process_are_noticed(tmp_path, monkeypatch):
    batch = CropLoader.batch

    def wrong(self, step, *, shard=(0, 1)):
        made = batch(self, step, shard=shard)
        return made | {"turn": made["turn"] + shard[1]}

    monkeypatch.setattr(CropLoader, "batch", wrong)
    assert failures(batches.batches, tmp_path, 200)


def test_hostile_pictures_are_refused_in_one_line(tmp_path):
    names = pictures.write_batch(tmp_path / "photos", random.Random(1), 60, pictures.seeds())
    assert len(names) == 60 and sum(name.startswith("bomb_") for name in names) == len(pictures.bombs()) == 9
    assert [(name, said) for name in names if (said := pictures._read(tmp_path / "photos", name))] == []


def test_mutations_come_from_the_seed():
    data = bytes(range(256))
    assert len({pictures.mutated(data, random.Random(seed)) for seed in range(20)}) > 15
    assert pictures.mutated(data, random.Random(3)) == pictures.mutated(data, random.Random(3))


def test_pickles_are_noticed_when_they_run(tmp_path):
    weights.pickle.loads(weights.pickle.dumps(weights.Canary(tmp_path / "canary")))
    assert (tmp_path / "canary").is_dir()


@pytest.mark.slow
def test_weights(tmp_path):
    assert failures(weights.weights, tmp_path, 50) == []


@pytest.mark.slow
def test_damage(tmp_path):
    assert failures(checkpoints.damage, tmp_path, 8) == []


@pytest.mark.slow
def test_damage_that_is_not_looked_for_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(library, "check_files", lambda path, *items: None)
    assert failures(checkpoints.damage, tmp_path, 60)


@pytest.mark.slow
def test_nonfinite(tmp_path):
    assert failures(nonfinite.nonfinite, tmp_path, 5) == []


@pytest.mark.slow
def test_saves_that_are_not_checked_are_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(library, "check_finite", lambda state, step: None)
    assert failures(nonfinite.nonfinite, tmp_path, 2)


@pytest.mark.slow
def test_tiles(tmp_path):
    assert failures(tiles.tiles, tmp_path, 3) == []


@pytest.mark.slow
def test_tiles_with_too_small_a_margin_are_noticed(tmp_path, monkeypatch):
    for module in {type(module) for module in tiles.NETWORKS}:
        monkeypatch.setattr(module, "receptive_radius", 2)
    assert failures(tiles.tiles, tmp_path, 4)


@pytest.mark.slow
def test_memory_that_runs_out(tmp_path):
    given = setting(tmp_path, 1)
    assert [exhaustion._memory(given, number) for number in range(4)] == [""] * 4


def test_a_flipped_bit_is_one_bit():
    data = bytes(100)
    changed = np.frombuffer(checkpoints.flipped(data, random.Random(0)), np.uint8)
    assert np.unpackbits(changed).sum() == 1
