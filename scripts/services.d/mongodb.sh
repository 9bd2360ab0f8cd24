# What speaks MongoDB's protocol and may be packaged: FerretDB 1.24, over SQLite. One server with
# SCRAM, plain and behind TLS, that calls itself a replica set; one that demands a client certificate.
# shellcheck shell=bash disable=SC2034,SC2154

ports_mongodb=(mongodb mongodb_tls mongodb_mtls)
processes_mongodb=(mongodb mongodb_mtls)

ferretdb_version=v1.24.2
# What go.sum would say of it.
ferretdb_sum=h1:trrUU0LbmusMbyubhPS1IELncvrIwKrsRT2LW1UUWCw=

packages_mongodb() {
  packages_clients # one of them makes the users
}

env_mongodb() {
  put MONGODB_ADDR "$host:${PORT[mongodb]}"
  put MONGODB_TLS_ADDR "$host:${PORT[mongodb_tls]}"
  put MONGODB_MTLS_ADDR "$host:${PORT[mongodb_mtls]}"
}

up_mongodb() {
  local home=$dir/mongodb server
  server=$(ferretdb) || return
  if [[ ! -d $home ]]; then
    mkdir -m 0700 "$home"
    cp "$dir/pki/"{server.pem,server.key,ca.pem} "$home/"
    chmod 0600 "$home/server.key"
  fi
  ferretdb_start mongodb "$server" --repl-set-name=dialtone \
    --listen-addr="127.0.0.1:${PORT[mongodb]}" --listen-tls="127.0.0.1:${PORT[mongodb_tls]}"
  ferretdb_start mongodb_mtls "$server" --listen-addr= \
    --listen-tls="127.0.0.1:${PORT[mongodb_mtls]}" --listen-tls-ca-file="$home/ca.pem"
  up_clients || return
  local python
  python=$(clients_directory)/bin/python
  await mongodb mongodb_users "$python" "127.0.0.1:${PORT[mongodb]}"
  await mongodb_mtls mongodb_users "$python" "localhost:${PORT[mongodb_mtls]}" "$home/ca.pem" "$dir/pki/client"
}

# The password goes to the client by its input, because a command line is everybody's.
mongodb_users() { # PYTHON ADDRESS [CA CLIENT]
  local python=$1
  shift
  password | timeout 10 "$python" "$root/scripts/services.d/mongodb/users.py" "$@"
}

# FerretDB takes every option from the environment as well, the password too.
ferretdb_start() { # NAME SERVER OPTION...
  local name=$1 server=$2 home=$dir/mongodb
  shift 2
  ! running "$name" || return 0
  mkdir -p "$home/$name/data"
  FERRETDB_SETUP_PASSWORD=$(password) \
    spawn "$name" "$(id -un)" "$server" --handler=sqlite --sqlite-url="file:$home/$name/data/" --state-dir="$home/$name" \
    --listen-tls-cert-file="$home/server.pem" --listen-tls-key-file="$home/server.key" "$@" \
    --test-enable-new-auth --setup-username=dialtone --setup-database=admin \
    --debug-addr=- --telemetry=disable --log-level=warn
}

# ferretdb prints the program's path. It is built once, some minutes, from the module as the Go
# proxy serves it, and kept in a cache of the user.
ferretdb() {
  local made cache=${XDG_CACHE_HOME:-$HOME/.cache}/dialtone
  command -v go >/dev/null || PATH=$PATH:/usr/local/go/bin
  command -v go >/dev/null || { say "FerretDB is built with Go, which is missing"; return 1; }
  made=$cache/ferretdb-$({ echo "$ferretdb_version $ferretdb_sum"; go env GOVERSION; } | sha256sum | cut -c1-12)
  if [[ ! -x $made ]]; then
    mkdir -p "$cache"
    say "building FerretDB $ferretdb_version (once, some minutes)"
    (flock -w 900 8 && { [[ -x $made ]] || ferretdb_build "$made"; }) 8>"$made.lock" >"$dir/log/ferretdb-build.log" 2>&1 ||
      { tail -n 15 "$dir/log/ferretdb-build.log" >&2; say "FerretDB could not be built"; return 1; }
  fi
  echo "$made"
}

# From a copy of the module, which must be given the file that holds its version: it is not in
# the module, and without it the program panics.
ferretdb_build() { # PATH
  local source=$1.source module
  rm -rf "$source"
  mkdir -p "$source"
  module=$(cd "$source" && GOFLAGS='' GOWORK=off go mod download -json "github.com/FerretDB/FerretDB@$ferretdb_version")
  [[ $module == *"\"Sum\": \"$ferretdb_sum\""* ]] || { echo "the sum is wrong: $module"; return 1; }
  cp -r "$(sed -n 's/.*"Dir": "\(.*\)".*/\1/p' <<<"$module")/." "$source"
  chmod -R u+w "$source"
  echo "$ferretdb_version" >"$source/build/version/version.txt"
  (cd "$source" && CGO_ENABLED=0 GOFLAGS='' GOWORK=off \
    go build -mod=readonly -trimpath -buildvcs=false -ldflags='-s -w' -o "$1.new" ./cmd/ferretdb)
  # Renamed, not written over: a copy that is running keeps running.
  mv "$1.new" "$1"
  rm -rf "$source"
}
