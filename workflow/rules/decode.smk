rule decode:
    """Every source becomes the same thing: a lossless video at the dataset's working rate."""
    input:
        source=of_user(lambda dataset, video: plan.video(dataset, video).path),
    output:
        temp(f"{R}/{{dataset}}/decode/{{video}}.mkv"),
    log:
        f"{R}/logs/decode/{{dataset}}/{{video}}.log",
    benchmark:
        f"{R}/benchmarks/decode/{{dataset}}/{{video}}.tsv"
    conda:
        "../../envs/mespot.yaml"
    resources:
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        stage=ask(plan.stage, "decode"),
        source=ask(plan.source),
        first=lambda wildcards: flags(
            "--first-frame", plan.first_frame(wildcards.dataset)
        ),
    shell:
        "mespot decode --source {input.source:q} --out {output:q} {params.first}"
        " --settings {params.stage[config]:q} 2> {log:q}"
