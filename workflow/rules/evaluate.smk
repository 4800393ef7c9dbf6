rule evaluate:
    """How probable a candidate is, learnt for each fold on inner left-out subjects: of two stages."""
    input:
        features=f"{R}/{{dataset}}/features.h5",
        annotation=f"{R}/{{dataset}}/annotation.csv",
        models=ask(plan.models_to_learn_from),
    output:
        f"{R}/{{dataset}}/{{run}}/evaluation.h5",
    log:
        f"{R}/logs/evaluate/{{dataset}}/{{run}}.log",
    benchmark:
        f"{R}/benchmarks/evaluate/{{dataset}}/{{run}}.tsv"
    conda:
        "../../envs/mespot.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        models=each("--model", "models"),
        stage=ask(plan.stage, "evaluate", without=("groups",)),
    shell:
        "mespot evaluate --features {input.features:q} --annotation {input.annotation:q}"
        " {params.models} --out {output:q} --settings {params.stage[config]:q} 2> {log:q}"
