module github.com/session-interop/session-writer

go 1.26

require github.com/go-json-experiment/json v1.27.2

require github.com/syumai/workers v0.32.0

tool github.com/syumai/workers/cmd/workers-assets-gen
