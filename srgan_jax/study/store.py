"""Where answers are kept: one SQLite file, in which an answer is either whole and durable or not there.

The file is in WAL mode with full synchronisation, so that a committed answer outlives a program or machine that is
stopped at any moment. The primary key of the answers, (rater, position), makes a second answer impossible.
"""

import contextlib
import json
import pathlib
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from srgan_jax.errors import InputError
from srgan_jax.study.plans import Item

SCHEMA = """
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE raters (rater INTEGER PRIMARY KEY, digest TEXT UNIQUE, language TEXT, replies TEXT, started REAL);
CREATE TABLE items (
  rater INTEGER NOT NULL REFERENCES raters, position INTEGER NOT NULL,
  picture TEXT NOT NULL, method TEXT NOT NULL, other TEXT NOT NULL, repeat INTEGER NOT NULL,
  PRIMARY KEY (rater, position)
) WITHOUT ROWID;
CREATE TABLE answers (
  rater INTEGER NOT NULL, position INTEGER NOT NULL, score INTEGER NOT NULL CHECK (score BETWEEN 1 AND 5),
  milliseconds INTEGER, ratio REAL, magnification INTEGER, width INTEGER, height INTEGER, answered REAL NOT NULL,
  PRIMARY KEY (rater, position), FOREIGN KEY (rater, position) REFERENCES items (rater, position)
) WITHOUT ROWID;
"""


class Answer(NamedTuple):
    """What a rater's browser sends.

    Attributes:
      score: 1 to 5, or 1 and 2 for the first and the second of a pair.
      milliseconds: from when the picture was visible to the answer.
      ratio: screen pixels for one CSS pixel (the browser's devicePixelRatio).
      magnification: screen pixels for one pixel of the picture.
      width, height: of the window, in CSS pixels.
    """

    score: int
    milliseconds: int | None = None
    ratio: float | None = None
    magnification: int | None = None
    width: int | None = None
    height: int | None = None


class Row(NamedTuple):
    """A stored answer with its question."""

    rater: int
    position: int
    item: Item
    answer: Answer
    answered: float


