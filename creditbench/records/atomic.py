"""Files that appear whole or not at all: private name, fsync, rename; and a check that spots half files by content.

Two writers of one path never mix: each writes under a name of its own, the later rename wins. A reader never sees the
private names, which start with a dot and end in `.tmp`.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import json
import os
import shutil
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from creditbench.errors import BadInput, CheckFailed, CreditBenchError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ENAMETOOLONG)
_TEXT_SUFFIXES = {".csv", ".md", ".tex", ".txt", ".html", ".svg", ".yaml"}


def private_name(path: Path) -> Path:
    """A job-private sibling of `path`: host, process and a random part keep writers on shared disks apart."""
    return path.with_name(f".{path.name}.{socket.gethostname()[:20]}-{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")


@contextlib.contextmanager
def clear_errors(path: Path) -> Iterator[None]:
    """Turn an operating-system refusal to write into one clear line that names the file."""
    try:
        yield
    except Exception as error:
        told = refusal(error, path)
        if told is None:
            raise
        raise told from error


def refusal(error: Exception, path: Path | str) -> CreditBenchError | None:
    """What a user is told when the operating system refuses to write `path`; None when that is not what happened."""
    number = getattr(error, "errno", None)
    if number is None and not isinstance(error, CreditBenchError):
        # torch and safetensors write by themselves and keep only the text.
        text = str(error)
        full = "PytorchStreamWriter failed writing" in text or "unexpected pos" in text
        number = next((n for n in _FULL if os.strerror(n) in text), errno.ENOSPC if full else None)
    if number in _FULL:
        reason = os.strerror(number)
        return BadInput(f"{path}: cannot be written: {reason}; nothing was lost, free some space and start again")
    if number in _FORBIDDEN:
        reason = os.strerror(number)
        return BadInput(f"{path}: cannot be written: {reason}; expected a folder that this user may write to")
    return None


def sweep(path: Path) -> None:
    """Remove what writers of `path` left that were killed on this machine (those of others may be alive)."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.{glob.escape(socket.gethostname()[:20])}-*.tmp"):
        try:
            os.kill(int(left.name.rsplit("-", 2)[1]), 0)
        except ProcessLookupError:
            shutil.rmtree(left, ignore_errors=True)
            with contextlib.suppress(OSError):
                left.unlink()
        except (OSError, ValueError):
            continue


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last through a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


@contextlib.contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a private path to write one file to; it takes `path`'s place when the block ends without an error."""
    path = Path(path)
    private = private_name(path)
    with clear_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield private
            _sync_file(private)
            os.replace(private, path)
            sync_folder(path.parent)
        finally:
            private.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path | str) -> Iterator[Path]:
    """Yield a private folder that becomes `path` when the block ends without an error.

    An existing folder at `path` is moved aside first (a folder cannot be renamed over a filled one), then removed; of
    two writers the later one stays.
    """
    path = Path(path)
    private = private_name(path)
    sweep(path)
    with clear_errors(path):
        private.mkdir(parents=True)
        aside: list[Path] = []
        try:
            yield private
            for child in sorted(private.rglob("*")):
                sync_folder(child) if child.is_dir() else _sync_file(child)
            sync_folder(private)
            while not _renamed(private, path):
                with contextlib.suppress(FileNotFoundError):  # another writer has just moved it aside
                    old = private_name(path)
                    os.rename(path, old)
                    aside.append(old)
            sync_folder(path.parent)
        finally:
            shutil.rmtree(private, ignore_errors=True)
            for old in reversed(aside):
                if path.exists():
                    shutil.rmtree(old, ignore_errors=True)
                else:
                    os.rename(old, path)


def _renamed(folder: Path, path: Path) -> bool:
    """Rename a folder; False where something stands in the way."""
    try:
        os.rename(folder, path)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        return False
    return True


