#!/usr/bin/env bash
# Serves the course in JupyterLab until Ctrl-C: up.sh DATA_FOLDER FIRST_PORT, inside the environment.
# It ends what it started. Guests are not its own: they run on unless the user lets it save them.
set -euo pipefail

ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
DATA=$1
FIRST_PORT=$2
PORTS_TRIED=20
START_LIMIT=60 # seconds
ADDRESS=${LABKIT_BIND:-127.0.0.1}
server=''      # JupyterLab's process id

# shellcheck source=deploy/say.sh
. "$ROOT/deploy/say.sh"

# JupyterLab's own settings, state and log stand apart from those of the user's other Jupyter.
use_private_jupyter() {
  local folder=$DATA/jupyter
  export JUPYTER_CONFIG_DIR=$folder/config JUPYTER_DATA_DIR=$folder/data JUPYTER_RUNTIME_DIR=$folder/runtime
  export JUPYTER_CONFIG_PATH=$ROOT/deploy/jupyter IPYTHONDIR=$folder/ipython
  mkdir -p -- "$JUPYTER_CONFIG_DIR" "$JUPYTER_DATA_DIR" "$JUPYTER_RUNTIME_DIR" "$IPYTHONDIR"
}

port_is_free() {
  python - "$ADDRESS" "$1" <<'PYTHON'
import socket, sys
with socket.socket() as probe:
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind((sys.argv[1], int(sys.argv[2])))
    except OSError:
        sys.exit(1)
PYTHON
}

choose_port() {
  local port=${LABKIT_PORT:-}
  if [ -n "$port" ]; then
    [[ $port =~ ^[0-9]{1,5}$ ]] && [ "$port" -ge 1024 ] && [ "$port" -le 65535 ] || fail "LABKIT_PORT is $port; it must be a number from 1024 to 65535."
    port_is_free "$port" || fail "Port $port is busy. Name another one in LABKIT_PORT, or leave it out and a free one is taken."
    printf '%s\n' "$port"
    return 0
  fi
  for ((port = FIRST_PORT; port < FIRST_PORT + PORTS_TRIED; port++)); do
    if port_is_free "$port"; then
      [ "$port" = "$FIRST_PORT" ] || say "Port $FIRST_PORT is busy; taking $port."
      printf '%s\n' "$port"
      return 0
    fi
  done
  fail "Ports $FIRST_PORT to $((port - 1)) are all busy. Name a free one in LABKIT_PORT."
}

start_page() {
  local page=notebooks/en/00-your-lab.ipynb
  [ ! -e "$ROOT/notebooks/${LABKIT_LANGUAGE:-en}/00-your-lab.ipynb" ] || page=notebooks/${LABKIT_LANGUAGE:-en}/00-your-lab.ipynb
  printf '%s\n' "$page"
}

answers() {
  local line
  { exec {web}<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null || return 1
  printf 'GET /api HTTP/1.0\r\n\r\n' >&"$web"
  read -r -t 5 line <&"$web" || line=''
  exec {web}>&-
  [[ $line == *' 200 '* ]]
}

# Between a request to stop and the end there may be one question; a second Ctrl-C answers it with no.
# shellcheck disable=SC2329 # called by the trap
stop() {
  trap 'exit 130' INT TERM HUP
  say ""
  say "Stopping JupyterLab."
  kill -TERM "$server" 2>/dev/null || true
  wait "$server" 2>/dev/null || true
  offer_to_save
  exit 0
}

# shellcheck disable=SC2329 # called by stop
offer_to_save() {
  local running count answer
  running=$(python -m labkit.cli list 2>/dev/null | sed -nE 's/\t(running|paused)$//p') || return 0
  [ -n "$running" ] || return 0
  count=$(wc -l <<<"$running")
  if [ ! -t 0 ]; then
    say "$count running machine(s) go on without it: ${running//$'\n'/, }."
    return 0
  fi
  printf 'Running machines: %s. Save them, so that they go on from here next time? [Y/n] ' "${running//$'\n'/, }" >&2
  read -r answer || answer=n
  case $answer in
    [nN]*) say "They go on running. ./lab clean removes them." ;;
    *) python -m labkit.cli save-running || say "Not all of them could be saved (see above)." ;;
  esac
}

main() {
  local port log=$DATA/jupyter/server.log began=$SECONDS
  use_private_jupyter
  port=$(choose_port)
  JUPYTER_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(24))')
  export JUPYTER_TOKEN
  trap stop INT TERM HUP
  # In a session of its own, so that Ctrl-C comes here alone; it ends with this script, however that ends.
  setsid setpriv --pdeathsig TERM jupyter lab --ServerApp.ip="$ADDRESS" --ServerApp.port="$port" --ServerApp.root_dir="$ROOT" </dev/null >"$log" 2>&1 &
  server=$!
  until answers "$port"; do
    if ! kill -0 "$server" 2>/dev/null; then
      tail -n 5 -- "$log" >&2
      fail "JupyterLab ended at once (its last words are above; all of them are in $log)."
    fi
    [ $((SECONDS - began)) -lt "$START_LIMIT" ] || { kill -TERM "$server"; fail "JupyterLab did not answer within $START_LIMIT s. Its words are in $log."; }
    sleep 0.2
  done
  [ "$ADDRESS" = 127.0.0.1 ] || say "It listens on $ADDRESS, as LABKIT_BIND asks: others who reach this address need only the token below."
  say "JupyterLab is up. Ctrl-C here stops it. Open:"
  printf '\n    http://127.0.0.1:%s/lab/tree/%s?token=%s\n\n' "$port" "$(start_page)" "$JUPYTER_TOKEN"
  wait "$server" || true
  fail "JupyterLab ended by itself (its words are in $log)."
}

main
