# Front door: check what is asked for, include the rules, name the targets. The rules are in workflows/.
#
#   snakemake --cores all --config suite=tiny methods=sc_grpo seeds=3,4 tracks=math rerun=true
#
# `methods`, `seeds` and `tracks` restrict what is trained; tables always hold every complete result of the suite.
import sys

from snakemake.utils import min_version

min_version("9.0")
sys.path.insert(0, str(workflow.basedir))

from creditbench.workflow import ask, finished, lift_limits, shell_prefix, take_lock

REQUEST = ask(config)
lift_limits(workflow, REQUEST)
shell.prefix(shell_prefix(workflow.basedir, bool(workflow.deployment_settings.deployment_method)))


rule all:
    input:
        REQUEST.table_files,
        REQUEST.comparisons,


include: "workflows/data.smk"
include: "workflows/base.smk"
include: "workflows/train.smk"
include: "workflows/evaluate.smk"
include: "workflows/report.smk"


onstart:
    take_lock(REQUEST)


onsuccess:
    finished(REQUEST)
