PUBLISHED = [name for name, entry in cfg.datasets.items() if entry.layout == "features"]
JOINED = [name for name, entry in cfg.datasets.items() if entry.of]
FILMED = [name for name in cfg.datasets if name not in PUBLISHED + JOINED]


rule features:
    """The dataset's feature store, from the mdmo files of its videos."""
    input:
        mdmo=of_videos("mdmo"),
    output:
        f"{R}/{{dataset}}/features.h5",
    log:
        f"{R}/logs/features/{{dataset}}.log",
    benchmark:
        f"{R}/benchmarks/features/{{dataset}}.tsv"
    wildcard_constraints:
        dataset="|".join(map(re.escape, FILMED)) or "none",
    conda:
        "../../envs/mespot.yaml"
    params:
        mdmo=each("--mdmo", "mdmo"),
        subjects=lambda wildcards: " ".join(
            f"--subject {found.subject}" for found in videos(wildcards.dataset)
        ),
        stage=stage("features"),
    shell:
        "mespot features {params.mdmo} {params.subjects} --out {output:q}"
        " --settings {params.stage[config]:q} 2> {log:q}"


rule features_import:
    """The dataset's feature store, from the authors' published segment files."""
    input:
        root=lambda wildcards: cfg.datasets[wildcards.dataset].root,
    output:
        f"{R}/{{dataset}}/features.h5",
    log:
        f"{R}/logs/features/{{dataset}}.log",
    benchmark:
        f"{R}/benchmarks/features/{{dataset}}.tsv"
    wildcard_constraints:
        dataset="|".join(map(re.escape, PUBLISHED)) or "none",
    conda:
        "../../envs/mespot.yaml"
    params:
        fps=lambda wildcards: cfg.datasets[wildcards.dataset].fps,
        stage=stage("features"),
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
        dataset="|".join(map(re.escape, JOINED)) or "none",
    conda:
        "../../envs/mespot.yaml"
    params:
        features=each("--features", "features"),
        stage=stage("features"),
    shell:
        "mespot features-join {params.features} --out {output:q}"
        " --settings {params.stage[config]:q} 2> {log:q}"
