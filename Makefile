# Ghostlight. A bare `make` explains the targets.

VERSION ?= 0.1.0
COMMIT  := $(shell git describe --always --dirty --abbrev=12 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X ghostlight/internal/daemon.Version=$(VERSION) -X ghostlight/internal/daemon.Commit=$(COMMIT)
PROGRAMS := ghostlight ghostlight-agent ghostlight-edgecore ghostlight-fleet
TOOL    := go tool -modfile=tools.mod
ARGS    ?=

# Packages of ours that share memory between goroutines and do not compile an
# engine (SQLite aside), so that a race build of them stays affordable.
RACE := ./internal/daemon ./internal/uplink/... ./buffer/... ./synthetics/... ./healthscore/... ./slo/... ./edgecore/relay ./edgecore/cache ./collector/scrape ./collector/store ./collector/sli ./collector/journeys ./collector/page ./fleet/ingest ./fleet/registry ./fleet/web ./internal/webui

# What the end-to-end run needs beyond Go and gcc (Debian).
DEPS := chromium prometheus systemd

.PHONY: help build demo test check e2e crash deps generate fmt clean
.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build the four programs into bin/
	@echo "building $(PROGRAMS) (the first build compiles SQLite, VictoriaMetrics and the OpenTelemetry Collector: some minutes; later ones take seconds)" >&2
	@mkdir -p bin
	@go build -ldflags '$(LDFLAGS)' -o bin/ $(addprefix ./cmd/,$(PROGRAMS))

demo: build ## run three live venues and the centre on this machine, until Ctrl-C (options: ARGS="--venues 5 --seed 7")
	@exec bin/ghostlight demo $(ARGS)

test: ## unit, golden, property, fuzz-seed and process tests; needs only Go and gcc
	go test -timeout 9m ./...

check: ## formatting, vet, staticcheck, unit files, generated files, race
	@unformatted=$$($(TOOL) gofumpt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "run make fmt for:"; echo "$$unformatted"; exit 1; }
	go vet ./... && go vet -tags e2e ./internal/e2e
	$(TOOL) staticcheck ./... && $(TOOL) staticcheck -tags e2e ./internal/e2e
	deploy/check.sh
	go test -race -short -timeout 9m $(RACE)

e2e: build ## one shared demo run with faults, under Chromium, promtool and the dashboards (needs make deps)
	go test -tags e2e -count=1 -timeout 15m -v ./internal/e2e

crash: ## kill -9 sweeps, long form (KILLS=n; make test runs the short form)
	KILLS=$(or $(KILLS),200) go test -count=1 -timeout 60m -v -run 'TestNothingAcknowledgedIsLost|TestKillLosesNothing' ./buffer/queue ./edgecore ./fleet/app

deps: ## install what make e2e needs
	apt-get update
	DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $(DEPS)

generate: ## write the generated files again
	go generate ./...

fmt: ## format the code
	$(TOOL) gofumpt -w $$(git ls-files '*.go')

clean: ## remove what was built
	rm -rf bin
