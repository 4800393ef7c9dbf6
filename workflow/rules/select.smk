rule select:
    """Each fold's epoch and thresholds, chosen on inner left-out subjects or by the oracle."""
    input:
        features=f"{R}/{{dataset}}/features.h5",
        annotation=f"{R}/{{dataset}}/annotation.csv",
        as_given=f"{R}/{{dataset}}/annotation_as_given.csv",
        epochs=ask(plan.trainings_to_choose_by),
    output:
        f"{R}/{{dataset}}/{{run}}/{{policy}}/selection.csv",
    log:
        f"{R}/logs/select/{{dataset}}/{{run}}/{{policy}}.log",
    benchmark:
        f"{R}/benchmarks/select/{{dataset}}/{{run}}/{{policy}}.tsv"
    conda:
        "../../envs/mespot.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        network=lambda wildcards: plan.network(wildcards.run),
        epochs=each("--epochs", "epochs"),
        stage=ask(plan.stage, "select", without=("policies", "groups")),
        spot=lambda wildcards: plan.spot_settings(wildcards.dataset, wildcards.run),
    shell:
        "mespot select --policy {wildcards.policy} --features {input.features:q}"
        " --annotation {input.annotation:q} --as-given {input.as_given:q} {params.epochs}"
        " --network {params.network[name]:q} --out {output:q}"
        " --settings {params.stage[config]:q} --spot-settings {params.spot:q} 2> {log:q}"
