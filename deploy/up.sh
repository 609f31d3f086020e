#!/usr/bin/env bash
# Serves the course in JupyterLab until Ctrl-C: up.sh DATA_FOLDER FIRST_PORT, inside the environment.
# It ends what it started. Guests are not its own: they run on unless the user lets it save them.
set -euo pipefail

ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
DATA=$1
FIRST_PORT=$2
START_LIMIT=60 # seconds
SAID_WHY=2     # the exit code of serve.py where it has told the user why it ends
server=''      # JupyterLab's process id

# shellcheck source=deploy/language.sh
. "$ROOT/deploy/language.sh"
begin_words
# shellcheck source=deploy/say.sh
. "$ROOT/deploy/say.sh"

# Between a request to stop and the end there may be one question; a second Ctrl-C answers it with no.
# shellcheck disable=SC2329 # called by the trap
stop() {
  trap 'exit 130' INT TERM HUP
  say ""
  say $"Stopping JupyterLab."
  kill -TERM "$server" 2>/dev/null || true
  wait "$server" 2>/dev/null || true
  offer_to_save
  exit 0
}

# shellcheck disable=SC2329 # called by stop
offer_to_save() {
  local running names answer
  # In English, whatever the course speaks; a lab that cannot be listed does not keep the others from being asked for.
  running=$({ LABKIT_LANGUAGE=en python -m labkit.cli list 2>/dev/null || true; } | sed -nE 's/\t(running|paused)$//p')
  [ -n "$running" ] || return 0
  names=${running//$'\n'/, }
  if [ ! -t 0 ]; then
    say $"Machines that run on without it: $names."
    return 0
  fi
  printf '%s ' $"Running machines: $names. Save them, so that they go on from here next time? [Y/n]" >&2
  read -r answer || answer=n
  case $answer in
    [nN]*) say $"They go on running. ./lab clean removes them." ;;
    *) python -m labkit.cli save-running || say $"Not all of them could be saved (see above)." ;;
  esac
}

# Students work in copies of their own, so that the checkout can be brought up to date. Before there were any they worked
# in the checkout: what they have changed there becomes their copy, and stays where it is, too.
make_copies() {
  local committed='' words=()
  if [ ! -e "$DATA/work/.labkit" ] && is_changed; then
    committed=$(mktemp -d)
    git -C "$ROOT" archive HEAD notebooks | tar -x -C "$committed"
    words=(--originals "$committed/notebooks" --edited "$ROOT/notebooks")
  fi
  # an error says itself what is wrong, and nobody is kept from the copies there are
  (cd -- "$ROOT" && python -m labkit.cli course update "${words[@]}" >&2) || true
  [ -n "$committed" ] || return 0
  rm -rf -- "$committed"
  say $"The notebooks of the checkout itself are as you have left them. \`git restore notebooks\` there lets git pull go on."
}

is_changed() { [ -n "$(git -C "$ROOT" diff --name-only HEAD -- notebooks 2>/dev/null)" ]; }

main() {
  local log=$DATA/jupyter/server.log status=0
  umask 077 # what students make in JupyterLab is theirs alone
  make_copies
  : >"$log"
  trap stop INT TERM HUP
  # In a session of its own, so that Ctrl-C comes here alone; it ends with this script, however that ends. It tells the
  # address on stdout and what is in the way on stderr, and its other words go into the log.
  setsid setpriv --pdeathsig TERM python "$ROOT/deploy/serve.py" "$DATA/work" "$FIRST_PORT" "$START_LIMIT" \
    3>&1 4>&2 </dev/null >"$log" 2>&1 &
  server=$!
  wait "$server" || status=$?
  [ "$status" != "$SAID_WHY" ] || exit 1
  tail -n 5 -- "$log" >&2
  fail $"JupyterLab ended by itself (its last words are above; all of them are in $log)."
}

end_words
main
