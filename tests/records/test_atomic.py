"""Files are whole or absent, whatever interrupts the writer; half files are recognised by content."""

import errno
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from creditbench import records
from creditbench.errors import BadInput, CheckFailed


def leftovers(folder):
    return sorted(p.name for p in folder.iterdir() if p.name.startswith("."))


def test_text_and_json_are_written_and_leave_nothing_behind(tmp_path):
    path = records.write_text(tmp_path / "deep" / "a.md", "één\n")
    assert path.read_bytes() == "één\n".encode()
    records.write_json(tmp_path / "b.json", {"b": 1, "a": [1.5, "x"]})
    assert (tmp_path / "b.json").read_text() == '{\n "a": [\n  1.5,\n  "x"\n ],\n "b": 1\n}\n'
    assert leftovers(tmp_path) == [] and leftovers(tmp_path / "deep") == []


def test_a_writer_that_fails_keeps_the_old_file(tmp_path):
    target = records.write_text(tmp_path / "a.txt", "old\n")
    with pytest.raises(RuntimeError), records.atomic_path(target) as private:
        private.write_text("half")
        raise RuntimeError("boom")
    assert target.read_text() == "old\n" and leftovers(tmp_path) == []
    with pytest.raises(ValueError):
        records.write_json(tmp_path / "nan.json", float("nan"))
    assert not (tmp_path / "nan.json").exists()


def test_folder_replaces_folder_whole(tmp_path):
    target = tmp_path / "model"
    for content in ("one", "two"):
        with records.atomic_folder(target) as private:
            (private / "sub").mkdir()
            (private / "sub" / f"{content}.txt").write_text(content)
    assert [p.name for p in target.rglob("*.txt")] == ["two.txt"]
    with pytest.raises(RuntimeError), records.atomic_folder(target) as private:
        (private / "three.txt").write_text("x")
        raise RuntimeError("boom")
    assert [p.name for p in target.rglob("*.txt")] == ["two.txt"] and leftovers(tmp_path) == []


