module example.com/go-app

go 1.26.0

require (
	github.com/maxence-charriere/go-app/v10 v10.1.11
	github.com/session-interop/session-writer v0.0.0
)

require github.com/google/uuid v1.6.0 // indirect

replace github.com/session-interop/session-writer => ../../..
