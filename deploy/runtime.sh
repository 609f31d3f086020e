# shellcheck shell=bash
# Under which user and in which runtime folder everything runs.
# libvirt's session daemon wants XDG_RUNTIME_DIR to be ours, mode 0700 and short (UNIX sockets have short names), and it
# wants a user that is not root. So root works inside one user namespace per runtime folder, where its user id is not
# zero: a small holder process keeps it, every call of ./lab joins it, and it ends when nobody else is left in it.

# Inside, root appears as this user of every Debian: libvirt 11 crashes for a user id that /etc/passwd does not know.
NAMESPACE_USER=daemon
HOLDER_LOOKS_EVERY=60 # seconds
LONGEST_RUNTIME_FOLDER=60
KERNEL_SETTINGS=/proc/sys

# enter_environment CMD …: never returns; CMD's exit status and stdin are its own.
enter_environment() {
  choose_runtime_folder
  shorten_config_folder
  use_private_jupyter "$DATA"
  export VIRTUAL_ENV=$VENV PATH=$VENV/bin:$PATH
  # A guest outlives whoever started it and becomes a child of the system's first process. libvirt waits until that one
  # has taken leave of an ended guest, and in a container it often does not, or takes seconds. tini does it at once.
  ! command -v tini >/dev/null || set -- tini -s -- "$@"
  [ "$(id -u)" = 0 ] || exec "$@"
  join_namespace "$@"
}

# Anybody may make a folder in /tmp before us, so there is a second place; what is ours already goes first, for the
# daemon and the guests in it.
choose_runtime_folder() {
  local folder places=("/tmp/labkit-$UID" "$DATA/run")
  for folder in "${XDG_RUNTIME_DIR:-}" "/run/user/$UID" "${places[@]}"; do
    ! is_runtime_folder "$folder" || { export XDG_RUNTIME_DIR=$folder; return 0; }
  done
  for folder in "${places[@]}"; do
    [ "${#folder}" -gt "$LONGEST_RUNTIME_FOLDER" ] || (umask 077 && mkdir -p -- "$(dirname -- "$folder")" && mkdir -- "$folder") 2>/dev/null || true
    ! is_runtime_folder "$folder" || { export XDG_RUNTIME_DIR=$folder; return 0; }
  done
  fail $"The folder ${places[0]} must be ours alone (mode 0700), and it is not. Remove it, or set XDG_RUNTIME_DIR to a short folder of your own."
}

# libvirt puts the monitor's socket of each guest below XDG_CONFIG_HOME: up to CONFIG_BYTES it fits, whatever the guest's
# name. A longer folder gets a short name, a link in the runtime folder; what is in it stays where it is.
CONFIG_BYTES=44
shorten_config_folder() {
  local LC_ALL=C folder=${XDG_CONFIG_HOME:-$HOME/.config} link
  [ "${#folder}" -gt $CONFIG_BYTES ] || return 0
  link=$XDG_RUNTIME_DIR/c$(printf %s "$folder" | cksum | cut -d ' ' -f 1)
  [ "${#link}" -le $CONFIG_BYTES ] && mkdir -p -- "$folder" && ln -sfn -- "$folder" "$link" || return 0
  export XDG_CONFIG_HOME=$link
}

is_runtime_folder() {
  [ -n "$1" ] && [ -d "$1" ] && [ ! -L "$1" ] && [ -O "$1" ] && [ -w "$1" ] && [ "${#1}" -le "$LONGEST_RUNTIME_FOLDER" ] && [ "$(stat -c %a -- "$1")" = 700 ]
}

# ------------------------------------------------------------------------------------------ root's user namespace
namespace_record() { printf '%s\n' "$XDG_RUNTIME_DIR/labkit-namespace"; }

