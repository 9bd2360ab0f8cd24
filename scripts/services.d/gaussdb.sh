# The JDBC drivers of openGauss and GaussDB, and no process: there is no server to be had, so the
# tests play one, and these drivers log in to it.
# shellcheck shell=bash disable=SC2034,SC2154

ports_gaussdb=()
processes_gaussdb=()

packages_gaussdb() { packages_java; }

env_gaussdb() { put GAUSSDB_JARS "$(cat "$dir/gaussdb.jars")"; }

ready_gaussdb() { [[ -s $dir/gaussdb.jars ]]; }

up_gaussdb() {
  local jars
  jars=$(maven_jars gaussdb) || return
  echo "$jars" >"$dir/gaussdb.jars"
}
