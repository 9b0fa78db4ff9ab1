module example.com/syscall-js

go 1.26.0

require github.com/session-interop/session-writer v0.0.0

replace github.com/session-interop/session-writer => ../../..
