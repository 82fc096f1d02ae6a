# Gavel's commands. `make help` lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PYTHON_ENV := .venv/bin/python
-include build/go.mk
GO ?= go

# What a run takes: make run DURATION=90 RATE=500 KEEP=1 (0 or no: start anew); make replay DATA=path/to/ipinyou_2997
DURATION ?=
RATE ?=
KEEP ?=
DATA ?=
ONLY ?=
# What make fuzz takes: the time of a target
FUZZTIME ?= 30s
# What a benchmark takes besides: make bench-auction FLAGS="--rounds 3"; its --help lists them
FLAGS ?=
run_flags = $(if $(DURATION),--duration $(DURATION)) $(if $(RATE),--rate $(RATE)) $(if $(filter-out 0 n N no No NO off Off OFF false False FALSE,$(KEEP)),--keep)

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

.PHONY: setup
setup: ## virtual environment, pinned packages, Go, binaries
	@scripts/setup.sh

.PHONY: build
build: ## the binaries alone, into bin/, from the sources as they are (make setup comes first)
	@test -e build/go.mk || { echo "build: run make setup first" >&2; exit 2; }
	@scripts/build.sh bin

.PHONY: run
run: setup ## the closed loop with simulated traffic (DURATION=seconds RATE=auctions/s KEEP=1)
	@exec $(PYTHON_ENV) -m scripts.loop $(run_flags) $(FLAGS)

.PHONY: replay
replay: setup ## the closed loop on a real log (DATA=directory)
	@test -n "$(DATA)" || { echo "replay: name the data set: make replay DATA=path/to/ipinyou_2997" >&2; exit 2; }
	@exec $(PYTHON_ENV) -m scripts.loop --replay "$(DATA)" $(run_flags) $(FLAGS)

.PHONY: rank
rank: setup ## the closed loop of ranking: clicks, sales, classifiers (DURATION=seconds RATE=clicks/s)
	@exec $(PYTHON_ENV) -m scripts.rank $(if $(DURATION),--duration $(DURATION)) $(if $(RATE),--rate $(RATE)) $(FLAGS)

.PHONY: test
test: setup ## all checks: formatting, types, Go suites with -race, pytest
	@scripts/check.sh
	@scripts/test.sh

.PHONY: check
check: setup ## formatting, vet, types only
	@scripts/check.sh

.PHONY: fuzz
fuzz: setup ## every fuzz target of the tree (FUZZTIME=30s a target, ONLY=regexp of package:name)
	@FUZZTIME="$(FUZZTIME)" scripts/fuzz.sh $(if $(ONLY),'$(ONLY)')

.PHONY: dist
dist: setup ## a tarball in dist/ that runs on another machine (docs/deploy.md)
	@scripts/dist.sh

# Benchmarks print a table, and one JSON object as the last line; the exit status is 1 if a target is missed.
bench = BENCH_FLAGS='$(FLAGS)' exec $(PYTHON_ENV) -m bench $(1) $(FLAGS)

.PHONY: bench-batcher
bench-batcher: setup ## the batcher alone: cost a row and allocations, by batch size and concurrency
	@$(call bench,batcher)

.PHONY: bench-auction
bench-auction: setup ## whole auctions over HTTP, against batching off
	@$(call bench,auction)

.PHONY: bench-baseline
bench-baseline: setup ## what an auction costs beyond decoding its request
	@$(call bench,baseline)

.PHONY: bench-soak
bench-soak: setup ## ten minutes at 80 % of capacity with 20 version swaps
	@$(call bench,soak)

.PHONY: bench-overload
bench-overload: setup ## twice the capacity: goodput, late answers, time to shed
	@$(call bench,overload)

.PHONY: bench-isolation
bench-isolation: setup ## a small model's p99 beside a slow one
	@$(call bench,isolation)

.PHONY: bench-learning
bench-learning: setup ## the shipped recipes against the hidden truth, FTRL and scikit-learn (DATA=directory: on a log)
	@BENCH_FLAGS='$(FLAGS)' exec $(PYTHON_ENV) -m bench.learning $(if $(DATA),--data "$(DATA)") $(FLAGS)

.PHONY: bench-rank-learning
bench-rank-learning: setup ## a ranking's classifiers against a hidden truth (DATA=directory: TalkingData's log besides)
	@BENCH_FLAGS='$(FLAGS)' exec $(PYTHON_ENV) -m bench.rank_learning $(if $(DATA),--data "$(DATA)") $(FLAGS)

.PHONY: bench-ranking
bench-ranking: setup ## 5,000 classifiers for one click: time, memory, churn, the paper's figures (DATA=directory; ONLY=bank,rank)
	@BENCH_FLAGS='$(FLAGS)' exec $(PYTHON_ENV) -m bench.ranking $(if $(DATA),--data "$(DATA)") $(if $(ONLY),--only $(ONLY)) $(FLAGS)

.PHONY: bench-peers
bench-peers: setup ## other model servers on the same model and load; the first time it fetches them (2.5 GB)
	@BENCH_FLAGS='$(FLAGS)' exec $(PYTHON_ENV) -m bench.peers $(FLAGS)

.PHONY: bench-plans
bench-plans: setup ## plans against scikit-learn, onnxruntime, MLServer (DATA=directory of data sets; ONLY=text,memory)
	@BENCH_FLAGS='$(FLAGS)' exec $(PYTHON_ENV) -m bench.plans $(if $(DATA),--data "$(DATA)") $(if $(ONLY),--only $(ONLY)) $(FLAGS)

# Tuning takes FLAGS too: make tune-batch FLAGS="--quick --slo-p99-ms 8". The last line of stdout is one JSON object.
.PHONY: tune-batch
tune-batch: setup ## the batcher's settings for a p99, with the least CPU (FLAGS=--quick: under 5 minutes)
	@exec $(PYTHON_ENV) scripts/tune_batch.py $(FLAGS)

.PHONY: tune-latency
tune-latency: setup ## the margin kept of exchanges' deadlines (FLAGS=--quick: under 5 minutes)
	@exec $(PYTHON_ENV) scripts/tune_latency.py $(FLAGS)

.PHONY: lock
lock: ## pin requirements*.in anew into requirements*.lock (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header requirements.in -o requirements.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header requirements-go.in -o requirements-go.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header requirements-cluster.in -o requirements-cluster.lock

.PHONY: lock-peers
lock-peers: ## pin bench/peers/locks/*.in anew (needs uv)
	@cd bench/peers/locks && for peer in $$(basename -s .in *.in); do \
	  platform="--universal"; \
	  [ $$peer != triton ] || platform="--python-platform x86_64-manylinux_2_35"; \
	  uv pip compile --quiet $$platform --python-version 3.11 --generate-hashes --no-header $$peer.in -o $$peer.lock; \
	done

.PHONY: clean
clean: ## remove what runs and builds left (not the virtual environment)
	rm -rf bin dist var build/go.mk build/promtool
