# One job is one evaluation: (benchmark, arm, track, seed). Results that training prepared are only moved in.


rule evaluate:
    input:
        lambda w: REQUEST.eval_inputs(w.benchmark, w.arm, w.track, w.seed),
    output:
        report(
            f"{REQUEST.folder}/evals/{{benchmark}}/{{arm}}/{{track}}/seed{{seed}}/manifest.json",
            category="Evaluations",
            subcategory="{track}",
            labels=lambda w: REQUEST.labels(w.benchmark, w.arm, w.track, w.seed),
        ),
    log:
        f"{REQUEST.folder}/logs/evaluate/{{benchmark}}/{{arm}}/{{track}}/seed{{seed}}.log",
    priority: 500
    conda:
        "envs/creditbench.yaml"
    threads: REQUEST.suite.resources_of("evaluate").threads
    resources:
        **REQUEST.resources("evaluate"),
    params:
        digest=lambda w: REQUEST.eval_digest(w.arm, w.track, w.seed, w.benchmark),
    shell:
        f"creditbench evaluate {REQUEST.quoted} {{wildcards.arm:q}} {{wildcards.track:q}} {{wildcards.benchmark:q}}"
        " --seed {wildcards.seed} --digest {params.digest} > {log:q} 2>&1"
