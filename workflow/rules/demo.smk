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
        folder=one_of(
            folder for name in plan.demos for folder in plan.demo_folders(name)
        ),
    conda:
        "../../envs/mespot.yaml"
    params:
        layout=lambda wildcards: cfg.datasets[wildcards.dataset].layout,
        index=ask(plan.demo_indices),
        stage=ask(plan.stage, "demo", without=("subjects", "videos")),
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
        stage=ask(plan.stage, "demo"),
    shell:
        "mespot demo-annotation --layout {params.layout} --out {output:q}"
        " --settings {params.stage[config]:q} 2> {log:q}"
