"""A lock is held by one process at a time, also when its file is removed, and where there can be none that is said."""

import errno
import fcntl
import os
import shutil

import pytest

from creditbench.errors import BadInput
from creditbench.records.locks import take_lock


def test_one_holder_at_a_time(tmp_path):
    path = tmp_path / "work" / "lock"
    held = take_lock(path)
    assert held is not None and take_lock(path) is None
    held.close()
    again = take_lock(path)
    assert again is not None
    again.close()


def test_a_lock_on_a_removed_file_is_none(tmp_path, monkeypatch):
    """The holder ends, and removes the folder, between our opening of the file and our locking of it; a third process
    makes the folder anew. Both would work in it, each with a lock that the other cannot see."""
    path, real, thirds = tmp_path / "work" / "lock", fcntl.flock, []

    def late(file, how):
        if not thirds:
            thirds.append(None)  # the calls below come here too
            shutil.rmtree(path.parent)
            thirds[0] = take_lock(path)
        real(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    assert take_lock(path) is None
    assert thirds[0] is not None and path.exists()
    thirds[0].close()


def test_the_folder_may_go_at_any_moment(tmp_path, monkeypatch):
    path, real, times = tmp_path / "work" / "lock", fcntl.flock, []

    def gone(file, how):
        real(file, how)
        if len(times) < 2:
            times.append(1)
            shutil.rmtree(path.parent)

    monkeypatch.setattr(fcntl, "flock", gone)
    with take_lock(path) as held:
        assert os.path.samestat(os.fstat(held.fileno()), path.stat()) and len(times) == 2


def test_a_disk_without_locks_is_named(tmp_path, monkeypatch):
    """Else every run there would be said to be trained by another process."""

    def none(file, how):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", none)
    with pytest.raises(BadInput, match="lock: cannot be locked: No locks available"):
        take_lock(tmp_path / "lock")
