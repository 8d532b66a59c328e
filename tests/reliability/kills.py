"""Trainings that are killed, and trainings that are told to stop."""

import itertools
import shutil
import signal as signals
import time
from collections.abc import Iterator

from tests.reliability import programs
from tests.reliability.campaign import Setting

STEPS = 12
CHANGES = {"num_steps": STEPS, "save_every": 3, "keep_last": 2, "eval_every": 6, "eval_images": 1, "data__holdout": 0.3}


def kill(setting: Setting) -> Iterator[str]:
    """SIGKILL at a random moment, every second time while a checkpoint is being written."""
    expected = {}
    for number in range(setting.tries):
        stage = list(programs.STAGES)[number // 2 % 2]
        changes = CHANGES | programs.STAGES[stage]
        if stage not in expected:
            whole = programs.train(setting.folder / stage, changes, one_core=True).end()
            if complaint := whole.complaint(0):
                yield f"{stage}, never killed: {complaint}"
                return
            expected[stage] = whole.saved()[STEPS]
        workdir = setting.folder / str(number)
        while True:  # A program that has ended before it could be killed does not count.
            program = programs.train(workdir, changes, pause=0.1, one_core=True)
            if number % 2:
                nth = setting.rng.randrange(1, STEPS // 3)  # the save in which to kill
                partial = f"{3 * nth}.orbax-checkpoint-tmp"
                reached = program.wait_for(lambda p=workdir / "checkpoints" / partial: p.exists(), pause=0.0005)
                time.sleep(setting.rng.random() * 0.03)
            else:
                least = setting.rng.randrange(0, STEPS - 2)
                reached = program.wait_for(lambda w=workdir, n=least: len(programs.logged_steps(w)) >= n)
                time.sleep(setting.rng.random() * 0.2)
            program.process.kill()
            if program.end().status == -signals.SIGKILL and reached:
                break
            shutil.rmtree(workdir, ignore_errors=True)
        again = programs.train(workdir, changes, one_core=True).end()
        complaint = again.complaint(0)
        if not complaint and again.saved().get(STEPS) != expected[stage]:
            complaint = "the state is another one in the end"
        if not complaint and programs.logged_steps(workdir) != list(range(1, STEPS + 1)):
            complaint = f"the log has the steps {programs.logged_steps(workdir)}"
        yield complaint and f"{stage}, killed at {'a save' if number % 2 else 'any time'}: {complaint}"


GRACE = 300  # seconds until a program that was told to end counts as hanging; a step that is compiled is finished first
PHASES = ("start", "training", "saving", "evaluating")


def signal(setting: Setting) -> Iterator[str]:
    """SIGTERM in each phase, to a training of one process, and to one of two processes that train together."""
    slowest = 0.0
    phases = itertools.islice(itertools.cycle(itertools.product((1, 2), PHASES)), setting.tries)
    for number, (count, phase) in enumerate(phases):
        workdir = setting.folder / str(number)
        changes = CHANGES | programs.STAGES["adversarial"] | {"num_steps": 300, "eval_every": 2}
        group = (
            programs.train_together(workdir, changes, count=2, pause=0.1)
            if count == 2
            else [programs.train(workdir, changes, pause=0.1)]
        )
        told = setting.rng.choice(group)
        checkpoints = workdir / "checkpoints"
        conditions = {
            "start": (workdir / "config.json").exists,
            "training": lambda w=workdir: len(programs.logged_steps(w)) >= 4,
            "saving": lambda c=checkpoints: any(c.glob("*.orbax-checkpoint-tmp*")),
            "evaluating": (workdir / "samples").exists,
        }
        told.wait_for(conditions[phase])
        time.sleep(setting.rng.random() * 0.1)
        told.process.send_signal(signals.SIGTERM)
        ended = [program.end(patience=GRACE) for program in group]
        slowest = max(slowest, *(one.seconds for one in ended))
        # Before the handler is there the signal ends the program itself, and no step has been made yet.
        early = (-signals.SIGTERM, 1) if phase == "start" else ()
        complaint = next(filter(None, (one.complaint(143, *early) for one in ended)), "")
        if phase == "start" and not programs.logged_steps(workdir):
            complaint = "" if all(one.status != -signals.SIGKILL for one in ended) else f"it did not end in {GRACE} s"
        elif not complaint:
            last = programs.logged_steps(workdir)[-1:]
            saved = programs.saved_steps(workdir)[-1:]
            complaint = "" if last == saved else f"the last step is {last}, the last checkpoint {saved}"
        yield complaint and f"{count} processes, {phase}: {complaint}"
    setting.notes.append(f"The slowest program took {slowest:.1f} s to end after SIGTERM.")
