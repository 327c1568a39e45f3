# `make test` is what a change must pass: it installs what the tests need, then checks and tests everything.
# `make help` lists the rest.

GO       ?= go
SUDO     := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
PACKAGES := gcc libc6-dev transmission-daemon transmission-cli aria2 python3-libtorrent opentracker nginx-light mktorrent miniupnpd-nftables nftables iproute2 tor \
            dante-server tinyproxy ca-certificates mpv ffmpeg
RIVALS   := rtorrent python3-libtorrent mktorrent iproute2
# A tag's version, else the date and hash of the commit.
VERSION  ?= $(shell git describe --tags --match 'v[0-9]*' --dirty 2>/dev/null | sed 's/^v//' | grep . || git log -1 --date=format:%Y%m%d --format=0.0.0-%cd.g%h 2>/dev/null || echo 0.0.0)
TARGETS  := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64
LINT     := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.6.2

WEB_PACKAGES := chromium fonts-noto-core ffmpeg

.PHONY: help build test deps bench-deps web-deps check cross lint unit interop web web-check web-test web-all leak-matrix demo-no-centre fuzz bench release release-check clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

build: ## build bin/shoal
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o bin/shoal ./cmd/shoal

test: deps check unit interop web-all ## everything a change must pass
	@touch bin/web.log
	@echo "make test: all passed; skipped tests: $$(cat bin/unit.log bin/interop.log bin/web.log | grep -c -e '--- SKIP')"

deps: NEEDED := $(PACKAGES)
deps: ## install the programs that the tests drive (Debian packages)
bench-deps: NEEDED := $(RIVALS)
bench-deps: ## install the clients that shoal is compared with

deps bench-deps web-deps:
	@missing=; for p in $(NEEDED); do dpkg-query -W -f '$${db:Status-Abbrev}' $$p 2>/dev/null | grep -q '^ii' || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then $(SUDO) apt-get update -qq && \
	  printf '#!/bin/sh\nexit 101\n' | $(SUDO) tee /usr/sbin/policy-rc.d >/dev/null && $(SUDO) chmod +x /usr/sbin/policy-rc.d && \
	  { DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $$missing >/dev/null; s=$$?; \
	    $(SUDO) rm -f /usr/sbin/policy-rc.d; exit $$s; }; fi

check: cross ## format, vet, builds for every system
	@test -z "$$(gofmt -l cmd internal interop bench)" || { echo "not formatted:"; gofmt -l cmd internal interop bench; exit 1; }
	$(GO) vet ./...
	$(GO) mod tidy -diff

cross: ## build for every system, without cgo
	@for t in $(TARGETS); do echo "build $$t"; CGO_ENABLED=0 GOOS=$${t%/*} GOARCH=$${t#*/} $(GO) build -o /dev/null ./cmd/shoal || exit 1; done

lint: ## the linters of .golangci.yml
	$(GO) run $(LINT) run ./...

# Tests of memory, allocations and large simulations, which the race detector changes or slows: they run again without it.
SIZES := Small|AllocatesNothing|NoAllocations|Crowd|FirstByte|SlowPeers|TenMinutes
unit: ## unit tests, simulated swarms, fuzz seeds and the command line, under the race detector
	@mkdir -p bin
	@$(GO) test -race -v $$($(GO) list ./... | grep -v /interop$$) > bin/unit.log 2>&1; s=$$?; \
	$(GO) test -v -run '$(SIZES)' ./internal/... >> bin/unit.log 2>&1 || s=1; \
	grep -E '^(ok|FAIL|---|panic|\?)|^ *--- (FAIL|SKIP)' bin/unit.log | grep -v -e 'no test files' -e 'no tests to run' -e '^--- PASS' ; \
	if [ $$s != 0 ]; then grep -n -B30 -e '--- FAIL' -e '^panic' -e 'DATA RACE' -e 'build failed' bin/unit.log | tail -200; fi; \
	echo "unit tests skipped: $$(grep -c -e '--- SKIP' bin/unit.log)"; exit $$s

