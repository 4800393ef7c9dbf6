from mespot.pages import about


rule report:
    """The page: table, figures, and each video's intervals with timeline and faces."""
    input:
        summary=rules.aggregate.output,
        features=[f"{R}/{name}/features.h5" for name in plan.datasets_shown],
        annotation=[f"{R}/{name}/annotation.csv" for name in plan.datasets_shown],
        spotted=plan.spotted_shown(),
        faces=plan.faces_shown(),
        figures=[f"{R}/report/figures/{run}.json" for run in plan.drawn()],
        table=f"{R}/report/figures/table1.tex",
    output:
        page=f"{R}/report/index.html",
        videos=directory(f"{R}/report/videos"),
    log:
        f"{R}/logs/report.log",
    benchmark:
        f"{R}/benchmarks/report.tsv"
    conda:
        "../../envs/mespot.yaml"
    params:
        results=lambda wildcards: R,
        shown=flags("--shown", shown),
        figures=each("--figures", "figures"),
        stage=ask(plan.stage, "report"),
    shell:
        "mespot report --results {params.results:q} {params.shown}"
        " --summary {input.summary:q} {params.figures} --out {output.page:q}"
        " --settings {params.stage[config]:q} 2> {log:q}"


rule report_own:
    """The page of one's own videos: their intervals with timeline and faces, to look at and to correct."""
    input:
        features=f"{R}/{{dataset}}/features.h5",
        spotted=plan.own_spotted(),
        faces=lambda wildcards: plan.faces(wildcards.dataset),
        overlays=plan.own_overlays(),
    output:
        page=f"{R}/{{dataset}}/report/index.html",
        videos=directory(f"{R}/{{dataset}}/report/videos"),
    log:
        f"{R}/logs/report/{{dataset}}.log",
    benchmark:
        f"{R}/benchmarks/report/{{dataset}}.tsv"
    conda:
        "../../envs/mespot.yaml"
    params:
        results=lambda wildcards: R,
        run=f"{cfg.own_name}/{plan.own_run()}",
        about=about(cfg.own.method, cfg.own.dataset),
        stage=ask(plan.stage, "report"),
    shell:
        "mespot report --results {params.results:q} --shown {params.run:q}"
        " --about {params.about:q} --out {output.page:q}"
        " --settings {params.stage[config]:q} 2> {log:q}"
