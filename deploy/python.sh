# shellcheck shell=bash
# The Python environment: a venv made from the system's Python, with what the locks in requirements/ name and nothing else.

SYSTEM_PYTHON=/usr/bin/python3
PYTHON_MINORS="14 13 12 11" # the versions 3.x that the locks are for, newest first

# python_fits PATH: is it one of those?
python_fits() {
  local minor
  minor=$("$1" -c 'import sys; print(sys.version_info[1] if sys.version_info[0] == 3 else 0)' 2>/dev/null) || return 1
  [[ " $PYTHON_MINORS " == *" $minor "* ]]
}

# The Python to use: the one that is named, or the system's own, or where that does not fit one that stands beside it.
python_to_use() {
  local minor
  if [ -z "${LABKIT_PYTHON:-}" ] && [ -x "$SYSTEM_PYTHON" ] && ! python_fits "$SYSTEM_PYTHON"; then
    for minor in $PYTHON_MINORS; do
      [ ! -x "$SYSTEM_PYTHON.$minor" ] || { printf '%s\n' "$SYSTEM_PYTHON.$minor"; return 0; }
    done
  fi
  printf '%s\n' "${LABKIT_PYTHON:-$SYSTEM_PYTHON}"
}

is_venv() { [ -e "$1/pyvenv.cfg" ]; }

# What the environment was made from. A change of any of it makes setup do the rest of its work.
python_stamp() {
  printf 'place %s %s\n' "$ROOT" "$VENV"
  printf 'system %s\n' "$(readlink -f "$(python_to_use)")"
  { cat "$ROOT/requirements/build.lock" "$ROOT/requirements/$1.lock"; sed '/^\[tool\./,$d' "$ROOT/pyproject.toml"; } | sha256sum
}

