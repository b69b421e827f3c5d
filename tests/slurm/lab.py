"""A real Slurm cluster of two nodes on loopback: `python tests/slurm/lab.py start FOLDER`, `... stop FOLDER`.

Needs root and Debian's packages slurm-wlm and munge. Everything lives in FOLDER (configuration, key, state, logs,
process ids), but for a link at /etc/slurm/slurm.conf: Snakemake's Slurm plugin takes SLURM_CONF out of its jobs'
environment. A machine with a Slurm of its own is left alone. Two slurmd share the host, told apart by name and port.
The cluster ends with the process that started it, however that ends: a guard watches it.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

NODES = ("n1", "n2")
SYSTEM_CONF = Path("/etc/slurm/slurm.conf")
PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "squeue", "scontrol", "sinfo", "scancel")
CONF = """\
ClusterName=lab
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=slurm
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/state/slurmctld.pid
SlurmdPidFile={folder}/spool.%n/slurmd.pid
SlurmdSpoolDir={folder}/spool.%n
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_min_interval=100000,batch_sched_delay=0,requeue_delay=0
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
MinJobAge=3600
ReturnToService=2
SlurmdTimeout=10
InactiveLimit=0
KillWait=3
MpiDefault=none
SwitchType=switch/none
SlurmdParameters=config_overrides
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs={cpus} RealMemory=8000 State=UNKNOWN
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs={cpus} RealMemory=8000 State=UNKNOWN
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=8:00:00 State=UP
"""


def missing() -> str:
    """Why no lab can run here, or an empty text."""
    if os.geteuid() != 0:
        return "needs root"
    if why := foreign(os.environ, SYSTEM_CONF):
        return f"needs a machine without a Slurm of its own ({why})"
    absent = [name for name in PROGRAMS if _program(name) is None]
    return f"needs the packages slurm-wlm and munge ({', '.join(absent)} not found)" if absent else ""


def foreign(environ: Mapping[str, str], conf: Path) -> str:
    """What says that this machine belongs to a cluster or has a lab already; an empty text where nothing does."""
    told = sorted(name for name in ("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JOB_ID") if environ.get(name))
    if told:
        return f"{told[0]} is set"
    if conf.exists() and not (conf.is_symlink() and "ClusterName=lab\n" in conf.read_text()):
        return f"{conf} is there"
    running = sorted({"slurmctld", "slurmd", "slurmdbd"} & {process.name() for process in psutil.process_iter()})
    return f"{running[0]} is running" if running else ""


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _free_ports(n: int) -> list[int]:
    sockets = [socket.socket() for _ in range(n)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait_for(what: str, look: Callable[[], object], seconds: float = 20.0, every: float = 0.1) -> object:
    """Poll `look` until it gives something true, and return that. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(every)
    raise TimeoutError(f"{what}: not within {seconds:g} s")