# What tells one process from a later one with the same id: id, start time, namespace.
process_record() {
  local stat namespace
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  namespace=$(readlink "/proc/$1/ns/user") || return 1
  # shellcheck disable=SC2086 # the words after the name; the 20th of them is the start time
  set -- "$1" ${stat##*) }
  printf '%s %s %s\n' "$1" "${21}" "$namespace"
}

# The holder's process id, or nothing.
find_holder() {
  local record
  record=$(cat "$(namespace_record)" 2>/dev/null) || return 0
  [ "$(process_record "${record%% *}" 2>/dev/null)" = "$record" ] && [ "${record##* }" != "$(readlink /proc/self/ns/user)" ] || return 0
  printf '%s\n' "${record%% *}"
}

join_namespace() {
  local holder answer lock
  exec {lock}>>"$(namespace_record).lock"
  flock "$lock"
  holder=$(find_holder)
  if [ -z "$holder" ]; then
    read -r answer < <(cd / && exec setsid unshare --user --map-user="$(id -u $NAMESPACE_USER)" --map-group="$(id -g $NAMESPACE_USER)" \
      bash "$ROOT/deploy/runtime.sh" "$XDG_RUNTIME_DIR" </dev/null 2>&1 {lock}>&-) || true
    holder=$(find_holder)
    [ -n "$holder" ] || fail $"As root, the lab needs a user namespace, and this system refuses it (${answer:-no reason given}$(namespace_limit)). Run ./lab as an ordinary user with sudo instead; in a container, allow user namespaces."
  fi
  touch "$(namespace_record)" # the holder stays for a while after a call, so it cannot end before we are inside
  exec {lock}>&-
  exec nsenter --target "$holder" --user --preserve-credentials -- "$@"
}

# Which of the kernel's settings forbids user namespaces, if one does: Ubuntu's AppArmor, an older Debian, a limit.
namespace_limit() {
  local setting
  for setting in kernel/apparmor_restrict_unprivileged_userns=1 kernel/unprivileged_userns_clone=0 user/max_user_namespaces=0; do
    [ "$(cat "$KERNEL_SETTINGS/${setting%=*}" 2>/dev/null)" != "${setting#*=}" ] || printf '; %s is %s' "$(tr / . <<<"${setting%=*}")" "${setting#*=}"
  done
}

# Tells the holder to end now, if nobody else is in the namespace.
end_namespace() {
  local holder
  [ "$(id -u)" = 0 ] || return 0
  choose_runtime_folder
  holder=$(find_holder)
  [ -z "$holder" ] || kill -USR1 "$holder" 2>/dev/null || true
}

# The holder itself (this file run, not sourced).
hold_namespace() {
  local pause='' lock grace=$HOLDER_LOOKS_EVERY
  export XDG_RUNTIME_DIR=$1
  process_record $$ >"$(namespace_record)"
  trap 'rm -f -- "$(namespace_record)"; kill "$pause" 2>/dev/null; exit 0' TERM
  trap 'grace=0; kill "$pause" 2>/dev/null' USR1
  echo ready
  exec >/dev/null 2>&1
  while :; do
    if [ "$grace" != 0 ]; then
      sleep "$HOLDER_LOOKS_EVERY" &
      pause=$!
      wait "$pause" || wait "$pause" # the first one ends at the signal, before the child
    fi
    exec {lock}>>"$(namespace_record).lock"
    flock "$lock"
    is_needed "$grace" || break
    grace=$HOLDER_LOOKS_EVERY
    exec {lock}>&-
  done
  rm -f -- "$(namespace_record)"
}

# is_needed SECONDS: someone else is in the namespace, or a call came to join it in the last SECONDS.
is_needed() {
  local process
  [ "$(cat "$(namespace_record)" 2>/dev/null)" = "$(process_record $$)" ] || return 1
  [ $(($(date +%s) - $(stat -c %Y -- "$(namespace_record)"))) -ge "$1" ] || return 0
  for process in /proc/[0-9]*; do
    [ "$process" = "/proc/$$" ] || [ ! "$process/ns/user" -ef /proc/self/ns/user ] || return 0
  done
  return 1
}

[ "${BASH_SOURCE[0]}" != "$0" ] || hold_namespace "$1"
