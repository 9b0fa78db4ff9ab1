# For users:
#   make run     builds everything and serves the page, on ADDR
#   make edge    the same as a Cloudflare Worker, on this machine's workerd
#   make deploy  puts that Worker on Cloudflare
#   make restored  is to be run after that Worker's database was put back from a
#                backup
#   make test    checks and tests what matters most, in Chromium
# For contributors:
#   make test-all  adds to make test the Worker, the browsers that BROWSERS names
#                (chromium, firefox, webkit), the modules of the COMPILERS (tinygo,
#                go), long simulations, and mutants
#   make audit   looks for known vulnerabilities in what this is made of, as far as
#                those answer who would know; part of make test-all
#   make consumers  builds small apps with the package as users do, and looks at them;
#                part of make test-all
#   make semver  compares the Go API with that of the last release; part of make
#                test-all
#   make mutants  has the simulations find mistakes that are put into the code; part
#                of make test-all
#   make build   leaves the npm package in js/dist and the site in web/dist,
#                with the module that COMPILER builds: tinygo or go
#   make package  leaves the npm package to be published, session-writer-VERSION.tgz
#   make tinygo  builds the TinyGo that fits, for Debian 12
#   make tabs    measures what several tabs lose, for js/tabs/README.md
#   make bench   times session-writer beside its peers, for js/bench/README.md
#   make bench-server  times the server beside a plain handler and scs, and with many
#                owners and entries, for web/README.md
#   make bench-live  times a save from one browser to another, beside Yjs and TinyBase,
#                for js/live/README.md, and measures what devices that listen take of
#                the server, for web/README.md
#   make bench-edge  measures the CPU that the Worker takes, for web/README.md
#   make bench-attack  measures what a page notices while others attack the server
#   make kills   kills browsers during saves, and measures what survives, for
#                js/kills/README.md
#   make format  formats Go, JavaScript, CSS and HTML
#   make fuzz    fuzzes what parses stored text, for FUZZTIME each
#   make clean   removes all that was built or installed here

ADDR = 127.0.0.1:8080
BROWSERS = chromium
COMPILERS = $(COMPILER)
FUZZTIME = 60s

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.1
GOVULNCHECK = golang.org/x/vuln/cmd/govulncheck@v1.9.0
APIDIFF = golang.org/x/exp/cmd/apidiff@v0.0.0-20261113113407-e3970619a1a4
WASMBROWSERTEST = github.com/agnivade/wasmbrowsertest@v0.11.0

tools = $(CURDIR)/.tools
worker = web/worker

# What builds the module: a TinyGo that fits when there is one, as its module
# is a tenth as large, or else Go.
fitting_tinygo := $(filter 0.41.%,$(word 3,$(shell PATH="$(tools)/tinygo/bin:$$PATH"; tinygo version 2>/dev/null)))
export COMPILER = $(if $(fitting_tinygo),tinygo,go)

# How Go builds it. The test of its size builds an empty program so.
export GO_WASM_FLAGS = -trimpath -buildvcs=false -ldflags=-s\ -w

# How TinyGo builds it: as a library, whose exports are called while nothing
# else runs, and in which no C asks for memory.
export TINYGO_WASM_FLAGS = -target=wasm -buildmode=c-shared -scheduler=none -opt=z -no-debug -panic=print -tags=custommalloc

# What comes out of it still has room for what a debugger would need, and branches that
# are structured anew compress better: 9 KB together.
export WASM_OPT_FLAGS = --flatten --rereloop -Oz --flatten --rereloop -Oz -Oz --strip-producers --strip-target-features --enable-bulk-memory --enable-mutable-globals --enable-nontrapping-float-to-int --enable-sign-ext

wasm = GOOS=js GOARCH=wasm
go_files := $(shell find . -name '*.go' -not -path './js/*' -not -path './.*')

# The files that a Go program is made of, or for wasm, with a second argument: so
# a change of a test builds nothing anew. Nothing is downloaded for it. What go
# cannot list is built, which says why.
sources_of = go.mod $(patsubst $(CURDIR)/%,%,$(shell GOPROXY=off $(if $2,$(wasm)) go list -deps -f '$(own_files)' $1 2>/dev/null || echo FORCE))
own_files = {{if .Module}}{{if .Module.Main}}{{range .GoFiles}}{{$$.Dir}}/{{.}} {{end}}{{range .EmbedFiles}}{{$$.Dir}}/{{.}} {{end}}{{end}}{{end}}

SHELL = bash
.SHELLFLAGS = -eu -o pipefail -c

.PHONY: run edge deploy restored test build package tinygo format fuzz clean
.DELETE_ON_ERROR:

