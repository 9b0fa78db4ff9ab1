//go:build !js

package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// startWith runs the command with arguments, and returns it and the lines that it prints.
func startWith(t testing.TB, args ...string) (command *exec.Cmd, lines *bufio.Scanner) {
	t.Helper()
	command = exec.CommandContext(t.Context(), os.Args[0], args...)
	command.Env = append(os.Environ(), "SESSION_WRITER_MAIN=1")
	return command, bufio.NewScanner(start(t, command))
}

// nextURL returns what the next line says after session-writer.
func nextURL(t testing.TB, lines *bufio.Scanner) string {
	t.Helper()
	if !lines.Scan() {
		t.Fatalf("there is no more: %v", lines.Err())
	}
	url, ok := strings.CutPrefix(lines.Text(), "session-writer: ")
	if !ok {
		t.Fatalf("it says %q", lines.Text())
	}
	return url
}

func TestTheCommandHasMetrics(t *testing.T) {
	_, lines := startWith(t, "-addr", "127.0.0.1:0", "-site", "", "-db", databaseFile(t), "-metrics", "127.0.0.1:0")
	url, metrics := nextURL(t, lines), nextURL(t, lines)
	get(t, url+"/sessions/health")
	if res, err := http.Get(url + "/metrics"); err != nil || res.StatusCode != 404 {
		t.Errorf("where the sessions are: %v, %v, want 404", res.StatusCode, err)
	} else {
		_, _ = io.Copy(io.Discard, res.Body) // so that the connection stays
		_ = res.Body.Close()
	}
	res, err := http.Get(metrics)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	table := readme(t)
	for name, family := range families {
		if ours := strings.TrimPrefix(name, "session_writer"); ours != name && !strings.Contains(table, name) && !strings.Contains(table, "…"+ours) {
			t.Errorf("web/README.md does not have %s: %s", name, family.GetHelp())
		}
	}
	for _, name := range []string{"session_writer_connections", "session_writer_database_bytes", "go_goroutines", "process_resident_memory_bytes"} {
		if n := families[name].GetMetric(); len(n) != 1 || n[0].GetGauge().GetValue() <= 0 {
			t.Errorf("%s is %v", name, n)
		}
	}
	for _, named := range regexp.MustCompile("`(session_writer_[a-z_]+)").FindAllStringSubmatch(table, -1) {
		// Of these there are none before something has happened.
		later := named[1] == "session_writer_last_prune_timestamp_seconds"
		if families[named[1]] == nil && !later {
			t.Errorf("web/README.md has %s, which is not there", named[1])
		}
	}
}

func TestTheCommandDrains(t *testing.T) {
	command := exec.CommandContext(t.Context(), os.Args[0], "-addr", "127.0.0.1:0", "-site", "", "-db", databaseFile(t), "-drain", "1h")
	command.Env = append(os.Environ(), "SESSION_WRITER_MAIN=1")
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	url := readURL(t, stdout)
	get(t, url+"/sessions/health")
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stderr).ReadString('\n'); err != nil || !strings.Contains(line, "told to end") {
		t.Errorf("it logs %q, %v", line, err)
	}
	for path, want := range map[string]int{"/sessions/health": 503, "/sessions/live": 200} {
		res, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("GET %s gives %d, want %d", path, res.StatusCode, want)
		}
	}
	if err := command.Process.Signal(syscall.SIGTERM); err != nil { // for who does not want to wait
		t.Fatal(err)
	}
	_ = command.Wait()
	if status := command.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() {
		t.Errorf("it ended with %v, want to be killed by the second signal", command.ProcessState)
	}
}

func TestTheCommandEndsAfterItHasDrained(t *testing.T) {
	command, lines := startWith(t, "-addr", "127.0.0.1:0", "-site", "", "-db", databaseFile(t), "-drain", "1ms")
	get(t, nextURL(t, lines)+"/sessions/health")
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := command.Wait(); err != nil {
		t.Errorf("it ended with %v, want exit code 0", err)
	}
}

