rule roi:
    """Flow windows around the regions of interest, and the nose region."""
    input:
        flow=rules.flow.output,
        landmarks=rules.landmarks.output,
    output:
        f"{R}/{{dataset}}/roi/{{video}}.h5",
    log:
        f"{R}/logs/roi/{{dataset}}/{{video}}.log",
    benchmark:
        f"{R}/benchmarks/roi/{{dataset}}/{{video}}.tsv"
    conda:
        "../../envs/mespot.yaml"
    params:
        stage=ask(plan.stage, "roi"),
    shell:
        "mespot roi --flow {input.flow:q} --landmarks {input.landmarks:q} --out {output:q}"
        " --settings {params.stage[config]:q} 2> {log:q}"
