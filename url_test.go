package session_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	session "github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/internal/urltest"
)

func TestAURLNamesASession(t *testing.T) {
	for _, test := range []struct{ url, name string }{
		{"memory:///cart", "cart"},
		{"MEMORY:///cart?", "cart"},
		{"memory:/cart", "cart"},
		{"memory:///a%20b%3F%23%25+c", "a b?#%+c"},
		{"memory:///%C3%BC?maxAge=1h", "ü"},
		{"memory:///a@b", "a@b"},
		{"memory:///x?maxAge=0", "x"},
		{"memory:///x?maxAge=1ms", "x"},
	} {
		s := urltest.Open(t, test.url)
		if got := s.(*session.Session).Name(); got != test.name {
			t.Errorf("%s names %q, want %q", test.url, got, test.name)
		}
	}
}

func TestOneNameInMemoryIsOneSession(t *testing.T) {
	ctx := t.Context()
	first := urltest.Open(t, "memory:///shared")
	if err := first.Save(ctx, maps.All(map[string]any{"a": 1})); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, another := urltest.Open(t, "memory:///shared?maxAge=1h"), urltest.Open(t, "memory:///another")
	if found, err := again.Get(ctx, "a", nil); !found || err != nil {
		t.Errorf("the same name: found %v, %v", found, err)
	}
	if found, err := another.Get(ctx, "a", nil); found || err != nil {
		t.Errorf("another name: found %v, %v", found, err)
	}
	if err := errors.Join(again.Remove(ctx, "a"), again.Clear(ctx)); err != nil {
		t.Error(err)
	}
}

func TestMaxAgeOfAURL(t *testing.T) {
	s := urltest.Open(t, "memory:///short?maxAge=1ms")
	if err := s.Save(t.Context(), maps.All(map[string]any{"a": 1})); err != nil {
		t.Fatal(err)
	}
	time.Sleep(10 * time.Millisecond)
	if found, err := s.Get(t.Context(), "a", nil); found || err != nil {
		t.Errorf("found %v, %v, want that the session is over", found, err)
	}
}

// opened notes that a session was opened which should not have been.
func opened(t *testing.T) session.Opener {
	return func(u *session.URL) func(context.Context) (session.Opened, error) {
		u.Parameter("owner")
		u.NameInQuery()
		return func(context.Context) (session.Opened, error) {
			t.Error("a URL that was refused is opened")
			return nil, errors.New("opened")
		}
	}
}

// schemes counts those that tests have registered, each of which must be another one.
var schemes atomic.Int32

// register registers an Opener for as long as the process lasts, and returns its scheme.
func register(openers ...session.Opener) (scheme string) {
	scheme = fmt.Sprint("scheme", schemes.Add(1))
	for _, opener := range openers {
		session.RegisterOpener(scheme, opener)
	}
	return scheme
}

func TestWhatAURLMayNotBe(t *testing.T) {
	refusing, twice, none := register(opened(t)), register(opened(t)), register(nil)
	session.RegisterOpener(strings.ToUpper(twice), opened(t))
	nothing := register(func(*session.URL) func(context.Context) (session.Opened, error) { return nil })
	for _, test := range []struct {
		url  string
		want []string
	}{
		{"", []string{`session URL ""`, "no scheme", "memory:///cart"}},
		{"cart", []string{"no scheme"}},
		{"/cart", []string{"no scheme"}},
		{"://cart", []string{"no scheme"}},
		{"1://cart", []string{"no scheme"}},
		{"a_b://cart", []string{"no scheme"}},
		{"redis:///cart", []string{`session URL "redis:///cart"`, `unknown scheme "redis": there are `, "memory"}},
		{"sqlite:a.db", []string{"there are ", `import _ "github.com/session-interop/session-writer/web/opensqlite"`}},
		{"local:///cart", []string{"session-writer/wasm/localstorage"}},
		{"tab:///cart", []string{"session-writer/wasm/localstorage"}},
		{"https://example.com", []string{"session-writer/web/client"}},
		{"http://localhost", []string{"session-writer/web/client"}},
		{twice + ":a", []string{twice + `" was registered 2 times`}},
		{none + ":a", []string{"nil Opener"}},
		{nothing + ":a", []string{"returned nil"}},
		{"memory:///", []string{"it names no session", "memory:///cart"}},
		{"memory:", []string{"it names no session", "memory:///cart"}},
		{"memory:cart", []string{"it names no session", "memory:///cart"}},
		{"memory://cart", []string{"it has a host", "memory:///cart, with three slashes"}},
		{"memory:////cart", []string{"must not contain a slash"}},
		{"memory:///a/b", []string{"must not contain a slash"}},
		{"memory:///a%2Fb", []string{"must not contain a slash"}},
		{"memory:///%FF", []string{"not valid UTF-8"}},
		{"memory:///%F", []string{"%25"}},
		{"memory:///a b#c", []string{"fragment", "%23"}},
		{"memory:///a\nb", []string{"cannot be parsed"}},
		{"memory://[/cart", []string{"cannot be parsed"}},
		{"memory:///cart?maxAge", []string{`parameter "maxAge"`, `""`, "720h"}},
		{"memory:///cart?maxAge=1", []string{`"1"`, "90s"}},
		{"memory:///cart?maxAge=-1h", []string{`"-1h"`, "1ms at least"}},
		{"memory:///cart?maxAge=1us", []string{`"1us"`, "1ms at least"}},
		{"memory:///cart?maxAge=99999999999h", []string{"maxAge"}},
		{"memory:///cart?maxAge=1h&maxAge=2h", []string{"maxAge", "2 times", "once"}},
		{"memory:///cart?a;b", []string{"parameters cannot be read", "%3B"}},
		{"memory:///cart?a=%", []string{"parameters cannot be read", "%25"}},
		{"memory:///a/b?maxAge=x&b=1&a=2#c", []string{"fragment", "slash", "maxAge", `parameter "a": there are maxAge`, `parameter "b"`}},
		{refusing + ":?owner=ada", []string{`parameter "session"`, "session=cart"}},
		{refusing + ":?session=a/b", []string{`parameter "session": the name must not contain a slash`}},
		{refusing + ":?session=a&session=b", []string{"2 times"}},
		{refusing + ":?session=a&sesion=b", []string{`unknown parameter "sesion": there are owner, session`}},
	} {
		s, err := session.OpenURL(t.Context(), test.url)
		if s != nil || !errors.Is(err, session.ErrConfig) {
			t.Errorf("%q: got %v, %v, want an error that wraps ErrConfig", test.url, s, err)
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v, want it to say %q", test.url, err, want)
			}
		}
	}
}

