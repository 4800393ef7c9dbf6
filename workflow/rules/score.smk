PROTOCOLS = flags("--protocol", cfg.score.protocols)


rule score:
    """F1 under every named protocol, over all folds."""
    input:
        annotation=f"{R}/{{dataset}}/annotation.csv",
        as_given=f"{R}/{{dataset}}/annotation_as_given.csv",
        intervals=rules.spot.output.intervals,
    output:
        score=f"{R}/{{dataset}}/{{run}}{{chosen}}/score.json",
        subjects=f"{R}/{{dataset}}/{{run}}{{chosen}}/subjects.csv",
    log:
        f"{R}/logs/score/{{dataset}}/{{run}}{{chosen}}.log",
    benchmark:
        f"{R}/benchmarks/score/{{dataset}}/{{run}}{{chosen}}.tsv"
    conda:
        "../../envs/mespot.yaml"
    params:
        protocols=PROTOCOLS,
        stage=ask(plan.stage, "score"),
    shell:
        "mespot score --annotation {input.annotation:q} --as-given {input.as_given:q}"
        " --intervals {input.intervals:q} {params.protocols} --out {output.score:q}"
        " --subjects {output.subjects:q} 2> {log:q}"


rule score_cross:
    """F1 of a model trained on another dataset."""
    input:
        annotation=f"{R}/{{dataset}}/annotation.csv",
        as_given=f"{R}/{{dataset}}/annotation_as_given.csv",
        intervals=rules.spot_cross.output.intervals,
    output:
        score=f"{R}/{{dataset}}/{{run}}/cross/{{source}}{{chosen}}/score.json",
        subjects=f"{R}/{{dataset}}/{{run}}/cross/{{source}}{{chosen}}/subjects.csv",
    log:
        f"{R}/logs/score/{{dataset}}/{{run}}/from_{{source}}{{chosen}}.log",
    benchmark:
        f"{R}/benchmarks/score/{{dataset}}/{{run}}/from_{{source}}{{chosen}}.tsv"
    conda:
        "../../envs/mespot.yaml"
    params:
        protocols=PROTOCOLS,
        stage=ask(plan.stage, "score"),
    shell:
        "mespot score --annotation {input.annotation:q} --as-given {input.as_given:q}"
        " --intervals {input.intervals:q} {params.protocols} --out {output.score:q}"
        " --subjects {output.subjects:q} 2> {log:q}"


rule score_part:
    """F1 on one of the datasets that were joined to train on."""
    input:
        annotation=f"{R}/{{part}}/annotation.csv",
        as_given=f"{R}/{{part}}/annotation_as_given.csv",
        features=f"{R}/{{part}}/features.h5",
        intervals=rules.spot.output.intervals,
    output:
        score=f"{R}/{{dataset}}/{{run}}/part/{{part}}{{chosen}}/score.json",
        subjects=f"{R}/{{dataset}}/{{run}}/part/{{part}}{{chosen}}/subjects.csv",
    log:
        f"{R}/logs/score/{{dataset}}/{{run}}/{{part}}{{chosen}}.log",
    benchmark:
        f"{R}/benchmarks/score/{{dataset}}/{{run}}/{{part}}{{chosen}}.tsv"
    conda:
        "../../envs/mespot.yaml"
    params:
        protocols=PROTOCOLS,
        stage=ask(plan.stage, "score"),
    shell:
        "mespot score --annotation {input.annotation:q} --as-given {input.as_given:q}"
        " --features {input.features:q} --intervals {input.intervals:q} {params.protocols}"
        " --out {output.score:q} --subjects {output.subjects:q} 2> {log:q}"