func TestTheUnit(t *testing.T) {
	text, err := os.ReadFile("session-server.service")
	if err != nil {
		t.Fatal(err)
	}
	setting := func(name string) string {
		t.Helper()
		found := regexp.MustCompile(`(?m)^` + name + `=(.*)$`).FindSubmatch(text)
		if found == nil {
			t.Fatalf("it does not set %s", name)
		}
		return string(found[1])
	}
	if stop, err := time.ParseDuration(setting("TimeoutStopSec") + "s"); err != nil || stop < shutdownLimit+5*time.Second {
		t.Errorf("TimeoutStopSec is %v, %v, and requests in progress get %v", stop, err, shutdownLimit)
	}
	if most, err := strconv.Atoi(strings.TrimSuffix(setting("MemoryMax"), "M")); err != nil || most<<20 < 3*memoryLimit {
		t.Errorf("MemoryMax is %s, and memory is collected from %d on", setting("MemoryMax"), memoryLimit)
	}
	if files, err := strconv.Atoi(setting("LimitNOFILE")); err != nil || files < maxConnections+defaultSockets+100 {
		t.Errorf("LimitNOFILE is %d, and there may be %d connections and %d sockets", files, maxConnections, defaultSockets)
	}
	if folder := "/var/lib/" + setting("StateDirectory") + "/"; !strings.Contains(setting("ExecStart"), " -db "+folder) {
		t.Errorf("the database is not in %s, which alone it may write", folder)
	}

	// It runs as the unit has it.
	var args []string
	for _, arg := range strings.Fields(setting("ExecStart"))[1:] {
		switch {
		case arg == "$OPTIONS": // as long as there are none
			continue
		case arg == `""`:
			arg = ""
		case arg == "${ORIGIN}":
			arg = "https://example.com"
		case arg == "127.0.0.1:8080":
			arg = "127.0.0.1:0"
		case strings.HasPrefix(arg, "/var/lib/"):
			arg = databaseFile(t)
		}
		args = append(args, arg)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr strings.Builder
	if code := run(ctx, args, &stdout, &stderr); code != 0 || stderr.Len() != 0 {
		t.Errorf("%q: exit code %d, %s", args, code, &stderr)
	}
}

func TestTheUnitIsInstalledAsTheReadmeHasIt(t *testing.T) {
	admin := newAdministrator(t)
	web, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	// Where somebody has built the command.
	if err := errors.Join(os.Symlink(web, admin.path("web")), os.WriteFile(admin.path("session-server"), []byte("built"), 0o755)); err != nil {
		t.Fatal(err)
	}
	admin.does(t, "install session-server")
	unit, err := os.ReadFile("session-server.service")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"usr/local/bin/session-server":              "built",
		"etc/systemd/system/session-server.service": string(unit),
		"etc/default/session-server":                "ORIGIN=https://example.com\n",
	} {
		if got, err := os.ReadFile(admin.path(name)); err != nil || string(got) != want {
			t.Errorf("/%s has %q, %v, want %q", name, got, err, want)
		}
	}
}

// systemd knows each setting of the unit, and its sandbox has no hole that nobody wanted.
func TestSystemdTakesTheUnit(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd is not installed: it is not asked what it says of the unit")
	}
	text, err := os.ReadFile("session-server.service")
	if err != nil {
		t.Fatal(err)
	}
	// There must be something to execute.
	unit := filepath.Join(t.TempDir(), "session-server.service")
	if err := os.WriteFile(unit, []byte(strings.ReplaceAll(string(text), "/usr/local/bin/session-server", "/bin/true")), 0o644); err != nil {
		t.Fatal(err)
	}
	if says, err := exec.Command("systemd-analyze", "verify", unit).CombinedOutput(); err != nil || len(says) > 0 {
		t.Errorf("systemd-analyze verify: %v, %s", err, says)
	}
	// From 0 to 100. It needs the network, and what else has no value here costs little.
	if says, err := exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=15", unit).CombinedOutput(); err != nil {
		t.Errorf("systemd-analyze security: %v, %s", err, says)
	}
}
