#!/bin/sh
# Make the environments of the agents' worlds, each with its own dependencies, beside the project's own:
#
#   sh requirements/agents.sh                 both
#   sh requirements/agents.sh games           .venv-games: TextWorld and ALFWorld's engine (needs gcc and make)
#   sh requirements/agents.sh appworld        .venv-appworld: AppWorld's package and its unpacked programs
#
# VENVS: another folder than the project's (export CREDITBENCH_VENVS to the same). PYTHON: the interpreter they are
# made from, 3.11 or 3.12. About 0.5 GB and 3 minutes each.
set -eu
cd "$(dirname "$0")/.."
VENVS=${VENVS:-.}
PYTHON=${PYTHON:-$(command -v python3.11 || command -v python3.12 || command -v python3)}
"$PYTHON" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' ||
  { echo "agents.sh: $PYTHON is not Python 3.11 or 3.12; set PYTHON=" >&2; exit 1; }

# make NAME PACKAGE...: a virtual environment with pinned packages, once per version of this file.
make_venv() {
  venv=$VENVS/.venv-$1
  stamp=$venv/.installed-$(cksum <requirements/agents.sh | cut -d' ' -f1)
  shift
  [ -e "$stamp" ] && return 1
  "$PYTHON" -m venv --clear "$venv"
  "$venv/bin/python" -m pip --disable-pip-version-check --no-input install -q "$@"
}

for name in ${*:-games appworld}; do
  case $name in
    games)
      command -v gcc >/dev/null && command -v make >/dev/null ||
        { echo "agents.sh: jericho and fast-downward are compiled here: install gcc and make" >&2; exit 1; }
      make_venv games textworld==1.7.0 alfworld==0.4.2 fast-downward-textworld==20.6.4 jericho==3.3.1 &&
        touch "$stamp" ;;
    appworld)
      # The package carries its programs encrypted; they are unpacked here and must not be published in the open.
      make_venv appworld appworld==0.1.3.post1 && APPWORLD_CACHE=$venv/cache "$venv/bin/appworld" install >/dev/null && touch "$stamp" ;;
    *) echo "agents.sh: unknown environment $name (known: games, appworld)" >&2; exit 2 ;;
  esac || [ -e "$stamp" ] || exit 1
done
