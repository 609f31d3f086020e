# shellcheck shell=bash
# One environment for all that ./lab does, whatever the shell it was typed in holds. Here stands, once, what of a user's
# variables and configuration files is kept and what is dropped, and why; kernels, terminals and daemons inherit it.
# What was dropped is named in LABKIT_DROPPED, for the doctor (labkit/doctor/surroundings.py), which also tells of the
# files that cannot be neutral: those of libvirt's session daemon, and those of the system.

# The first line whose pattern fits a variable's name decides; what no line names is kept.
variables_table() {
  cat <<'TABLE'
keep LIBVIRTD_PATH                                                        where the daemon's program is
drop LIBVIRT_* VIRSH_* VIR_*                                              another hypervisor, other logs
keep PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_FIND_LINKS PIP_NO_INDEX        where packages are fetched from
keep PIP_TRUSTED_HOST PIP_CERT PIP_CLIENT_CERT PIP_PROXY                  the network on the way there
keep PIP_TIMEOUT PIP_DEFAULT_TIMEOUT PIP_RETRIES PIP_RESUME_RETRIES       and its patience
keep PIP_KEYRING_PROVIDER PIP_CACHE_DIR PIP_NO_CACHE_DIR
drop PIP_* PIPENV_* UV_* VIRTUALENV_*                                     what is installed, how and where to
keep PYTHONPYCACHEPREFIX PYTHONUNBUFFERED                                 they change no result
drop PYTHONDONTWRITEBYTECODE                                              every kernel would compile labkit anew
drop PYTHON* __PYVENV_LAUNCHER__                                          other modules, other behaviour
drop JUPYTER* JPY_* IPYTHON* PYDEVD_*                                     settings of the user's other Jupyter
drop MPL* MATPLOTLIBRC                                                    other drawings
drop PYTEST_* PY_COLORS MYPY* RUFF_* COVERAGE_*                           other checks
keep NODE_EXTRA_CA_CERTS NODE_TLS_REJECT_UNAUTHORIZED NODE_USE_ENV_PROXY  the network
drop NODE_* NPM_* YARN_*                                                  other code in Node
keep npm_config_registry npm_config_userconfig npm_config_cache           the network
keep npm_config_*proxy npm_config_ca* npm_config_strict_ssl npm_config_fetch_* npm_config_maxsockets
drop npm_*                                                                what npm does
drop CC CXX CPP LD CFLAGS CXXFLAGS CPPFLAGS LDFLAGS LDSHARED ARCHFLAGS    another compiler than the system's
drop AR AS NM RANLIB STRIP COMPILER_PATH GCC_EXEC_PREFIX DEPENDENCIES_OUTPUT SUNPRO_DEPENDENCIES _PYTHON_*
drop CPATH *_INCLUDE_PATH LIBRARY_PATH PKG_CONFIG* MAKEFLAGS MFLAGS CMAKE_* RUSTFLAGS CARGO_BUILD_* CARGO_ENCODED_RUSTFLAGS
drop SETUPTOOLS_* DISTUTILS_* DIST_EXTRA_CONFIG HATCH_*                   another way to build
drop LD_* GCONV_PATH LOCPATH                                              other libraries in every program
drop QEMU_* G_DEBUG G_MESSAGES_DEBUG G_SLICE MALLOC_CHECK_ MALLOC_PERTURB_
drop GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_COMMON_DIR GIT_NAMESPACE
drop BASH_ENV ENV CDPATH GLOBIGNORE TMOUT POSIXLY_CORRECT PROMPT_COMMAND  another shell
drop GREP_OPTIONS GREP_COLOR GREP_COLORS TAR_OPTIONS GZIP XZ_OPT XZ_DEFAULTS ZSTD_* LZ4_*
drop BLOCKSIZE BLOCK_SIZE DF_BLOCK_SIZE LS_BLOCK_SIZE TIME_STYLE QUOTING_STYLE
drop FORCE_COLOR CLICOLOR_FORCE                                           colours in what we read
drop MKE2FS_* E2FSPROGS_* SOURCE_DATE_EPOCH                               other guest images
TABLE
}

