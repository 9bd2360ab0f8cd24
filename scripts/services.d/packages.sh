# Debian packages: installed when a program is missing, never leaving a server running.
# shellcheck shell=bash

# missing_packages KIND...: program -> package; a program is looked for where its package puts it.
missing_packages() {
  local kind
  for kind in "$@"; do "packages_$kind"; done
  command -v promtool >/dev/null || echo prometheus
  command -v openssl >/dev/null || echo openssl
  # The commands that `dialtone up` prints are run to the letter.
  command -v curl >/dev/null || echo curl
  # The race detector links with cgo.
  command -v "${CC:-gcc}" >/dev/null || echo gcc libc6-dev
}

install_packages() {
  local packages log
  packages=$(missing_packages "$@" | sort -u | tr '\n' ' ')
  [[ -n $packages ]] || return 0
  command -v apt-get >/dev/null || die "missing: $packages(only Debian's apt-get is known here; install them by hand)"
  say "installing: $packages"
  log=$(mktemp)
  # shellcheck disable=SC2086 # a list of words
  if [[ $EUID -eq 0 ]]; then
    apt_install $packages
  elif command -v sudo >/dev/null; then
    sudo bash -c "$(declare -f apt_install); set -u; apt_install $packages"
  else
    die "missing: $packages(run as root: apt-get install --no-install-recommends $packages)"
  fi >"$log" 2>&1 || { tail -n 40 "$log" >&2; die "apt-get could not install: $packages"; }
  rm -f "$log"
}

# Runs as root, also through sudo: it may use nothing but what is in it.
apt_install() {
  local policy='' cluster='' rc=0
  export DEBIAN_FRONTEND=noninteractive
  # Debian starts what it installs; policy-rc.d is its own way to say no.
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    policy=/usr/sbin/policy-rc.d
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
  fi
  # Nor is a system-wide cluster made (40 MB nobody asked for), unless the machine says so already.
  if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
    cluster=/etc/postgresql-common/createcluster.conf
    mkdir -p "${cluster%/*}"
    echo 'create_main_cluster = false' >"$cluster"
  fi
  apt-get update -q || echo 'apt-get update failed; trying with the lists there are'
  apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=120 \
    -o Dpkg::Options::=--force-confold "$@" </dev/null || rc=$?
  [ -z "$policy" ] || rm -f "$policy"
  # What was not here a minute ago is not to start with the machine either.
  local package unit
  for package in "$@"; do
    case $package in
      redis-server | prometheus | postgresql | krb5-kdc | krb5-admin-server) unit=$package ;;
      mariadb-server) unit=mariadb ;;
      *) continue ;;
    esac
    if command -v systemctl >/dev/null; then systemctl disable "$unit" || true; fi
  done
  return "$rc"
}
