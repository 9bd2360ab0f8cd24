# A table of contents; the work is done by go and by scripts/.
.DEFAULT_GOAL := help
.PHONY: help up build test chaos lint fmt generate services services-down bench fuzz sabotage

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: ## api and worker in one process, nothing to install
	go run ./cmd/dialtone up

build: ## bin/api, bin/worker, bin/dialtone
	go build -o bin/ ./cmd/...

test: ## all that must hold before a change lands (what CI runs)
	scripts/test

chaos: ## everything breaks for CHAOS (5m), on one Redis, behind sentinels and on a cluster (ARGS=-chaos.seed=N for the same again)
	CI=true go test ./test/chaos -v -timeout 60m -chaos.duration=$(or $(CHAOS),5m) -chaos.others=$(or $(CHAOS),5m) $(ARGS)

fuzz: ## each fuzz target for FUZZTIME (60s), one after the other (ARGS=WORD for some)
	scripts/fuzz $(ARGS)

sabotage: ## break each promise on purpose, and demand that tests notice (ARGS="SWITCH..." or ARGS=--quick)
	scripts/sabotage $(ARGS)

lint: ## the linters, and formatting as a diff
	scripts/tool golangci-lint run ./...
	scripts/tool golangci-lint fmt --diff ./...

fmt: ## format all Go code
	scripts/tool golangci-lint fmt ./...

generate: ## renew the generated code
	go generate ./...

services: ## private servers to test against (KINDS="postgres redis" for some; then see scripts/services env)
	scripts/services up $(KINDS)

services-down: ## stop and remove them
	scripts/services down

bench: ## batches through dialtone beside the same probes run directly (ARGS=-h for more)
	scripts/bench/run $(ARGS)
