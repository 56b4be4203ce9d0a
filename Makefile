# torc. `make` alone prints what there is.

GO ?= go
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOLANGCI = github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOVULNCHECK = golang.org/x/vuln/cmd/govulncheck@v1.8.0

.PHONY: help
help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

.PHONY: build
build: ## build/dev/torc, and the other names that it acts by
	@./build.sh

.PHONY: demo
demo: build ## see a table work: three servers, one killed and brought back
	@build/dev/torc demo

# The faults in test/ are timed, so nothing else runs beside them.
TIMED = ./test/...
UNTIMED = $$($(GO) list ./... | grep -v /test/)

.PHONY: test
test: packages ## all tests, with what they need installed (or, without the right to, named and skipped)
	$(GO) vet ./...
	$(GO) test $(TESTFLAGS) $(UNTIMED)
	$(GO) test $(TESTFLAGS) -tags fewslots ./shard/internal/sim
	$(GO) test -p 1 $(TESTFLAGS) $(TIMED)

.PHONY: race
race: packages ## all tests but the timed ones, under the race detector
	$(GO) test -race $(TESTFLAGS) $(UNTIMED)

.PHONY: soak
soak: packages ## what takes longer: each fault twenty times, long churn, fuzzing
	TORC_SOAK=1 $(GO) test -count=1 -timeout 60m -p 1 $(TESTFLAGS) ./...
	TORC_SOAK=1 $(GO) test -count=1 -timeout 60m $(TESTFLAGS) -tags fewslots ./shard/internal/sim
	scripts/fuzz.sh 60s

.PHONY: bench
bench: packages ## the benchmarks, ours beside named peers
	$(GO) test -run '^$$' -bench . -benchmem -p 1 ./...

.PHONY: figures
figures: packages ## the tables and plots in docs/figures, from our own code
	$(GO) run ./internal/figures/churn -out docs/figures
	$(GO) run ./internal/figures/hitrate -out docs/figures
	$(GO) run ./internal/figures/shard -out docs/figures
	cd test/replica/versus && $(GO) run . -out ../../../docs/figures/replica.md

.PHONY: docs
docs: ## docs/cli and the man pages, from the command tree
	$(GO) generate ./cmd/torc

.PHONY: lint
lint: ## gofmt, vet, staticcheck, golangci-lint
	@test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) run $(GOLANGCI) run

.PHONY: vuln
vuln: ## known vulnerabilities in what we import (needs vuln.go.dev)
	$(GO) run $(GOVULNCHECK) ./...

.PHONY: packages
packages:
	@scripts/packages.sh

.PHONY: clean
clean: ## remove what was built
	rm -rf build
