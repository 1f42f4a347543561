# The two commands of the README are `make demo` and `make test`; the others are for daily work.
SHELL := /bin/bash
CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
VERSION := $(shell sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
export CARGO_TARGET_DIR := $(TARGET)

.PHONY: setup build demo test lint soak bench dist clean

setup:
	@tools/setup > /dev/null

# One profile serves demo, tests and daily work, so DataFusion is built once.
build: setup
	$(CARGO) build -p ferrospark
	@mkdir -p libexec && ln -sfn $(TARGET)/debug/ferrospark libexec/ferrospark

demo: build
	@tools/demo

lint: setup
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

test: build lint
	@CARGO="$(CARGO)" tools/test

# make soak SUITE=scheduler [SEEDS=N]: the large counts; one JSON line a suite.
soak: build
	@tools/soak $(SUITE)

# The program that is measured is the one that `make dist` packs.
bench: setup
	$(CARGO) build --release -p ferrospark
	@tools/bench $(TARGET)/release/ferrospark

# The archive that spark.executor.uri names.
dist: setup
	$(CARGO) build --release -p ferrospark
	@tools/dist $(TARGET)/release/ferrospark $(VERSION)

clean:
	$(CARGO) clean
	rm -rf libexec dist
