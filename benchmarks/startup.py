"""What a job costs before it works: CPU time of each command's --help, and of the command on tiny inputs.

    python benchmarks/startup.py [--runs 9]

CPU seconds (user and system), the median of warm runs, with threads as the workflow sets them; and which of
the slow imports the command makes. A stage's own work on those inputs (half a second of video of 64 px, two
epochs) is in its time, so what is left of a small number is start-up.
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

SLOW = (
    "numpy",
    "h5py",
    "av",
    "cv2",
    "dlib",
    "scipy",
    "pandas",
    "matplotlib",
    "torch",
    "rich.console",
)
RUN = "import sys, atexit; from mespot.cli import app; "
TELL = "atexit.register(lambda: print('loaded', *sys.modules)); "


def mespot(words: list[str], tell: str = "") -> str:
    """What the command prints."""
    code = f"{RUN}{tell}sys.argv[1:] = {words}; app()"
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


def loaded(words: list[str]) -> str:
    modules = mespot(words, TELL).rpartition("loaded ")[2].split()
    return " ".join(name.partition(".")[0] for name in SLOW if name in modules)


def main(runs: int) -> None:
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    os.environ.update(one_thread, OPENCV_FOR_THREADS_NUM="1")
    # Each with the last of its lines, by which all that it needs is there.
    on_tiny_inputs = {
        f"{words[0]}{' --network' * ('auw_gcn' in words)}": words for words in COMMANDS
    }
    print("| command | --help, CPU s | on tiny inputs, CPU s | imports |\n|---|---|---|---|")
    with TemporaryDirectory() as folder:
        prepare(Path(folder))
        os.chdir(folder)
        for words in COMMANDS:
            mespot(words)
        names = [command.name for command in app.registered_commands]
        for name in dict.fromkeys([*on_tiny_inputs, *names]):
            helped = cpu_seconds([*name.split()[:1], "--help"], runs)
            words = on_tiny_inputs.get(name)
            if not words or name == "features-export":  # which writes to a new folder alone
                print(f"| {name} | {helped:.2f} | | {loaded([name, '--help'])} |", flush=True)
            else:
                print(
                    f"| {name} | {helped:.2f} | {cpu_seconds(words, runs):.2f} | {loaded(words)} |",
                    flush=True,
                )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=9)
    main(parser.parse_args().runs)