class Lab:
    """A cluster in `folder`, whose parents other users must be able to enter."""

    def __init__(self, folder: Path | str):
        self.folder = Path(folder).resolve()
        self.conf = self.folder / "slurm.conf"

    @property
    def env(self) -> dict[str, str]:
        """Environment in which Slurm's commands mean this cluster."""
        path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_"))}
        return {**kept, "PATH": path, "SLURM_CONF": str(self.conf)}

    def run(self, *words: str) -> str:
        """Output of one of Slurm's commands. Raises CalledProcessError with what it said."""
        done = subprocess.run(words, env=self.env, capture_output=True, text=True, timeout=30)
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, words, done.stdout, done.stderr)
        return done.stdout.strip()

    def start(self, cpus: int = 2) -> Lab:
        """Start munged, slurmctld and two slurmd, and wait for two idle nodes. Raises TimeoutError."""
        for name in ("state", "log", "munge", *(f"spool.{node}" for node in NODES)):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        for name in ("state", "log"):
            shutil.chown(self.folder / name, "slurm")
        host = socket.gethostname().split(".")[0]
        self.conf.write_text(CONF.format(host=host, folder=self.folder, ports=_free_ports(3), cpus=cpus))
        SYSTEM_CONF.parent.mkdir(exist_ok=True)
        SYSTEM_CONF.unlink(missing_ok=True)
        SYSTEM_CONF.symlink_to(self.conf)
        words = [sys.executable, str(Path(__file__).resolve()), "guard", str(self.folder), str(os.getpid())]
        quiet = subprocess.DEVNULL
        subprocess.Popen(words, start_new_session=True, cwd="/", stdin=quiet, stdout=quiet, stderr=quiet)
        self._start_munge()
        self._spawn("slurmctld")
        wait_for("the controller", self._is_meant)
        for node in NODES:
            self.start_node(node)
        wait_for("two idle nodes", lambda: self.node_states() == dict.fromkeys(NODES, "idle"))
        return self

    def _is_meant(self) -> bool:
        """Whether Slurm's commands mean this cluster when the environment does not tell them. Raises RuntimeError."""
        environ = {key: value for key, value in self.env.items() if key != "SLURM_CONF"}
        done = subprocess.run(["scontrol", "show", "config"], env=environ, capture_output=True, text=True, timeout=30)
        if done.returncode == 0 and f"= {self.conf}\n" not in done.stdout:
            raise RuntimeError("Slurm's commands mean another cluster here; nothing was sent to it")
        return done.returncode == 0

    def _start_munge(self) -> None:
        home = self.folder / "munge"
        key = home / "key"
        key.write_bytes(secrets.token_bytes(128))
        for path in (home, key):
            shutil.chown(path, "munge", "munge")
        key.chmod(0o400)
        user = pwd.getpwnam("munge")
        words = [_program("munged"), "--num-threads=2", f"--key-file={key}", f"--socket={home / 'socket'}"]
        words += [f"--{name}-file={home / name}" for name in ("log", "pid", "seed")]
        subprocess.run(words, check=True, user=user.pw_uid, group=user.pw_gid, extra_groups=[])  # type: ignore[list-item]
        wait_for("munge's socket", (home / "socket").exists)

    def _spawn(self, name: str, *words: str) -> None:
        subprocess.run([_program(name), *words], env=self.env, check=True, capture_output=True)  # type: ignore[list-item]

    def start_node(self, node: str) -> None:
        """Start a node's slurmd."""
        self._spawn("slurmd", "-N", node)

    def node_pid(self, node: str) -> int:
        """Process of a node's slurmd."""
        return int((self.folder / f"spool.{node}" / "slurmd.pid").read_text())

    def crash_node(self, node: str, jobs_too: bool = True) -> None:
        """Kill a node's slurmd and the step daemons it started; its jobs' processes too, as a power cut would."""
        jobs = self.jobs_on(node)
        titles = tuple(f"slurmstepd: [{job}." for job in jobs)
        struck = [psutil.Process(self.node_pid(node))]
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):  # their titles are written over their environment
                if " ".join(process.cmdline()).startswith(titles):
                    struck.append(process)
        if jobs_too:
            struck += [process for job in jobs for process in self.processes_of(job)]
        for harm in (psutil.Process.suspend, psutil.Process.kill):  # at one moment: none may report the others' end
            for process in struck:
                with contextlib.suppress(psutil.Error):
                    harm(process)

    def kill_job(self, job: str) -> None:
        """SIGKILL all processes of a job."""
        for process in self.processes_of(job):
            with contextlib.suppress(psutil.Error):
                process.kill()

    def mend(self) -> None:
        """Bring all nodes back, whatever was done to them. Raises TimeoutError."""
        for node, state in self.node_states().items():
            if not _alive(self.node_pid(node)):
                self.start_node(node)
            if state.startswith(("dr", "down")):
                with contextlib.suppress(subprocess.CalledProcessError):  # it may be back by itself
                    self.run("scontrol", "update", f"nodename={node}", "state=resume")
        wait_for("all nodes", lambda: self.node_states() == dict.fromkeys(NODES, "idle"), 60)

    def node_states(self) -> dict[str, str]:
        """Node -> state, as sinfo says it; empty while the controller does not answer."""
        try:
            lines = self.run("sinfo", "--noheader", "-N", "-o", "%N %T").splitlines()
        except subprocess.CalledProcessError:
            return {}
        return dict(line.split() for line in lines)  # type: ignore[misc]

    def jobs(self) -> list[dict[str, str]]:
        """All jobs the controller remembers: id, name, state, node, comment."""
        fields = {"id": "%i", "name": "%j", "state": "%T", "node": "%N", "comment": "%k"}
        lines = self.run("squeue", "--noheader", "--states=all", "-o", "|".join(fields.values())).splitlines()
        rows = sorted((line.split("|") for line in lines), key=lambda row: int(row[0]))
        return [dict(zip(fields, row, strict=True)) for row in rows]

    def jobs_on(self, node: str) -> list[str]:
        """Ids of the jobs that run on a node."""
        return [job["id"] for job in self.jobs() if job["node"] == node and job["state"] in ("RUNNING", "COMPLETING")]

    def processes_of(self, job: str, words: str = "") -> list[psutil.Process]:
        """Processes of a job, found by their environment, whose command line has `words`."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                environ = process.environ()
                mine = environ.get("SLURM_JOB_ID") == job and environ.get("SLURM_CLUSTER_NAME") == "lab"
                if mine and words in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def stop(self) -> None:
        """Cancel what runs and end the daemons, whatever state they are in; nothing of the cluster is left running."""
        if not self.conf.exists():
            return
        with contextlib.suppress(subprocess.SubprocessError, TimeoutError, OSError):
            self.run("scancel", "--full", "--user=root")
            wait_for("jobs to end", lambda: not any(j["state"] in ("RUNNING", "COMPLETING") for j in self.jobs()), 10)
        files = [self.folder / f"spool.{node}" / "slurmd.pid" for node in NODES]
        files += [self.folder / "state" / "slurmctld.pid", self.folder / "munge" / "pid"]
        for file in files:
            with contextlib.suppress(OSError, ValueError):
                _end(int(file.read_text()))
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.pid != os.getpid() and (process.name() == "slurmstepd" or self._left(process.environ())):
                    process.kill()
        if SYSTEM_CONF.is_symlink() and SYSTEM_CONF.resolve() == self.conf:
            SYSTEM_CONF.unlink()
        self.conf.unlink(missing_ok=True)

    def _left(self, environ: dict[str, str]) -> bool:
        """Whether a process that is still there belongs to this cluster: a driver, a job's process."""
        job = "SLURM_JOB_ID" in environ and environ.get("SLURM_CLUSTER_NAME") == "lab"
        return environ.get("SLURM_CONF") == str(self.conf) or job


