rule check:
    """The first job: whether a dataset's folder and annotation fit together; prints what it found."""
    input:
        root=of_user(lambda dataset: cfg.datasets[dataset].root),
        annotation=of_user(plan.annotation_file),
        compare=of_user(plan.compared_file),
    output:
        f"{R}/{{dataset}}/check.csv",
    log:
        f"{R}/logs/check/{{dataset}}.log",
    benchmark:
        f"{R}/benchmarks/check/{{dataset}}.tsv"
    wildcard_constraints:
        dataset=one_of(plan.checked),
    # First among all that is ready, and no input of a later stage: Snakemake would hold back what a
    # changed annotation makes run again for as long as its check is due (an `ancient` input, too).
    priority: 100
    conda:
        "../../envs/mespot.yaml"
    params:
        layout=lambda wildcards: cfg.datasets[wildcards.dataset].layout,
        compare=each("--compare", "compare"),
        stage=ask(plan.stage, "check", without=("align",), of="decode"),
        # Another list of videos is checked again, and so is a video that was replaced.
        sources=ask(plan.all_sources),
    shell:
        "mespot check --layout {params.layout} --root {input.root:q}"
        " --annotation {input.annotation:q} {params.compare} --out {output:q}"
        " --settings {params.stage[config]:q} 2>&1 | tee {log:q}"
