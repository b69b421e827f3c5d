# One job is one run: (arm, track, seed). Its folder is complete when the manifest is there.


wildcard_constraints:
    arm=r"[a-z][a-z0-9_]*(@[a-z0-9][a-z0-9_.-]*)?(\+[a-z0-9][a-z0-9_-]*)?",
    seed=r"\d+",
    number=r"\d+",
    key="[0-9a-f]{64}",


rule train:
    input:
        lambda w: REQUEST.run_inputs(w.arm, w.track, w.seed),
    output:
        f"{REQUEST.folder}/runs/{{arm}}/{{track}}/seed{{seed}}/manifest.json",
    log:
        f"{REQUEST.folder}/logs/train/{{arm}}/{{track}}/seed{{seed}}.log",
    priority: lambda w: REQUEST.run_priority(w.arm)
    conda:
        "envs/creditbench.yaml"
    threads: REQUEST.suite.resources_of("train").threads
    resources:
        **REQUEST.resources("train"),
    params:
        digest=lambda w: REQUEST.run_digest(w.arm, w.track, w.seed),
    shell:
        f"creditbench train {REQUEST.quoted} {{wildcards.arm:q}} {{wildcards.track:q}} --seed {{wildcards.seed}}"
        f"{REQUEST.processes} --then-evaluate > {{log:q}} 2>&1"


# `rerun=true`: the same run once more, beside the old one, and what the two have in common.
rule retrain:
    input:
        f"{REQUEST.folder}/runs/{{arm}}/{{track}}/seed{{seed}}/manifest.json",
        lambda w: REQUEST.request.model_inputs(w.arm, w.track),
    output:
        f"{REQUEST.folder}/reruns/{{number}}/{{arm}}/{{track}}/seed{{seed}}/manifest.json",
    log:
        f"{REQUEST.folder}/logs/rerun/{{number}}/{{arm}}/{{track}}/seed{{seed}}.log",
    priority: lambda w: REQUEST.run_priority(w.arm)
    conda:
        "envs/creditbench.yaml"
    threads: REQUEST.suite.resources_of("train").threads
    resources:
        **REQUEST.resources("train"),
    shell:
        f"creditbench train {REQUEST.quoted} {{wildcards.arm:q}} {{wildcards.track:q}} --seed {{wildcards.seed}}"
        f"{REQUEST.processes} --out $(dirname {{output:q}}) > {{log:q}} 2>&1"


rule compare:
    input:
        old=f"{REQUEST.folder}/runs/{{arm}}/{{track}}/seed{{seed}}/manifest.json",
        new=f"{REQUEST.folder}/reruns/{{number}}/{{arm}}/{{track}}/seed{{seed}}/manifest.json",
    output:
        f"{REQUEST.folder}/reruns/{{number}}/{{arm}}/{{track}}/seed{{seed}}.json",
    log:
        f"{REQUEST.folder}/logs/compare/{{number}}/{{arm}}/{{track}}/seed{{seed}}.log",
    conda:
        "envs/creditbench.yaml"
    shell:
        "creditbench compare {input.old:q} {input.new:q} --out {output:q} > {log:q} 2>&1"
