# For users:
#   make run     builds everything and serves the page, on ADDR
#   make test    checks and tests everything, in the browsers that BROWSERS
#                names: chromium, firefox, webkit
# For contributors:
#   make build   leaves the npm package in js/dist and the site in web/dist
#   make tabs    measures what several tabs lose, for the README
#   make kills   kills browsers during saves, and measures what survives, for the README
#   make format  formats Go, JavaScript, CSS and HTML
#   make fuzz    fuzzes what parses stored text, for FUZZTIME each
#   make clean   removes all that was built or installed here

ADDR = 127.0.0.1:8080
BROWSERS = chromium
FUZZTIME = 60s

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.1
WASMBROWSERTEST = github.com/agnivade/wasmbrowsertest@v0.11.0

# How the module is built. The test of its size builds an empty program so.
export GO_WASM_FLAGS = -trimpath -ldflags=-s\ -w

tools = $(CURDIR)/.tools
wasm = GOOS=js GOARCH=wasm
go_files = $(shell find . -name '*.go' -not -path './js/*')

SHELL = bash
.SHELLFLAGS = -eu -o pipefail -c

.PHONY: run test build format fuzz clean
.DELETE_ON_ERROR:

# Not go run, which would leave the server behind when it is told to end.
run: build $(tools)/web
	exec $(tools)/web -addr $(ADDR)

build: web/dist/index.html

test: check test-go test-wasm test-js

# The parts of make test.
.PHONY: check test-go test-wasm test-js

check: build $(tools)/staticcheck
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "make format would format:" $$unformatted; exit 1; }
	go vet ./...
	$(wasm) go vet ./...
	$(tools)/staticcheck ./...
	$(wasm) $(tools)/staticcheck ./...
	cd js && npm run --silent check

test-go:
	go test -race ./...

# The messages left out are of a driver that is older than the browser.
test-wasm: chromium $(tools)/go_js_wasm_exec
	PATH="$(tools):$$PATH" $(wasm) go test ./wasm/... | grep -v 'could not unmarshal event'

# One browser after another, so that each has the machine to itself.
test-js: build
	@.ci/apt $(foreach browser,$(BROWSERS),$(packages_$(browser)))
	cd js; $(foreach browser,$(BROWSERS),echo 'In $(browser):'; BROWSER=$(browser) $(display_$(browser)) npm test --silent;)

packages_chromium = chromium
packages_firefox = firefox-esr
packages_webkit = webkit2gtk-driver libglib2.0-bin xvfb xauth dbus

# The others have a mode without a display.
display_webkit = xvfb-run --auto-servernum dbus-run-session --

.PHONY: chromium
chromium:
	@.ci/apt $(packages_chromium)

# What the README's tables say: in the browsers BROWSERS.
.PHONY: tabs kills
tabs kills: build
	@.ci/apt $(foreach browser,$(BROWSERS),$(packages_$(browser)))
	cd js && BROWSERS="$(BROWSERS)" $(foreach browser,$(BROWSERS),$(display_$(browser))) node $@/run.js

# What is built.

js/node_modules/.package-lock.json: js/package-lock.json
	cd js && npm ci --silent
	touch $@

js/dist/session.wasm: go.mod $(go_files)
	@mkdir -p js/dist
	$(wasm) go build $(GO_WASM_FLAGS) -o $@ ./wasm
	chmod 644 $@

# From the compiler that builds the module: the two belong together.
js/wasm_exec.js: js/dist/session.wasm
	cp "$$(go env GOROOT)/lib/wasm/wasm_exec.js" $@
	touch $@

js/dist/index.js: js/node_modules/.package-lock.json js/wasm_exec.js js/build.js js/package.json $(wildcard js/src/*) README.md LICENSE
	cp README.md LICENSE js
	cd js && node build.js && npx tsc -p tsconfig.types.json

web/dist/index.html: js/dist/index.js $(wildcard web/page/*) web/assemble.mjs
	node web/assemble.mjs

$(tools)/web: go.mod $(go_files)
	go build -o $@ ./web

# What is installed, here and nowhere else.

$(tools)/staticcheck: Makefile
	GOBIN=$(tools) go install $(STATICCHECK)
	touch $@

# go test finds it by this name.
$(tools)/go_js_wasm_exec: Makefile
	GOBIN=$(tools) go install $(WASMBROWSERTEST)
	mv $(tools)/wasmbrowsertest $@
	touch $@

fuzz:
	for target in $$(go test -list '^Fuzz' ./wasm/engine | grep ^Fuzz); do \
		go test ./wasm/engine -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME); \
	done

format: js/node_modules/.package-lock.json
	gofmt -w .
	cd js && npm run --silent format

clean:
	rm -rf .tools js/dist js/wasm_exec.js js/README.md js/LICENSE js/node_modules web/dist
