"""Where a run's time went: a markdown table of Snakemake's benchmark files, a row a stage.

python benchmarks/where_time_goes.py results
"""

import sys
from pathlib import Path

import pandas as pd

results = Path(sys.argv[1] if len(sys.argv) > 1 else "results")
rows = []
for path in sorted((results / "benchmarks").rglob("*.tsv")):
    stage = path.relative_to(results / "benchmarks").parts[0].removesuffix(".tsv")
    rows.append(pd.read_csv(path, sep="\t").iloc[0].to_dict() | {"stage": stage})
table = (
    pd.DataFrame(rows)
    .groupby("stage", sort=False)
    .agg(jobs=("s", "size"), seconds=("s", "sum"), slowest=("s", "max"), memory=("max_rss", "max"))
)
table = table.sort_values("seconds", ascending=False)
print("| stage | jobs | job seconds | share | slowest job, s | peak memory, MiB |")
print("|---|---|---|---|---|---|")
for stage, row in table.iterrows():
    share = row.seconds / table.seconds.sum()
    print(
        f"| {stage} | {row.jobs:.0f} | {row.seconds:.0f} | {share:.0%} | {row.slowest:.1f} "
        f"| {row.memory:.0f} |"
    )
print(f"| all | {table.jobs.sum():.0f} | {table.seconds.sum():.0f} | | | |")
