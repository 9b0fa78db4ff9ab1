module github.com/session-interop/session-writer

go 1.26
