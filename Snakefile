# mespot: from face videos to intervals of macro- and micro-expressions, scores and pictures.
# The stages stand in workflow/rules, one file each, in the order of docs/methods.md.
import os
from copy import deepcopy

from snakemake.utils import min_version

from mespot.config import over_defaults
from mespot.start import check_files, tidy
from mespot.watch import Watch

min_version("9.0")

given = deepcopy(config)
check_files([f"{workflow.basedir}/config.yaml"])


configfile: f"{workflow.basedir}/config.yaml"


# `make spot` gives its path so: --config would read some characters of it as YAML.
config["video"] = os.environ.get("MESPOT_VIDEO", config["video"])
config = over_defaults(given, config)


include: "workflow/rules/common.smk"


# The image is looked for only with `--sdm apptainer`; Snakemake takes no path with a space, even without.
if "APPTAINER" in [way.name for way in workflow.deployment_settings.deployment_method]:

    container: f"{workflow.basedir}/envs/mespot.sif"


rule all:
    """The table and the page; for a video of one's own, its intervals and pictures."""
    default_target: True
    input:
        asked,
    log:
        f"{R}/logs/all.log",
    localrule: True
    conda:
        "envs/mespot.yaml"
    shell:
        # A command, so that there is always a job: without one no hook shows a finished result again.
        ": 2> {log:q}"


include: "workflow/rules/demo.smk"
include: "workflow/rules/check.smk"
include: "workflow/rules/decode.smk"
include: "workflow/rules/align.smk"
include: "workflow/rules/landmarks.smk"
include: "workflow/rules/flow.smk"
include: "workflow/rules/roi.smk"
include: "workflow/rules/mdmo.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/annotation.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/select.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/spot.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/aggregate.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/overlay.smk"


watch = Watch(workflow, R)


onstart:
    if workflow.executor_plugin.name == "slurm":
        slurm.check(
            workflow.resource_settings.default_resources, workflow.global_resources
        )
    # One bad video does not cost the others then: the stages write its failure down and go on.
    keep_going = workflow.execution_settings.keep_going or bool(cfg.video)
    os.environ.update(MESPOT_KEEP_GOING=str(int(keep_going)))
    for error in plan.wrong_annotations():
        if not keep_going:
            stop(error)
        print(f"warning: {error}", file=sys.stderr)
    plan.sources.save()
    tidy(Path(R))
    watch.begin()


onsuccess:
    watch.end()
    outcome.print_result(plan)


onerror:
    watch.end()
    outcome.print_error(plan, log)
