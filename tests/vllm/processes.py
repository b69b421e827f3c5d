"""What processes do, read from /proc: which carry a mark in their environment, and where they listen."""

from __future__ import annotations

import ipaddress
import os
import time
from pathlib import Path

LISTENING = "0A"


def marked(mark: str) -> set[int]:
    """Processes, zombies apart, whose environment holds the text; ourselves excepted."""
    found = set()
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (place / "environ").read_bytes():
                found.add(int(place.name))
        except OSError:
            continue
    return found - {os.getpid()}


def gone(mark: str, seconds: float) -> bool:
    """Whether no process with the mark is left within the time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not marked(mark):
            return True
        time.sleep(0.2)
    return False


def listening(pids: set[int]) -> set[str]:
    """Internet addresses at which these processes accept connections."""
    mine = set()
    for pid in pids:
        for handle in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                mine.add(os.readlink(handle))
            except OSError:
                continue
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == LISTENING and f"socket:[{words[9]}]" in mine:
                found.add(_address(words[1].split(":")[0]))
    return found


def _address(words: str) -> str:
    """The kernel's hexadecimal form, 32-bit words in the machine's (little-endian) order."""
    parts = [bytes.fromhex(words[i : i + 8])[::-1] for i in range(0, len(words), 8)]
    return str(ipaddress.ip_address(b"".join(parts)))


def loopback(address: str) -> bool:
    """127.0.0.0/8 and ::1, also written as IPv4 inside IPv6."""
    ip = ipaddress.ip_address(address)
    inner = getattr(ip, "ipv4_mapped", None)
    return (inner or ip).is_loopback
