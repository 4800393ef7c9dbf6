rule aggregate:
    """One table: a row per method, dataset, selection and protocol; pooled; across datasets."""
    input:
        scores=scores,
        subjects=[str(Path(score).with_name("subjects.csv")) for score in scores],
    output:
        report(
            f"{R}/summary.csv",
            caption="../report/summary.rst",
            category="all datasets",
        ),
    log:
        f"{R}/logs/aggregate.log",
    benchmark:
        f"{R}/benchmarks/aggregate.tsv"
    conda:
        "../../envs/mespot.yaml"
    params:
        results=lambda wildcards: R,
        scores=each("--score", "scores"),
        subjects=each("--subjects", "subjects"),
        pool=flags("--pool", plan.pool),
        untrained=flags(
            "--untrained", [name for name in cfg.methods if not cfg.trains(name)]
        ),
        stage={"code": digest("aggregate")},
    shell:
        "mespot aggregate {params.scores} {params.subjects} {params.pool} {params.untrained} --results {params.results:q}"
        " --out {output:q} 2> {log:q}"
