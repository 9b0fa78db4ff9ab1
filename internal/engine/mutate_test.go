// Not in a browser, where there is no go command.

//go:build !js

package engine

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	lexer "go/scanner"
	"go/token"
	"go/types"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A mutant is a mistake: wrong in the place of right, which is in one place. It is put
// into a copy of the file that only the compiler sees.
type mutant struct {
	name, right, wrong string
	// test, unless empty, is the test that is to find it out, and in its package
	// unless that is this one: "./web/sqlstore TestX". A flag for it may follow.
	test string
}

// A place is where what is right was found last. By that it is found again when names in
// it have changed.
type place struct {
	// In is the declaration.
	In string `json:"in"`
	// Of is how many pieces of code there differ from it in names only, itself included.
	// Nth is the number of itself among them, from 0.
	Nth int `json:"nth"`
	Of  int `json:"of"`
}

// module is where the module is, from here.
const module = "../.."

// packages are where mistakes are put into.
var packages = []string{"internal/engine", "web/sqlstore", "."}

// overlay returns a file that has the compiler see the mutant.
func (m mutant) overlay(t *testing.T, at *place) string {
	t.Helper()
	original, mutated, err := m.apply(sources(t), at)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	mutant := filepath.Join(folder, filepath.Base(original))
	if err := os.WriteFile(mutant, []byte(mutated), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{original: mutant}})
	if err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(folder, "overlay.json")
	if err := os.WriteFile(overlay, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return overlay
}

// sources returns the files into which mistakes are put, by their absolute paths.
func sources(t *testing.T) map[string]string {
	t.Helper()
	sources := make(map[string]string)
	for _, folder := range packages {
		files, err := filepath.Glob(filepath.Join(module, folder, "*.[gs][oq]*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range files {
			// The mirror is JavaScript's, but for what tests model of it.
			if strings.HasSuffix(at, "_test.go") && !strings.HasPrefix(filepath.Base(at), "mirror_") {
				continue
			}
			text, err := os.ReadFile(at)
			if err == nil {
				at, err = filepath.Abs(at)
			}
			if err != nil {
				t.Fatal(err)
			}
			sources[at] = string(text)
		}
	}
	return sources
}

// apply returns the file that has what is right, and its text with what is wrong in that
// place. Neither which file it is matters, nor how it is indented, nor what is called how
// as long as the declaration has the name that it had.
func (m mutant) apply(sources map[string]string, at *place) (file, mutated string, err error) {
	file, from, to, found := m.find(sources)
	if found == 1 {
		return file, sources[file][:from] + m.wrong + sources[file][to:], nil
	}
	err = fmt.Errorf("%q is in %v %d times, want once", m.right, packages, found)
	if found > 1 || at == nil {
		return "", "", err
	}
	for _, file := range slices.Sorted(maps.Keys(sources)) {
		for name, span := range declarations(file, sources[file]) {
			if name != at.In {
				continue
			}
			found := alike(m.right, sources[file][span[0]:span[1]])
			if len(found) != at.Of {
				return "", "", fmt.Errorf("%w, and %s has %d pieces of code like it, where it had %d", err, name, len(found), at.Of)
			}
			like := found[at.Nth]
			return file, sources[file][:span[0]+like.from] + rename(m.wrong, like.names) + sources[file][span[0]+like.to:], nil
		}
	}
	return "", "", fmt.Errorf("%w, and %s is gone", err, at.In)
}

// find returns where what is right is, word by word, and how many times.
func (m mutant) find(sources map[string]string) (file string, from, to, found int) {
	words := strings.Fields(m.right)
	for i, word := range words {
		words[i] = regexp.QuoteMeta(word)
	}
	right := regexp.MustCompile(strings.Join(words, `\s+`))
	for at, source := range sources {
		for _, place := range right.FindAllStringIndex(source, -1) {
			found++
			file, from, to = at, place[0], place[1]
		}
	}
	return file, from, to, found
}

// place returns where what is right is, or nil if it is not Go, or not in one
// declaration.
func (m mutant) place(sources map[string]string) *place {
	file, from, to, _ := m.find(sources)
	for name, span := range declarations(file, sources[file]) {
		if from < span[0] || to > span[1] {
			continue
		}
		found := alike(m.right, sources[file][span[0]:span[1]])
		for n, like := range found {
			if at := span[0] + like.from; from <= at && at < to {
				return &place{name, n, len(found)}
			}
		}
	}
	return nil
}

// declarations returns from where to where each declaration of a file is, by its package
// and name.
func declarations(file, source string) map[string][2]int {
	spans := make(map[string][2]int)
	if filepath.Ext(file) != ".go" {
		return spans
	}
	parsed, err := parser.ParseFile(token.NewFileSet(), "", source, parser.SkipObjectResolution)
	if err != nil {
		return spans
	}
	for _, d := range parsed.Decls {
		// The set is new, so that a position is an offset and one more.
		spans[parsed.Name.Name+"."+nameOf(d)] = [2]int{int(d.Pos()) - 1, int(d.End()) - 1}
	}
	return spans
}

func nameOf(d ast.Decl) string {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			return d.Name.Name
		}
		of := d.Recv.List[0].Type
		if star, ok := of.(*ast.StarExpr); ok {
			of = star.X
		}
		return fmt.Sprint(of, ".", d.Name.Name)
	case *ast.GenDecl:
		switch first := d.Specs[0].(type) {
		case *ast.ValueSpec:
			return first.Names[0].Name
		case *ast.TypeSpec:
			return first.Name.Name
		}
	}
	return ""
}

