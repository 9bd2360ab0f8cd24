# FreeTDS's tsql, a client of SQL Server that others wrote, and no process: it logs in to the
# server of dialtone's tests, so that it is not only our own client which understands that.
# shellcheck shell=bash disable=SC2034

ports_freetds=()
processes_freetds=()

packages_freetds() {
  command -v tsql >/dev/null || echo freetds-bin
}

env_freetds() {
  put TSQL "$(command -v tsql)"
}

ready_freetds() {
  command -v tsql >/dev/null
}

up_freetds() { :; } # there when its package is
