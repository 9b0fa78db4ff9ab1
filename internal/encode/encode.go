// Package encode turns what a Writer is given into what is stored: names and keys
// that are checked, and values as JSON texts.
package encode

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/session-interop/session-writer/internal/engine"
)

var (
	// ErrKey means that a key is empty or not valid UTF-8.
	ErrKey = errors.New("invalid key")
	// ErrValue means that a value, or what was given for the entries, cannot
	// be saved as JSON.
	ErrValue = errors.New("unsupported value")
)

// An EntryError is the [github.com/session-interop/session-writer.EntryError]
// that its users make of it.
type EntryError struct {
	Key string
	Err error
}

func (e *EntryError) Error() string { return e.Err.Error() }
func (e *EntryError) Unwrap() error { return e.Err }

// Entries returns the entries with their values as JSON texts without needless
// white space. Of equal keys the last counts, at the place of the first. The error
// is an *EntryError unless the entries themselves are nil or panic.
func Entries(entries iter.Seq2[string, any]) (list []engine.Entry, err error) {
	if entries == nil {
		return nil, fmt.Errorf("%w: the entries are nil", ErrValue)
	}
	at := make(map[string]int)
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: the entries panicked: %w", ErrValue, panicError(p))
		}
	}()
	for key, v := range entries {
		if err := CheckKey(key); err != nil {
			return nil, err
		}
		value, err := encodeValue(v)
		if err != nil {
			return nil, &EntryError{key, err}
		}
		i, ok := at[key]
		if !ok {
			i = len(list)
			at[key] = i
			list = append(list, engine.Entry{})
		}
		list[i] = engine.Entry{Key: key, Value: value}
	}
	return list, nil
}

// CheckName returns an error when no session can have that name.
func CheckName(name string) error {
	switch {
	case name == "":
		return errors.New("the name is empty")
	case !utf8.ValidString(name):
		return errors.New("the name is not valid UTF-8")
	case strings.Contains(name, "/"):
		return errors.New("the name must not contain a slash")
	}
	return nil
}

// CheckKey returns the *EntryError of a key that no entry can have.
func CheckKey(key string) error {
	switch {
	case key == "":
		return &EntryError{key, fmt.Errorf("%w: it is empty", ErrKey)}
	case !utf8.ValidString(key):
		return &EntryError{key, fmt.Errorf("%w: it is not valid UTF-8", ErrKey)}
	}
	return nil
}

// Keys returns the keys as the text of a JSON array, or the *EntryError of one.
func Keys(keys []string) (string, error) {
	text := []byte{'['}
	for i, key := range keys {
		if err := CheckKey(key); err != nil {
			return "", err
		}
		if i > 0 {
			text = append(text, ',')
		}
		text = engine.AppendString(text, key)
	}
	return string(append(text, ']')), nil
}

// encodeValue returns v as JSON text. The error wraps ErrValue.
func encodeValue(v any) (text string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: its encoding panicked: %w", ErrValue, panicError(p))
		}
	}()
	// encoding/json would put U+FFFD for what is not UTF-8.
	if s := reflect.ValueOf(v); s.Kind() == reflect.String && !utf8.ValidString(s.String()) {
		return "", fmt.Errorf("%w: a string that is not valid UTF-8", ErrValue)
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "", describe(err)
	}
	encoded := bytes.TrimSuffix(out.Bytes(), []byte{'\n'})
	if !utf8.Valid(encoded) {
		return "", fmt.Errorf("%w: JSON that is not valid UTF-8", ErrValue)
	}
	return string(encoded), nil
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
