"""The stages as commands, on inputs so small that a job is little but its start."""

from __future__ import annotations

import shlex
from pathlib import Path

from planted import planted_store

DEMO = '--layout cas_me_sq --settings \'{"seconds": 4, "size": [176, 176]}\''
ROI = '{"set": "s", "sets": {"s": {"brow": {"landmarks": [19]}, "lip": {"landmarks": [48]}}}}'
GIVEN = "--features d/features.h5 --annotation d/annotation.csv"
TRAIN = f'train {GIVEN} --settings \'{{"epochs": 2, "keep": 1}}\''
# Words behind `mespot`; each can run after those before it, in the folder that `prepare` has filled.
COMMANDS = [
    shlex.split(line)
    for line in f"""
demo {DEMO} --subject 0 --video 0 --frames demo/face --truth demo/face.npz
demo-annotation {DEMO} --out demo/annotation.xlsx
decode --source demo/face --out decode/face.mkv --settings '{{"to_s": 0.4}}'
align --decoded decode/face.mkv --out-video align/face.mkv --out align/face.h5 --settings '{{"size": 64}}'
landmarks --aligned align/face.mkv --align align/face.h5 --out landmarks/face.h5
flow --aligned align/face.mkv --out flow/face.h5
roi --flow flow/face.h5 --landmarks landmarks/face.h5 --out roi/face.h5 --settings '{ROI}'
mdmo --roi roi/face.h5 --align align/face.h5 --out mdmo/face.h5
features --mdmo mdmo/face.h5 --subject anna --out features.h5
features-join --features planted.h5 --out d/features.h5
check --root demo --layout videos --annotation face.csv --out check.csv
annotation --source planted.csv --features d/features.h5 --out d/annotation.csv --as-given d/as_given.csv --audit d/audit.csv
annotation-join --annotation d/annotation.csv --out joined.csv
features-export --features planted.h5 --annotation d/as_given.csv --out published
{TRAIN} --left-out s0 --out d/net/0/model.pt --epochs d/net/0/epochs.pt --history d/net/0/history.csv
{TRAIN} --left-out s1 --out d/net/1/model.pt --epochs d/net/1/epochs.pt --history d/net/1/history.csv
checkpoint-export --model d/net/0/model.pt --out exported.pt
select --policy oracle {GIVEN} --as-given d/as_given.csv --epochs d/net/0/epochs.pt --epochs d/net/1/epochs.pt --out d/net/selection.csv --settings '{{"first_epoch": 1}}'
spot --network auw_gcn --features d/features.h5 --model d/net/0/epochs.pt --model d/net/1/epochs.pt --selection d/net/selection.csv --out d/net/intervals.csv --not-counted d/net/not_counted.csv --lanes d/net/lanes.csv --curves d/net/curves.h5
spot --features features.h5 --out own/rule/intervals.csv --not-counted own/rule/not_counted.csv --lanes own/rule/lanes.csv --curves own/rule/curves.h5
spot --features d/features.h5 --out d/rule/intervals.csv --not-counted d/rule/not_counted.csv --lanes d/rule/lanes.csv --curves d/rule/curves.h5
curves --features features.h5 --curves own/rule/curves.h5 --out curves.csv
intervals-export --intervals d/rule/intervals.csv --format elan --out elan --features d/features.h5
score --annotation d/annotation.csv --intervals d/rule/intervals.csv --protocol strict --out d/rule/score.json --subjects d/rule/subjects.csv
aggregate --score d/rule/score.json --subjects d/rule/subjects.csv --results . --out summary.csv
figures --dataset d --method rule --annotation d/annotation.csv --intervals d/rule/intervals.csv --subjects d/rule/subjects.csv --features d/features.h5 --out report/figures/d/rule --listed report/figures/d/rule.json
figures-table --summary summary.csv --out report/figures/table1.tex
report --results . --shown d/rule --summary summary.csv --out report/index.html
report --results . --shown own/rule --about test --out own/report/index.html
overlay --source demo/face --align align/face.h5 --landmarks landmarks/face.h5 --flow flow/face.h5 --features features.h5 --intervals own/rule/intervals.csv --curves own/rule/curves.h5 --video face --out own/overlay/face.mp4 --decode-settings '{{"to_s": 0.4}}' --roi-settings '{ROI}'
""".strip().splitlines()
]


def prepare(folder: Path) -> None:
    """What the commands begin with: a store to train on, and annotations."""
    folder.mkdir(parents=True, exist_ok=True)
    table = planted_store(folder / "planted.h5", n_subjects=2, inter_ocular=float("nan"))
    table.drop(columns="source_row").to_csv(folder / "planted.csv", index=False)
    # The page of one's own video looks for its files below the dataset's name.
    for name in ("align", "landmarks", "flow", "features.h5"):
        (folder / "own").mkdir(exist_ok=True)
        (folder / "own" / name).symlink_to(f"../{name}")
    (folder / "face.csv").write_text("video,type,onset,apex,offset\nface,micro,3,5,8\n")
