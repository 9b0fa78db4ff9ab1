//go:build !js

package openpostgresql

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/internal/pgtest"
	"github.com/session-interop/session-writer/internal/urltest"
	"github.com/session-interop/session-writer/web/postgresql"
	"github.com/session-interop/session-writer/web/sqlstore"
)

// with returns a URL with more parameters.
func with(url, parameters string) string {
	if strings.Contains(url, "?") {
		return url + "&" + parameters
	}
	return url + "?" + parameters
}

func TestContract(t *testing.T) {
	urltest.TestContract(t, func(t *testing.T) string { return with(pgtest.URL(t), "session=cart&owner=ada") })
}

func TestTheSessionIsTheStores(t *testing.T) {
	ctx, url := t.Context(), pgtest.URL(t)
	s := urltest.Open(t, with(url, "session=cart&owner=ada%40example.com"))
	if err := s.Save(ctx, maps.All(map[string]any{"a": 1})); err != nil {
		t.Fatal(err)
	}
	db, err := postgresql.Open(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	same, err := sqlstore.NewPostgreSQL(db, sqlstore.Limits{}).Open(ctx, "ada@example.com", "cart")
	if err != nil {
		t.Fatal(err)
	}
	if entries, err := same.Load(ctx); err != nil || len(entries) != 1 || string(entries["a"]) != "1" {
		t.Errorf("the store has %s, %v", entries, err)
	}
}

func TestRefused(t *testing.T) {
	for url, says := range map[string]string{
		"postgres://ada:secret@127.0.0.1/app":                                      "owner",
		"postgres://ada:secret@127.0.0.1/app?owner=ada":                            "session",
		"postgres://ada:secret@127.0.0.1/app?session=cart&owner=ada&sslmode=maybe": "sslmode",
		"postgres://ada:secret@127.0.0.1:no/app?session=cart&owner=ada":            "%",
	} {
		_, err := session.OpenURL(t.Context(), url)
		if !errors.Is(err, session.ErrConfig) || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want ErrConfig, and %q", url, err, says)
		}
	}
}
