# Database clients that others wrote: a Python with their drivers, and no process. A test that
# plays a server lets one of them log in, so that it is not only our own client which understands it.
# shellcheck shell=bash disable=SC2034,SC2154

ports_clients=()
processes_clients=()

packages_clients() { packages_python; }

env_clients() {
  put PYTHON "$(clients_directory)/bin/python"
}

ready_clients() { python_ready clients; }

up_clients() { make_python clients -c 'import cassandra.cluster, oracledb, pymongo'; }

clients_directory() { python_directory clients; }
