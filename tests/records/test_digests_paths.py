"""Digests, run keys, paths and the curve table."""

import hashlib
import json
import math

import pyarrow as pa
import pytest

from creditbench import records
from creditbench.errors import BadInput
from creditbench.items import Item
from creditbench.records import paths
from creditbench.records.schemas import clean_text


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


def test_file_folder_and_row_digests(tmp_path):
    (tmp_path / "b.txt").write_text("two")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.txt").write_text("one")
    (tmp_path / ".hidden").write_text("x")
    assert records.digest_file(tmp_path / "b.txt") == sha("two")
    expected = sha(json.dumps([["b.txt", sha("two")], ["sub/a.txt", sha("one")]], separators=(",", ":")))
    assert records.digest_folder(tmp_path) == expected
    item = Item("p1", "2+2", "4")
    text = '["p1","2+2","4","",{}]'
    assert item.digest == sha(text)
    assert records.digest_rows([item]) == sha(json.dumps([sha(text)]))


def test_model_digest_separates_weights_from_tokenizer(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(BadInput, match="safetensors"):
        records.model_digest(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"w")
    weights, tokenizer = records.model_digest(tmp_path)
    assert tokenizer == ""
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "README.md").write_text("notes")
    again, tokenizer = records.model_digest(tmp_path)
    assert again == weights and len(tokenizer) == 64
    (tmp_path / "model.safetensors").write_bytes(b"v")
    assert records.model_digest(tmp_path)[0] != weights


def test_source_digest_ignores_comments_layout_and_docstrings(tmp_path):
    def put(name, text):
        path = tmp_path / name / "method.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return records.source_digest(path)

    first = put("a", '"""Doc."""\ndef f(x):\n    """Say."""\n    return x + 1\n')
    assert put("b", "# note\ndef f( x ):\n\n    return (x+1)  # more\n") == first
    assert put("c", "def f(x):\n    return x + 2\n") != first
    with pytest.raises(BadInput, match=r"method\.py:1"):
        put("d", "def f(:\n")


def test_run_key_changes_with_each_part_and_not_with_order():
    parts = {"data": {"math": "d"}, "base": "b", "method": "m", "trainer_version": 1}
    key = records.run_key({"lr": 0.1, "steps": 2}, **parts)
    assert records.run_key({"steps": 2, "lr": 0.1}, **parts) == key and len(key) == 64
    others = [
        records.run_key({"lr": 0.2, "steps": 2}, **parts),
        *(
            records.run_key({"lr": 0.1, "steps": 2}, **(parts | change))
            for change in ({"data": {"math": "e"}}, {"base": "c"}, {"method": "n"}, {"trainer_version": 2})
        ),
        records.run_key({"lr": 0.1, "steps": 2}, **parts, teachers={"opd": "t"}),
    ]
    assert len({key, *others}) == 7


def test_paths_follow_the_layout_and_keep_the_arm(tmp_path):
    assert paths.run_dir("results", "tiny", "oar_g@b+permuted", "math", 2).as_posix() == (
        "results/tiny/runs/oar_g@b+permuted/math/seed2"
    )
    assert paths.eval_dir("results", "tiny", "aime24", "base", "math", 0).as_posix() == (
        "results/tiny/evals/aime24/base/math/seed0"
    )
    assert paths.models_dir("results", "ab12").as_posix() == "results/models/ab12"
    assert paths.work_dir("results", "ab12").as_posix() == "results/.work/ab12"
    assert paths.split_arm("oar_g@b+permuted") == ("oar_g", "b", "permuted")
    assert paths.split_arm("cast+permuted-gap") == ("cast", "", "permuted-gap")
    for wrong in ("../x", "GRPO", "grpo+", "grpo@", "grpo/x", "", "grpo+a+b"):
        with pytest.raises(BadInput, match="arm"):
            paths.check_arm(wrong)
    for wrong in (-1, True, "0", 1.0):
        with pytest.raises(BadInput, match="seed"):
            paths.run_dir("r", "s", "grpo", "math", wrong)
    for place in (
        paths.eval_dir(tmp_path, "s", "b", "cast+permuted", "math", 10),
        paths.eval_dir(tmp_path, "s", "b", "base", "math", 2),
    ):
        records.write_json(place / "manifest.json", {})
    paths.eval_dir(tmp_path, "s", "b", "grpo", "math", 1).mkdir(parents=True)
    found = [(p.benchmark, p.arm, p.track, p.seed) for p in paths.find_evals(tmp_path / "s")]
    assert found == [("b", "base", "math", 2), ("b", "cast+permuted", "math", 10)]


def test_curve_is_wide_sorted_and_typed():
    rows = [
        {"step": 1, "reward": 0.5, "tokens": 10, "seconds": {"rollout": 1.0}},
        {"step": 0, "reward": 0, "tokens": 7, "note": "first"},
        {"step": 1, "reward": 0.75, "tokens": 11, "seconds": {"rollout": 2.0}},
    ]
    table = records.curve_table(rows)
    assert table.column_names == ["step", "note", "reward", "seconds.rollout", "tokens"]
    assert table.to_pylist() == [
        {"step": 0, "note": "first", "reward": 0.0, "seconds.rollout": None, "tokens": 7},
        {"step": 1, "note": None, "reward": 0.75, "seconds.rollout": 2.0, "tokens": 11},
    ]
    assert table.schema.field("tokens").type == pa.int64() and table.schema.field("reward").type == pa.float64()
    assert math.isnan(records.curve_table([{"step": 0, "x": math.nan}])["x"][0].as_py())
    with pytest.raises(BadInput, match="field 'step'"):
        records.curve_table([{"reward": 1.0}])
    with pytest.raises(BadInput, match="column 'x'"):
        records.curve_table([{"step": 0, "x": [1]}])


def test_samples_schema_is_the_one_of_the_design():
    names = (
        "problem_id problem_digest sample seed prompt_digest completion token_ids completion_digest n_tokens "
        "finish_reason grader outcome reward extracted verdict detail"
    )
    assert records.SAMPLES_SCHEMA.names == names.split()
    assert records.GENERATION_SCHEMA.names[:10] == names.split()[:10]


def test_cleaned_text_has_the_digest_of_the_raw_text():
    from creditbench.items import digest_text

    raw = "a\udc80b"
    assert clean_text(raw) == "a\\udc80b" and digest_text(clean_text(raw)) == digest_text(raw)
