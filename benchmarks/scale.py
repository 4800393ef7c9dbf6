"""What a dry-run costs of many subjects and videos, and how much of it is Snakemake's own.

    python benchmarks/scale.py 1000 4000 20000

makes folders of that many empty videos, 20 of each subject, and prints CPU seconds and peak memory of a
dry-run with nothing done yet. Beside it stands a bare workflow of as many rules, jobs and files, each with one
short parameter: what no package of ours can take away.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
EACH = 20  # videos of a subject
STAGES = ("decode", "align", "landmarks", "flow", "roi", "mdmo")
BARE = """
VIDEOS = [f"p{{s:04d}}_{{v:02d}}" for s in range({subjects}) for v in range({each})]
rule all:
    input: expand("r/{last}/{{video}}.h5", video=VIDEOS)
"""
RULE = """
rule {name}:
    input: {source!r}
    output: "r/{name}/{{video}}.h5"
    log: "r/logs/{name}/{{video}}.log"
    benchmark: "r/benchmarks/{name}/{{video}}.tsv"
    params: stage=dict(code="0")
    shell: "echo {{input:q}} {{output:q}} {{params.stage[code]}} 2> {{log:q}}"
"""


def dry_run(*arguments: str, folder: Path) -> tuple[float, float, int]:
    """CPU seconds, peak MiB and number of jobs of `snakemake -n` with these arguments."""
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "-n",
        "--quiet",
        "rules",
        "--cores",
        "1",
        *arguments,
    ]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        said.seek(0)
        text = said.read()
    if status:
        sys.exit(text[-2000:])
    jobs = next(line.split()[1] for line in text.splitlines() if line.startswith("total"))
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, int(jobs)


def measure(number: int, folder: Path) -> None:
    rows = ["video,type,onset,offset"]
    subjects = number // EACH
    for s in range(subjects):
        person = folder / "videos" / f"p{s:04d}"
        person.mkdir(parents=True)
        for v in range(EACH):
            name = f"p{s:04d}_{v:02d}"
            (person / f"{name}.mp4").touch()
            rows.append(f"{name},macro,10,30")
    (folder / "a.csv").write_text("\n".join(rows) + "\n")
    entry = f"{{layout: videos, root: {folder}, annotation: a.csv}}"
    (folder / "c.yaml").write_text(f"results: {folder / 'r'}\ndatasets:\n  big: {entry}\n")
    bare = BARE.format(subjects=subjects, each=EACH, last=STAGES[-1])
    sources = [str(folder / "a.csv"), *(f"r/{name}/{{video}}.h5" for name in STAGES)]
    for name, source in zip(STAGES, sources, strict=False):
        bare += RULE.format(name=name, source=source)
    (folder / "bare").mkdir()
    (folder / "bare" / "Snakefile").write_text(bare)
    ours = dry_run("--snakefile", str(ROOT / "Snakefile"), "--configfile", str(folder / "c.yaml"), folder=folder)  # fmt: skip
    theirs = dry_run(folder=folder / "bare")
    print(f"| {number} | {ours[2]} | {ours[0]:.0f} | {ours[1]:.0f} | {theirs[2]} | {theirs[0]:.0f} | {theirs[1]:.0f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    print(
        "| videos | jobs | CPU s | peak MiB | bare: jobs | CPU s | peak MiB |\n|---|---|---|---|---|---|---|"
    )
    for number in map(int, sys.argv[1:] or ["1000"]):
        with tempfile.TemporaryDirectory() as made:
            measure(number, Path(made))
