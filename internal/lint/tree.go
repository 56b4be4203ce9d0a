package lint

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Violation is one breach of one rule.
type Violation struct {
	File string // slash-separated, from the module's root
	Line int    // 0 if it concerns the file, or the package, as a whole
	What string
}

func (v Violation) String() string {
	if v.Line == 0 {
		return v.File + ": " + v.What
	}
	return fmt.Sprintf("%s:%d: %s", v.File, v.Line, v.What)
}

// Tree is the Go source of a module.
type Tree struct {
	module string
	fset   *token.FileSet
	files  []*file
}

// file is one Go file.
type file struct {
	name      string // from the root
	dir       string // "." for the root
	test      bool
	generated bool
	lines     int
	ast       *ast.File
}

// Load reads the Go files of the module whose root is tree. It passes over
// testdata, over folders whose names begin with a dot or an underscore, and over
// build, which holds what is built.
func Load(tree fs.FS, module string) (*Tree, error) {
	t := &Tree{module: module, fset: token.NewFileSet()}
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := path.Base(name)
		if d.IsDir() {
			if name != "." && (strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" || name == "build") {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		source, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(t.fset, name, source, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		t.files = append(t.files, &file{
			name: name, dir: path.Dir(name), test: strings.HasSuffix(name, "_test.go"),
			generated: ast.IsGenerated(parsed), lines: bytes.Count(source, []byte("\n")), ast: parsed,
		})
		return nil
	})
	return t, err
}

// rules are what Check asks, by the name of the file in testdata that breaks it.
var rules = map[string]func(*Tree) []Violation{
	"imports": importViolations,
	"cores":   coreViolations,
	"habits":  habitViolations,
}

// Check returns every breach of every rule, sorted.
func (t *Tree) Check() []Violation {
	var found []Violation
	for _, rule := range rules {
		found = append(found, rule(t)...)
	}
	sortViolations(found)
	return found
}

func sortViolations(v []Violation) {
	slices.SortFunc(v, func(a, b Violation) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.What, b.What))
	})
}

func (t *Tree) violation(f *file, pos token.Pos, format string, args ...any) Violation {
	return Violation{File: f.name, Line: t.fset.Position(pos).Line, What: fmt.Sprintf(format, args...)}
}
