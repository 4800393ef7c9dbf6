rule spot:
    """Spot in each left-out subject's videos with the model that has not seen them, or with no model."""
    input:
        features=f"{R}/{{dataset}}/features.h5",
        models=ask(plan.models_of_folds),
        selection=ask(plan.selection),
        evaluation=ask(plan.evaluation),
    output:
        intervals=f"{R}/{{dataset}}/{{run}}{{chosen}}/intervals.csv",
        not_counted=f"{R}/{{dataset}}/{{run}}{{chosen}}/not_counted.csv",
        lanes=f"{R}/{{dataset}}/{{run}}{{chosen}}/lanes.csv",
        curves=f"{R}/{{dataset}}/{{run}}{{chosen}}/curves.h5",
    log:
        f"{R}/logs/spot/{{dataset}}/{{run}}{{chosen}}.log",
    benchmark:
        f"{R}/benchmarks/spot/{{dataset}}/{{run}}{{chosen}}.tsv"
    conda:
        "../../envs/mespot.yaml"
    params:
        network=lambda wildcards: plan.network(wildcards.run),
        models=each("--model", "models"),
        selection=each("--selection", "selection"),
        evaluation=each("--evaluation", "evaluation"),
        stage=ask(plan.stage, "spot"),
        lanes=json.dumps(cfg.lanes.plain()),
    shell:
        "mespot spot --features {input.features:q} {params.models} {params.selection}"
        " {params.evaluation}"
        " --network {params.network[name]:q} --out {output.intervals:q}"
        " --not-counted {output.not_counted:q} --lanes {output.lanes:q} --curves {output.curves:q}"
        " --settings {params.stage[config]:q} --lane-settings {params.lanes:q} 2> {log:q}"


rule spot_cross:
    """Spot in all videos of a dataset with the model of another (or of one's own video)."""
    input:
        features=f"{R}/{{dataset}}/features.h5",
        models=ask(plan.models_of_folds),
        selection=ask(plan.selection),
        evaluation=ask(plan.evaluation),
    output:
        intervals=f"{R}/{{dataset}}/{{run}}/cross/{{source}}{{chosen}}/intervals.csv",
        not_counted=f"{R}/{{dataset}}/{{run}}/cross/{{source}}{{chosen}}/not_counted.csv",
        lanes=f"{R}/{{dataset}}/{{run}}/cross/{{source}}{{chosen}}/lanes.csv",
        curves=f"{R}/{{dataset}}/{{run}}/cross/{{source}}{{chosen}}/curves.h5",
    log:
        f"{R}/logs/spot/{{dataset}}/{{run}}/from_{{source}}{{chosen}}.log",
    benchmark:
        f"{R}/benchmarks/spot/{{dataset}}/{{run}}/from_{{source}}{{chosen}}.tsv"
    conda:
        "../../envs/mespot.yaml"
    params:
        network=lambda wildcards: plan.network(wildcards.run),
        models=each("--model", "models"),
        selection=each("--selection", "selection"),
        evaluation=each("--evaluation", "evaluation"),
        stage=ask(plan.stage, "spot"),
        lanes=json.dumps(cfg.lanes.plain()),
    shell:
        "mespot spot --features {input.features:q} {params.models} {params.selection}"
        " {params.evaluation}"
        " --network {params.network[name]:q} --out {output.intervals:q}"
        " --not-counted {output.not_counted:q} --lanes {output.lanes:q} --curves {output.curves:q}"
        " --settings {params.stage[config]:q} --lane-settings {params.lanes:q} 2> {log:q}"
