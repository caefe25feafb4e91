# Ghostlight. A bare `make` explains the targets.

VERSION ?= 0.1.0
COMMIT  := $(shell git describe --always --dirty --abbrev=12 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X ghostlight/internal/daemon.Version=$(VERSION) -X ghostlight/internal/daemon.Commit=$(COMMIT)
PROGRAMS := ghostlight ghostlight-agent ghostlight-edgecore ghostlight-fleet
TOOL    := go tool -modfile=tools.mod
ARGS    ?=

# Packages of ours that share memory between goroutines and do not compile an
# engine (SQLite aside), so that a race build of them stays affordable.
RACE := ./internal/daemon ./internal/uplink/... ./buffer/... ./synthetics/... ./healthscore/... ./slo/... ./edgecore/relay ./edgecore/cache ./collector/scrape ./collector/store ./collector/sli ./collector/incidents ./collector/journeys ./collector/page ./fleet/ingest ./fleet/registry ./fleet/events/... ./fleet/incident ./fleet/burn ./fleet/web/... ./internal/webui

# What the end-to-end run and the crash tests need beyond Go and gcc (Debian).
DEPS := chromium prometheus prometheus-alertmanager strace systemd

.PHONY: help build demo test check e2e crash bench bench-peers deps generate fmt clean
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
	go vet ./... && go vet -tags e2e ./internal/e2e ./fleet/notify && go vet -tags crash ./buffer/queue ./fleet/app
	$(TOOL) staticcheck ./... && $(TOOL) staticcheck -tags e2e ./internal/e2e ./fleet/notify && $(TOOL) staticcheck -tags crash ./buffer/queue ./fleet/app
	deploy/check.sh
	go test -race -short -timeout 9m $(RACE)

e2e: build bin/peers/vmagent ## one shared demo run with faults, under Chromium, promtool and the dashboards; other senders at the doors (needs make deps)
	go test -tags e2e -count=1 -timeout 15m -v ./internal/e2e ./fleet/notify

crash: ## kill -9 at random and at every file call, and the simulated fleet, long form and verdicts under torture (KILLS=n SWEEP=n SEEDS=n TORTURE=n; needs make deps)
	KILLS=$(or $(KILLS),1000) go test -count=1 -timeout 150m -v -run 'TestNothingAcknowledgedIsLost|TestKillLosesNothing' ./buffer/queue ./edgecore ./fleet/app
	KILLS=$(or $(SWEEP),25) go test -tags crash -count=1 -timeout 60m -v -run Sweep ./buffer/queue ./fleet/app
	SEEDS=$(or $(SEEDS),10000) go test -count=1 -timeout 90m -run 'TestFleet$$' ./internal/fleetsim
	SEEDS=$(or $(TORTURE),1000) go test -count=1 -timeout 60m -run 'TestTorture$$' ./internal/torture

# What the bench replays, in the format that `ghostlight delta measure` takes: a
# recording, or else a venue that is made up.
DATA ?= bin/venue.tsv.gz

bin/venue.tsv.gz: | build
	bin/ghostlight delta generate --seed 7 --minutes 31 --interval 5s $@

bench: build bench-peers $(DATA) ## measure side by side with real peers into BENCHMARKS.md (ONLY=wire,disk,agent,day,fresh,payments,page,contest,ledger,rules LONG=1 DATA=FILE; as root, on an idle machine; needs make deps)
	go run ./internal/bench --data '$(DATA)' --only '$(ONLY)' $(if $(LONG),--long)

bench-peers: ## build the peers of the bench into bin/peers/, at the versions that internal/bench/peers/go.mod pins
	@mkdir -p bin/peers
	go build -C internal/bench/peers -o '$(CURDIR)/bin/peers/' ./encode ./history github.com/VictoriaMetrics/VictoriaMetrics/app/vmagent github.com/VictoriaMetrics/VictoriaMetrics/app/victoria-metrics

# The one peer that the end-to-end run lets in.
bin/peers/vmagent: internal/bench/peers/go.mod
	@mkdir -p bin/peers
	go build -C internal/bench/peers -o '$(CURDIR)/$@' github.com/VictoriaMetrics/VictoriaMetrics/app/vmagent

deps: ## install what make e2e and make crash need
	apt-get update
	DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $(DEPS)

generate: ## write the generated files again
	go generate ./...

fmt: ## format the code
	$(TOOL) gofumpt -w $$(git ls-files '*.go')

clean: ## remove what was built
	rm -rf bin
