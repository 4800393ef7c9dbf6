rule annotation:
    """The dataset's annotation in one normal form, and an audit of every decision."""
    input:
        source=of_user(plan.annotation_file),
        compare=of_user(plan.compared_file),
        # For the videos there are, and their lengths.
        features=f"{R}/{{dataset}}/features.h5",
    output:
        normal=f"{R}/{{dataset}}/annotation.csv",
        as_given=f"{R}/{{dataset}}/annotation_as_given.csv",
        audit=f"{R}/{{dataset}}/annotation_audit.csv",
    log:
        f"{R}/logs/annotation/{{dataset}}.log",
    benchmark:
        f"{R}/benchmarks/annotation/{{dataset}}.tsv"
    wildcard_constraints:
        dataset=one_of(plan.filmed + plan.published),
    conda:
        "../../envs/mespot.yaml"
    params:
        frames_per_row=lambda wildcards: cfg.stage(
            "decode", wildcards.dataset
        ).frames_per_row,
        compare=each("--compare", "compare"),
        stage=ask(plan.stage, "annotation"),
        source=ask(plan.annotation_source),
    shell:
        "mespot annotation --source {input.source:q} --features {input.features:q}"
        " --out {output.normal:q} --as-given {output.as_given:q} --audit {output.audit:q}"
        " --frames-per-row {params.frames_per_row} {params.compare} --settings {params.stage[config]:q} 2> {log:q}"


rule annotation_join:
    """The annotation of a dataset that others make up."""
    input:
        annotation=lambda wildcards: [
            f"{R}/{part}/annotation{wildcards.form}.csv"
            for part in cfg.datasets[wildcards.dataset].of
        ],
    output:
        f"{R}/{{dataset}}/annotation{{form}}.csv",
    log:
        f"{R}/logs/annotation/{{dataset}}{{form}}.log",
    benchmark:
        f"{R}/benchmarks/annotation/{{dataset}}{{form}}.tsv"
    wildcard_constraints:
        dataset=one_of(plan.joined),
        form="|_as_given",
    conda:
        "../../envs/mespot.yaml"
    params:
        annotation=each("--annotation", "annotation"),
        stage={"code": digest("annotation")},
    shell:
        "mespot annotation-join {params.annotation} --out {output:q} 2> {log:q}"
