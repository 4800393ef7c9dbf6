rule annotation:
    """The dataset's annotation in one normal form, and an audit of every decision."""
    input:
        source=annotation_file,
        # For the videos there are, and their lengths.
        features=f"{R}/{{dataset}}/features.h5",
    output:
        normal=f"{R}/{{dataset}}/annotation.csv",
        audit=f"{R}/{{dataset}}/annotation_audit.csv",
    log:
        f"{R}/logs/annotation/{{dataset}}.log",
    benchmark:
        f"{R}/benchmarks/annotation/{{dataset}}.tsv"
    conda:
        "../../envs/mespot.yaml"
    params:
        frames_per_row=lambda wildcards: cfg.datasets[wildcards.dataset].frames_per_row,
        stage=stage("annotation"),
    shell:
        "mespot annotation --source {input.source:q} --features {input.features:q}"
        " --out {output.normal:q} --audit {output.audit:q}"
        " --frames-per-row {params.frames_per_row} --settings {params.stage[config]:q} 2> {log:q}"
