package session

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"unicode/utf8"

	"github.com/session-interop/session-writer/wasm/engine"
)

// EncodeEntries returns entries as the text of a JSON object, by the rules of
// Writer: of equal keys the last counts, and what cannot be saved is refused
// with an *EntryError. It is for those who implement Writer.
func EncodeEntries(entries iter.Seq2[string, any]) (set string, err error) {
	if entries == nil {
		return "", fmt.Errorf("%w: the entries are nil", ErrValue)
	}
	var keys []string
	values := make(map[string][]byte)
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: the entries panicked: %w", ErrValue, panicError(p))
		}
	}()
	for key, v := range entries {
		if err := checkKey(key); err != nil {
			return "", err
		}
		value, err := encodeValue(v)
		if err != nil {
			return "", &EntryError{key, err}
		}
		if _, ok := values[key]; !ok {
			keys = append(keys, key)
		}
		values[key] = value
	}
	text := []byte{'{'}
	for i, key := range keys {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(engine.AppendString(text, key), ':')
		text = append(text, values[key]...)
	}
	return string(append(text, '}')), nil
}

// EncodeKeys returns keys as the text of a JSON array, or the *EntryError of one
// that no entry can have. It is for those who implement Writer.
func EncodeKeys(keys []string) (string, error) {
	text := []byte{'['}
	for i, key := range keys {
		if err := checkKey(key); err != nil {
			return "", err
		}
		if i > 0 {
			text = append(text, ',')
		}
		text = engine.AppendString(text, key)
	}
	return string(append(text, ']')), nil
}

func checkKey(key string) error {
	switch {
	case key == "":
		return &EntryError{key, fmt.Errorf("%w: it is empty", ErrKey)}
	case !utf8.ValidString(key):
		return &EntryError{key, fmt.Errorf("%w: it is not valid UTF-8", ErrKey)}
	}
	return nil
}

// encodeValue returns v as JSON text without needless white space. The error
// wraps ErrValue.
func encodeValue(v any) (text []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: its encoding panicked: %w", ErrValue, panicError(p))
		}
	}()
	// encoding/json would put U+FFFD for what is not UTF-8.
	if s := reflect.ValueOf(v); s.Kind() == reflect.String && !utf8.ValidString(s.String()) {
		return nil, fmt.Errorf("%w: a string that is not valid UTF-8", ErrValue)
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, describe(err)
	}
	text = bytes.TrimSuffix(out.Bytes(), []byte{'\n'})
	if !utf8.Valid(text) {
		return nil, fmt.Errorf("%w: JSON that is not valid UTF-8", ErrValue)
	}
	return text, nil
}

// describe wraps an error of encoding/json without saying twice that the value
// is unsupported.
func describe(err error) error {
	detail := err.Error()
	var badType *json.UnsupportedTypeError
	var badValue *json.UnsupportedValueError
	if errors.As(err, &badType) {
		detail = badType.Type.String()
	} else if errors.As(err, &badValue) {
		detail = badValue.Str
	}
	return &valueError{detail, err}
}

// A valueError is an ErrValue with the error of encoding/json that caused it.
type valueError struct {
	detail string
	cause  error
}

func (e *valueError) Error() string   { return ErrValue.Error() + ": " + e.detail }
func (e *valueError) Unwrap() []error { return []error{ErrValue, e.cause} }

// panicError returns what was panicked with as an error.
func panicError(p any) error {
	if err, ok := p.(error); ok {
		return err
	}
	return fmt.Errorf("%v", p)
}

// jsonMap returns entries as a map; never nil.
func jsonMap(entries []engine.Entry) map[string]json.RawMessage {
	m := make(map[string]json.RawMessage, len(entries))
	for _, e := range entries {
		m[e.Key] = json.RawMessage(e.Value)
	}
	return m
}