class Refused(Exception):
    """An answer is not stored. `reason` is "again", "order", "score" or "early"."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Store:
    """The answers of one study. All methods may be called from any thread."""

    def __init__(self, path: str | pathlib.Path) -> None:
        """Open the file that `create_store` has written.

        Raises:
          InputError: there is no such file, or it is no store of answers.
        """
        path = pathlib.Path(path)
        if not path.is_file():
            raise InputError(f"{path}: no such file; expected a folder that the command `create` has written.")
        self._lock = threading.RLock()
        self._connection = _connect(path)
        try:
            self.setting("created")
        except sqlite3.DatabaseError as error:
            self.close()
            raise InputError(
                f"{path}: expected the answers of a study ({error}); take its folder from a copy."
            ) from None

    def close(self) -> None:
        """Close the file; SQLite's additional files beside it are merged into it."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _all(self, query: str, *values: Any) -> list[tuple]:
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    def _one(self, query: str, *values: Any) -> tuple | None:
        return next(iter(self._all(query, *values)), None)

    def setting(self, name: str) -> str:
        """Return one of the values that `create_store` was given, or "" where there is none."""
        row = self._one("SELECT value FROM settings WHERE name = ?", name)
        return row[0] if row else ""

    def set(self, name: str, value: str) -> None:
        """Store a value under a name."""
        with self._lock:
            self._connection.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, value))

    def join(self, digest: str, *, language: str, replies: Sequence[str] = ()) -> int | None:
        """Give the next free plan to a new rater, and return the rater's number; None where all plans are taken.

        Args:
          digest: of the rater's personal token. The token itself is not stored.
          language: in which the rater reads the pages.
          replies: to the questions of the design.
        """
        values = (digest, language, json.dumps(list(replies), ensure_ascii=False), time.time())
        with self._writing() as connection:
            (rater,) = connection.execute("SELECT min(rater) FROM raters WHERE digest IS NULL").fetchone()
            query = "UPDATE raters SET digest = ?, language = ?, replies = ?, started = ? WHERE rater = ?"
            connection.execute(query, (*values, rater))
        return rater

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Make one transaction of a `with` block, which nobody else's writing comes between."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise

    def rater(self, digest: str) -> int | None:
        """Return the number of the rater with this token's digest, or None."""
        row = self._one("SELECT rater FROM raters WHERE digest = ?", digest)
        return row[0] if row else None

    def plan(self, rater: int) -> tuple[int, int]:
        """Return how many items a rater has answered, and how many there are. Items are answered in order."""
        answered = self._one("SELECT count(*) FROM answers WHERE rater = ?", rater)[0]
        return answered, self._one("SELECT count(*) FROM items WHERE rater = ?", rater)[0]

    def item(self, rater: int, position: int) -> Item | None:
        """Return a rater's item at a position, counted from 0, or None."""
        query = "SELECT picture, method, other, repeat FROM items WHERE rater = ? AND position = ?"
        row = self._one(query, rater, position)
        return Item(*row[:3], bool(row[3])) if row else None

    def add(
        self, rater: int, position: int, answer: Answer, *, allowed: range, minimum: float = 0, now: float | None = None
    ) -> None:
        """Store an answer. When this method returns, the answer is on the disk.

        Args:
          rater: the rater's number.
          position: of the item that is answered; it must be the rater's next one.
          answer: what the browser sent.
          allowed: the scores that the design allows.
          minimum: seconds that must have passed since the rater's last answer, and that `milliseconds` must reach.
          now: the time in seconds, by default the clock's.

        Raises:
          Refused: the answer is not stored, and why.
        """
        if answer.score not in allowed:
            raise Refused("score")
        now = time.time() if now is None else now
        with self._writing() as connection:
            query = "SELECT count(*), max(answered) FROM answers WHERE rater = ?"
            answered, last = connection.execute(query, (rater,)).fetchone()
            if position != answered or self.item(rater, position) is None:
                raise Refused("again" if 0 <= position < answered else "order")
            waited = now - last if last else minimum
            looked = minimum if answer.milliseconds is None else answer.milliseconds / 1000
            if 0 <= waited < minimum or looked < minimum:  # a clock that was set back is no reason to refuse
                raise Refused("early")
            values = (rater, position, *answer, now)
            connection.execute("INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)

    def rows(self) -> Iterator[Row]:
        """Yield all answers, rater by rater, in the order in which they were given."""
        query = (
            "SELECT rater, position, picture, method, other, repeat, score, milliseconds, ratio, magnification, width,"
            " height, answered FROM answers JOIN items USING (rater, position) ORDER BY rater, position"
        )
        for rater, position, picture, method, other, repeat, *answer, answered in self._all(query):
            yield Row(rater, position, Item(picture, method, other, bool(repeat)), Answer(*answer), answered)

    def progress(self) -> list[dict[str, Any]]:
        """Return for every rater who has begun: number, language, how many of how many items are
        answered, and the times of the start and of the last answer."""
        query = (
            "SELECT rater, language, (SELECT count(*) FROM answers WHERE answers.rater = raters.rater),"
            " (SELECT count(*) FROM items WHERE items.rater = raters.rater), started,"
            " (SELECT max(answered) FROM answers WHERE answers.rater = raters.rater)"
            " FROM raters WHERE digest IS NOT NULL ORDER BY rater"
        )
        names = ("rater", "language", "answered", "count", "started", "last")
        return [dict(zip(names, row, strict=True)) for row in self._all(query)]

    def replies(self) -> dict[int, list[str]]:
        """Return what the raters who have begun replied to the questions of the design."""
        query = "SELECT rater, replies FROM raters WHERE digest IS NOT NULL"
        return {rater: json.loads(replies) for rater, replies in self._all(query)}

    def places(self) -> int:
        """Return how many plans there are."""
        return self._one("SELECT count(*) FROM raters")[0]


def create_store(path: str | pathlib.Path, plans: Sequence[Sequence[Item]], settings: dict[str, str]) -> None:
    """Write a new file with the plans of all raters, and with no answers."""
    connection = _connect(path)
    try:
        connection.executescript(SCHEMA)
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO settings VALUES (?, ?)", settings.items())
        connection.executemany("INSERT INTO raters (rater) VALUES (?)", ((n + 1,) for n in range(len(plans))))
        rows = ((n + 1, position, *item) for n, plan in enumerate(plans) for position, item in enumerate(plan))
        connection.executemany("INSERT INTO items VALUES (?, ?, ?, ?, ?, ?)", rows)
        connection.execute("COMMIT")
    finally:
        connection.close()


def _connect(path: str | pathlib.Path) -> sqlite3.Connection:
    """Open a file in which every statement outside of BEGIN … COMMIT is a transaction of its own."""
    connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    try:
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")
    except sqlite3.DatabaseError as error:
        connection.close()
        raise InputError(f"{path}: expected a file of SQLite ({error}); take the study from a copy.") from None
    return connection
