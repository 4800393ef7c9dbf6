rule check:
    """The first job: whether a dataset's folder and annotation fit together; prints what it found."""
    input:
        root=lambda wildcards: cfg.datasets[wildcards.dataset].root,
        annotation=annotation_file,
        compare=compared_file,
    output:
        f"{R}/{{dataset}}/check.csv",
    log:
        f"{R}/logs/check/{{dataset}}.log",
    benchmark:
        f"{R}/benchmarks/check/{{dataset}}.tsv"
    wildcard_constraints:
        dataset="|".join(map(re.escape, CHECKED)) or "none",
    # First among all that is ready, and no input of a later stage: Snakemake would hold back what a
    # changed annotation makes run again for as long as its check is due (an `ancient` input, too).
    priority: 100
    conda:
        "../../envs/mespot.yaml"
    params:
        layout=lambda wildcards: cfg.datasets[wildcards.dataset].layout,
        compare=each("--compare", "compare"),
        stage=stage("check", of="decode"),
        # So that another list of videos checks again.
        videos=lambda wildcards: [found.path for found in videos(wildcards.dataset)],
    shell:
        "mespot check --layout {params.layout} --root {input.root:q}"
        " --annotation {input.annotation:q} {params.compare} --out {output:q}"
        " --settings {params.stage[config]:q} 2>&1 | tee {log:q}"
