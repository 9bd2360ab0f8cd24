# schemathesis makes requests from openapi.yaml and holds the answers against it: a program, and
# no process.
# shellcheck shell=bash disable=SC2034,SC2154

ports_schemathesis=()
processes_schemathesis=()

packages_schemathesis() { packages_python; }

env_schemathesis() {
  put SCHEMATHESIS "$(python_directory schemathesis)/bin/schemathesis"
}

ready_schemathesis() { python_ready schemathesis; }

up_schemathesis() { make_python schemathesis -c 'import schemathesis'; }