def write_text(path: Path | str, text: str) -> Path:
    """Write UTF-8 text whole or not at all; lone surrogates are escaped."""
    with atomic_path(path) as private:
        private.write_bytes(text.encode("utf-8", "backslashreplace"))
    return Path(path)


def json_text(value: Any) -> str:
    """Readable JSON with equal text for equal content: sorted keys, one space of indent, no NaN, final newline."""
    return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: Path | str, value: Any) -> Path:
    """Write `json_text(value)` whole or not at all."""
    return write_text(path, json_text(value))


def write_parquet(path: Path | str, table: pa.Table) -> Path:
    """Write a table whole or not at all; equal content gives equal bytes within one pyarrow version.

    Pandas' own metadata is dropped (it carries library versions); pages carry checksums that `read_parquet` verifies.
    """
    table = table.replace_schema_metadata(None).combine_chunks()
    with atomic_path(path) as private:
        pq.write_table(
            table, private, compression="zstd", compression_level=3, row_group_size=65536, version="2.6",
            write_page_checksum=True, store_schema=False,
        )  # fmt: skip
    return Path(path)


def read_parquet(path: Path | str, schema: pa.Schema | None = None, columns: list[str] | None = None) -> pa.Table:
    """Read a table, verifying page checksums and, when given, that its columns and types are those of `schema`.

    Raises BadInput for a missing file, CheckFailed for a damaged one or one with other columns.
    """
    path = Path(path)
    if not path.is_file():
        raise BadInput(f"{path}: no such file")
    try:
        table = pq.ParquetFile(path, page_checksum_verification=True).read(columns=columns)
    except (pa.ArrowException, OSError) as error:
        raise CheckFailed(f"{path}: damaged or cut short: {str(error).splitlines()[0]}") from error
    if schema is not None:
        wanted = schema if columns is None else pa.schema([schema.field(name) for name in columns])
        for field in wanted:
            if field.name not in table.column_names:
                raise CheckFailed(f"{path}: column {field.name!r} is missing")
        extra = [name for name in table.column_names if name not in wanted.names]
        if extra:
            raise CheckFailed(f"{path}: unknown column {extra[0]!r}")
        for field in wanted:
            if table.schema.field(field.name).type != field.type:
                found = table.schema.field(field.name).type
                raise CheckFailed(f"{path}: column {field.name!r}: expected {field.type}, got {found}")
        table = table.select(wanted.names).cast(wanted)
    return table


def read_json(path: Path | str) -> Any:
    """Parse a JSON file. Raises BadInput for a missing file, CheckFailed for one that is cut short or not JSON."""
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise BadInput(f"{path}: no such file") from None
    except ValueError as error:
        raise CheckFailed(f"{path}: damaged or cut short: {error}") from error


def complete(path: Path | str, deep: bool = False) -> bool:
    """Whether `path` is there and whole, judged by content, never by time stamps.

    Parquet needs its footer (`deep` also reads and checks every page), JSON must parse, JSON lines and text must end
    in a newline, safetensors must be as long as its header says, a folder needs a whole `manifest.json`.
    """
    path = Path(path)
    if path.is_dir():
        return complete(path / "manifest.json")
    if not path.is_file() or path.stat().st_size == 0:
        return False
    if path.suffix == ".parquet":
        try:
            file = pq.ParquetFile(path, page_checksum_verification=True)
            if deep:
                file.read()
        except (pa.ArrowException, OSError):
            return False
        return True
    if path.suffix == ".json":
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            return False
        return True
    if path.suffix == ".safetensors":
        return _safetensors_whole(path)
    if path.suffix == ".jsonl" or path.suffix in _TEXT_SUFFIXES:
        with path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"
    return True


def _safetensors_whole(path: Path) -> bool:
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if not 2 <= size <= path.stat().st_size - 8:
            return False
        try:
            header = json.loads(file.read(size))
        except ValueError:
            return False
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    return path.stat().st_size == 8 + size + max(ends, default=0)
