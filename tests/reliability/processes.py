"""Several processes: restores by other numbers of them, and one of two that is lost."""

import signal
from collections.abc import Iterator

from tests.reliability import programs
from tests.reliability.campaign import Setting

CHANGES = programs.STAGES["adversarial"] | {"save_every": 2, "eval_every": 0, "data__holdout": 0.0}
BOUND = 60  # seconds in which the others end; the heartbeat is 10 s (trainee.HEARTBEAT)


def restore(setting: Setting) -> Iterator[str]:
    """Train two steps with 1, 2, 4 and 1 processes after each other; each start restores what the last one saved."""
    counts, tries = (1, 2, 4), 0
    while tries < setting.tries:
        workdir, saved = setting.folder / str(tries), None
        for number, count in enumerate((*counts, 1)):
            changes = CHANGES | {"num_steps": 2 * (number + 1)}
            ended = [p.end() for p in programs.train_together(workdir, changes, count=count)]
            complaint = next(filter(None, (one.complaint(0) for one in ended)), "")
            lines = {tuple(line for line in one.out.splitlines() if " " in line and line[0] in "rs") for one in ended}
            words = {tuple(w for w in told if w.startswith(("saved", "restored"))) for told in lines}
            if complaint or len(words) != 1:
                yield f"{count} processes: {complaint or 'they do not hold the same state'}"
                return
            told = dict(line.split(" ", 1) for line in words.pop())
            if saved is not None:
                tries += 1
                yield "" if told.get("restored") == saved else f"{count} processes restored another state"
                if tries == setting.tries:
                    return
            saved = told["saved"]


def one_of_two(setting: Setting) -> Iterator[str]:
    """Kill or freeze one of two processes at a random moment of a training."""
    slowest = 0.0
    for number in range(setting.tries):
        workdir, victim = setting.folder / str(number), setting.rng.randrange(2)
        kind = (signal.SIGKILL, signal.SIGSTOP)[number % 2]
        group = programs.train_together(workdir, CHANGES | {"num_steps": 400}, count=2, pause=0.1)
        least = setting.rng.randrange(0, 8)
        group[0].wait_for(lambda w=workdir, n=least: len(programs.logged_steps(w)) >= n)
        group[victim].process.send_signal(kind)
        other = group[1 - victim].end(patience=BOUND)
        slowest = max(slowest, other.seconds)
        if kind == signal.SIGSTOP:
            group[victim].process.kill()
        group[victim].end()
        what = f"process {victim} got {kind.name}"
        if other.seconds >= BOUND:
            yield f"{what}: the other one did not end in {BOUND} s"
            continue
        reached = (programs.saved_steps(workdir) or [0])[-1]
        changes = CHANGES | {"num_steps": reached + 2}
        again = [p.end() for p in programs.train_together(workdir, changes, count=2)]
        complaint = next(filter(None, (one.complaint(0) for one in again)), "")
        if not complaint and programs.logged_steps(workdir) != list(range(1, reached + 3)):
            complaint = f"the log has the steps {programs.logged_steps(workdir)}"
        yield complaint and f"{what}, started again: {complaint}"
    setting.notes.append(f"The other process took at most {slowest:.0f} s to end.")
