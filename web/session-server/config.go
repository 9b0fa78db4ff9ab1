//go:build !js

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A problem is something wrong in a configuration file.
type problem struct {
	line int
	// path is like limits.entries, or empty for the whole file.
	path string
	// text says what is there, and what would be right.
	text string
}

func (p problem) String() string {
	if p.path == "" {
		return fmt.Sprintf("%d: %s", p.line, p.text)
	}
	return fmt.Sprintf("%d: %s: %s", p.line, p.path, p.text)
}

// readConfig reads a configuration file into what setting has. It returns everything that is
// wrong, in the order of the file, or with a text that is no JSON the first of it.
func readConfig(file []byte, into setting) []problem {
	v, err := parse(file)
	if err != nil {
		return []problem{*err}
	}
	problems := into.read("", v)
	slices.SortStableFunc(problems, func(a, b problem) int { return a.line - b.line })
	return problems
}

// writeConfig writes what setting has as a configuration file.
func writeConfig(out io.Writer, from setting) error {
	var compact, indented bytes.Buffer
	from.write(&compact)
	if err := json.Indent(&indented, compact.Bytes(), "", "  "); err != nil {
		return err
	}
	indented.WriteByte('\n')
	_, err := out.Write(indented.Bytes())
	return err
}

// A setting is a member of a configuration file. A file that lacks it leaves it as it is.
type setting interface {
	read(path string, v value) []problem
	write(out *bytes.Buffer)
}

// An object is a setting with members.
type object []member

type member struct {
	name string
	setting
}

func (o object) read(path string, v value) (problems []problem) {
	if v.members == nil {
		return []problem{{v.line, path, fmt.Sprintf("it is %s, must be an object", v)}}
	}
	for i, given := range v.members {
		at := strings.TrimPrefix(path+"."+given.name, ".")
		is := func(m member) bool { return m.name == given.name }
		known := slices.IndexFunc(o, is)
		before := slices.IndexFunc(v.members[:i], func(b valueMember) bool { return b.name == given.name })
		switch {
		case known < 0:
			problems = append(problems, problem{given.line, at, "unknown member: there are " + o.names()})
		case before >= 0:
			problems = append(problems, problem{given.line, at, fmt.Sprintf("it was given in line %d, must be given once", v.members[before].line)})
		default:
			problems = append(problems, o[known].read(at, given.value)...)
		}
	}
	return problems
}

func (o object) names() string {
	var names []string
	for _, m := range o {
		names = append(names, m.name)
	}
	return strings.Join(names, ", ")
}

func (o object) write(out *bytes.Buffer) {
	out.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			out.WriteByte(',')
		}
		writeJSON(out, m.name)
		out.WriteByte(':')
		m.write(out)
	}
	out.WriteByte('}')
}

func writeJSON(out *bytes.Buffer, v any) {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(v) // texts and numbers always have a form in JSON
}

// A text is a setting that is a string. The error of check says what would be right.
type text struct {
	into  *string
	check func(string) error
}

func (t text) read(path string, v value) []problem {
	given, is := v.scalar.(string)
	if !is {
		return []problem{{v.line, path, fmt.Sprintf("it is %s, must be a string", v)}}
	}
	if err := t.check(given); err != nil {
		return []problem{{v.line, path, err.Error()}}
	}
	*t.into = given
	return nil
}

func (t text) write(out *bytes.Buffer) { writeJSON(out, *t.into) }

// A texts is a setting that is a list of strings.
type texts struct {
	into  *[]string
	check func(string) error
}

func (t texts) read(path string, v value) (problems []problem) {
	if v.elements == nil {
		return []problem{{v.line, path, fmt.Sprintf("it is %s, must be a list of strings", v)}}
	}
	all := make([]string, len(v.elements))
	for i, element := range v.elements {
		problems = append(problems, text{&all[i], t.check}.read(fmt.Sprintf("%s[%d]", path, i), element)...)
	}
	*t.into = all
	return problems
}

func (t texts) write(out *bytes.Buffer) { writeJSON(out, append([]string{}, *t.into...)) }

// A number is a setting that is a whole number.
type number[T int | int64] struct {
	into        *T
	least, most T
}

func (n number[T]) read(path string, v value) []problem {
	written, _ := v.scalar.(json.Number)
	given, err := strconv.ParseInt(string(written), 10, 64)
	if err != nil || given < int64(n.least) || given > int64(n.most) {
		return []problem{{v.line, path, fmt.Sprintf("it is %s, must be a whole number from %d to %d", v, n.least, n.most)}}
	}
	*n.into = T(given)
	return nil
}