# Not go run, which would leave the server behind when it is told to end.
run: build $(tools)/session-server
	exec $(tools)/session-server -addr $(ADDR)

build: web/dist/index.html

# Of the module by TinyGo alone, a tenth as large as by Go.
package:
	@test '$(COMPILER)' = tinygo || { echo 'The package is built by TinyGo 0.41: run make tinygo'; exit 1; }
	$(MAKE) --no-print-directory js/dist/index.js COMPILER=tinygo
	cd js && chmod -R u=rwX,go=rX dist LICENSE README.md package.json # whatever the umask is
	cd js && npm pack --silent --pack-destination ..

# The Worker on this machine's workerd: wrangler.jsonc says on which address.
# Its database is kept in web/worker/.wrangler.
edge: worker
	$(migrate) DB --config $(worker)/wrangler.jsonc --local
	exec $(wrangler) dev --config $(worker)/wrangler.jsonc

# Wrangler finds the database by its name: in the folder of wrangler.jsonc it
# would insist on an id.
deploy: worker
	@$(wrangler) whoami --json >/dev/null || { echo 'Wrangler has no access to a Cloudflare account. Run $(wrangler) login, or set CLOUDFLARE_API_TOKEN to a token that may edit Workers and D1.'; exit 1; }
	$(wrangler) d1 info $(d1) >/dev/null 2>&1 || $(wrangler) d1 create $(d1) >/dev/null
	$(migrate) $(d1) --remote --yes
	$(wrangler) deploy --config $(worker)/wrangler.jsonc

# The parts of both. They wait for the network, for servers and for browsers, so
# several at once take less time, each of which prints what it has to say when it
# ends. What they need of Debian is installed before: apt works for one at a time.
at_once = $(MAKE) --no-print-directory --output-sync --jobs

test:
	@.ci/apt $(packages)
	$(at_once)=3 check test-go test-js

# The longest is first. What needs other modules than the first comes after it. What is
# built upon the package is tried with the module that is published, and so is what takes long.
test-all: export LONG = 1
test-all:
	@.ci/apt $(packages_chromium) $(packages)
	$(at_once)=2 mutants check audit semver test-go test-long test-wasm test-edge consumers
	$(foreach compiler,$(COMPILERS),$(MAKE) --no-print-directory $(if $(fitting_tinygo),,$(filter tinygo,$(compiler))) test-js COMPILER=$(compiler) $(if $(filter-out tinygo,$(compiler)),$(if $(filter tinygo,$(COMPILERS)),PART=--module LONG=));)

packages = nginx caddy postgresql $(foreach browser,$(BROWSERS),$(packages_$(browser)))

.PHONY: test-all check audit semver test-go test-long mutants test-edge test-wasm test-js consumers

# The modules of Go that are not ours, and use ours: in browsers.
go_modules = js/bench/go js/consumers/go-app js/consumers/syscall-js

# The tests in js/test/source need no module. They test the source, and CI's scripts.
check: js/node_modules/.package-lock.json $(worker)/node_modules/.package-lock.json $(tools)/staticcheck
	@unformatted=$$(gofmt -l $(go_files) js/bench js/consumers); test -z "$$unformatted" || { echo "make format would format:" $$unformatted; exit 1; }
	go vet ./...
	$(wasm) go vet ./...
	$(foreach module,$(go_modules),(cd $(module) && $(wasm) go vet ./...);)
	$(tools)/staticcheck ./...
	$(wasm) $(tools)/staticcheck ./...
	cd js && npm run --silent check
	cd js && npm run --silent test:source

audit: $(tools)/govulncheck
	PATH="$(tools):$$PATH" .ci/audit

semver: $(tools)/apidiff
	PATH="$(tools):$$PATH" .ci/semver

# Without the race detector in SQLite: it is C, translated, and no code of
# ours, and takes ten times as long with it. The server is tested behind both proxies, and
# its store on PostgreSQL as well, which the tests start and stop.
test-go:
	@.ci/apt nginx caddy postgresql
	go test -short -race -gcflags=modernc.org/sqlite/lib=-race=false ./...
	go test -short -race -gcflags=modernc.org/sqlite/lib=-race=false ./web/sqlstore -postgresql

