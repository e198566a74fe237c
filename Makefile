# `make` without a target lists the targets. Anything longer than a few lines is a script in .ci/, which also runs without make.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
# Parallel make would only interleave the output of the scripts.
.NOTPARALLEL:
# For a shell opened before rustup ran. Last, so that it never overrides the user's PATH.
export PATH := $(PATH):$(HOME)/.cargo/bin

.DEFAULT_GOAL := help
.PHONY: help setup run test bench fuzz flood scale replicas gates check

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: ## install what tests need and is missing (system packages as root, the rest into .tools/)
	@.ci/setup

run: ## install what running needs, build, start Sentinel behind Envoy on 127.0.0.1:10000; Ctrl-C ends all
	@.ci/setup run
	@.ci/demo

# Test targets that use the store. The store's contract suite covers both stores in one run; a test about SQLite's file uses
# SQLite in both runs.
on_postgres := admin audit failure model server

# A fixed seed, so that a failure is reproducible. Another seed gives other cases.
test: export PROPTEST_RNG_SEED ?= 1
test: setup ## run every test, with a real Envoy; tests that use the store run again on a real PostgreSQL
	.ci/previous build
	cargo test --locked
	SENTINEL_TEST_STORE=postgres cargo test --locked $(on_postgres:%=--test %)

# On two cores that nothing else uses. BENCH='--only path' measures one group and writes nothing.
bench: setup ## measure Sentinel beside a stock no-op server, and write docs/benchmarks.md with its chart (BENCH: arguments)
	cargo bench --locked --bench load -- $(BENCH)

# `make test` runs 200,000 cases.
fuzz: export SENTINEL_FUZZ_CASES ?= 10000000
fuzz: setup ## compare ten million mutated Envoy frames with a second implementation of the rules (SENTINEL_FUZZ_CASES, SENTINEL_FUZZ_SEED)
	cargo test --release --locked --test fuzz the_service -- --nocapture

# `make test` runs 10,000 and 100,000 keys.
flood: export SENTINEL_FLOOD_KEYS ?= 1000000
flood: export SENTINEL_FLOOD_IN_PROCESS ?= 10000000
flood: setup ## send a million new keys over gRPC and ten million in-process: memory, hit rate, rows (SENTINEL_FLOOD_KEYS, SENTINEL_FLOOD_IN_PROCESS)
	cargo test --release --locked --test flood -- --nocapture --test-threads 1

# `make test` runs 20,000 bindings, of which 1,000 are idle.
scale: export SENTINEL_SCALE_BINDINGS ?= 1000000
scale: export SENTINEL_SCALE_IDLE ?= 200000
scale: export SENTINEL_SCALE_ROUNDS ?= 5
scale: setup ## measure a million bindings in PostgreSQL: start, memory, uncached keys, 200,000 archived keys (SENTINEL_SCALE_BINDINGS, …)
	cargo test --release --locked --test scale -- --nocapture

# `make test` runs 150 to 300 keys, 100 bans, 2,000 concurrent claimants and a partition of 3 s.
replicas: export SENTINEL_REPLICA_KEYS ?= 2000
replicas: export SENTINEL_REPLICA_BANS ?= 1000
replicas: export SENTINEL_REPLICA_CROWD ?= 10000
replicas: export SENTINEL_REPLICA_PARTITION ?= 30
replicas: setup ## test three replicas on one PostgreSQL and one Redis: 2,000 keys x 48 claimants, 1,000 bans, a partition of 30 s (SENTINEL_REPLICA_KEYS, …)
	cargo test --release --locked --test replicas -- --nocapture --test-threads 1

# The fastest checks first.
gates: setup ## check format, licences, compatibility of the admin API with the previous version, clippy, docs
	cargo fmt --check
	.tools/bin/cargo-deny --locked check licenses bans sources
	.tools/bin/buf lint --config .ci/buf.yaml
	previous=$$(.ci/previous commit) && .tools/bin/buf breaking --config .ci/buf.yaml --against ".git#ref=$$previous" --against-config .ci/buf.yaml
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps

check: gates test ## run everything that a change must pass: the gates, then every test
