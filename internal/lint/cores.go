package lint

import (
	"go/ast"
	"path"
	"slices"
	"strconv"
	"strings"
)

// cores are the files that decide and do nothing else: what goes in comes by
// arguments, time and chance too, and what comes out is for others to carry out.
// A file whose name ends in _core.go is one wherever it is.
var cores = []string{
	"ring/*.go",
	"store/*.go",
	"memcache/key.go",
	"memcache/protocol.go",
	"memcache/request*.go",
	"memcache/response.go",
	"fleet/probe_health.go",
	"fleet/routing.go",
	"fleet/zookeeper/follower.go",
	"fleet/zookeeper/layout.go",
	"script/command.go",
	"shell/complete.go",
	"shell/words.go",
	"internal/check/chain.go",
	"internal/check/values.go",
	"internal/simnet/*.go",
	"chord/internal/data/*.go",
	"chord/internal/link/decode.go",
	"chord/internal/link/encode.go",
	"chord/internal/msg/*.go",
	"chord/internal/place/*.go",
	"chord/internal/ring/*.go",
	"chord/ringsim/*.go",
	"shard/slots/*.go",
	"shard/internal/msg/*.go",
	"shard/internal/master/*.go",
	"replica/internal/msg/*.go",
	"replica/internal/node/*.go",
	"replica/internal/state/*.go",
	"replica/internal/wire/*.go",
}

// forbiddenImports, and what is below them, are not for cores.
var forbiddenImports = []string{"net", "os", "syscall", "io/ioutil", "golang.org/x/sys", "google.golang.org/grpc", "github.com/go-zookeeper/zk"}

// forbiddenCalls are functions that look at a clock or wait for it. To name one
// without calling it, as the default of a clock that can be set, is no breach.
var forbiddenCalls = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

// seededRand are the functions of math/rand and math/rand/v2 that do not draw
// from the source that the whole process shares.
var seededRand = []string{"New", "NewSource", "NewZipf", "NewPCG", "NewChaCha8"}

// coreViolations holds that cores do no I/O, look at no clock, start no
// goroutine and draw no numbers that a seed does not decide.
func coreViolations(t *Tree) (found []Violation) {
	matched := make(map[string]bool)
	for _, f := range t.files {
		if !f.test && isCore(f.name, matched) {
			found = append(found, t.checkCore(f)...)
		}
	}
	for _, pattern := range cores {
		if dir := path.Dir(pattern); !matched[pattern] && t.has(dir) {
			found = append(found, Violation{File: pattern, What: "no file is this core any more: mend the list in internal/lint/cores.go"})
		}
	}
	return found
}

func isCore(name string, matched map[string]bool) bool {
	is := strings.HasSuffix(name, "_core.go")
	for _, pattern := range cores {
		if ok, err := path.Match(pattern, name); ok && err == nil {
			matched[pattern], is = true, true
		}
	}
	return is
}

// has tells whether there is a package in dir.
func (t *Tree) has(dir string) bool {
	return slices.ContainsFunc(t.files, func(f *file) bool { return f.dir == dir })
}

func (t *Tree) checkCore(f *file) (found []Violation) {
	names := make(map[string]string) // of packages, as the file calls them
	for _, spec := range f.ast.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		name := path.Base(p)
		if p == "math/rand/v2" {
			name = "rand"
		}
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = p
		if slices.ContainsFunc(forbiddenImports, func(bad string) bool { return p == bad || strings.HasPrefix(p, bad+"/") }) && p != "net/url" && p != "net/netip" {
			found = append(found, t.violation(f, spec.Pos(), "a core must not import %s", p))
		}
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			found = append(found, t.violation(f, n.Pos(), "a core must not start goroutines"))
		case *ast.CallExpr:
			call, ok := n.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			pkg, ok := call.X.(*ast.Ident)
			if !ok {
				return true
			}
			switch p := names[pkg.Name]; {
			case p == "time" && slices.Contains(forbiddenCalls, call.Sel.Name):
				found = append(found, t.violation(f, n.Pos(), "a core must not call time.%s: time comes by argument", call.Sel.Name))
			case (p == "math/rand" || p == "math/rand/v2") && !slices.Contains(seededRand, call.Sel.Name):
				found = append(found, t.violation(f, n.Pos(), "a core must not call rand.%s: chance comes from a source with a seed", call.Sel.Name))
			}
		}
		return true
	})
	return found
}
