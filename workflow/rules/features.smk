rule features:
    """The dataset's feature store, from the mdmo files of its videos."""
    input:
        mdmo=lambda wildcards: plan.of_videos(wildcards.dataset, "mdmo"),
    output:
        f"{R}/{{dataset}}/features.h5",
    log:
        f"{R}/logs/features/{{dataset}}.log",
    benchmark:
        f"{R}/benchmarks/features/{{dataset}}.tsv"
    wildcard_constraints:
        dataset=one_of(plan.filmed),
    conda:
        "../../envs/mespot.yaml"
    params:
        mdmo=each("--mdmo", "mdmo"),
        subjects=lambda wildcards: flags(
            "--subject", plan.people(wildcards.dataset).values()
        ),
        stage=ask(plan.stage, "features"),
    shell:
        "mespot features {params.mdmo} {params.subjects} --out {output:q}"
        " --settings {params.stage[config]:q} 2> {log:q}"


rule features_import:
    """The dataset's feature store, from the authors' published segment files."""
    input:
        root=of_user(lambda dataset: cfg.datasets[dataset].root),
    output:
        f"{R}/{{dataset}}/features.h5",
    log:
        f"{R}/logs/features/{{dataset}}.log",
    benchmark:
        f"{R}/benchmarks/features/{{dataset}}.tsv"
    wildcard_constraints:
        dataset=one_of(plan.published),
    conda:
        "../../envs/mespot.yaml"
    params:
        fps=lambda wildcards: cfg.datasets[wildcards.dataset].fps,
        stage=ask(plan.stage, "features"),
        source=ask(plan.published_source),
    shell:
        "mespot features-import --root {input.root:q} --fps {params.fps} --out {output:q}"
        " --settings {params.stage[config]:q} 2> {log:q}"


rule features_join:
    """The feature store of a dataset that others make up."""
    input:
        features=lambda wildcards: [
            f"{R}/{part}/features.h5" for part in cfg.datasets[wildcards.dataset].of
        ],
    output:
        f"{R}/{{dataset}}/features.h5",
    log:
        f"{R}/logs/features/{{dataset}}.log",
    benchmark:
        f"{R}/benchmarks/features/{{dataset}}.tsv"
    wildcard_constraints:
        dataset=one_of(plan.joined),
    conda:
        "../../envs/mespot.yaml"
    params:
        features=each("--features", "features"),
        stage=ask(plan.stage, "features"),
    shell:
        "mespot features-join {params.features} --out {output:q}"
        " --settings {params.stage[config]:q} 2> {log:q}"