# A simulation of SIMULATED operations: without the race detector, for it runs in
# one goroutine. That of exchanges runs as long as it does by itself, but longer on
# PostgreSQL. Servers and PostgreSQL are killed during 10,000 exchanges. Then the server in
# the routers that Go programs use, which are a module apart.
SIMULATED = 3000000
test-long: $(tools)/staticcheck
	@.ci/apt nginx postgresql
	go test -run 'TestSimulation$$' ./internal/engine -sim.ops $(SIMULATED)
	go test -run 'TestReplicationOnPostgreSQL$$' ./internal/engine -sim.ops 1000000
	go test -run 'Killed' ./web/session-server
	cd web/consumers && go vet ./... && $(tools)/staticcheck ./... && go test ./...

# What they find of mistakes that are put into the code, by the schedules that
# internal/engine/testdata/mutants.json has. Where one finds its mistake no more,
# -mutants.update looks for another and writes it there, which may take an hour.
mutants:
	@.ci/apt postgresql
	go test -run Mutants -timeout 90m -v ./internal/engine

# In workerd, on D1: what the Worker is made of, the Worker itself, and pages
# that exchange their sessions with it.
test-edge: build worker chromium
	$(wasm) go test -count=1 -run ^Test -exec "node $(CURDIR)/$(worker)/exec.js" ./web/sqlstore
	cd $(worker) && npm test --silent
	cd js && SERVER=edge node test/run.js sync.test.js owners.test.js devices.test.js sync-storage.test.js live.test.js inspector.test.js demo.test.js

# Those that CONSUMERS names, or all that js/consumers has.
consumers: build chromium $(tools)/session-server
	cd js && node --test consumers/consumers.test.js

# The messages left out are of a driver that is older than the browser.
test-wasm: chromium $(tools)/go_js_wasm_exec
	PATH="$(tools):$$PATH" $(wasm) go test ./wasm/... ./web/client | grep -v 'could not unmarshal event'

# One browser after another, so that each has the machine to itself. What needs no browser
# runs once for a module, and what needs no module is part of check. PART is --module for
# tests of the module alone. With LONG in the environment, what is short in make test runs
# as long as in CI.
test-js: build $(tools)/session-server
	@.ci/apt $(foreach browser,$(BROWSERS),$(packages_$(browser)))
	cd js; npm run --silent test:node; $(foreach browser,$(BROWSERS),echo 'In $(browser), with the module that $(COMPILER) builds:'; BROWSER=$(browser) $(display_$(browser)) npm test --silent -- $(PART);)

packages_chromium = chromium
packages_firefox = firefox-esr
packages_webkit = webkit2gtk-driver libglib2.0-bin xvfb xauth dbus

# The others have a mode without a display.
display_webkit = xvfb-run --auto-servernum dbus-run-session --

.PHONY: chromium
chromium:
	@.ci/apt $(packages_chromium)

# Each writes its tables into the README beside it: in the browsers BROWSERS.
.PHONY: tabs kills
tabs kills: build
	@.ci/apt $(foreach browser,$(BROWSERS),$(packages_$(browser)))
	cd js && BROWSERS="$(BROWSERS)" $(foreach browser,$(BROWSERS),$(display_$(browser))) node $@/run.js

# So does this one, in Chromium.
.PHONY: bench
bench: build chromium
	cd js && $(with_tinygo) node bench/run.js

# So does this one, on SQLite and PostgreSQL, into web/README.md. It takes a quarter of an
# hour and 20 GB of the disk for temporary files, most of both for a million owners.
.PHONY: bench-server
bench-server:
	@.ci/apt postgresql
	cd web/consumers && go test -run '^$$' -bench 'Contestants|Owners|Entries' -benchtime 1x -timeout 1h ./load -publish

# So does this one, in Chromium, on both servers, in half an hour; and with 5,000 sockets, into
# web/README.md.
.PHONY: bench-live
bench-live: build worker chromium $(tools)/session-server
	cd js && node live/run.js
	cd web/consumers && go test -run '^$$' -bench Live -benchtime 1x ./load -publish

# What a request takes of workerd, into web/README.md.
.PHONY: bench-edge
bench-edge: build worker
	cd $(worker) && node cost.js

# What somebody notices of others who do their worst, each for ten seconds.
.PHONY: bench-attack
bench-attack:
	go test -run '^$$' -bench Attack -benchtime 1x ./web/session-server

# What is built.

js/node_modules/.package-lock.json: js/package-lock.json
	cd js && npm ci --silent
	touch $@

js/dist/session.wasm: Makefile $(call sources_of,./wasm,js) $(tools)/compiler $(wildcard $(tools)/tinygo/bin/tinygo)
	@mkdir -p js/dist
	$(build_with_$(COMPILER))
	chmod 644 $@

build_with_go = $(wasm) go build $(GO_WASM_FLAGS) -o $@ ./wasm

