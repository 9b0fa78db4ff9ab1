//go:build !js

package main

import (
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
)

// What -h says before the flags, and after them.
const (
	usageBefore = `session-server keeps copies of sessions, so that one session is the same on all
of a user's devices. It also serves a page that shows what sessions are for.

  session-server [flags]              serves until SIGINT or SIGTERM
  session-server -db FILE -backup TO  writes a backup, also while another serves
`
	usageAfter = `
It collects memory from 256 MiB on, unless GOMEMLIMIT is set. It answers to this
machine alone, over http: TLS is the concern of a proxy, and -origin names what
that serves.

Examples:

  The page and its sessions, in a checkout, after make build:
    session-server
  Behind a proxy for https://example.com, which has pages of its own:
    session-server -site '' -origin https://example.com -db /srv/sessions.db
  Tonight's backup of that:
    session-server -db /srv/sessions.db -backup /backup/sessions-$(date -I).db
`
)

// flagGroups has the flags in the order of -h. Those that it does not name are in the last
// one.
var flagGroups = []flagGroup{
	{"What it serves, and where", []string{"addr", "origin", "site", "live"}},
	{"What it keeps", []string{"db", "max-size", "backup", "restored"}},
	{"Who has access", []string{"idle", "lifetime", "audit"}},
	{"How it is run", nil},
}

type flagGroup struct {
	title string
	flags []string
}

// printUsage prints what -h says.
func printUsage(to io.Writer, flags *flag.FlagSet) {
	fmt.Fprint(to, usageBefore)
	last := len(flagGroups) - 1
	for i, group := range flagGroups {
		fmt.Fprintf(to, "\n%s:\n\n", group.title)
		set := flag.NewFlagSet("", flag.ContinueOnError)
		var text strings.Builder
		set.SetOutput(&text)
		flags.VisitAll(func(f *flag.Flag) {
			in := slices.IndexFunc(flagGroups, func(g flagGroup) bool { return slices.Contains(g.flags, f.Name) })
			if in == i || in < 0 && i == last {
				set.Var(f.Value, f.Name, f.Usage)
				set.Lookup(f.Name).DefValue = f.DefValue // whatever comes before -h
			}
		})
		set.PrintDefaults()
		// A default that is on a line of its own.
		fmt.Fprint(to, strings.ReplaceAll(text.String(), "\t (", "\t("))
	}
	fmt.Fprint(to, usageAfter)
}