# make_environment_neutral: of this process and all it starts. Needs ROOT and HOME.
make_environment_neutral() {
  local name record=''
  [ -n "${LABKIT_DROPPED+there}" ] || record=1 # inside an outer ./lab variables are its own and Jupyter's
  USER_PIP_CONFIG=${PIP_CONFIG_FILE:-}
  export LABKIT_DROPPED=${LABKIT_DROPPED:-}
  while read -r name; do
    unset -v "$name" 2>/dev/null || continue
    [ -z "$record" ] || LABKIT_DROPPED+="${LABKIT_DROPPED:+ }$name"
  done < <(names_to_drop)
  settle_locale
  settle_shell
  settle_limits
  make_paths_absolute
  spell_proxies
  export PYTHONUTF8=1 LIBVIRT_DEFAULT_URI=qemu:///session MATPLOTLIBRC=$ROOT/deploy/matplotlibrc
  settle_pip
  trust_what_the_system_trusts
}

# use_private_jupyter DATA: Jupyter's settings and state stand apart from those of the user's other Jupyter. Sockets to
# kernels are in the runtime folder, since a socket's path must be short.
use_private_jupyter() {
  local folder=$1/jupyter
  export JUPYTER_CONFIG_DIR=$folder/config JUPYTER_DATA_DIR=$folder/data JUPYTER_RUNTIME_DIR=$XDG_RUNTIME_DIR/labkit-jupyter
  export JUPYTER_CONFIG_PATH=$ROOT/deploy/jupyter IPYTHONDIR=$folder/ipython
  (
    umask 077
    mkdir -p -- "$JUPYTER_CONFIG_DIR" "$JUPYTER_DATA_DIR" "$JUPYTER_RUNTIME_DIR" "$IPYTHONDIR"
    chmod 0700 -- "$folder" "$JUPYTER_RUNTIME_DIR"
  ) || fail $"Jupyter's folders cannot be made in $folder (see above). Repair that, or name another data folder in LABKIT_DATA."
}