# The one that make tinygo builds comes before one that is installed. Either
# keeps its cache here.
build_with_tinygo = export $(with_tinygo); tinygo build $(TINYGO_WASM_FLAGS) -o $@ ./wasm; \
	PATH="$$PATH:$$(tinygo env TINYGOROOT)/bin" wasm-opt $(WASM_OPT_FLAGS) $@ -o $@
with_tinygo = PATH="$(tools)/tinygo/bin:$$PATH" GOCACHE="$$(go env GOCACHE)" XDG_CACHE_HOME=$(tools)/cache

# Of Go, whose modules need it. TinyGo's need what js/src/runtime-tinygo.js has.
js/wasm_exec.js: js/dist/session.wasm
	cp "$$(go env GOROOT)/lib/wasm/wasm_exec.js" $@
	chmod 644 $@
	touch $@

runtime_of_go = js/wasm_exec.js
runtime_of_tinygo = js/dist/session.wasm

# Changes only when another compiler is to build the module.
$(tools)/compiler: FORCE
	@mkdir -p $(@D)
	@echo $(COMPILER) | cmp -s - $@ || echo $(COMPILER) >$@

.PHONY: FORCE
FORCE:

js/dist/index.js: js/node_modules/.package-lock.json $(runtime_of_$(COMPILER)) js/build.js js/build-options.js js/package.json $(wildcard js/src/*) LICENSE
	cp LICENSE js
	cd js && node build.js

web/dist/index.html: js/dist/index.js $(wildcard web/page/*) web/assemble.mjs
	node web/assemble.mjs

# The Worker.
d1 = session-writer
wrangler = $(worker)/node_modules/.bin/wrangler

# It may be run any number of times.
migrate = node $(worker)/migrate.js

# Has all browsers send again what a database lacks that was put back from a
# backup, which may be of an earlier version. Natively, the server does so with -restored.
restored: worker
	$(migrate) $(d1) --remote --yes
	$(wrangler) d1 execute $(d1) --remote --yes --command="$$(<web/sqlstore/restored.sql)" >/dev/null

# It asks for newer versions when it shows its banner.
edge deploy restored: export WRANGLER_HIDE_BANNER = true
edge deploy restored: export WRANGLER_SEND_METRICS = false
edge: export CLOUDFLARE_CF_FETCH_ENABLED = false

.PHONY: worker
worker: $(worker)/node_modules/.package-lock.json $(worker)/dist/worker/app.wasm $(worker)/dist/site/_headers

$(worker)/node_modules/.package-lock.json: $(worker)/package-lock.json
	cd $(worker) && npm ci --silent
	touch $@

# It empties the folder first.
$(worker)/dist/worker/worker.mjs: go.mod
	go tool workers-assets-gen -mode=go -runtime=cloudflare -o $(@D)

$(worker)/dist/worker/app.wasm: $(worker)/dist/worker/worker.mjs $(call sources_of,./$(worker),js)
	$(wasm) go build $(GO_WASM_FLAGS) -o $@ ./$(worker)
	chmod 644 $@

$(worker)/dist/site/_headers: web/dist/index.html $(call sources_of,./$(worker)/assets)
	rm -rf $(@D)
	go run ./$(worker)/assets web/dist $(@D)

$(tools)/session-server: $(call sources_of,./web/session-server)
	go build -o $@ ./web/session-server

# What is installed, here and nowhere else.

tinygo: $(tools)/tinygo/bin/tinygo

$(tools)/tinygo/bin/tinygo: $(wildcard .ci/tinygo/*)
	.ci/tinygo/install $(tools)/tinygo

$(tools)/staticcheck: Makefile
	GOBIN=$(tools) go install $(STATICCHECK)
	touch $@

$(tools)/govulncheck: Makefile
	GOBIN=$(tools) go install $(GOVULNCHECK)
	touch $@

$(tools)/apidiff: Makefile
	GOBIN=$(tools) go install $(APIDIFF)
	touch $@

# go test finds it by this name.
$(tools)/go_js_wasm_exec: Makefile
	GOBIN=$(tools) go install $(WASMBROWSERTEST)
	mv $(tools)/wasmbrowsertest $@
	touch $@

fuzz:
	for target in $$(go test -list '^Fuzz' ./internal/engine | grep ^Fuzz); do \
		go test ./internal/engine -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME); \
	done

format: js/node_modules/.package-lock.json
	gofmt -w $(go_files) js/bench js/consumers
	cd js && npm run --silent format

clean:
	rm -rf session-writer-*.tgz .tools js/dist js/wasm_exec.js js/LICENSE js/node_modules web/dist $(worker)/dist $(worker)/node_modules