func TestNoErrorTellsAPassword(t *testing.T) {
	fails := func(u *session.URL) func(context.Context) (session.Opened, error) {
		if u.Path != "/taken" {
			return nil
		}
		u.Rest()
		return func(context.Context) (session.Opened, error) { return nil, errors.New("it fails") }
	}
	failing := register(fails)
	for _, user := range []string{"ada:hunter", "ada:hun/hunter", "ada:%zz-hunter", "ada:1?hunter", "ada:1#hunter", "ada:hunter@hunter", "ada:hunter/1?", "ada:[hunter", "hunter"} {
		for _, scheme := range []string{failing, "unknown", "memory", "https", "no_scheme", ""} {
			for _, rest := range []string{"example.com/db", "example.com:x/taken", "example.com/taken?a=1", "", "?password=hunter", "example.com/?%zz=hunter;"} {
				url := scheme + "://" + user + "@" + rest
				if _, err := session.OpenURL(t.Context(), url); err == nil || strings.Contains(err.Error(), "hunter") {
					t.Errorf("%s: %v", url, err)
				}
			}
		}
	}
	_, err := session.OpenURL(t.Context(), failing+"://ada:hunter@example.com/taken?password=hunter")
	if want := `session URL "` + failing + `://...@example.com/taken": it fails`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestAnOpenerIsAskedOnlyWithTime(t *testing.T) {
	late := register(func(*session.URL) func(context.Context) (session.Opened, error) {
		return func(context.Context) (session.Opened, error) {
			t.Error("it is opened")
			return nil, nil
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := session.OpenURL(ctx, late+":"); !errors.Is(err, context.Canceled) || errors.Is(err, session.ErrConfig) {
		t.Errorf("got %v, want that the context is done", err)
	}
}

func TestAnOpenerThatOpensNothing(t *testing.T) {
	scheme := register(func(*session.URL) func(context.Context) (session.Opened, error) {
		return func(context.Context) (session.Opened, error) { return nil, nil }
	})
	if _, err := session.OpenURL(t.Context(), scheme+":"); err == nil || !strings.Contains(err.Error(), "opened nothing") {
		t.Errorf("got %v, want that nothing was opened", err)
	}
}

func TestTheRestOfTheParameters(t *testing.T) {
	var rest url.Values
	scheme := register(func(u *session.URL) func(context.Context) (session.Opened, error) {
		u.NameInQuery()
		rest = u.Rest()
		return func(context.Context) (session.Opened, error) { return nil, errors.New("taken") }
	})
	_, err := session.OpenURL(t.Context(), scheme+":?session=cart&sslmode=off&a=1&a=2")
	if err == nil || errors.Is(err, session.ErrConfig) || rest.Encode() != "a=1&a=2&sslmode=off" {
		t.Errorf("got %v, and the rest is %v", err, rest)
	}
}

// Whatever a URL is, OpenURL opens a session or says what is wrong with the URL.
func TestAnyURL(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	parts := []string{
		"memory", "sqlite", "MEMORY", ":", "/", "//", "///", "?", "#", "&", "=", "%", "%2F", "%ff", "@", ";", "+", "[", "]",
		"cart", "maxAge", "1h", "0", "\x00", "\xff", "ü", " ", ".", "..", "-",
	}
	for range 100_000 {
		url := "memory:///cart?maxAge=1h"
		if random.IntN(2) == 0 {
			url = ""
		}
		for range random.IntN(8) {
			at := random.IntN(len(url) + 1)
			url = url[:at] + parts[random.IntN(len(parts))] + url[min(len(url), at+random.IntN(3)):]
		}
		if problem := tryURL(t.Context(), url); problem != "" {
			t.Fatalf("seed %d: %q: %s", seed, url, problem)
		}
	}
}

// tryURL returns what is wrong with what OpenURL does.
func tryURL(ctx context.Context, url string) (problem string) {
	defer func() {
		if p := recover(); p != nil {
			problem = fmt.Sprintf("it panics: %v", p)
		}
	}()
	s, err := session.OpenURL(ctx, url)
	if err == nil {
		err = s.Close()
	} else if s != nil || !errors.Is(err, session.ErrConfig) {
		return fmt.Sprintf("it returns %v, %v", s, err)
	} else {
		return ""
	}
	if err != nil {
		return fmt.Sprintf("Close: %v", err)
	}
	return ""
}