# One a line: the variables that the table drops, and those that name a folder which is none.
names_to_drop() {
  local name verdict patterns pattern
  local -a verdicts=() rules=() words
  while read -r verdict patterns; do
    read -r -a words <<<"${patterns%%   *}"
    for pattern in "${words[@]}"; do verdicts+=("$verdict") rules+=("$pattern"); done
  done < <(variables_table)
  for name in $(compgen -e); do
    for pattern in "${!rules[@]}"; do
      # shellcheck disable=SC2053 # the right side is a pattern
      if [[ $name == ${rules[pattern]} ]]; then
        [ "${verdicts[pattern]}" = keep ] || printf '%s\n' "$name"
        break
      fi
    done
  done
  # Folders that are none: relative ones are to be ignored by their standard, and mean another place in each program.
  for name in XDG_DATA_HOME XDG_CONFIG_HOME XDG_CACHE_HOME XDG_STATE_HOME; do
    case ${!name:-/} in /*) ;; *) printf '%s\n' "$name" ;; esac
  done
  for name in TMPDIR TMP TEMP; do
    case ${!name:-/tmp} in
      /*) { [ -d "${!name:-/tmp}" ] && [ -w "${!name:-/tmp}" ]; } || printf '%s\n' "$name" ;;
      *) printf '%s\n' "$name" ;;
    esac
  done
}

# What programs print is read and written as UTF-8, and a locale that is not installed makes every one of them complain.
settle_locale() {
  local name
  [ "$(locale charmap 2>&1)" != UTF-8 ] || return 0
  export LC_ALL=C.UTF-8 # first: bash complains of each locale that it meets on the way
  for name in $(compgen -e LC_) LANG; do [ "$name" = LC_ALL ] || unset -v "$name"; done
}

settle_shell() {
  local entry entries=() kept=''
  umask "$(printf '%04o' $((($(umask) | 022) & 077)))" # others write nothing of ours, and we can use all of it
  [ -x "${SHELL:-}" ] || export SHELL=/bin/bash
  export TERM=${TERM:-dumb}
  IFS=: read -r -a entries <<<"$PATH" # a relative folder means another program in each folder
  for entry in "${entries[@]}"; do
    case $entry in /*) kept+=${kept:+:}$entry ;; esac
  done
  PATH=${kept:-/usr/local/bin:/usr/bin:/bin}
}

# Limits that a shell has set lower than it must: translated guests, Node and many open disks need more.
settle_limits() {
  local limit soft hard
  for limit in d f m u v; do
    [ "$(ulimit -S -$limit)" = unlimited ] || ulimit -S -$limit "$(ulimit -H -$limit)" 2>/dev/null || true
  done
  soft=$(ulimit -S -n) hard=$(ulimit -H -n)
  [ "$soft" = unlimited ] || [ "$soft" -ge 4096 ] || {
    { [ "$hard" != unlimited ] && [ "$hard" -lt 4096 ]; } || hard=4096
    ulimit -S -n "$hard" 2>/dev/null || true
  }
}

# A relative path would mean another folder in each notebook's.
make_paths_absolute() {
  local name
  for name in LABKIT_HOME LABKIT_DATA LABKIT_VENV LABKIT_IMAGES_FROM; do
    case ${!name:-/} in /* | '~'*) ;; *) export "$name=$PWD/${!name}" ;; esac
  done
}

# Some programs read only the one spelling, some only the other.
spell_proxies() {
  local small large
  for small in http_proxy https_proxy no_proxy all_proxy; do
    large=${small^^}
    [ -z "${!large:-}" ] || [ -n "${!small:-}" ] || export "$small=${!large}"
    [ -z "${!small:-}" ] || [ -n "${!large:-}" ] || export "$large=${!small}"
  done
}

# Of pip's configuration files only the way to the packages counts; it comes as variables, and the files are not read.
settle_pip() {
  local name value python=${LABKIT_PYTHON:-/usr/bin/python3}
  [ -x "$python" ] || return 0
  while IFS='=' read -r -d '' name value; do
    [ -n "${!name:-}" ] || export "$name=$value"
  done < <("$python" -I "$ROOT/deploy/pip_settings.py" "$USER_PIP_CONFIG")
  export PIP_CONFIG_FILE=/dev/null
}

# A network that looks into TLS signs with an authority of its own, which the system has been told of; pip and Node
# bring lists of their own.
trust_what_the_system_trusts() {
  local bundle
  for bundle in "${SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do
    [ -n "$bundle" ] && [ -r "$bundle" ] || continue
    export PIP_CERT=${PIP_CERT:-$bundle} NODE_EXTRA_CA_CERTS=${NODE_EXTRA_CA_CERTS:-$bundle}
    return 0
  done
}

# check_places DATA: ends with a sentence where a folder that the lab or libvirt writes to cannot be written.
check_places() {
  local folder above
  for folder in "$1" "${XDG_CONFIG_HOME:-$HOME/.config}/libvirt" "${XDG_CACHE_HOME:-$HOME/.cache}/libvirt"; do
    above=$folder
    while [ ! -e "$above" ]; do above=$(dirname -- "$above"); done
    if [ ! -d "$above" ]; then
      fail $"The folder $folder is needed, and $above is a file. Move it away, then run the same command again."
    elif [ ! -w "$above" ] || [ ! -x "$above" ]; then
      give_back "$above"
      fail $"The folder $folder is needed, and $above cannot be written. Is HOME ($HOME) right? Where your home is read-only, set LABKIT_DATA, XDG_CONFIG_HOME and XDG_CACHE_HOME to folders that can be written."
    fi
  done
}

# give_back PATH [ALL]: ends with the one command that repairs it, where PATH is root's, as after "sudo ./lab". ALL is
# the folder that is to be given back.
give_back() {
  local command
  [ "$(id -u)" != 0 ] && [ "$(stat -c %u -- "$1" 2>/dev/null)" = 0 ] && is_of_the_lab "$1" || return 0
  command="sudo chown -R $(id -u):$(id -g) '${2:-$1}'"
  fail $"$1 belongs to root, as after \"sudo ./lab\"; ./lab asks for sudo itself where it needs it. Give it back with: $command"
}

is_of_the_lab() {
  local place
  for place in "$DATA" "$VENV" "$ROOT" "$HOME/.local" "$HOME/.config" "$HOME/.cache"; do
    case $1/ in "$place"/*) return 0 ;; esac
  done
  return 1
}

# refuse_sudo: as root in a checkout of the user who called sudo everything made there would be root's.
refuse_sudo() {
  [ "$(id -u)" = 0 ] && [ "${SUDO_UID:-0}" != 0 ] && [ "$(stat -c %u -- "$ROOT")" = "$SUDO_UID" ] || return 0
  fail $"Run ./lab without sudo: it asks for sudo itself where it needs it, and what it makes here would belong to root."
}