def test_what_killed_writers_left_goes_with_the_next_write(tmp_path):
    """Names of a process that is gone; those of a living one, of another machine and of another file stay."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    host = socket.gethostname()[:20]
    names = {
        f".model.{host}-{child.pid}-0a1b2c3d.tmp": False, f".model.{host}-{os.getpid()}-0a1b2c3d.tmp": True,
        f".model.not{host}-{child.pid}-0a1b2c3d.tmp": True, f".other.{host}-{child.pid}-0a1b2c3d.tmp": True,
    }  # fmt: skip
    for name in names:
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "weights").write_text("x")
    file = tmp_path / f".model.{host}-{child.pid}-ffffffff.tmp"
    file.write_text("x")
    with records.atomic_folder(tmp_path / "model") as private:
        (private / "new.txt").write_text("new")
    assert leftovers(tmp_path) == sorted(name for name, stays in names.items() if stays)


def test_two_writers_of_a_folder_leave_the_later_one(tmp_path, monkeypatch):
    """The other writer puts its folder in place while this one has moved the old one aside."""
    target, real = tmp_path / "model", os.rename
    with records.atomic_folder(target) as private:
        (private / "old.txt").write_text("old")

    def meanwhile(source, goal):
        real(source, goal)
        if Path(source) == target:
            monkeypatch.setattr(os, "rename", real)
            with records.atomic_folder(target) as other:
                (other / "other.txt").write_text("other")

    monkeypatch.setattr(os, "rename", meanwhile)
    with records.atomic_folder(target) as private:
        (private / "mine.txt").write_text("mine")
    assert [p.name for p in target.iterdir()] == ["mine.txt"] and leftovers(tmp_path) == []


def test_kill_at_any_moment_leaves_old_or_new(tmp_path):
    script = textwrap.dedent(
        """
        import sys
        from creditbench import records
        print("ready", flush=True)
        n = 0
        while True:
            n += 1
            records.write_json(sys.argv[1], {"n": n, "payload": "x" * 200000})
        """
    )
    target = tmp_path / "a.json"
    for delay in (0.01, 0.03, 0.05):
        child = subprocess.Popen([sys.executable, "-c", script, str(target)], stdout=subprocess.PIPE)
        assert child.stdout.readline() == b"ready\n"
        time.sleep(delay)
        child.send_signal(signal.SIGKILL)
        child.wait()
        if target.exists():
            assert len(json.loads(target.read_text())["payload"]) == 200000
            assert records.complete(target)


def table(n=1000):
    return pa.table({"a": list(range(n)), "b": [f"word {i}" for i in range(n)]})


def test_parquet_is_deterministic_and_free_of_library_metadata(tmp_path):
    import pandas as pd

    one = records.write_parquet(tmp_path / "one.parquet", table())
    frame = pd.DataFrame({"a": range(1000), "b": [f"word {i}" for i in range(1000)]})
    chunked = pa.concat_tables([pa.Table.from_pandas(frame[:300]), pa.Table.from_pandas(frame[300:])])
    chunked = chunked.select(["a", "b"]).cast(table().schema)
    two = records.write_parquet(tmp_path / "two.parquet", chunked)
    assert hashlib.sha256(one.read_bytes()).digest() == hashlib.sha256(two.read_bytes()).digest()
    assert pq.ParquetFile(one).metadata.metadata is None


@pytest.mark.parametrize("cut", [0, 1, 3, 4, 100, 0.5, -1, -4, -9])
def test_half_parquet_is_found(tmp_path, cut):
    path = records.write_parquet(tmp_path / "t.parquet", table())
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * cut) if isinstance(cut, float) else cut])
    assert not records.complete(path)
    with pytest.raises(CheckFailed, match=r"t\.parquet"):
        records.read_parquet(path)


def test_parquet_with_a_zeroed_page_is_found(tmp_path):
    path = records.write_parquet(tmp_path / "t.parquet", table())
    data = bytearray(path.read_bytes())
    start = pq.ParquetFile(path).metadata.row_group(0).column(1).data_page_offset + 64
    data[start : start + 200] = bytes(200)
    path.write_bytes(data)
    assert not records.complete(path, deep=True)
    with pytest.raises(CheckFailed, match="damaged"):
        records.read_parquet(path)


def test_schema_is_checked_on_reading(tmp_path):
    path = records.write_parquet(tmp_path / "t.parquet", table())
    with pytest.raises(CheckFailed, match="column 'c' is missing"):
        records.read_parquet(path, pa.schema([("a", pa.int64()), ("c", pa.string())]))
    with pytest.raises(CheckFailed, match="unknown column 'b'"):
        records.read_parquet(path, pa.schema([("a", pa.int64())]))
    with pytest.raises(CheckFailed, match="column 'b': expected double, got string"):
        records.read_parquet(path, pa.schema([("a", pa.int64()), ("b", pa.float64())]))
    with pytest.raises(BadInput, match="no such file"):
        records.read_parquet(tmp_path / "none.parquet")


def test_complete_by_kind(tmp_path):
    def put(name, data):
        (tmp_path / name).write_bytes(data)
        return records.complete(tmp_path / name)

    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    whole = len(header).to_bytes(8, "little") + header + bytes(8)
    assert put("m.safetensors", whole) and not put("m.safetensors", whole[:-1]) and not put("m.safetensors", whole[:20])
    assert not put("m.safetensors", whole + b"x")
    assert put("a.json", b"{}") and not put("a.json", b'{"a": 1') and not put("a.json", b"")
    assert put("a.jsonl", b"{}\n{}\n") and not put("a.jsonl", b'{}\n{"a"')
    assert put("a.csv", b"a,b\n1,2\n") and not put("a.csv", b"a,b\n1,")
    assert not records.complete(tmp_path / "absent.json")
    folder = tmp_path / "record"
    folder.mkdir()
    assert not records.complete(folder)
    records.write_json(folder / "manifest.json", {})
    assert records.complete(folder)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES])
def test_full_disk_and_read_only_disk_give_one_clear_line(tmp_path, monkeypatch, number):
    records.write_text(tmp_path / "a.csv", "old\n")

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(BadInput, match=r"a\.csv: cannot be written") as caught:
        records.write_text(tmp_path / "a.csv", "new\n")
    assert "\n" not in str(caught.value) and caught.value.exit_code == 2
    assert (tmp_path / "a.csv").read_text() == "old\n" and leftovers(tmp_path) == []


def test_lone_surrogates_survive_as_escapes(tmp_path):
    assert records.write_text(tmp_path / "a.txt", "x\ud800y").read_text() == "x\\ud800y"
