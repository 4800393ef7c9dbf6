# Said before anything runs.
for method in cfg.methods:
    model_of(method)


rule train:
    """One fold: a model trained on all subjects but one (`all`: on all, for new videos)."""
    input:
        features=f"{R}/{{dataset}}/features.h5",
        annotation=f"{R}/{{dataset}}/annotation.csv",
    output:
        model=f"{R}/{{dataset}}/{{method}}/folds/{{fold}}/model.pt",
        history=f"{R}/{{dataset}}/{{method}}/folds/{{fold}}/history.csv",
    log:
        f"{R}/logs/train/{{dataset}}/{{method}}/{{fold}}.log",
    benchmark:
        f"{R}/benchmarks/train/{{dataset}}/{{method}}/{{fold}}.tsv"
    conda:
        "../../envs/mespot.yaml"
    resources:
        gpu=1,
    params:
        model=lambda wildcards: model_of(wildcards.method),
        left_out=lambda wildcards: (
            "" if wildcards.fold == "all" else f"--left-out {wildcards.fold}"
        ),
        stage=stage("train"),
    shell:
        "mespot train --features {input.features:q} --annotation {input.annotation:q}"
        " {params.left_out} --model {params.model[name]:q}"
        " --out {output.model:q} --history {output.history:q}"
        " --settings {params.stage[config]:q} 2> {log:q}"