func (n number[T]) write(out *bytes.Buffer) { writeJSON(out, *n.into) }

// A duration is a setting that is a string like 10s.
type duration struct {
	into  *time.Duration
	check func(time.Duration) error
}

func (d duration) read(path string, v value) []problem {
	written, _ := v.scalar.(string)
	given, err := time.ParseDuration(written)
	if err != nil {
		return []problem{{v.line, path, fmt.Sprintf("it is %s, must be a time like \"10s\"", v)}}
	}
	if err := d.check(given); err != nil {
		return []problem{{v.line, path, err.Error()}}
	}
	*d.into = given
	return nil
}

func (d duration) write(out *bytes.Buffer) { writeJSON(out, d.into.String()) }

// A truth is a setting that is true or false.
type truth struct{ into *bool }

func (t truth) read(path string, v value) []problem {
	given, is := v.scalar.(bool)
	if !is {
		return []problem{{v.line, path, fmt.Sprintf("it is %s, must be true or false", v)}}
	}
	*t.into = given
	return nil
}

func (t truth) write(out *bytes.Buffer) { writeJSON(out, *t.into) }

// A value is JSON with the lines that it is in.
type value struct {
	line int
	// scalar is a string, a json.Number, a bool, or nil for null and for what is below.
	scalar any
	// members are not nil in an object.
	members []valueMember
	// elements are not nil in a list.
	elements []value
}

type valueMember struct {
	name string
	value
}

// String says what a value is. A string may be a secret in the wrong place.
func (v value) String() string {
	switch scalar := v.scalar.(type) {
	case string:
		return "a string"
	case json.Number:
		return string(scalar)
	case bool:
		return strconv.FormatBool(scalar)
	}
	switch {
	case v.members != nil:
		return "an object"
	case v.elements != nil:
		return "a list"
	}
	return "null"
}

// parse returns what is in a file of JSON, or what keeps it from being that.
func parse(file []byte) (value, *problem) {
	p := parser{file: file, Decoder: json.NewDecoder(bytes.NewReader(file))}
	p.UseNumber()
	for at := 0; at < len(file); {
		char, size := utf8.DecodeRune(file[at:])
		if at += size; char == utf8.RuneError && size == 1 {
			return value{}, &problem{p.line(at), "", "it is not valid UTF-8"}
		}
	}
	v, err := p.value("")
	// Of the whole text, Unmarshal says better what is wrong, and where.
	whole := json.Unmarshal(file, new(json.RawMessage))
	if whole == nil {
		return v, nil
	}
	at := int(p.InputOffset())
	if syntax, is := errors.AsType[*json.SyntaxError](whole); is {
		at = int(syntax.Offset)
	}
	if err == nil {
		p.path = "" // what is wrong follows the value
	}
	return value{}, &problem{p.line(at), p.path, "it is no JSON: " + whole.Error()}
}

// A parser has a path to what it reads.
type parser struct {
	*json.Decoder
	file []byte
	path string
}

// line returns the line, from 1, of the byte before an offset.
func (p *parser) line(offset int) int {
	return 1 + bytes.Count(p.file[:min(max(offset-1, 0), len(p.file))], []byte("\n"))
}

// value reads the next value, which is at a path. An error leaves the path.
func (p *parser) value(path string) (v value, err error) {
	p.path = path
	token, err := p.Token()
	if err != nil {
		return v, err
	}
	v.line = p.line(int(p.InputOffset()))
	switch token {
	case json.Delim('{'):
		v.members = []valueMember{}
		for p.More() {
			name, err := p.Token()
			if err != nil {
				return v, err
			}
			m := valueMember{name: fmt.Sprint(name)}
			if m.value, err = p.value(strings.TrimPrefix(path+"."+m.name, ".")); err != nil {
				return v, err
			}
			v.members = append(v.members, m)
			p.path = path
		}
		_, err = p.Token()
	case json.Delim('['):
		v.elements = []value{}
		for p.More() {
			element, err := p.value(fmt.Sprintf("%s[%d]", path, len(v.elements)))
			if err != nil {
				return v, err
			}
			v.elements = append(v.elements, element)
			p.path = path
		}
		_, err = p.Token()
	default:
		v.scalar = token
	}
	return v, err
}
