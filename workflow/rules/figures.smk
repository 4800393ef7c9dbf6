rule figures:
    """A run's figures as files, each with its data; so they stand in Snakemake's report, too."""
    input:
        annotation=f"{R}/{{dataset}}/annotation.csv",
        features=f"{R}/{{dataset}}/features.h5",
        intervals=rules.spot.output.intervals,
        subjects=rules.score.output.subjects,
        histories=ask(plan.histories),
        model=ask(plan.model_with_graph),
    output:
        figures=report(
            directory(f"{R}/report/figures/{{dataset}}/{{run}}{{chosen}}"),
            patterns=["{name,[a-z0-9_]+}.svg"],
            caption="../report/figure.rst",
            category="{dataset}",
            subcategory="{run}{chosen}",
            labels=lambda wildcards: {"figure": wildcards.name.replace("_", " ")},
        ),
        # For the page: of a file Snakemake tells whether it changed, of a folder it does not.
        listed=f"{R}/report/figures/{{dataset}}/{{run}}{{chosen}}.json",
    log:
        f"{R}/logs/figures/{{dataset}}/{{run}}{{chosen}}.log",
    benchmark:
        f"{R}/benchmarks/figures/{{dataset}}/{{run}}{{chosen}}.tsv"
    conda:
        "../../envs/mespot.yaml"
    params:
        histories=each("--history", "histories"),
        model=each("--model", "model"),
        stage=ask(plan.stage, "figures", ("methods",), "report"),
    shell:
        "mespot figures --dataset {wildcards.dataset:q} --method {wildcards.run:q}{wildcards.chosen:q}"
        " --annotation {input.annotation:q} --intervals {input.intervals:q}"
        " --subjects {input.subjects:q} --features {input.features:q}"
        " {params.histories} {params.model} --out {output.figures:q} --listed {output.listed:q}"
        " --settings {params.stage[config]:q} 2> {log:q}"


rule figures_table:
    """The table of F1 as LaTeX."""
    input:
        summary=rules.aggregate.output,
    output:
        f"{R}/report/figures/table1.tex",
    log:
        f"{R}/logs/figures/table1.log",
    benchmark:
        f"{R}/benchmarks/figures/table1.tsv"
    conda:
        "../../envs/mespot.yaml"
    params:
        joined=flags("--joined", plan.joined),
        stage=ask(plan.stage, "papers.table", ("methods",), "report"),
    shell:
        "mespot figures-table --summary {input.summary:q} {params.joined} --out {output:q}"
        " --settings {params.stage[config]:q} 2> {log:q}"
