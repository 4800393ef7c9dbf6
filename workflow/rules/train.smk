# The methods of two stages, and all others: no two rules make one file.
TWO_STAGE = rf"({one_of(plan.two_stage)})(/seed_\d+)?"


rule train:
    """One fold: a model trained on all subjects but one (`all`: on all, for new videos).

    Fold inner_I_J leaves out two groups of subjects, to choose on them.
    """
    input:
        features=f"{R}/{{dataset}}/features.h5",
        annotation=ask(plan.annotation_to_train_on),
        start=lambda wildcards: plan.model_to_start_from(
            wildcards.dataset, wildcards.run
        ),
    output:
        model=f"{R}/{{dataset}}/{{run}}/folds/{{fold}}/model.pt",
        epochs=f"{R}/{{dataset}}/{{run}}/folds/{{fold}}/epochs.pt",
        history=f"{R}/{{dataset}}/{{run}}/folds/{{fold}}/history.csv",
    log:
        f"{R}/logs/train/{{dataset}}/{{run}}/{{fold}}.log",
    benchmark:
        f"{R}/benchmarks/train/{{dataset}}/{{run}}/{{fold}}.tsv"
    wildcard_constraints:
        run=rf"(?!{TWO_STAGE}/)[\w.-]+(/seed_\d+)?",
    conda:
        "../../envs/mespot.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 20 * attempt,
        gpu=1,
    params:
        network=lambda wildcards: plan.network(wildcards.run),
        left_out=lambda wildcards: flags(
            "--left-out", plan.left_out(**dict(wildcards.items()))
        ),
        start=each("--start", "start"),
        stage=ask(plan.stage, "train"),
    shell:
        "mespot train --features {input.features:q} --annotation {input.annotation:q}"
        " {params.left_out} {params.start} --network {params.network[name]:q}"
        " --out {output.model:q} --epochs {output.epochs:q} --history {output.history:q}"
        " --settings {params.stage[config]:q} 2> {log:q}"


rule train_multiscale:
    """One fold of the two-stage method: a network trained on all subjects but one, or but two groups."""
    input:
        features=f"{R}/{{dataset}}/features.h5",
        annotation=ask(plan.annotation_to_train_on),
    output:
        model=f"{R}/{{dataset}}/{{run}}/folds/{{fold}}/model.pt",
        history=f"{R}/{{dataset}}/{{run}}/folds/{{fold}}/history.csv",
    log:
        f"{R}/logs/train/{{dataset}}/{{run}}/{{fold}}.log",
    benchmark:
        f"{R}/benchmarks/train/{{dataset}}/{{run}}/{{fold}}.tsv"
    wildcard_constraints:
        run=TWO_STAGE,
    conda:
        "../../envs/mespot.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 20 * attempt,
        gpu=1,
    params:
        left_out=lambda wildcards: flags(
            "--left-out", plan.left_out(**dict(wildcards.items()))
        ),
        stage=ask(plan.stage, "train"),
    shell:
        "mespot train-multiscale --features {input.features:q} --annotation {input.annotation:q}"
        " {params.left_out} --out {output.model:q} --history {output.history:q}"
        " --settings {params.stage[config]:q} 2> {log:q}"
