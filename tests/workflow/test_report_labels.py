"""Labels of Snakemake's own report: method, benchmark, seed and the verdict on the papers' numbers."""

from types import SimpleNamespace

from creditbench.workflow import Rules

HEADER = "paper,table,benchmark,metric,method,reported,ours,margin,verdict,gain_verdict,why,track\n"


def rules(folder) -> Rules:
    suite = SimpleNamespace(tables=SimpleNamespace(html=True))
    return Rules(SimpleNamespace(suite=suite, results="results", folder=str(folder), source="toy"))


def test_an_evaluation_is_labelled_with_what_the_tables_say(tmp_path):
    found = rules(tmp_path)
    plain = {"method": "grpo", "benchmark": "aime24", "seed": "3", "verdict": "no paper's number"}
    assert found.labels("aime24", "grpo", "math", "3") == plain
    (tmp_path / "tables").mkdir()
    rows = [
        "p,t1,aime24,avg@8,grpo,.4,.5,.02,higher,,w,math", "p,t2,aime24,avg@8,grpo,.4,.5,.02,higher,,w,math",
        "p,t1,aime24,avg@8,grpo,.4,.5,.02,lower,,w,other", "p,t1,aime24,avg@8,cast,.4,.5,.02,reproduced,,w,math",
    ]  # fmt: skip
    (tmp_path / "tables" / "verdicts.csv").write_text(HEADER + "\n".join(rows) + "\n")
    assert found.labels("aime24", "grpo", "math", "3")["verdict"] == "higher"
    assert found.labels("aime24", "cast", "math", "0")["verdict"] == "reproduced"
    assert found.labels("aime25", "cast", "math", "0")["verdict"] == "no paper's number"


def test_every_table_is_an_entry_under_its_own_name(tmp_path):
    found = rules(tmp_path)
    names = [found.table_name(path) for path in found.table_files]
    assert {"tables/length.csv", "tables/views.csv", "tables/equal.csv", "leaderboard.html"} <= set(names)
    assert len(set(names)) == len(names)
