"""The reply cache: what a model has answered once under equal conditions, it need not answer again.

One SQLite file for all projects of a user. It never fails a test: where it cannot be read or written, it
turns itself off for the rest of the run and says so once. Only `--llm-cache only` makes a missing reply an
error.
"""

from __future__ import annotations

import contextlib
import os
import threading
import zlib
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

import msgspec

from pytest_llmcheck.engines.llama.settings import Info, Settings
from pytest_llmcheck.engines.types import Completion, Request, ScoreRequest, Scoring
from pytest_llmcheck.errors import EngineError
from pytest_llmcheck.session import cache_file as file
from pytest_llmcheck.session.cache_keys import Answer, Key, Keys

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path


Mode = Literal["on", "off", "refresh", "only"]
Cuts = tuple[tuple[int, ...], tuple[tuple[int, int], ...]]
"""Where beginnings of a prompt end, and which control tokens in it are letters only; in characters."""
Stored = TypeVar("Stored")

DEFAULT_LIMIT = 1 << 30
#: A put trims when the values take this share more than the limit.
SLACK = 1.1
#: A use is not written down again within these seconds: a repeated run of an unchanged suite writes nothing.
USE_RESOLUTION = 600


class Lengths(msgspec.Struct, frozen=True):
    """Counted tokens, as kept."""

    tokens: tuple[int, ...]


