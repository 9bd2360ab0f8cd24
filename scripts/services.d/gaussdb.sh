# What GaussDB is tested with, and no process: there is no server of its own to be had. The JDBC
# drivers of openGauss and GaussDB log in to the server that the tests play, and our prober logs in
# to ShardingSphere's proxy, which a test starts in front of the Postgres without TLS.
# shellcheck shell=bash disable=SC2034,SC2154

ports_gaussdb=()
processes_gaussdb=()

packages_gaussdb() { packages_java; }

env_gaussdb() {
  put GAUSSDB_JARS "$(cat "$dir/gaussdb.jars")"
  put GAUSSDB_PROXY_JARS "$(cat "$dir/gaussdb-proxy.jars")"
}

ready_gaussdb() { [[ -s $dir/gaussdb.jars && -s $dir/gaussdb-proxy.jars ]]; }

up_gaussdb() {
  local part jars
  for part in gaussdb gaussdb-proxy; do
    jars=$(maven_jars "$part") || return
    echo "$jars" >"$dir/$part.jars"
  done
}
