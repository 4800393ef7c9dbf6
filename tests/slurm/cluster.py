"""A Slurm of one node on loopback, from Debian's packages, with nothing outside one folder."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
PACKAGES = "munge slurm-wlm"
# Two places for jobs and a GPU that is none, so that requests for one are seen, whatever is here.
CONF = """\
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
ProctrackType=proctrack/linuxproc
TaskPlugin=task/affinity
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
GresTypes=gpu
SlurmdParameters=config_overrides
MinJobAge=3600
SchedulerParameters=sched_interval=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=16000 Gres=gpu:1
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str | None:
    """Why there can be no cluster here; None if there can."""
    if os.geteuid() != 0:
        return "Slurm's daemons are started as root"
    if not all(map(shutil.which, PROGRAMS)):
        return f"no Slurm here: apt-get install {PACKAGES}"
    return None


@contextmanager
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """Start the daemons and yield the environment in which sbatch and its like find them; stop them.

    They also end if this process is killed. Their logs are kept in `folder`.
    """
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    ports = _free_ports(2)
    conf = folder / "slurm.conf"
    conf.write_text(CONF.format(host=socket.gethostname(), folder=folder, ports=ports))
    (folder / "gres.conf").write_text("Name=gpu File=/dev/null\n")
    (folder / "munge.key").write_bytes(secrets.token_bytes(1024))
    (folder / "munge.key").chmod(0o400)
    munged = ["munged", "--foreground", "--force"]
    for option in ("key", "pid", "log", "seed"):
        munged += [f"--{option}-file={folder}/munge.{option}"]
    # Snakemake's executor takes SLURM_CONF out of the environment in which jobs call srun.
    srun = folder / "bin" / "srun"
    srun.parent.mkdir()
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={conf} exec {shutil.which("srun")} "$@"\n')
    srun.chmod(0o755)
    path = os.pathsep.join([str(srun.parent), os.environ.get("PATH", os.defpath)])
    environment = {"SLURM_CONF": str(conf), "PATH": path}
    commands = (
        [*munged, f"--socket={folder}/munge.socket"],
        ["slurmctld", "-D", "-f", str(conf)],
        ["slurmd", "-D", "-f", str(conf)],
    )
    daemons = []
    try:
        for command in commands:
            with open(folder / f"{command[0]}.log", "w") as log:
                alive_with_this = ["setpriv", "--pdeathsig", "TERM", *command]
                daemons.append(
                    subprocess.Popen(
                        alive_with_this, stdout=log, stderr=log, env=os.environ | environment
                    )
                )
        _wait(lambda: "idle" in said(environment, "sinfo", "--format=%T"), 60, folder)
        yield environment
    finally:
        said(environment, "scancel", "--full", "--user=root")
        try:
            _wait(lambda: not said(environment, "squeue", "--noheader"), 30, folder)
        finally:
            for daemon in reversed(daemons):
                daemon.terminate()
                try:
                    daemon.wait(30)
                except subprocess.TimeoutExpired:
                    daemon.kill()
                    daemon.wait()


def _free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def said(environment: dict[str, str], *command: str) -> str:
    """What a command of Slurm's prints."""
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | environment, check=False
    )
    return done.stdout.strip()


def _wait(done, seconds: float, folder: Path) -> None:
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise TimeoutError(f"Slurm does not answer; its logs are in {folder}")
        time.sleep(0.2)
