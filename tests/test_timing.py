from __future__ import annotations

import os
from pathlib import Path

import pytest

from mespot import progress, timing
from mespot.timing import Far, Job, Run, Spent, Stage, Took


def ended(seconds: float, frames: int | None = None, number: int = 1) -> list[Took]:
    return [Took(seconds, 100.0, frames)] * number


def job(stage: str, folder: Path = Path(), name: str = "v", **is_) -> Job:
    return Job(stage, name, folder / f"{stage}_{name}.tsv", folder / f"{stage}_{name}.log", **is_)


def write_benchmark(path: Path, seconds: float, memory: str = "12.50") -> None:
    """As Snakemake writes one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"s\th:m:s\tmax_rss\tmax_vms\n{seconds}\t0:00:01\t{memory}\tNA\n")


@pytest.mark.parametrize("total", [7, None])
def test_what_progress_writes_is_read(tmp_path, monkeypatch, capsys, total):
    # Of a clock that goes evenly: a machine that halts for a moment would leave a line out.
    clock = iter(range(10_000))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0)
    log = tmp_path / "v.log"
    for number, _ in enumerate(progress.progress(range(7), "flow a: 3 of 4, 5 s", total)):
        log.write_text(log.read_text() if log.exists() else "")
        with log.open("a") as file:
            file.write(capsys.readouterr().err)
        if number == 5:
            assert timing.how_far(log)[:2] == (5, total)
    with log.open("a") as file:
        file.write(capsys.readouterr().err + "warning: 3 of 4 frames are dark\n")
    assert timing.how_far(log)[:2] == (7, None)


def test_a_total_that_is_only_expected_stops_no_count(monkeypatch, capsys):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0)
    list(progress.progress(range(12), "decode v", 10))
    list(progress.progress(range(3), "flow v", 90, step=32))
    said = capsys.readouterr().err
    assert "decode v: 12 done" in said
    assert "flow v: 90 done" in said


def test_lines_in_a_log_become_sparse(monkeypatch, capsys):
    clock = iter(range(10_000))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    list(progress.progress(range(1000), "v"))
    times = [int(line.split()[2]) for line in capsys.readouterr().err.splitlines()[:-1]]
    assert times[:3] == [5, 10, 15]
    assert times[-1] - times[-2] >= 45


def test_what_a_job_took(tmp_path):
    one = job("flow", tmp_path)
    assert timing.took(one.benchmark, one.log) is None
    write_benchmark(one.benchmark, 31.5, "NA")
    assert timing.took(one.benchmark, one.log) == (31.5, 0.0, None)
    write_benchmark(one.benchmark, 31.5)
    one.log.write_text("flow v: 590 done in 28.4 s\n")
    assert timing.took(one.benchmark, one.log) == (31.5, 12.5, 590)
    one.benchmark.write_text("s\th:m:s\tmax")
    assert timing.took(one.benchmark, one.log) is None


def test_the_newest_of_earlier_runs_tell(tmp_path):
    for number in range(timing.NEWEST + 5):
        path = tmp_path / "benchmarks" / "flow" / "data" / f"v.{number}.tsv"
        write_benchmark(path, number)
        os.utime(path, (number, number))
        log = tmp_path / "logs" / "flow" / "data" / f"v.{number}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(f"flow v: {number} done in 1.0 s\n")
    write_benchmark(tmp_path / "benchmarks" / "report.tsv", 3)
    (tmp_path / "benchmarks" / "flow" / "data" / "half.tsv").write_text("")
    found = timing.earlier(tmp_path, "flow")
    assert sorted(one.seconds for one in found) == sorted(one.frames for one in found)
    assert min(one.seconds for one in found) == 6  # one of the newest is empty
    assert [one.seconds for one in timing.earlier(tmp_path, "report")] == [3]
    assert timing.earlier(tmp_path, "train") == []


def test_a_longer_video_takes_longer_but_for_the_start():
    stage = Stage(per_video=True, earlier=ended(11, frames=100))
    assert stage.cost(300) == timing.START + 30
    assert stage.cost(None) is None
    assert Stage(earlier=ended(11, frames=100)).cost(300) == 11
    assert Stage(per_video=True).cost(300) is None
    # What this run tells counts more.
    stage.now.append(Took(21, 0, 100))
    assert stage.cost(100) == 21


def test_many_videos_share_the_cores_and_one_goes_from_stage_to_stage():
    def left(videos: int, share: float) -> float:
        names = ("decode", "align", "flow")
        stages = {name: Stage(videos, share, earlier=ended(60)) for name in names}
        return Run(stages, keep_going=True).left(0.0).seconds

    assert left(videos=100, share=1 / 4) == 100 * 3 * 60 / 4
    assert left(videos=1, share=1 / 4) == 3 * 60


def test_what_runs_counts_for_what_is_left_of_it():
    run = Run({"flow": Stage(2, earlier=ended(100))}, keep_going=True)
    run.begin(1, job("flow"))
    assert run.left(50.0).seconds == 200, "it has not been seen to run"
    run.running[1].seen = 10.0
    assert run.left(50.0).seconds == 160
    # By its log 90 s at the time of 40.
    run.running[1].far, run.running[1].told = Far(10, 40, 30.0), 40.0
    assert run.left(50.0).seconds == 100 + 80
    assert run.left(500.0).seconds == 100


def test_what_nothing_tells_is_not_made_up():
    stages = {"decode": Stage(1, per_video=True, earlier=ended(300, frames=9000)), "flow": Stage(1)}
    run = Run(stages, keep_going=True)
    assert str(run.left(0.0)) == "time left unknown yet"
    run.begin(1, job("decode", seen=0.0, far=Far(1000, 9000, 30.0)))
    assert str(run.left(0.0)) == "about 5 min or more left"
    run.running.clear()
    run.frames.append(9000)
    stages["decode"].ended = 1
    assert str(run.left(0.0)) == "time left unknown until each stage has run once"
    stages["flow"].earlier = ended(30)
    assert str(run.left(0.0)) == "under a minute left"


def test_what_failed_is_not_waited_for():
    stages = {"decode": Stage(10, earlier=ended(60))}
    for keep_going, left in ((True, 8 * 60), (False, 60)):
        run = Run(stages, keep_going)
        for number in (1, 2, 3):
            run.begin(number, job("decode"))
        run.fail(1)
        run.fail(2)
        assert len(run.failed) == 2
        assert run.left(0.0).seconds == left
    run.begin(1, job("decode"))
    assert len(run.failed) == 1, "it is tried again"


def test_a_cluster_is_as_large_as_the_jobs_that_were_seen_at_once(tmp_path):
    """Two groups of three jobs each, handed over together; one group runs, and has ended its first job."""
    names = ("decode", "align", "flow")
    stages = {name: Stage(2, share=0.01, earlier=ended(60)) for name in names}
    run = Run(stages, keep_going=True, local=False)
    for number, (name, video) in enumerate((name, video) for name in names for video in "ab"):
        run.begin(number, job(name, tmp_path, video))
    run.look(1.0)
    assert str(run.left(1.0)) == "time left unknown yet", "all wait"
    for name in ("decode_a", "align_a"):
        (tmp_path / f"{name}.log").touch()
    write_benchmark(tmp_path / "decode_a.tsv", 60)
    write_benchmark(tmp_path / "flow_a.tsv", 60)  # of an earlier run
    run.look(2.0)
    assert run.most == 1
    assert [one.name for one in run.running.values() if one.runs] == ["a"]
    assert run.left(2.0).seconds == 5 * 60
    for number in range(6):
        run.end(number, 3.0)
    assert (run.ended, run.left(3.0).seconds) == (6, 0)
    assert run.spent["decode"].jobs == 2


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (20, "1 min"),
        (100, "2 min"),
        (9.4 * 60, "9 min"),
        (33 * 60, "35 min"),
        (58 * 60, "1 h"),
        (127 * 60, "2 h 10 min"),
        (23.6 * 3600, "24 h"),
    ],
)
def test_times_that_are_not_known_exactly_are_coarse(seconds, said):
    assert timing.about(seconds) == said


def test_where_the_time_went():
    spent = {"roi": Spent(), "flow": Spent(), "align": Spent()}
    spent["roi"].add("a", Took(1, 80, None))
    spent["flow"].add("a", Took(30, 300, None))
    spent["flow"].add("b", Took(120, 200, None))
    spent["align"].add("a", Took(49, 150, None))
    assert [" ".join(line.split()) for line in timing.where(spent)] == [
        "stage jobs job time share peak memory slowest job",
        "flow 2 2 min 30 s 75% 300 MiB 2 min 0 s b",
        "align 1 49 s 24% 150 MiB 49 s a",
        "others 1 1 s 0%",
        "all 4 3 min 20 s",
    ]


def test_many_stages_are_a_dozen_lines():
    spent = {f"stage_{number}": Spent(1, 10.0, 10.0) for number in range(20)}
    lines = timing.where(spent)
    assert len(lines) == timing.SHOWN + 3
    assert lines[-2].split() == ["others", "10", "1", "min", "40", "s", "50%"]
