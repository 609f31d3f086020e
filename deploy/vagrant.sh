#!/usr/bin/env bash
# Provisions the machine of the Vagrantfile, as its ordinary user: vagrant.sh PORT. It may run again.
set -euo pipefail

# The checkout is a copy of the host's folder: what is made from it lies elsewhere. JupyterLab listens on the machine's
# addresses because the host's loopback is forwarded to one of them; nothing but the host reaches it.
cat >"$HOME/.labkit-environment" <<TEXT
export LABKIT_VENV=$HOME/.labkit-venv LABKIT_HOME=$HOME/labs LABKIT_BIND=0.0.0.0 LABKIT_PORT=$1
TEXT
grep -qs labkit-environment "$HOME/.profile" || printf '. ~/.labkit-environment\n' >>"$HOME/.profile"
# shellcheck source=/dev/null
. "$HOME/.labkit-environment"

bash /vagrant/lab setup

# Hardware virtualization, where the machine below passes it on, is for this group; it counts from the next login.
! getent group kvm >/dev/null || sudo usermod --append --groups kvm "$(id -un)"
