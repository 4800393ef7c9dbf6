rule flow:
    """TV-L1 optical flow from each aligned frame to the next."""
    input:
        aligned=rules.align.output.video,
    output:
        f"{R}/{{dataset}}/flow/{{video}}.h5",
    log:
        f"{R}/logs/flow/{{dataset}}/{{video}}.log",
    benchmark:
        f"{R}/benchmarks/flow/{{dataset}}/{{video}}.tsv"
    conda:
        "../../envs/mespot.yaml"
    threads: threads_for_a_video
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
        gpu=1,
    params:
        stage=ask(plan.stage, "flow"),
    shell:
        "mespot flow --aligned {input.aligned:q} --out {output:q}"
        " --threads {threads} --settings {params.stage[config]:q} 2> {log:q}"
