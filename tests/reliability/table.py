"""The campaigns. A further one is a function and a row here."""

from tests.reliability import (
    batches,
    checkpoints,
    exhaustion,
    kills,
    nonfinite,
    pictures,
    processes,
    sharing,
    tiles,
    weights,
)
from tests.reliability.campaign import Campaign

CAMPAIGNS = {
    "kill": Campaign(
        "A training that is killed at a random moment, half of the times while it saves, goes on and ends with the "
        "bytes of one that was never killed.",
        kills.kill,
        tries=20,
        nightly=200,
    ),
    "damage": Campaign(
        "A checkpoint of which a file is truncated, emptied, deleted or has a flipped bit is restored exactly, or the "
        "older one is and the message names the damaged one.",
        checkpoints.damage,
        tries=120,
        nightly=2000,
    ),
    "signal": Campaign(
        "A training that gets SIGTERM in any phase ends by itself, and no step that it has logged is lost.",
        kills.signal,
        tries=6,
        nightly=200,
    ),
    "batches": Campaign(
        "A batch has the same bytes whatever the number of threads, of processes and of restarts; pictures that change "
        "between two starts are named.",
        batches.batches,
        tries=5_000,
        nightly=100_000,
    ),
    "restore": Campaign(
        "What one number of processes has saved, another restores to the byte: 1, 2, 4 and 1 again.",
        processes.restore,
        tries=3,
        nightly=30,
    ),
    "nonfinite": Campaign(
        "A state in which a number is NaN or infinite is never saved.",
        nonfinite.nonfinite,
        tries=60,
        nightly=1000,
    ),
    "pictures": Campaign(
        "A hostile picture gets one sentence and leaves no file, in upscaling, training and evaluation, and the others "
        "go on.",
        pictures.pictures,
        tries=200,
        nightly=2000,
    ),
    "tiles": Campaign(
        "A picture that is computed in tiles has the levels of the whole picture, but for the rounding of float32 "
        "where a value lies between two levels.",
        tiles.tiles,
        tries=40,
        nightly=500,
    ),
    "exhaustion": Campaign(
        "When a device's memory or the disk is full, no wrong or partial file stands under a final name, there is one "
        "sentence, and the work goes on once there is room.",
        exhaustion.exhaustion,
        tries=24,
        nightly=300,
    ),
    "processes": Campaign(
        "When one of two processes is killed or frozen, both end in bounded time, and the run goes on afterwards.",
        processes.one_of_two,
        tries=2,
        nightly=60,
    ),
    "weights": Campaign(
        "A hostile file of weights runs no code and is refused in one sentence; a release is never read wrongly.",
        weights.weights,
        tries=400,
        nightly=5000,
    ),
    "sharing": Campaign(
        "Of two trainings in one directory the second is refused; two that enlarge into one folder do no harm.",
        sharing.sharing,
        tries=4,
        nightly=60,
    ),
}
