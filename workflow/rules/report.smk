rule report:
    """The page: the table of scores and a timeline of each video."""
    input:
        summary=rules.aggregate.output,
        features=[f"{R}/{dataset}/features.h5" for dataset in labelled()],
        annotation=[f"{R}/{dataset}/annotation.csv" for dataset in labelled()],
        folds=[
            f"{R}/{dataset}/{method}/folds/{subject}/{name}"
            for dataset in labelled()
            for method in cfg.methods
            for subject in subjects(dataset)
            for name in ("intervals.csv", "curves.h5")
        ],
    output:
        page=f"{R}/report/index.html",
        pictures=directory(f"{R}/report/timelines"),
    log:
        f"{R}/logs/report.log",
    benchmark:
        f"{R}/benchmarks/report.tsv"
    conda:
        "../../envs/mespot.yaml"
    params:
        results=lambda wildcards: R,
        datasets=" ".join(f"--dataset {name}" for name in labelled()),
        methods=" ".join(f"--method {name}" for name in cfg.methods),
        stage=stage("report"),
    shell:
        "mespot report --results {params.results:q} {params.datasets} {params.methods}"
        " --summary {input.summary:q} --out {output.page:q}"
        " --settings {params.stage[config]:q} 2> {log:q}"


rule report_own:
    """The page of one's own videos: what was spotted, and a timeline of each."""
    input:
        features=f"{R}/{{dataset}}/features.h5",
        intervals=f"{R}/{{dataset}}/{cfg.own.method}/cross/{cfg.own.dataset}/intervals.csv",
        curves=f"{R}/{{dataset}}/{cfg.own.method}/cross/{cfg.own.dataset}/curves.h5",
    output:
        page=f"{R}/{{dataset}}/report/index.html",
        pictures=directory(f"{R}/{{dataset}}/report/timelines"),
    log:
        f"{R}/logs/report/{{dataset}}.log",
    benchmark:
        f"{R}/benchmarks/report/{{dataset}}.tsv"
    conda:
        "../../envs/mespot.yaml"
    params:
        results=lambda wildcards: R,
        method=cfg.own.method,
        source=cfg.own.dataset,
        stage=stage("report"),
    shell:
        "mespot report --results {params.results:q} --dataset {wildcards.dataset:q}"
        " --method {params.method:q} --model-of {params.source:q} --out {output.page:q}"
        " --settings {params.stage[config]:q} 2> {log:q}"
