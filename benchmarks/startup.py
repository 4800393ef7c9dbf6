"""What a job costs before it works: CPU time of each command's --help, and of the command on tiny inputs.

    python benchmarks/startup.py [--runs 9]

CPU seconds (user and system), the median of warm runs, with threads as the workflow sets them; and which of
the slow imports the command makes. A stage's own work on those inputs (some frames of 64 px, two epochs) is in
its time.
"""

import argparse
import os
import resource
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from small import COMMANDS, prepare

from mespot.cli import app

SLOW = ["numpy", "h5py", "av", "cv2", "dlib", "numba", "scipy", "pandas", "matplotlib", "torch"]
ONCE = "features-export"  # to a new folder alone
START = "import atexit, sys; from mespot.cli import app; "
TELL = "atexit.register(lambda: print('loaded', *sys.modules)); "


def mespot(words: list[str], tell: str = "") -> str:
    """What the command prints."""
    code = f"{START}{tell}sys.argv[1:] = {words}; app()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def cpu_seconds(words: list[str], runs: int) -> float:
    mespot(words)  # warm
    times = []
    for _ in range(runs):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        mespot(words)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return median(times)


def slow_imports(words: list[str]) -> str:
    loaded = mespot(words, TELL).rpartition("loaded ")[2].split()
    return " ".join(name for name in SLOW if name in loaded)


def main(runs: int) -> None:
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    os.environ.update(one_thread, OPENCV_FOR_THREADS_NUM="1")
    jobs = {f"{words[0]}{', by networks' * ('auw_gcn' in words)}": words for words in COMMANDS}
    others = [command.name for command in app.registered_commands if command.name not in jobs]
    print("| command | --help | on tiny inputs | imports |\n|---|---|---|---|")
    with TemporaryDirectory() as folder:
        prepare(Path(folder))
        os.chdir(folder)
        for words in COMMANDS:
            mespot(words)
        for name, words in jobs.items():
            row = [name, f"{cpu_seconds([words[0], '--help'], runs):.2f}"]
            if name != ONCE:
                row += [f"{cpu_seconds(words, runs):.2f}", slow_imports(words)]
            print("|", " | ".join(row), "|", flush=True)
        for name in others:
            print(f"| {name} | {cpu_seconds([name, '--help'], runs):.2f} | | |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=9)
    main(parser.parse_args().runs)
