# The front door. `make` alone lists the targets.
# Anything longer than a few lines is a script in .ci/, where it can be read, run and tested without make.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
# The scripts are sequential programs; parallel make would only interleave their output.
.NOTPARALLEL:
# Last in the PATH: it helps a shell opened before rustup ran, and never overrides the user's own choice.
export PATH := $(PATH):$(HOME)/.cargo/bin

.DEFAULT_GOAL := help
.PHONY: help setup run test fuzz flood scale replicas gates check

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: ## install what tests need and is missing (system packages as root, the rest into .tools/)
	@.ci/setup

run: ## install what running needs, build, start Sentinel behind Envoy on 127.0.0.1:10000; Ctrl-C ends all
	@.ci/setup run
	@.ci/demo

# What reaches the store in more than one way. The store's contract has both stores in one run; what is about SQLite's file
# says so and is on SQLite in both.
on_postgres := admin audit failure model server

# Properties are tried on the same cases each time: what is red here is red again. Another number is another set.
test: export PROPTEST_RNG_SEED ?= 1
test: setup ## every test, against the real Envoy; what reaches the store once more on a real PostgreSQL
	.ci/previous build
	cargo test --locked
	SENTINEL_TEST_STORE=postgres cargo test --locked $(on_postgres:%=--test %)

# `make test` has 200,000 of them.
fuzz: export SENTINEL_FUZZ_CASES ?= 10000000
fuzz: setup ## ten million changed Envoy frames against a second reading of the rules (SENTINEL_FUZZ_CASES, SENTINEL_FUZZ_SEED)
	cargo test --release --locked --test fuzz the_service -- --nocapture

# `make test` has 10,000 and 100,000 of them.
flood: export SENTINEL_FLOOD_KEYS ?= 1000000
flood: export SENTINEL_FLOOD_IN_PROCESS ?= 10000000
flood: setup ## a million new keys over gRPC and ten million in-process: memory, hit rate, rows (SENTINEL_FLOOD_KEYS, SENTINEL_FLOOD_IN_PROCESS)
	cargo test --release --locked --test flood -- --nocapture --test-threads 1

# `make test` has 20,000 of them, of which 1,000 idle.
scale: export SENTINEL_SCALE_BINDINGS ?= 1000000
scale: export SENTINEL_SCALE_IDLE ?= 200000
scale: export SENTINEL_SCALE_ROUNDS ?= 5
scale: setup ## a million bindings in PostgreSQL: start, memory, keys that are not cached, 200,000 archived beside them (SENTINEL_SCALE_BINDINGS, …)
	cargo test --release --locked --test scale -- --nocapture

# `make test` has 150 to 300 keys, 100 bans, a crowd of 2,000 and a cut of 3 s.
replicas: export SENTINEL_REPLICA_KEYS ?= 2000
replicas: export SENTINEL_REPLICA_BANS ?= 1000
replicas: export SENTINEL_REPLICA_CROWD ?= 10000
replicas: export SENTINEL_REPLICA_PARTITION ?= 30
replicas: setup ## three replicas on one PostgreSQL and one Redis: 2,000 keys x 48 claimants, 1,000 bans, a cut of 30 s (SENTINEL_REPLICA_KEYS, …)
	cargo test --release --locked --test replicas -- --nocapture --test-threads 1

# In the order of what fails fastest.
gates: setup ## format, licences, the admin API against the version before, clippy, docs
	cargo fmt --check
	.tools/bin/cargo-deny --locked check licenses bans sources
	.tools/bin/buf lint --config .ci/buf.yaml
	previous=$$(.ci/previous commit) && .tools/bin/buf breaking --config .ci/buf.yaml --against ".git#ref=$$previous" --against-config .ci/buf.yaml
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps

check: gates test ## what a change must pass: the gates, then every test
