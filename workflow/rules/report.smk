from mespot.pages import about


rule report:
    """The page: the table of scores and a timeline of each video."""
    input:
        summary=rules.aggregate.output,
        features=[f"{R}/{folder.split('/')[0]}/features.h5" for folder in shown],
        annotation=[f"{R}/{folder.split('/')[0]}/annotation.csv" for folder in shown],
        spotted=[
            f"{R}/{folder}/{name}"
            for folder in shown
            for name in ("intervals.csv", "curves.h5")
        ],
    output:
        page=f"{R}/report/index.html",
        pictures=report(
            directory(f"{R}/report/timelines"),
            patterns=["{picture}.png"],
            caption="../report/timeline.rst",
            category="timelines",
        ),
    log:
        f"{R}/logs/report.log",
    benchmark:
        f"{R}/benchmarks/report.tsv"
    conda:
        "../../envs/mespot.yaml"
    params:
        results=lambda wildcards: R,
        shown=flags("--shown", shown),
        stage=ask(plan.stage, "report"),
    shell:
        "mespot report --results {params.results:q} {params.shown}"
        " --summary {input.summary:q} --out {output.page:q}"
        " --settings {params.stage[config]:q} 2> {log:q}"


rule report_own:
    """The page of one's own videos: each interval with face and curve, and timelines."""
    input:
        features=f"{R}/{{dataset}}/features.h5",
        intervals=f"{R}/{{dataset}}/{plan.own_run()}/intervals.csv",
        not_counted=f"{R}/{{dataset}}/{plan.own_run()}/not_counted.csv",
        lanes=f"{R}/{{dataset}}/{plan.own_run()}/lanes.csv",
        curves=f"{R}/{{dataset}}/{plan.own_run()}/curves.h5",
        aligned=lambda wildcards: plan.of_videos(wildcards.dataset, "align", "mkv"),
    output:
        page=f"{R}/{{dataset}}/report/index.html",
        pictures=directory(f"{R}/{{dataset}}/report/pictures"),
    log:
        f"{R}/logs/report/{{dataset}}.log",
    benchmark:
        f"{R}/benchmarks/report/{{dataset}}.tsv"
    conda:
        "../../envs/mespot.yaml"
    params:
        aligned=lambda wildcards: f"{R}/{wildcards.dataset}/align",
        about=about(cfg.own.method, cfg.own.dataset),
        code=digest("pages.own"),
    shell:
        "mespot report-own --features {input.features:q} --intervals {input.intervals:q}"
        " --not-counted {input.not_counted:q} --lanes {input.lanes:q} --curves {input.curves:q} --aligned {params.aligned:q}"
        " --about {params.about:q} --out {output.page:q} 2> {log:q}"
