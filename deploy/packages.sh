# shellcheck shell=bash
# The distribution's packages: which ones a lab needs, and their installation through apt, as root or with sudo.
# No package here starts a system daemon: the lab uses the user's own session daemon.

OS_RELEASE=/etc/os-release

# What the distribution calls itself: debian, ubuntu, …
system_id() { sed -n "s/^ID=[\"']\\?\\([a-z0-9._-]*\\)[\"']\\?$/\\1/p" "$OS_RELEASE" 2>/dev/null; }

apt_knows() { apt-cache show --no-all-versions "$1" >/dev/null 2>&1; }

# The system's own Python; where that is none for the lab, the newest one that the distribution has beside it.
python_packages() {
  local minor
  if [ -z "${LABKIT_PYTHON:-}" ] && [ -x "$SYSTEM_PYTHON" ] && ! python_fits "$SYSTEM_PYTHON"; then
    for minor in $PYTHON_MINORS; do
      ! apt_knows "python3.$minor-venv" || { printf '%s\n' "python3.$minor-dev" "python3.$minor-venv"; return 0; }
    done
  fi
  printf '%s\n' python3-dev python3-venv
}

# packages_of runtime|test: one a line.
packages_of() {
  printf '%s\n' qemu-utils libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients # the hypervisor and its tools
  printf '%s\n' tini # takes leave of ended guests, see runtime.sh
  printf '%s\n' libvirt-dev pkg-config gcc # to build libvirt's Python binding
  python_packages
  printf '%s\n' busybox-static cpio e2fsprogs binutils lz4 zstd xz-utils # to make guest images
  # they are made of Debian's packages everywhere: its keys, and a program that knows its address
  [ "$(system_id)" = debian ] || printf '%s\n' debian-archive-keyring mmdebstrap
  case $(dpkg --print-architecture) in
    amd64 | i386) printf '%s\n' qemu-system-x86 ;;
    arm64 | armhf) printf '%s\n' qemu-system-arm ;;
    *) printf '%s\n' qemu-system-misc ;;
  esac
  [ "$1" = runtime ] || printf '%s\n' chromium fonts-dejavu-core nbdkit vagrant vagrant-libvirt
}

# missing_packages runtime|test: one a line.
# shellcheck disable=SC2016 # the fields are for dpkg-query
missing_packages() {
  comm -23 <(packages_of "$1" | sort -u) \
    <(packages_of "$1" | xargs dpkg-query -W -f '${db:Status-Status} ${Package}\n' 2>/dev/null | sed -n 's/^installed //p' | sort -u)
}

install_packages() {
  local set=$1 missing log="$DATA/setup-apt.log"
  { command -v apt-get && command -v dpkg-query; } >/dev/null ||
    fail $"This set-up needs apt, as Debian and Ubuntu have. On another system use the Vagrantfile or environment.yml (see README.md)."
  missing=$(missing_packages "$set" | paste -sd " ")
  [ -n "$missing" ] || { detail $"all there"; return 0; }
  become_root true || fail $"Root rights are needed to install packages, and sudo did not give them. As root, run: apt-get install $missing; then run ./lab again."
  need_space /var/cache 200 $"downloaded packages"
  run_logged "$log" $"package lists" apt_get update || true # one broken source of many is no matter: the next step tells
  missing=$(missing_packages "$set" | paste -sd " ") # some are needed where the lists have them, and the lists may be new
  detail $"installing with apt: $missing"
  # shellcheck disable=SC2086 # names of packages, one word each
  run_logged "$log" $"packages" apt_get install --yes --no-install-recommends $missing || explain_apt "$log"
}

# become_root CMD …: as root, through sudo where we are not.
become_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    return 1
  fi
}

apt_get() {
  local name keep=(DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 LANGUAGE=)
  for name in http_proxy https_proxy no_proxy; do [ -z "${!name:-}" ] || keep+=("$name=${!name}"); done
  become_root env "${keep[@]}" apt-get --quiet -o DPkg::Lock::Timeout=600 -o Acquire::Retries=2 -o Dpkg::Use-Pty=0 "$@" </dev/null 8<&- 9<&-
}

# On Ubuntu some of the packages are in a part of the archive that may be switched off.
ubuntu_hint() { [ "$(system_id)" != ubuntu ] || printf ' (sudo add-apt-repository universe)'; }

explain_apt() {
  local log=$1 unknown
  local again=$"then run the same command again: it goes on from here. All of apt's words are in $log."
  if grep -qE 'No space left on device|enough free space' "$log"; then
    fail $"There is no room to install the packages. Make room in /var and /usr, $again"
  elif grep -qE 'Temporary failure resolving|Could not resolve|Could not connect|Unable to connect|Connection timed out|Network is unreachable' "$log"; then
    fail $"The package server cannot be reached. Check the network (or apt's proxy), $again"
  elif grep -q 'Unable to locate package' "$log"; then
    unknown=$(sed -n 's/^E: Unable to locate package //p' "$log" | tr '\n' ' ')
    fail $"apt does not know: $unknown– is the network there, and are the distribution's sources complete$(ubuntu_hint)? Repair that, $again"
  elif grep -q 'Could not get lock' "$log"; then
    fail $"Another program is installing packages. Wait for it, $again"
  fi
  explain_common "$log" "$again"
  tail -n 5 -- "$log" >&2
  fail $"apt could not install the packages (its last words are above). Repair that, $again"
}
