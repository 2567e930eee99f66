# Everything a developer runs. `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# How long each fuzz target and each benchmark runs.
FUZZTIME ?= 10s
BENCHTIME ?= 1s
# Packages that test, race, bench and cover are about.
PKG ?= ./...

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

.PHONY: run
run: ## run the server on http://localhost:8080/ (ARGS="--listen :8080" adds flags)
	go run ./cmd/teahouse $(ARGS)

.PHONY: build
build: ## build bin/teahouse, static and without cgo
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o bin/teahouse ./cmd/teahouse

.PHONY: test
test: setup lint ## what CI runs: install what is missing, lint, then all tests with the race detector
	TEAHOUSE_REQUIRE=1 CGO_ENABLED=1 go test -race -shuffle=on -timeout 12m ./...
	@$(MAKE) --no-print-directory e2e

.PHONY: quick
quick: ## the tests of the main module without the race detector, skipping what is not installed or takes long
	go test -short $(PKG)

.PHONY: race
race: ## the tests of the main module with the race detector (needs a C compiler)
	CGO_ENABLED=1 go test -race -shuffle=on $(PKG)

.PHONY: e2e
e2e: ## the tests with real browsers, in their own module, and those of the comparison with peers
	@if [ -f e2e/go.mod ]; then echo 'cd e2e && go test ./...' && cd e2e && TEAHOUSE_REQUIRE=1 go test -count=1 -timeout 12m ./...; fi
	cd bench && go test ./suite ./cmd/...

# What chaos passes on, such as CHAOS='-seed 1 -schedules 10 -layer nats'.
CHAOS ?= -schedules 100

.PHONY: chaos
chaos: setup ## 100 schedules of faults on three nodes (20 min), and all planted defects; as root, for it makes networks
	cd e2e && TEAHOUSE_REQUIRE=1 go test -count=1 -race -v -timeout 90m ./chaos -thorough $(CHAOS) | grep -v '^=== '

.PHONY: pictures
pictures: setup ## make the pictures of the README anew
	cd e2e && TEAHOUSE_REQUIRE=1 TEAHOUSE_SCREENSHOTS=1 go test -count=1 ./browser

.PHONY: lint
lint: bin/staticcheck ## gofmt, go vet, staticcheck
	@unformatted=$$($$(go env GOROOT)/bin/gofmt -l $$(git ls-files -co --exclude-standard -- '*.go')); \
	if [ -n "$$unformatted" ]; then echo "not formatted, run gofmt -w on: $$unformatted"; exit 1; fi
	go vet ./...
	bin/staticcheck ./...
	@if [ -f e2e/go.mod ]; then echo 'cd e2e && go vet ./... && ../bin/staticcheck ./...' && cd e2e && go vet ./... && ../bin/staticcheck ./...; fi
	cd bench && go vet ./... && ../bin/staticcheck ./...
	cd tools && go mod verify

# The linter is pinned in a module of its own, so that it never touches ours.
bin/staticcheck: tools/go.mod tools/go.sum
	cd tools && go build -o ../bin/staticcheck honnef.co/go/tools/cmd/staticcheck

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME (10s)
	@go list -f '{{.ImportPath}} {{.Dir}}' ./... | while read -r pkg dir; do \
		for target in $$(cat "$$dir"/*_test.go 2>/dev/null | sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p'); do \
			echo "$$pkg $$target" && go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) "$$pkg"; \
		done; \
	done

.PHONY: bench
bench: ## run the benchmarks for BENCHTIME (1s) each
	go test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) $(PKG)

# What bench-peers passes on, such as PEERS='-rounds 1 -for 2s -scenarios 1x1000'; then
# the report goes to standard output, for docs/benchmarks.md is of a whole run.
PEERS ?=

.PHONY: bench-peers
bench-peers: ## measure Teahouse and its peers side by side (30 min, two quiet processors); writes docs/benchmarks.md
	@bench/setup
	cd bench && go run ./cmd/peers $(if $(PEERS),$(PEERS),-out ../docs/benchmarks.md)

.PHONY: cover
cover: ## write cover.out and print the part of all statements that tests reach
	go test -coverprofile=cover.out -coverpkg=./... $(PKG)
	go tool cover -func=cover.out | tail -n 1

.PHONY: generate
generate: ## write what is generated: docs/configuration.md
	go generate ./...

.PHONY: setup
setup: ## install the Debian packages that the tests need and that are missing
	@.ci/setup
