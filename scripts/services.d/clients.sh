# Database clients that others wrote: a Python with their drivers, and no process. A test that
# plays a server lets one of them log in, so that it is not only our own client which understands it.
# shellcheck shell=bash disable=SC2034,SC2154

ports_clients=()
processes_clients=()

packages_clients() {
  clients_base >/dev/null || echo python3-venv
}

env_clients() {
  put PYTHON "$(clients_directory)/bin/python"
}

ready_clients() {
  [[ -e $(clients_directory)/ready ]]
}

# It is kept in a cache of the user, so that neither `down` nor a second checkout installs it
# again. Not made elsewhere and renamed: its scripts hold their own path.
up_clients() {
  local made
  made=$(clients_directory)
  mkdir -p "${made%/*}"
  (
    flock -w 600 8
    [[ ! -e $made/ready ]] || exit 0
    rm -rf "$made"
    "$(clients_base)" -m venv "$made"
    # The extensions of the Cassandra driver are for speed, and want a compiler.
    CASS_DRIVER_NO_EXTENSIONS=1 "$made/bin/python" -m pip install --quiet --disable-pip-version-check \
      --no-deps --requirement "$(clients_list)"
    "$made/bin/python" -c 'import cassandra.cluster, oracledb, pymongo'
    touch "$made/ready"
  ) 8>"$made.lock" >"$dir/log/clients.log" 2>&1 ||
    { tail -n 15 "$dir/log/clients.log" >&2; say "the Python clients could not be installed"; return 1; }
}

clients_list() { echo "$root/scripts/services.d/clients/requirements.txt"; }

# Another list is another directory, and so is another Python.
clients_directory() {
  local base
  base=$(clients_base)
  printf '%s/dialtone/clients-%s\n' "${XDG_CACHE_HOME:-$HOME/.cache}" \
    "$({ echo "$base"; "$base" -V; cat "$(clients_list)"; } | sha256sum | cut -c1-12)"
}

# The first Python that can make an environment; Debian's own needs python3-venv for it.
clients_base() {
  local python
  for python in python3 /usr/bin/python3; do
    if python=$(command -v "$python") && "$python" -c 'import ensurepip' 2>/dev/null; then
      echo "$python"
      return
    fi
  done
  return 1
}
