def model_of(method):
    """What names the method's model class, and the digest of its code if it is the user's own."""
    name = cfg.model(method)
    path, colon, _ = name.rpartition(":")
    if name != "auw_gcn" and not (colon and Path(path).is_file()):
        raise WorkflowError(
            f"methods.{method}.model: {name!r}: auw_gcn or path/to/file.py:Class was expected"
        )
    return {"name": name, "code": file_digest(Path(path)) if colon else digest("model")}


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
