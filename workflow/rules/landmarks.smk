rule landmarks:
    """68 points in each aligned frame."""
    input:
        aligned=rules.align.output.video,
        align=rules.align.output.h5,
    output:
        f"{R}/{{dataset}}/landmarks/{{video}}.h5",
    log:
        f"{R}/logs/landmarks/{{dataset}}/{{video}}.log",
    benchmark:
        f"{R}/benchmarks/landmarks/{{dataset}}/{{video}}.tsv"
    conda:
        "../../envs/mespot.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
        gpu=lambda wildcards: plan.gpu("landmarks", wildcards.dataset),
    params:
        stage=ask(plan.stage, "landmarks"),
    shell:
        "mespot landmarks --aligned {input.aligned:q} --align {input.align:q} --out {output:q}"
        " --settings {params.stage[config]:q} 2> {log:q}"
