package engine

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

var texts = []string{
	``, ` `, `null`, `true`, `falsee`, `nul`, `0`, `-0`, `01`, `-`, `1.`, `1.5e+10`, `1e`, `.5`, `1E-2 `, `+1`,
	`""`, `"a`, `"\u00e9\ud83d\ude00"`, `"\ud800"`, `"\ude00\ud83d"`, `"\ud83d\u0041"`, `"\u12g4"`, `"\x"`, `"\`, "\"\x01\"", "\"\xff\"", "\"\xed\xa0\x80\"", `"\/\b\f\n\r\t\"\\"`,
	`[]`, `[ ]`, `[1,]`, `[,1]`, `[1 2]`, `[[[]],{}]`, `[`, `]`, `[}`, `{]`,
	`{}`, `{ }`, `{"a":1}`, `{"a":1,}`, `{"a" 1}`, `{a:1}`, `{"a":{"b":[1,{"c":null}]},"d":2}`, `{"a":1,"a":2}`, `{"a"}`, `{1:2}`, `{"a":1]`,
	`{"format":1,"batches":[{"stamp":"1795373052123-0000-3f9a2c7e1b40","clear":true,"set":{"user":{"name":"Ada"}},"remove":["cart"]}]}`,
	`{"format":2,"batches":7}`,
	"\ufeff1", "1\x00", strings.Repeat("[", 300) + strings.Repeat("]", 300), strings.Repeat(`{"a":`, 300) + "1" + strings.Repeat("}", 300),
}

// accepts reports whether jsontext takes the text for one JSON value. It must
// be told to allow escaped lone surrogates, and allows raw ones then.
func accepts(text string) bool {
	return utf8.ValidString(text) &&
		jsontext.Value(text).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// Nobody nests so deeply, but jsontext stops there, and we do not.
const jsontextDepth = 10_000

func FuzzValue(f *testing.F) {
	for _, text := range texts {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Count(text, "[")+strings.Count(text, "{") >= jsontextDepth {
			return
		}
		s := scanner{text: text}
		got := s.value()
		s.end()
		if want := accepts(text); s.bad == want {
			t.Errorf("%q: accepted is %v, want %v", text, !s.bad, want)
		}
		if trimmed := strings.Trim(text, " \t\r\n"); !s.bad && got != trimmed {
			t.Errorf("%q: value returned %q", text, got)
		}
	})
}

func FuzzString(f *testing.F) {
	for _, text := range texts {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := scanner{text: text}
		got := s.str()
		s.end()
		// Without options jsontext refuses lone surrogates, as str does.
		valid := jsontext.Value(text).IsValid() && jsontext.Value(text).Kind() == '"'
		if s.bad == valid {
			t.Fatalf("%q: accepted is %v, want %v", text, !s.bad, valid)
		}
		if !valid {
			return
		}
		want, err := jsontext.AppendUnquote(nil, strings.Trim(text, " \t\r\n"))
		if err != nil || got != string(want) {
			t.Errorf("%q: str returned %q, want %q", text, got, want)
		}
	})
}

func FuzzAppendString(f *testing.F) {
	for _, text := range texts {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		quoted := string(AppendString(nil, text))
		if !accepts(quoted) {
			t.Fatalf("%q is written as %s, which is not JSON", text, quoted)
		}
		s := scanner{text: quoted}
		if got, want := s.str(), strings.ToValidUTF8(text, "\ufffd"); s.bad || utf8.ValidString(text) && got != want {
			t.Errorf("%q is written as %s and read as %q", text, quoted, got)
		}
	})
}

func TestNestingIsBoundedByTheTextOnly(t *testing.T) {
	const depth = 1_000_000
	s := scanner{text: strings.Repeat("[", depth) + strings.Repeat("]", depth)}
	if s.value(); s.bad || s.pos != 2*depth {
		t.Errorf("value ended at %d of %d", s.pos, 2*depth)
	}
}
