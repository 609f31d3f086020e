# shellcheck shell=bash
# The Python environment: a venv made from the system's Python, with what the locks in requirements/ name and nothing else.

is_venv() { [ -e "$1/pyvenv.cfg" ]; }

# What the environment was made from. A change of any of it makes setup do the rest of its work.
python_stamp() {
  printf 'place %s %s\n' "$ROOT" "$VENV"
  printf 'system %s\n' "$(readlink -f "${LABKIT_PYTHON:-/usr/bin/python3}")"
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
  local set=$1 python=${LABKIT_PYTHON:-/usr/bin/python3} log="$DATA/setup-pip.log" version
  ! python_is_installed "$set" || { detail "up to date"; return 0; }
  settle_pip # on a bare system its Python is here only now
  claim_files
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || fail "There is no Python at $python."
  case $version in
    3.11 | 3.12 | 3.13) ;;
    *) fail "The lab runs on Python 3.11, 3.12 and 3.13, and $python is $version. Install one of them and name it: LABKIT_PYTHON=/path/to/python3.13 ./lab setup" ;;
  esac
  if ! packages_are_installed "$set"; then
    need_space "$(dirname -- "$VENV")" 1100 "the Python environment"
    prepare_venv "$python"
    : >"$VENV/.incomplete"
    pip_install "$log" "tools that build" -r "$ROOT/requirements/build.lock"
    pip_install "$log" "Python $version packages ($(grep -c == "$ROOT/requirements/$set.lock"))" -r "$ROOT/requirements/$set.lock"
    python_stamp runtime >"$VENV/.stamp-runtime"
    [ "$set" = runtime ] || python_stamp test >"$VENV/.stamp-test"
    rm -f -- "$VENV/.incomplete"
  fi
  REQUIRE_HASHES='' pip_install "$log" "labkit and the console's front end" --editable "$ROOT"
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

# An environment that is half made, moved or of another Python is made anew; another folder, or the environment of
# another checkout, is never emptied.
prepare_venv() {
  local python=$1 owner
  owner=$(venv_owner)
  if [ -n "$owner" ] && [ "$owner" != "$ROOT" ] && [ -e "$owner/lab" ]; then
    fail "The Python environment $VENV belongs to the checkout $owner. Name another folder in LABKIT_VENV, or run $owner/lab."
  fi
  if is_venv "$VENV" && [ ! -e "$VENV/.incomplete" ] && "$VENV/bin/python" -c '' 2>/dev/null &&
    [ "$(head -n 2 "$VENV/.stamp-runtime" 2>/dev/null)" = "$(python_stamp runtime | head -n 2)" ]; then
    return 0
  fi
  if ! is_venv "$VENV" && [ -n "$(ls -A -- "$VENV" 2>/dev/null)" ]; then
    fail "The folder $VENV is there and is no Python environment. Move it away, or name another one in LABKIT_VENV."
  fi
  "$python" -m venv --clear -- "$VENV" >&2 || fail "The Python environment could not be made in $VENV (see above)."
}

# Everything is pinned by hash and nothing is resolved; packages that must be built are built with the pinned tools.
pip_install() {
  local log=$1 label=$2 options=(--no-deps --no-build-isolation --disable-pip-version-check --no-input --progress-bar off)
  shift 2
  [ -z "${REQUIRE_HASHES-1}" ] || options+=(--require-hashes)
  run_logged "$log" "$label" "$VENV/bin/python" -m pip install "${options[@]}" "$@" || explain_pip "$log"
}

explain_pip() {
  local log=$1
  local again="then run the same command again: it goes on from here. All of pip's words are in $log."
  if grep -q 'No space left on device' "$log"; then
    fail "There is no room for the Python environment in $VENV. Make room, $again"
  elif grep -q 'Permission denied' "$log"; then
    claim_files
  elif grep -qE 'Failed to establish a new connection|Temporary failure in name resolution|NewConnectionError|ConnectTimeout|Read timed out' "$log"; then
    fail "The Python package server cannot be reached. Check the network (or pip's proxy and index), $again"
  fi
  explain_common "$log" "$again"
  ! grep -q '^ *labkit: ' "$log" || fail "$(sed -n 's/^ *labkit: //p' "$log" | head -n 1) All of npm's words are in $log."
  grep -E '^ *(ERROR|error|E):?' "$log" | tail -n 5 >&2 || true
  fail "pip could not install the packages (its errors are above). Repair that, $again"
}
