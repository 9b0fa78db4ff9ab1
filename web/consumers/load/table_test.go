package load

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
)

const readme = "../../README.md"

// publish prints text in Markdown, and with -publish puts it into the README, between the
// marks <!-- name --> and <!-- /name -->, as js/harness/publish.js does.
func publish(b *testing.B, name, markdown string) {
	b.Helper()
	fmt.Printf("\n%s\n\n", markdown)
	if !*publishing {
		return
	}
	text, err := os.ReadFile(readme)
	if err != nil {
		b.Fatal(err)
	}
	start, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->\n"
	before, rest, started := strings.Cut(string(text), start)
	_, after, ended := strings.Cut(rest, end)
	if !started || !ended {
		b.Fatalf("%s has no %s with its end", readme, strings.TrimSpace(start))
	}
	if err := os.WriteFile(readme, []byte(before+start+"\n"+markdown+"\n\n"+end+after), 0o644); err != nil {
		b.Fatal(err)
	}
}

// table returns rows as a table in Markdown, the first being its head.
func table(rows ...[]string) string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell), 3)
		}
	}
	var lines []string
	for n, row := range rows {
		var cells, rule []string
		for i, cell := range row {
			if i == 0 {
				cells = append(cells, fmt.Sprintf("%-*s", widths[i], cell))
				rule = append(rule, strings.Repeat("-", widths[i]))
			} else {
				cells = append(cells, fmt.Sprintf("%*s", widths[i], cell))
				rule = append(rule, strings.Repeat("-", widths[i]-1)+":")
			}
		}
		lines = append(lines, "| "+strings.Join(cells, " | ")+" |")
		if n == 0 {
			lines = append(lines, "| "+strings.Join(rule, " | ")+" |")
		}
	}
	return strings.Join(lines, "\n")
}

// number returns a number with about two digits, or with all of them before the point.
func number(n float64) string {
	switch {
	case n < 0.995:
		return fmt.Sprintf("%.2f", n)
	case n < 9.95:
		return fmt.Sprintf("%.1f", n)
	}
	return count(int(math.Round(n)))
}

// count returns a whole number.
func count(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
