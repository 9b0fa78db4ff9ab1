//go:build !js

package main

import (
	"log"
	"log/slog"
	"strings"
)

// audit returns what logs server.Config.Audit's records, one line for each, without the time,
// as all other lines are.
func audit(logger *log.Logger) *slog.Logger {
	return slog.New(slog.NewTextHandler(auditLines{logger}, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
				return slog.Attr{}
			}
			return a
		},
	}))
}

type auditLines struct{ *log.Logger }

func (l auditLines) Write(line []byte) (int, error) {
	l.Print("audit: " + strings.TrimSuffix(string(line), "\n"))
	return len(line), nil
}
