# shellcheck shell=bash
# How ./lab speaks: sentences on stderr, a stage at a time, and a log for what programs print.

say() { printf '%s\n' "$*" >&2; }
stage() { printf '%s\n' "$*" >&2; }
detail() { printf '    %s\n' "$*" >&2; }

fail() {
  printf 'lab: %s\n' "$*" >&2
  exit 1
}

# A terminal on which a line can be written over.
is_terminal() { [ -t 2 ] && [ "${TERM:-dumb}" != dumb ]; }

# run_logged LOG LABEL CMD …: runs CMD with its output in LOG, and shows that it goes on: the seconds and its last line,
# every second on a terminal, every 15 seconds elsewhere. Its exit status is CMD's.
run_logged() {
  local log=$1 label=$2 status=0 began=$SECONDS ticker
  shift 2
  : >"$log"
  tick "$log" "$label" "$began" 8<&- 9<&- &
  ticker=$!
  # shellcheck disable=SC2064 # the id of now
  trap "kill $ticker 2>/dev/null || true" EXIT
  "$@" >>"$log" 2>&1 || status=$?
  kill "$ticker" 2>/dev/null || true
  wait "$ticker" 2>/dev/null || true
  trap - EXIT
  ! is_terminal || printf '\r\033[K' >&2
  [ "$status" != 0 ] || detail $"$label: done in $((SECONDS - began)) s"
  return "$status"
}

# shorten LINE: what of it has room beside a label. It ends with a whole word, so that no name is cut: pip and apt list
# packages in long lines, and a part of a name is another name.
shorten() {
  local line=$1
  if [ "${#line}" -gt 60 ]; then
    line=${line:0:60}
    [ "${line% *}" = "$line" ] && return
    line=${line% *}
    line="${line%,} …"
  fi
  printf '%s' "$line"
}

tick() {
  local log=$1 label=$2 began=$3 last every=15 before='    ' after='\n' pause=''
  ! is_terminal || { every=1 before='\r\033[K    ' after=''; }
  trap 'kill "$pause" 2>/dev/null; exit 0' TERM
  while :; do
    sleep "$every" &
    pause=$!
    wait "$pause"
    kill -0 $$ 2>/dev/null || exit 0 # the command itself was killed
    last=$(tail -n 1 -- "$log" | tr -d '\r')
    last=$(shorten "$last")
    # shellcheck disable=SC2059 # the format is made of the constants above
    printf "$before%s: %s s  %s$after" "$label" "$((SECONDS - began))" "$last" >&2
  done
}

# explain_common LOG AGAIN: ends with a sentence where the log tells of trouble that any program may meet: the clock,
# a network that looks into TLS, a proxy, sudo, a disk. AGAIN is how the sentence ends.
explain_common() {
  local now
  if grep -qiE 'certificate is not yet valid|certificate has expired|Release file .* is not (yet )?valid|CERT_NOT_YET_VALID|CERT_HAS_EXPIRED' "$1"; then
    now=$(date '+%Y-%m-%d %H:%M')
    fail $"The date here is $now, and a server's certificate or list is not valid at that time. Set the computer's clock, $2"
  elif grep -qiE 'CERTIFICATE_VERIFY_FAILED|certificate verify failed|SELF_SIGNED_CERT|UNABLE_TO_(GET_ISSUER_CERT|VERIFY_LEAF)|unable to get local issuer|certificate verification failed' "$1"; then
    fail $"This network signs what it passes on with a certificate of its own, which this system does not know. Ask whoever runs the network for it, put it (NAME.crt) into /usr/local/share/ca-certificates, run sudo update-ca-certificates, $2"
  elif grep -qE '407 Proxy|Proxy Authentication Required|ProxyError|Cannot connect to proxy' "$1"; then
    fail $"The proxy refuses or does not answer. Set http_proxy and https_proxy (http://USER:PASSWORD@HOST:PORT), $2"
  elif grep -qE 'dpkg was interrupted|dpkg --configure -a' "$1"; then
    fail $"An earlier installation of packages was cut short. Run sudo dpkg --configure -a, $2"
  elif grep -qE 'is not in the sudoers file|may not run sudo|a password is required|incorrect password attempt' "$1"; then
    fail $"sudo did not give root rights. Ask whoever administers this computer to install the packages, $2"
  elif grep -qE 'Read-only file system' "$1"; then
    fail $"A file system here is read-only, often after an error of the disk (dmesg | tail tells). Repair that, $2"
  elif grep -qE 'Disk quota exceeded' "$1"; then
    fail $"Your disk quota is used up. Make room, $2"
  fi
}

# need_space FOLDER MEBIBYTES WHAT: ends with a sentence where FOLDER (or the nearest one above it) has less free.
need_space() {
  local folder=$1 free
  while [ ! -d "$folder" ]; do folder=$(dirname -- "$folder"); done
  free=$(($(df --output=avail --block-size=1M -- "$folder" | tail -n 1)))
  [ "$free" -ge "$2" ] || fail $"There are only $free MiB free in $folder, and $3 may take $2 MiB. Make room, then run the same command again."
}