def guard(folder: Path, owner: int) -> None:
    """Wait until the cluster is stopped; stop it and remove its folder when the process that started it is gone."""
    lab = Lab(folder)
    while lab.conf.exists():
        if not _alive(owner):
            lab.stop()
            shutil.rmtree(folder, ignore_errors=True)
            return
        time.sleep(0.5)


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _end(pid: int) -> None:
    """SIGTERM, and SIGKILL to one that does not go within 5 seconds."""
    os.kill(pid, signal.SIGTERM)
    try:
        wait_for("end", lambda: not Path(f"/proc/{pid}").exists(), 5)
    except TimeoutError:
        os.kill(pid, signal.SIGKILL)


def main(argv: list[str]) -> int:
    """`start FOLDER` runs a cluster until it is interrupted, `stop FOLDER` ends it; `guard FOLDER PID` is its guard."""
    if len(argv) == 3 and argv[0] == "guard":
        guard(Path(argv[1]), int(argv[2]))
        return 0
    if len(argv) != 2 or argv[0] not in ("start", "stop"):
        print("usage: lab.py start|stop FOLDER", file=sys.stderr)
        return 2
    lab = Lab(argv[1])
    if argv[0] == "stop":
        lab.stop()
        return 0
    if why := missing():
        print(f"lab: {why}", file=sys.stderr)
        return 2
    try:
        lab.start()
        print(f"export SLURM_CONF={lab.conf}", flush=True)
        signal.pause()
    except KeyboardInterrupt:
        pass
    finally:
        lab.stop()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
