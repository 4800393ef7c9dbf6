rule spot:
    """Spot in the left-out subject's videos with the model that has not seen them."""
    input:
        features=f"{R}/{{dataset}}/features.h5",
        model=rules.train.output.model,
    output:
        intervals=f"{R}/{{dataset}}/{{method}}/folds/{{fold}}/intervals.csv",
        curves=f"{R}/{{dataset}}/{{method}}/folds/{{fold}}/curves.h5",
    log:
        f"{R}/logs/spot/{{dataset}}/{{method}}/{{fold}}.log",
    benchmark:
        f"{R}/benchmarks/spot/{{dataset}}/{{method}}/{{fold}}.tsv"
    conda:
        "../../envs/mespot.yaml"
    params:
        model=lambda wildcards: model_of(wildcards.method),
        stage=stage("spot"),
    shell:
        "mespot spot --features {input.features:q} --model {input.model:q}"
        " --subject {wildcards.fold:q} --out {output.intervals:q} --curves {output.curves:q}"
        " --settings {params.stage[config]:q} 2> {log:q}"


rule spot_cross:
    """Spot in all videos of a dataset with the model of another (or of one's own video)."""
    input:
        features=f"{R}/{{dataset}}/features.h5",
        model=f"{R}/{{source}}/{{method}}/folds/all/model.pt",
    output:
        intervals=f"{R}/{{dataset}}/{{method}}/cross/{{source}}/intervals.csv",
        curves=f"{R}/{{dataset}}/{{method}}/cross/{{source}}/curves.h5",
    log:
        f"{R}/logs/spot/{{dataset}}/{{method}}/from_{{source}}.log",
    benchmark:
        f"{R}/benchmarks/spot/{{dataset}}/{{method}}/from_{{source}}.tsv"
    conda:
        "../../envs/mespot.yaml"
    params:
        model=lambda wildcards: model_of(wildcards.method),
        stage=stage("spot"),
    shell:
        "mespot spot --features {input.features:q} --model {input.model:q}"
        " --out {output.intervals:q} --curves {output.curves:q}"
        " --settings {params.stage[config]:q} 2> {log:q}"