// A likeness is something that differs from something else in names only.
type likeness struct {
	from, to int
	names    map[string]string
}

// alike returns what there is in a text that is like code, in the order of the text.
func alike(code, text string) (found []likeness) {
	want, all := lexemes(code), lexemes(text)
	for len(all) >= len(want) {
		names, back := make(map[string]string), make(map[string]string)
		same := true
		for i, w := range want {
			is := all[i]
			if same = same && is.token == w.token && (w.isName() || is.text == w.text); !same {
				break
			}
			if w.isName() {
				had, known := names[w.text]
				of, taken := back[is.text]
				same = (!known || had == is.text) && (!taken || of == w.text)
				names[w.text], back[is.text] = is.text, w.text
			}
		}
		if same {
			found = append(found, likeness{all[0].at, all[len(want)-1].end, names})
		}
		all = all[1:]
	}
	return found
}

// rename returns code with other names in it.
func rename(code string, names map[string]string) string {
	var out strings.Builder
	done := 0
	for _, l := range lexemes(code) {
		if name, ok := names[l.text]; ok && l.isName() {
			out.WriteString(code[done:l.at] + name)
			done = l.end
		}
	}
	return out.String() + code[done:]
}

type lexeme struct {
	token   token.Token
	text    string
	at, end int
}

// isName reports whether it is a name that may change.
func (l lexeme) isName() bool {
	return l.token == token.IDENT && types.Universe.Lookup(l.text) == nil
}

// lexemes returns what code consists of, without comments and ends of lines.
func lexemes(code string) (all []lexeme) {
	var s lexer.Scanner
	file := token.NewFileSet().AddFile("", -1, len(code))
	s.Init(file, []byte(code), func(token.Position, string) {}, 0)
	for {
		pos, kind, text := s.Scan()
		switch {
		case kind == token.EOF:
			return all
		case kind == token.SEMICOLON && text == "\n":
			continue
		case text == "":
			text = kind.String()
		}
		at := file.Offset(pos)
		all = append(all, lexeme{kind, text, at, at + len(text)})
	}
}

func everyMutant() []mutant { return slices.Concat(mutants, replicationMutants) }

// TestMutantsFit sees, without running them, that what is right is still there.
func TestMutantsFit(t *testing.T) {
	readKnown(t)
	sources := sources(t)
	for _, m := range everyMutant() {
		t.Run(m.name, func(t *testing.T) {
			about := knowledge.of[m.name]
			file, mutated, err := m.apply(sources, about.Place)
			if err != nil {
				t.Fatal(err)
			}
			if *mutantsUpdate {
				about.Place = m.place(sources)
				knowledge.of[m.name] = about
			}
			if about.Place == nil && m.place(sources) != nil {
				t.Error("its place is not known: run with -mutants.update")
			}
			if filepath.Ext(file) != ".go" {
				return
			}
			if _, err := parser.ParseFile(token.NewFileSet(), "", mutated, 0); err != nil {
				t.Error(err)
			}
		})
	}
	if *mutantsUpdate {
		maps.DeleteFunc(knowledge.of, func(name string, _ known) bool {
			return !slices.ContainsFunc(everyMutant(), func(m mutant) bool { return m.name == name })
		})
		writeKnown(t)
	}
}

// words returns the texts of what code consists of.
func words(code string) (all []string) {
	for _, l := range lexemes(code) {
		all = append(all, l.text)
	}
	return all
}

// TestMutantsFitRenamedCode has all names but those of declarations changed.
func TestMutantsFitRenamedCode(t *testing.T) {
	readKnown(t)
	sources := sources(t)
	for _, m := range everyMutant() {
		file, _, _, _ := m.find(sources)
		at := m.place(sources)
		if at == nil {
			if name := filepath.Base(file); !slices.Contains([]string{"statements.go", "sqlite.go", "postgresql.go", "restored.sql"}, name) { // SQL has no place
				t.Errorf("%s: it is in no declaration of %s", m.name, name)
			}
			continue
		}
		names := make(map[string]string)
		for _, l := range lexemes(m.right) {
			if l.isName() && !strings.HasSuffix("."+at.In, "."+l.text) {
				names[l.text] = l.text + "Renamed"
			}
		}
		renamed := maps.Clone(sources)
		renamed[file] = rename(sources[file], names)
		_, want, err := m.apply(sources, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, got, err := m.apply(renamed, at)
		if err != nil || !slices.Equal(words(got), words(rename(want, names))) {
			t.Errorf("%s: renamed, it does not fit any more: %v", m.name, err)
		}
	}
}
