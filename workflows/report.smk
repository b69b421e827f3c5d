# Tables and leaderboard over every complete result of the suite.


rule tables:
    input:
        REQUEST.table_inputs,
    output:
        [report(path, category="Tables", labels={"table": REQUEST.table_name(path)}) for path in REQUEST.table_files],
    log:
        f"{REQUEST.folder}/logs/tables.log",
    conda:
        "envs/creditbench.yaml"
    resources:
        **REQUEST.resources("tables"),
    params:
        others=REQUEST.others(),
    shell:
        f"creditbench report {REQUEST.quoted} --anyway > {{log:q}} 2>&1"