class ReplyCache:
    """Replies by what decides them. Thread-safe; any number of processes may share the file.

    Nothing is opened before the first use.

    Args:
        path: of the database, by default ``replies.sqlite`` in the cache folder.
        mode: ``on`` reads and writes, ``off`` does neither, ``refresh`` never reads and always writes,
            ``only`` never writes, and what is missing is an error.
        limit_bytes: of all values together; those used longest ago go first.

    Attributes:
        mode: as given.
        hits: replies that were found.
        misses: replies that were looked for and not found.
        written: replies that were put in.
        trouble: why the cache is off for the rest of the run, or was begun anew; None if all is well.
    """

    def __init__(self, path: Path | None = None, *, mode: Mode, limit_bytes: int = DEFAULT_LIMIT) -> None:
        self.mode = mode
        self.hits = self.misses = self.written = 0
        self.trouble: str | None = None
        self._path = path
        self._limit = limit_bytes
        self._reads = mode in ("on", "only")
        self._writes = mode in ("on", "refresh")
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._db: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._inherited: list[object] = []
        self._touched: set[int] = set()
        self._decoders: dict[type, msgspec.msgpack.Decoder[Any]] = {
            kind: msgspec.msgpack.Decoder(kind) for kind in (Completion, Scoring, Info, Lengths)
        }
        self._encoder = msgspec.msgpack.Encoder()
        self._keys = Keys()

    # -- keys -----------------------------------------------------------------------------------

    @overload
    def key(self, settings: Settings, info: Info, request: Request) -> Key[Completion]: ...
    @overload
    def key(self, settings: Settings, info: Info, request: ScoreRequest) -> Key[Scoring]: ...
    def key(
        self, settings: Settings, info: Info, request: Request | ScoreRequest
    ) -> Key[Completion] | Key[Scoring]:
        """All that decides a reply: weights, adapters, settings, numerics, our own code, and the request.

        The model's name, paths, the timeout and the number of threads are no part of it (where threads
        matter, the numerics have them), nor are seed and filters of a greedy request.
        """
        return self._keys.of(settings, info, request)

    # -- reading and writing --------------------------------------------------------------------

    def info(self, settings: Settings) -> Info | None:
        """What a host has said of itself under these settings, with these libraries, on this machine.

        Raises:
            EngineError: mode is ``only``, and nothing is known.
        """
        if not self._reads and self.mode != "only":
            return None
        found = self._load(self._keys.of_info(settings), Info)
        if found is None and self.mode == "only":
            raise self._missing(
                f"what decides the replies of model {settings.name!r} on this machine (libraries, processor, "
                "settings)"
            )
        return found

    def keep_info(self, settings: Settings, info: Info) -> None:
        """Remember what a host says of itself; to be called whenever one has been started."""
        if self._writes:
            self._store(self._keys.of_info(settings), info)

    def get(self, key: Key[Answer]) -> Answer | None:
        """The reply, if it is known.

        Raises:
            EngineError: mode is ``only``, and it is not.
        """
        if not self._reads and self.mode != "only":
            return None
        if not key.kept:
            if self.mode == "only":
                raise EngineError(f"the {key} exchanges rows between models, which is never cached")
            return None
        found = self._load(key.digest, key.answer)
        with self._lock:
            if found is None:
                self.misses += 1
            else:
                self.hits += 1
        if found is None and self.mode == "only":
            raise self._missing(f"the {key}")
        return found

    def knows(self, key: Key[Answer]) -> bool:
        """Whether `get` would find a reply; counts nothing and raises nothing."""
        return self._reads and key.kept and self._load(key.digest, key.answer) is not None

    def put(self, key: Key[Answer], answer: Answer) -> None:
        """Keep a reply; it is in the file, whole, when this returns."""
        if self._writes and key.kept and self._store(key.digest, answer):
            with self._lock:
                self.written += 1

    def lengths(self, weights: str, prompt: str, cuts: Cuts) -> tuple[int, ...] | None:
        """How many tokens the beginnings of a prompt have, if that was counted before; no error in any mode.

        Args:
            weights: hash of the model's file.
            prompt: the rendered text.
            cuts: what else was asked, such as where the beginnings end.
        """
        found = self._load(self._keys.of_lengths(weights, prompt, cuts), Lengths)
        return None if found is None else found.tokens

    def keep_lengths(self, weights: str, prompt: str, cuts: Cuts, tokens: tuple[int, ...]) -> None:
        """Remember what was counted."""
        if self._writes:
            self._store(self._keys.of_lengths(weights, prompt, cuts), Lengths(tokens))

    def close(self) -> None:
        """Write down what was used, trim, and close the file; a later use opens it again."""
        with self._own():
            if self._db is None:
                return
            if self._writes:
                try:
                    self._note_uses(self._db, exact=False)
                    self._trim(self._db)
                except Exception as error:
                    self._failed(error, "written")
            self._drop()

    def _missing(self, what: str) -> EngineError:
        off = f" ({self.trouble})" if self.trouble else ""
        return EngineError(
            f"not in the reply cache: {what}{off}. With --llm-cache only no model is asked; "
            "run once with --llm-cache on to fill it"
        )

    # -- values ---------------------------------------------------------------------------------

    def _load(self, digest: bytes, kind: type[Stored]) -> Stored | None:
        with self._own():
            if not self._reads:
                return None
            try:
                db = self._db or self._open()
                row = db.execute("SELECT id, value FROM replies WHERE key = ?", (digest,)).fetchone()
            except Exception as error:
                self._failed(error, "read")
                return None
            if row is None:
                return None
            number, value = row
            self._touched.add(number)
        # Outside the lock: decoding is most of the work.
        if not isinstance(value, bytes):
            return None
        body = value[4:]
        if int.from_bytes(value[:4], "little") != zlib.crc32(body, zlib.crc32(digest)):
            return None  # SQLite does not notice a flipped bit within a value
        try:
            found: Stored = self._decoders[kind].decode(body)
            return found
        except msgspec.MsgspecError:
            return None

    def _store(self, digest: bytes, answer: Completion | Scoring | Info | Lengths) -> bool:
        try:
            body = self._encoder.encode(answer)
        except UnicodeEncodeError:
            return False  # a lone surrogate; such a reply is rather asked for again
        value = zlib.crc32(body, zlib.crc32(digest)).to_bytes(4, "little") + body
        if len(value) > self._limit:
            return False
        with self._own():
            if not self._writes:
                return False
            try:
                db = self._db or self._open()
                if not self._writes:
                    return False
                with file.transaction(db):
                    total = file.put(db, digest, value)
                if total > self._limit * SLACK:
                    self._trim(db)
            except Exception as error:
                self._failed(error, "written")
                return False
            return True

    def _note_uses(self, db: sqlite3.Connection, *, exact: bool) -> None:
        """Write down the last use of what was read."""
        now = file.now()
        before = now if exact else now - USE_RESOLUTION * 1000
        touched, self._touched = self._touched, set()
        if not touched:
            return
        rows = [(now, row, before) for row in touched]
        with file.transaction(db):
            db.executemany("UPDATE uses SET used = ? WHERE id = ? AND used < ?", rows)

    def _trim(self, db: sqlite3.Connection) -> None:
        """Remove what was used longest ago until the rest is within the limit, and give the space back."""
        if file.total(db) <= self._limit:
            return
        self._note_uses(db, exact=True)
        while True:
            with file.transaction(db):
                excess = file.total(db) - self._limit
                if excess <= 0:
                    return
                freed, gone = 0, []
                for row, size in db.execute("SELECT id, size FROM uses ORDER BY used, id"):
                    if freed >= min(excess, file.TRIM_STEP):
                        break
                    freed += size
                    gone.append((row,))
                if not gone:
                    db.execute("UPDATE total SET bytes = 0")
                    return
                db.executemany("DELETE FROM replies WHERE id = ?", gone)
                db.executemany("DELETE FROM uses WHERE id = ?", gone)
                db.execute("UPDATE total SET bytes = bytes - ?", (freed,))
            # It frees a page a step, and `execute` takes one step of what returns no columns.
            db.executescript("PRAGMA incremental_vacuum")

    # -- the file -------------------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        import sqlite3

        path = self._where()
        with contextlib.suppress(OSError):
            self._file = file.inode(path)
        if self.mode == "only":
            if not path.exists():
                raise FileNotFoundError("there is no such file")
            self._db = file.reader(path)
        else:
            try:
                self._db = file.writer(path)
            except (sqlite3.OperationalError, OSError) as error:
                # A cache that somebody has filled for us on a read-only mount is still worth reading.
                if not self._reads or file.damaged(error) or file.busy(error) or not path.exists():
                    raise
                try:
                    self._db = file.reader(path)
                except sqlite3.OperationalError:
                    raise error from None  # a full disk did not let us begin the file
                self._writes = False
                self._say(f"the reply cache is only read: {path} cannot be written: {file.why(error)}")
        with contextlib.suppress(OSError):
            self._file = file.inode(path)
        return self._db

    def _where(self) -> Path:
        if self._path is None:
            from pytest_llmcheck.models import cache_dir

            self._path = cache_dir() / "replies.sqlite"
        return self._path

    def _own(self) -> threading.RLock:
        """The lock; and after a fork a connection of one's own, for SQLite's cannot be inherited."""
        if self._pid != os.getpid():
            # Not closed either, which could remove the parent's journal.
            self._inherited += [self._lock, self._db]
            self._lock, self._db, self._touched = threading.RLock(), None, set()
            self._pid = os.getpid()
        return self._lock

    def _failed(self, error: Exception, done: Literal["read", "written"]) -> None:
        """Trouble with the file ends the use of the cache, never a test; a damaged file is begun anew."""
        known = isinstance(error, OSError | ImportError) or type(error).__module__ == "sqlite3"
        if not known and not file.damaged(error):
            raise error
        if file.damaged(error) and self.mode != "only":
            self._begin_anew()
        elif done == "written" and self._reads and self._db is not None:
            self._writes = False
            self._say(f"nothing more is written to the reply cache {self._where()}: {file.why(error)}")
        else:
            self._reads = self._writes = False
            self._drop()
            self._say(
                f"the reply cache {self._where()} is off for the rest of the run: it cannot be {done}: "
                f"{file.why(error)}"
            )

    def _begin_anew(self) -> None:
        path = self._where()
        opened = self._file
        self._drop()
        self._touched.clear()
        try:
            # Another process may have done so since we opened it.
            if opened is None or opened == file.inode(path):
                file.remove(path)
                self._say(f"the reply cache {path} was damaged and has been begun anew")
        except FileNotFoundError:
            pass
        except OSError as error:
            self._reads = self._writes = False
            self._say(f"the reply cache {path} is damaged and cannot be removed: {file.why(error)}")

    def _drop(self) -> None:
        import sqlite3

        db, self._db, self._file = self._db, None, None
        if db is not None:
            with contextlib.suppress(sqlite3.Error):
                db.close()

    def _say(self, text: str) -> None:
        if self.trouble is None:
            self.trouble = text