# What the console's front end was made from, and what tells Jupyter of it.
front_stamp() { cat "$ROOT"/deploy/front.py "$ROOT"/labkit/server/{*.json,front/*,labextension/*} | sha256sum; }

# python_is_installed runtime|test (an environment for tests serves both)
python_is_installed() {
  packages_are_installed "$1" && [ -e "$ROOT/labkit/server/static/console.js" ] || return 1
  [ "$(cat "$VENV/.stamp-front" 2>/dev/null)" = "$(front_stamp)" ]
}

packages_are_installed() {
  [ -x "$VENV/bin/python" ] || return 1
  [ "$(cat "$VENV/.stamp-$1" 2>/dev/null)" = "$(python_stamp "$1")" ] && [ ! -e "$VENV/.incomplete" ]
}

install_python() {
  local set=$1 python log="$DATA/setup-pip.log" version count
  ! python_is_installed "$set" || { detail $"up to date"; return 0; }
  settle_pip # on a bare system its Python is here only now
  claim_files
  python=$(python_to_use)
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || fail $"There is no Python at $python."
  python_fits "$python" || fail $"The lab runs on Python 3.11, 3.12, 3.13 and 3.14, and $python is $version. Install one of them beside it: with apt where it has one (sudo apt-get install python3.14-venv python3.14-dev), else with conda (environment.yml) or another tool of yours. Then name it: LABKIT_PYTHON=/path/to/python3.14 ./lab setup"
  if ! packages_are_installed "$set"; then
    need_space "$(dirname -- "$VENV")" 1100 $"the Python environment"
    prepare_venv "$python"
    : >"$VENV/.incomplete"
    pip_install "$log" $"tools that build" -r "$ROOT/requirements/build.lock"
    count=$(grep -c == "$ROOT/requirements/$set.lock")
    pip_install "$log" $"Python $version packages ($count)" -r "$ROOT/requirements/$set.lock"
    python_stamp runtime >"$VENV/.stamp-runtime"
    [ "$set" = runtime ] || python_stamp test >"$VENV/.stamp-test"
    rm -f -- "$VENV/.incomplete"
  fi
  REQUIRE_HASHES='' pip_install "$log" $"labkit and the console's front end" --editable "$ROOT"
  front_stamp >"$VENV/.stamp-front"
}

# What one call with sudo has left is root's, and nothing could be written over it.
claim_files() {
  local foreign
  foreign=$(find "$VENV" "$ROOT/labkit" ! -user "$(id -u)" -print -quit 2>/dev/null) || true
  [ -z "$foreign" ] || case $foreign in
    "$VENV"*) give_back "$foreign" "$VENV" ;;
    *) give_back "$foreign" "$ROOT" ;;
  esac
}

# The checkout that made the environment where it is now, or nothing.
venv_owner() {
  local place
  place=$(sed -n '1s/^place //p' "$VENV/.stamp-runtime" 2>/dev/null) || return 0
  [ "$place" = "${place% "$VENV"}" ] || printf '%s\n' "${place% "$VENV"}"
}

# An environment that is half made, moved or of another Python is made again; another folder, or the environment of
# another checkout, is never emptied.
prepare_venv() {
  local python=$1 owner
  owner=$(venv_owner)
  if [ -n "$owner" ] && [ "$owner" != "$ROOT" ] && [ -e "$owner/lab" ]; then
    fail $"The Python environment $VENV belongs to the checkout $owner. Name another folder in LABKIT_VENV, or run $owner/lab."
  fi
  if is_venv "$VENV" && [ ! -e "$VENV/.incomplete" ] && "$VENV/bin/python" -c '' 2>/dev/null &&
    [ "$(head -n 2 "$VENV/.stamp-runtime" 2>/dev/null)" = "$(python_stamp runtime | head -n 2)" ]; then
    return 0
  fi
  if ! is_venv "$VENV" && [ -n "$(ls -A -- "$VENV" 2>/dev/null)" ]; then
    fail $"The folder $VENV is there and is no Python environment. Move it away, or name another one in LABKIT_VENV."
  fi
  "$python" -m venv --clear -- "$VENV" >&2 || fail $"The Python environment could not be made in $VENV (see above)."
}

# Everything is pinned by hash and nothing is resolved; packages that must be built are built with the pinned tools.
pip_install() {
  local log=$1 label=$2 options=(--no-deps --no-build-isolation --disable-pip-version-check --no-input --progress-bar off)
  shift 2
  [ -z "${REQUIRE_HASHES-1}" ] || options+=(--require-hashes)
  run_logged "$log" "$label" in_a_bare_home "$VENV/bin/python" -m pip install "${options[@]}" "$@" || explain_pip "$log"
}

# in_a_bare_home CMD …: what builds a package reads files in the home that say how everything of this user's is built
# (~/.pydistutils.cfg, ~/.numpy-site.cfg). There is none in this home; what leads to the packages is named where it is.
in_a_bare_home() {
  local bare status=0
  bare=$(mktemp -d) || return
  env HOME="$bare" NETRC="${NETRC:-$HOME/.netrc}" PIP_CACHE_DIR="${PIP_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/pip}" \
    XDG_CONFIG_HOME="${XDG_CONFIG_HOME:-$HOME/.config}" XDG_CACHE_HOME="${XDG_CACHE_HOME:-$HOME/.cache}" \
    XDG_DATA_HOME="${XDG_DATA_HOME:-$HOME/.local/share}" npm_config_cache="${npm_config_cache:-$HOME/.npm}" \
    npm_config_userconfig="${npm_config_userconfig:-$HOME/.npmrc}" "$@" || status=$?
  rm -rf -- "$bare"
  return "$status"
}

explain_pip() {
  local log=$1 said
  local again=$"then run the same command again: it goes on from here. All of pip's words are in $log."
  if grep -q 'No space left on device' "$log"; then
    fail $"There is no room for the Python environment in $VENV. Make room, $again"
  elif grep -q 'Permission denied' "$log"; then
    claim_files
  elif grep -qE 'Failed to establish a new connection|Temporary failure in name resolution|NewConnectionError|ConnectTimeout|Read timed out' "$log"; then
    fail $"The Python package server cannot be reached. Check the network (or pip's proxy and index), $again"
  fi
  explain_common "$log" "$again"
  said=$(sed -n 's/^ *labkit: //p' "$log" | head -n 1)
  [ -z "$said" ] || fail $"$said All of npm's words are in $log."
  grep -E '^ *(ERROR|error|E):?' "$log" | tail -n 5 >&2 || true
  fail $"pip could not install the packages (its errors are above). Repair that, $again"
}