interop: ## transfers with real clients, in a network namespace of their own (root)
	@mkdir -p bin
	@$(GO) test -c -o bin/interop.test ./interop
	@cd interop && $(SUDO) env PATH="$$PATH" HOME="$$HOME" GOFLAGS="$$GOFLAGS" ../bin/interop.test -test.v -test.timeout 15m > ../bin/interop.log 2>&1; s=$$?; \
	grep -E '^ *--- |^(ok|FAIL|panic)' ../bin/interop.log | grep -v -e '^ .*--- PASS'; \
	if [ $$s != 0 ]; then tail -150 ../bin/interop.log; fi; \
	echo "interop tests skipped: $$(grep -c -e '--- SKIP' ../bin/interop.log)"; exit $$s

leak-matrix: deps ## every case of the leak matrix 20 times: no packet goes round a route (root, 15 minutes)
	@mkdir -p bin && $(GO) test -c -o bin/interop.test ./interop
	cd interop && $(SUDO) env PATH="$$PATH" HOME="$$HOME" GOFLAGS="$$GOFLAGS" LEAK_RUNS=20 ../bin/interop.test -test.run '^TestLeakMatrix$$' -test.v -test.timeout 40m

demo-no-centre: deps build ## find and fetch with no centre at all, after half of the nodes are gone (root)
	$(SUDO) env PATH="$$PATH" interop/no-centre.sh bin/shoal

fuzz: ## every fuzz target for 30 s
	@for p in $$($(GO) list ./...); do for f in $$($(GO) test -list '^Fuzz' $$p | grep ^Fuzz); do echo "$$p $$f"; \
	  $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime 30s $$p || exit 1; done; done

bench: bench-deps ## measure shoal beside other clients: the table of docs/performance.md (root, 20 minutes)
	$(GO) run ./bench

release: ## archives, Debian packages, SBOM and checksums for every system, in dist
	packaging/release.sh '$(VERSION)' dist $(TARGETS)

release-check: ## whether a release is the same when it is made again, and its package installs (root)
	$(SUDO) env PATH="$$PATH" HOME="$$HOME" GOFLAGS="$$GOFLAGS" packaging/check.sh

web: ## build the web UI into internal/webui/dist, from where it is embedded (needs Node 20.19 or newer)
	cd web && npm ci --no-fund --no-audit && npm run --silent api && npm run --silent build

web-check: ## the web UI's types, its generated client, and that internal/webui/dist is what its source makes; needs web/node_modules, and no network
	cd web && npm run --silent check
	@cd web && d=$$(mktemp -d) && npx --no-install openapi-typescript openapi.json -o $$d/openapi.d.ts >/dev/null && \
	  diff -q $$d/openapi.d.ts src/lib/openapi.d.ts || { echo "web/src/lib/openapi.d.ts is not of web/openapi.json: run make web"; exit 1; }
	@cd web && d=$$(mktemp -d) && OUT=$$d npm run --silent build >/dev/null && diff -r $$d ../internal/webui/dist || { echo "internal/webui/dist is not what web/ makes: run make web"; exit 1; }
	@echo "web-check: the web UI is what its source makes"

web-deps: NEEDED := $(WEB_PACKAGES)
web-deps: ## install the browser that the tests of the web UI drive (Debian packages)

web-test: build ## tests of the web UI in Debian's Chromium, on a wide screen and on a phone, against a made up node and a real one; needs web/node_modules
	cd web && npx --no-install playwright test
	web/tests/newcomer.sh bin/shoal

# Debian 12 has no Node that is new enough, and shoal needs none to be built: the web UI is committed as built, which a test of Go proves to be of
# its source.
web-all: ## everything that is checked of the web UI, where there is Node 20.19 or newer
	@mkdir -p bin && rm -f bin/web.log
	@if node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || a == 20 && b >= 19 ? 0 : 1)' 2>/dev/null; then \
	  $(MAKE) --no-print-directory web-deps && cd web && npm ci --no-fund --no-audit --silent && cd .. && $(MAKE) --no-print-directory web-check web-test; \
	else echo "--- SKIP: the tests of the web UI need Node 20.19 or newer" | tee bin/web.log; fi

clean: ## remove what was built
	rm -rf bin dist
