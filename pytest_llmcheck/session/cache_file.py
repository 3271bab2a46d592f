"""The SQLite file of the reply cache: making, opening and changing it, and what its errors mean.

sqlite3 is imported when a file is first opened.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

#: Of the tables, kept as SQLite's user_version; a file with another one is begun anew.
LAYOUT = 1
#: Seconds that another process may hold the file.
BUSY_SECONDS = 5.0
#: What one transaction removes at most, so that others need not wait for long.
TRIM_STEP = 16 << 20

#: SQLite's result codes, known before sqlite3 is imported.
_BUSY, _LOCKED, _CORRUPT, _NOT_A_DATABASE = 5, 6, 11, 26
_NETWORK = ("nfs", "cifs", "smb", "9p", "afs", "lustre", "ceph", "gluster", "beegfs", "gpfs", "fuse.")

_TABLES = """
CREATE TABLE replies (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, value BLOB NOT NULL);
-- Apart from the values, so that neither the order of use nor their size costs reading or rewriting them.
CREATE TABLE uses (id INTEGER PRIMARY KEY, used INTEGER NOT NULL, size INTEGER NOT NULL);
CREATE TABLE total (bytes INTEGER NOT NULL);
INSERT INTO total VALUES (0);
"""


def now() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def writer(path: Path) -> sqlite3.Connection:
    """A connection to the database, which is made if it is not there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        # Prompts and replies are nobody else's business.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    db = _connect(path, "mode=rw")
    try:
        # Safe against a kill; after a power cut with WAL, the last replies may be missing.
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute(f"PRAGMA journal_size_limit = {TRIM_STEP}")
        found = db.execute("PRAGMA user_version").fetchone()[0]
        if found != LAYOUT:
            if found:
                db.close()
                remove(path)
                return writer(path)
            _make(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _make(db: sqlite3.Connection, path: Path) -> None:
    db.execute("PRAGMA page_size = 16384")
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    if not _on_network(path):
        _use_wal(db)
    with transaction(db):
        if db.execute("PRAGMA user_version").fetchone()[0] != LAYOUT:
            for statement in _TABLES.split(";\n"):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {LAYOUT}")


def _use_wal(db: sqlite3.Connection) -> None:
    """Readers and a writer at once; where it is not to be had, the rollback journal is slower and as safe."""
    import sqlite3

    give_up = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL").fetchone()
            return
        except sqlite3.OperationalError as error:
            # SQLite does not wait here when several processes make the file at once.
            if not busy(error) or time.monotonic() > give_up:
                return
            time.sleep(0.01)


def reader(path: Path) -> sqlite3.Connection:
    """A connection that does not write, also where the folder cannot be written."""
    import sqlite3

    # WAL makes files beside the database; where it cannot, nobody else is writing either.
    immutable = not os.access(path.parent, os.W_OK)
    db = _connect(path, "mode=ro&immutable=1" if immutable else "mode=rw")
    try:
        db.execute("PRAGMA query_only = ON")
        found = db.execute("PRAGMA user_version").fetchone()[0]
    except BaseException:
        db.close()
        raise
    if found != LAYOUT:
        db.close()
        raise sqlite3.OperationalError("another version of pytest-llmcheck has made it")
    return db


def _connect(path: Path, options: str) -> sqlite3.Connection:
    import sqlite3

    # quote() of pathlib keeps ? and # out of the options.
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?{options}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing; waits for other writers."""
    import sqlite3

    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        # A full disk may have rolled back already.
        if db.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")
        raise


def put(db: sqlite3.Connection, digest: bytes, value: bytes) -> int:
    """Insert or replace a value; returns the bytes of all values."""
    row = db.execute("SELECT id FROM replies WHERE key = ?", (digest,)).fetchone()
    before = 0
    if row is None:
        new = db.execute("INSERT INTO replies (key, value) VALUES (?, ?)", (digest, value)).lastrowid
    else:
        new = row[0]
        db.execute("UPDATE replies SET value = ? WHERE id = ?", (value, new))
        size = db.execute("SELECT size FROM uses WHERE id = ?", (new,)).fetchone()
        before = size[0] if size else 0
    db.execute("INSERT OR REPLACE INTO uses VALUES (?, ?, ?)", (new, now(), len(value)))
    db.execute("UPDATE total SET bytes = bytes + ?", (len(value) - before,))
    return total(db)


def total(db: sqlite3.Connection) -> int:
    """Bytes of all values."""
    found: int = db.execute("SELECT bytes FROM total").fetchone()[0]
    return found


def damaged(error: Exception) -> bool:
    """Whether an error says that the file is not what we wrote."""
    if isinstance(error, UnicodeDecodeError | TypeError | OverflowError):
        return (
            True  # SQLite hands out what damaged pages hold: text for blobs, no row where there is always one
        )
    code = getattr(error, "sqlite_errorcode", None)
    # A table that is missing is a header that survived its pages.
    return code is not None and (code & 0xFF in (_CORRUPT, _NOT_A_DATABASE) or "no such" in str(error))


def busy(error: Exception) -> bool:
    """Whether another process holds the file."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (_BUSY, _LOCKED)


def why(error: Exception) -> str:
    """An error in words."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)


def inode(path: Path) -> tuple[int, int]:
    """What tells this file from another of the same name."""
    state = path.stat()
    return state.st_dev, state.st_ino


def remove(path: Path) -> None:
    """Remove the database and what SQLite keeps beside it."""
    # The database last: an old journal beside a new database would be played into it.
    for ending in ("-wal", "-shm", "-journal", ""):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def _on_network(path: Path) -> bool:
    """Whether the file system is shared by machines, between which SQLite's WAL has no common memory."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
        real = os.path.realpath(path)
    except OSError:
        return False
    best, kind = "", ""
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        point = left.split()[4].replace("\\040", " ")
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, right.split()[0]
    return kind.startswith(_NETWORK)
