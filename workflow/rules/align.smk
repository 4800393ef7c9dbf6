rule align:
    """Find the face, register every frame to it, crop."""
    input:
        decoded=rules.decode.output,
    output:
        video=f"{R}/{{dataset}}/align/{{video}}.mkv",
        h5=f"{R}/{{dataset}}/align/{{video}}.h5",
    log:
        f"{R}/logs/align/{{dataset}}/{{video}}.log",
    benchmark:
        f"{R}/benchmarks/align/{{dataset}}/{{video}}.tsv"
    conda:
        "../../envs/mespot.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
        gpu=lambda wildcards: plan.gpu("align", wildcards.dataset),
    params:
        stage=ask(plan.stage, "align"),
    shell:
        "mespot align --decoded {input.decoded:q} --out-video {output.video:q}"
        " --out {output.h5:q} --settings {params.stage[config]:q} 2> {log:q}"
