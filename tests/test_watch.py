"""What a run shows: real Snakemake on a terminal of its own; `fake_mespot` stands in for the stages."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess

import pytest
from test_workflow_own import Spotting

HIDDEN, SHOWN = "\x1b[?25l", "\x1b[?25h"  # the cursor
CODES = re.compile(r"\x1b\[[?\d;]*[a-zA-Z]")


class OnTerminal(Spotting):
    """What is shown is `stdout`; Ctrl-C is pressed once it matches `until`."""

    until = None

    def execute(self, command: list, environment: dict) -> subprocess.CompletedProcess:
        environment = environment | {"TERM": "xterm", "COLUMNS": "80", "LINES": "30"}
        environment.pop("CI", None)
        child, terminal = pty.fork()
        if child == 0:
            try:
                # A shell has what it starts in the background ignore it.
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                os.execvpe(command[0], [str(word) for word in command], environment)
            finally:
                os._exit(127)
        shown, pressed = b"", False
        while piece := read(terminal):
            shown += piece
            if self.until and not pressed and re.search(self.until, shown.decode(errors="replace")):
                os.write(terminal, b"\x03")
                pressed = True
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return subprocess.CompletedProcess(command, code, shown.decode().replace("\r\n", "\n"), "")


def read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # nobody is at the other end any more
        return b""


@pytest.fixture
def spotting(tmp_path) -> OnTerminal:
    found = OnTerminal(tmp_path)
    (found.videos / "good.mp4").write_text("fine")
    return found


def test_on_a_terminal_counts_are_shown_and_what_is_to_stay(spotting):
    (spotting.videos / "wrong.mp4").write_text("bad")
    done = spotting.run()
    assert done.returncode == 2
    plain = CODES.sub("", done.stdout)
    assert re.findall(r"(\d+) of 15 jobs in", plain)[-1] == "15"
    last = plain[plain.rindex("15 of 15 jobs") :]
    assert re.findall(r"^(\w+) +━+ (\d) of (\d)", last, re.M) == [
        *((stage, "2", "2") for stage in ("decode", "align", "landmarks", "flow", "roi", "mdmo")),
        *((stage, "1", "1") for stage in ("features", "spot", "report")),
    ]
    # Why a video failed, when it does; then where the time went; the results and the failure again.
    failed = [plain.index(f"wrong failed: decode: {spotting.videos}/wrong.mp4: cannot be decoded")]
    failed.append(plain.rindex("mespot: wrong failed: decode: "))
    assert failed[0] < plain.index("job time") < plain.rindex("good ") < failed[1]
    assert plain[failed[1] :].count("\n") == 1
    assert "rule decode:" not in plain
    assert "Job stats" not in plain
    assert done.stdout.rindex(SHOWN) > done.stdout.rindex(HIDDEN)
    # Snakemake's own pages are in its log, and on the terminal where they are asked for.
    (log,) = (spotting.folder / ".snakemake" / "log").iterdir()
    assert log.read_text().count("rule decode:") == 2
    (spotting.videos / "wrong.mp4").unlink()
    done = spotting.run("--printshellcmds")
    assert "rule spot:" in done.stdout
    assert "jobs in" not in done.stdout
    assert HIDDEN not in done.stdout


def test_a_failed_jobs_message_is_shown(spotting):
    (spotting.videos / "good.mp4").write_text("bad")
    done = spotting.run()
    assert done.returncode == 2
    plain = CODES.sub("", done.stdout)
    assert re.search(r"^Error in rule features:\n(?s:.+)^every video failed$", plain, re.M)
    assert "1 failed" in plain
    assert re.search(r"\nmespot: good failed: decode: .+\n$", plain)


def test_ctrl_c_gives_the_terminal_back(spotting):
    (spotting.videos / "good.mp4").write_text("slow")
    spotting.until = r"0 of 1 good \("
    done = spotting.run()
    assert done.returncode == 1
    assert done.stdout.count(HIDDEN) == 1
    assert done.stdout.rindex(SHOWN) > done.stdout.rindex(HIDDEN)
    assert "Terminating processes on user request" in done.stdout


def test_in_a_log_snakemakes_own_lines_and_where_the_time_went(tmp_path):
    spotting = Spotting(tmp_path)
    (spotting.videos / "good.mp4").write_text("fine")
    done = spotting.run()
    assert done.returncode == 0
    assert "\x1b" not in done.stdout + done.stderr
    assert "rule decode:" in done.stderr
    table = done.stderr[done.stderr.index("stage ") :].split("\n\n")[0].splitlines()
    assert sum(int(line.split()[1]) for line in table[1:-1]) == 9
    assert table[-1].split()[:2] == ["all", "9"]
    # Where only `all` ran no time went anywhere.
    assert "job time" not in spotting.run().stderr
