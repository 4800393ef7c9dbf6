rule aggregate:
    """One table: a row per method, dataset, selection and protocol; pooled; across datasets."""
    input:
        scores=[
            f"{R}/{dataset}/{method}/score.json"
            for dataset in labelled()
            for method in cfg.methods
        ]
        + [
            f"{R}/{dataset}/{method}/cross/{source}/score.json"
            for source, dataset in crossed()
            for method in cfg.methods
        ],
    output:
        f"{R}/summary.csv",
    log:
        f"{R}/logs/aggregate.log",
    benchmark:
        f"{R}/benchmarks/aggregate.tsv"
    conda:
        "../../envs/mespot.yaml"
    params:
        results=lambda wildcards: R,
        scores=each("--score", "scores"),
        stage={"code": digest("aggregate")},
    shell:
        "mespot aggregate {params.scores} --results {params.results:q} --out {output:q} 2> {log:q}"
