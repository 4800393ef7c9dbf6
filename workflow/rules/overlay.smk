rule overlay:
    """A video to watch, drawn with all that was measured and spotted in it by one run. On demand."""
    input:
        source=of_user(lambda dataset, video, **_: plan.video(dataset, video).path),
        align=ask(plan.prepared, "align"),
        landmarks=ask(plan.prepared, "landmarks"),
        flow=ask(plan.prepared, "flow"),
        features=f"{R}/{{dataset}}/features.h5",
        intervals=f"{R}/{{dataset}}/{{spotted}}/intervals.csv",
        curves=f"{R}/{{dataset}}/{{spotted}}/curves.h5",
        annotation=lambda wildcards: [f"{R}/{wildcards.dataset}/annotation.csv"]
        * cfg.labelled(wildcards.dataset),
    output:
        f"{R}/{{dataset}}/{{spotted}}/overlay/{{video}}.mp4",
    log:
        f"{R}/logs/overlay/{{dataset}}/{{spotted}}/{{video}}.log",
    benchmark:
        f"{R}/benchmarks/overlay/{{dataset}}/{{spotted}}/{{video}}.tsv"
    wildcard_constraints:
        dataset=one_of([*plan.filmed, *plan.joined]),
        # Where a run's intervals stand: METHOD, METHOD/seed_2/inner, METHOD/cross/DATASET and so on.
        spotted=r"[\w.-]+(/[\w.-]+)*",
    conda:
        "../../envs/mespot.yaml"
    resources:
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        decode=ask(plan.preparing, "decode"),
        roi=ask(plan.preparing, "roi"),
        first=lambda wildcards: flags(
            "--first-frame",
            plan.first_frame(plan.part(wildcards.dataset, wildcards.video)),
        ),
        annotation=each("--annotation", "annotation"),
        code=digest("overlay"),
    shell:
        "mespot overlay --source {input.source:q} --align {input.align:q} --landmarks {input.landmarks:q}"
        " --flow {input.flow:q} --features {input.features:q} --intervals {input.intervals:q}"
        " --curves {input.curves:q} {params.annotation} --video {wildcards.video:q} {params.first}"
        " --out {output:q} --decode-settings {params.decode:q} --roi-settings {params.roi:q} 2> {log:q}"
