DEMO_FOLDERS = "|".join(
    str(Path(found.path).relative_to(f"{R}/demo/{name}"))
    for name, entry in cfg.datasets.items()
    if entry.demo
    for found in videos(name)
)


rule demo:
    """Render one video of a demo dataset as a folder of JPG frames, with its truth."""
    output:
        frames=directory(f"{R}/demo/{{dataset}}/{{folder}}"),
        truth=f"{R}/demo/{{dataset}}/truth/{{folder}}.npz",
    log:
        f"{R}/logs/demo/{{dataset}}/{{folder}}.log",
    benchmark:
        f"{R}/benchmarks/demo/{{dataset}}/{{folder}}.tsv"
    wildcard_constraints:
        folder=DEMO_FOLDERS or "none",
    conda:
        "../../envs/mespot.yaml"
    params:
        layout=lambda wildcards: cfg.datasets[wildcards.dataset].layout,
        index=demo_indices,
        stage=stage("demo"),
    shell:
        "mespot demo --layout {params.layout} --subject {params.index[0]}"
        " --video {params.index[1]} --frames {output.frames:q} --truth {output.truth:q}"
        " --settings {params.stage[config]:q} 2> {log:q}"


rule demo_annotation:
    """Write a demo dataset's spreadsheet in the benchmark's own form."""
    output:
        f"{R}/demo/{{dataset}}/annotation.xlsx",
    log:
        f"{R}/logs/demo/{{dataset}}/annotation.log",
    benchmark:
        f"{R}/benchmarks/demo/{{dataset}}/annotation.tsv"
    conda:
        "../../envs/mespot.yaml"
    params:
        layout=lambda wildcards: cfg.datasets[wildcards.dataset].layout,
        stage=stage("demo"),
    shell:
        "mespot demo-annotation --layout {params.layout} --out {output:q}"
        " --settings {params.stage[config]:q} 2> {log:q}"
