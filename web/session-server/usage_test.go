//go:build !js

package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A flagSaid is what some text says of a flag.
type flagSaid struct{ name, standard string }

// usage returns what the command prints when it is asked how it is used.
func usage(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr strings.Builder
	if code := run(t.Context(), args, &stdout, &stderr); code != 0 || stderr.Len() != 0 {
		t.Errorf("%q: exit code %d, want 0, and on stderr: %s", args, code, &stderr)
	}
	return stdout.String()
}

// inUsage returns the flags that -h has, in the order of their names.
func inUsage(t *testing.T) []flagSaid {
	t.Helper()
	var said []flagSaid
	entries := regexp.MustCompile(`(?m)^  -([a-z-]+).*\n((?:    \t.*\n)+)`)
	standard := regexp.MustCompile(`\(default "?([^")]*)"?\)`)
	for _, entry := range entries.FindAllStringSubmatch(usage(t, "-h"), -1) {
		said = append(said, flagSaid{entry[1], ""})
		if found := standard.FindStringSubmatch(entry[2]); found != nil {
			said[len(said)-1].standard = found[1]
		}
	}
	slices.SortFunc(said, func(a, b flagSaid) int { return strings.Compare(a.name, b.name) })
	return said
}

func TestUsage(t *testing.T) {
	says := usage(t, "-h")
	if again := usage(t, "-addr", "127.0.0.1:1", "-help"); again != says {
		t.Errorf("after a flag it says another thing: %s", again)
	}
	for line := range strings.SplitSeq(says, "\n") {
		if width := len(strings.ReplaceAll(line, "    \t", "        ")); width > 80 {
			t.Errorf("a line has %d columns: %s", width, line)
		}
	}
	var names []string
	for _, said := range inUsage(t) {
		names = append(names, said.name)
	}
	if len(names) == 0 || len(slices.Compact(names)) != len(names) {
		t.Errorf("it has the flags %q", names)
	}
	for _, used := range regexp.MustCompile(`(?m)^  +session-server.*`).FindAllString(says, -1) {
		for _, flag := range regexp.MustCompile(` -([a-z-]+)`).FindAllStringSubmatch(used, -1) {
			if !slices.Contains(names, flag[1]) {
				t.Errorf("it has no -%s, but this: %s", flag[1], used)
			}
		}
	}
}

// readme returns web/README.md.
func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTheReadmeHasTheFlags(t *testing.T) {
	var got []flagSaid
	for _, row := range regexp.MustCompile("(?m)^\\| `-([a-z-]+)` *\\|.*\\| *(.*?) *\\|$").FindAllStringSubmatch(readme(t), -1) {
		got = append(got, flagSaid{row[1], strings.Trim(row[2], "`")})
	}
	// What flag does not print, as it is no value, and the README does.
	unsaid := map[flagSaid]bool{{"origin", "this machine only"}: true, {"metrics", "nowhere"}: true, {"drain", "0s"}: true, {"idle", "400 days"}: true, {"lifetime", "0s"}: true}
	for i, said := range got {
		if unsaid[said] {
			got[i].standard = ""
		}
	}
	slices.SortFunc(got, func(a, b flagSaid) int { return strings.Compare(a.name, b.name) })
	if want := inUsage(t); !slices.Equal(got, want) {
		t.Errorf("web/README.md has the flags\n%q, and -h\n%q", got, want)
	}
}

func TestTheCommandsCommentHasTheFlags(t *testing.T) {
	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	comment, _, _ := strings.Cut(string(source), "\npackage main")
	for _, said := range inUsage(t) {
		want := strings.TrimSpace("-" + said.name + " " + said.standard)
		if said.standard == "true" {
			want = "-" + said.name + "=true" // what may be false has no value of its own
		}
		if !regexp.MustCompile(`[ \[]` + regexp.QuoteMeta(want) + `\b`).MatchString(comment) {
			t.Errorf("the comment of main.go does not have %s", want)
		}
	}
}
