PROTOCOLS = " ".join(f"--protocol {name}" for name in cfg.score.protocols)


rule score:
    """F1 under every named protocol, over all folds."""
    input:
        annotation=f"{R}/{{dataset}}/annotation.csv",
        intervals=of_folds("intervals.csv"),
    output:
        f"{R}/{{dataset}}/{{method}}/score.json",
    log:
        f"{R}/logs/score/{{dataset}}/{{method}}.log",
    benchmark:
        f"{R}/benchmarks/score/{{dataset}}/{{method}}.tsv"
    conda:
        "../../envs/mespot.yaml"
    params:
        intervals=each("--intervals", "intervals"),
        protocols=PROTOCOLS,
        stage=stage("score"),
    shell:
        "mespot score --annotation {input.annotation:q} {params.intervals} {params.protocols}"
        " --out {output:q} 2> {log:q}"


rule score_cross:
    """F1 of a model trained on another dataset."""
    input:
        annotation=f"{R}/{{dataset}}/annotation.csv",
        intervals=rules.spot_cross.output.intervals,
    output:
        f"{R}/{{dataset}}/{{method}}/cross/{{source}}/score.json",
    log:
        f"{R}/logs/score/{{dataset}}/{{method}}/from_{{source}}.log",
    benchmark:
        f"{R}/benchmarks/score/{{dataset}}/{{method}}/from_{{source}}.tsv"
    conda:
        "../../envs/mespot.yaml"
    params:
        protocols=PROTOCOLS,
        stage=stage("score"),
    shell:
        "mespot score --annotation {input.annotation:q} --intervals {input.intervals:q}"
        " {params.protocols} --out {output:q} 2> {log:q}"
