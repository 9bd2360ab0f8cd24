# Environments of Python in which programs of others run, one for each list of pinned packages.
# shellcheck shell=bash disable=SC2154

packages_python() {
  python_base >/dev/null || echo python3-venv
}

# make_python NAME CHECK...: installs services.d/NAME/requirements.txt and runs CHECK with its Python.
# It is kept in a cache of the user, so that neither `down` nor a second checkout installs it
# again. Not made elsewhere and renamed: its scripts hold their own path.
make_python() {
  local name=$1 made
  shift
  made=$(python_directory "$name")
  mkdir -p "${made%/*}"
  (
    flock -w 600 8
    [[ ! -e $made/ready ]] || exit 0
    rm -rf "$made"
    "$(python_base)" -m venv "$made"
    # The extensions of the Cassandra driver are for speed, and want a compiler.
    CASS_DRIVER_NO_EXTENSIONS=1 "$made/bin/python" -m pip install --quiet --disable-pip-version-check \
      --no-deps --requirement "$root/scripts/services.d/$name/requirements.txt"
    "$made/bin/python" "$@"
    touch "$made/ready"
  ) 8>"$made.lock" >"$dir/log/$name.log" 2>&1 ||
    { tail -n 15 "$dir/log/$name.log" >&2; say "the Python packages of $name could not be installed"; return 1; }
}

# Another list is another directory, and so is another Python.
python_directory() { # NAME
  local base
  base=$(python_base)
  printf '%s/dialtone/%s-%s\n' "${XDG_CACHE_HOME:-$HOME/.cache}" "$1" \
    "$({ echo "$base"; "$base" -V; cat "$root/scripts/services.d/$1/requirements.txt"; } | sha256sum | cut -c1-12)"
}

python_ready() { # NAME
  [[ -e $(python_directory "$1")/ready ]]
}

# The first Python that can make an environment; Debian's own needs python3-venv for it.
python_base() {
  local python
  for python in python3 /usr/bin/python3; do
    if python=$(command -v "$python") && "$python" -c 'import ensurepip' 2>/dev/null; then
      echo "$python"
      return
    fi
  done
  return 1
}
