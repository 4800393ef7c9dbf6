rule mdmo:
    """Main directional mean optical flow of each region, head motion removed."""
    input:
        roi=rules.roi.output,
        align=rules.align.output.h5,
    output:
        f"{R}/{{dataset}}/mdmo/{{video}}.h5",
    log:
        f"{R}/logs/mdmo/{{dataset}}/{{video}}.log",
    benchmark:
        f"{R}/benchmarks/mdmo/{{dataset}}/{{video}}.tsv"
    conda:
        "../../envs/mespot.yaml"
    params:
        stage=ask(plan.stage, "mdmo"),
    shell:
        "mespot mdmo --roi {input.roi:q} --align {input.align:q} --out {output:q}"
        " --settings {params.stage[config]:q} 2> {log:q}"
