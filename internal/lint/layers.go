package lint

import (
	"slices"
	"strconv"
	"strings"
)

// The picture, from the bottom up. A folder's name stands for the packages in
// and under it, "." for the root package alone.
var (
	// leaves import nothing of ours, save that memcache's server is over store.
	leaves = []string{"ring", "store", "memcache"}
	// kinds play torc.Table, over the leaves. None knows another, or a tool.
	kinds = []string{"fleet", "shard", "chord", "replica"}
	// manners are what kinds have in common towards who calls them. They import
	// nothing of ours but the root.
	manners = []string{"internal/urlparam"}
	// doors are how the processes of kinds let each other in. They import nothing of
	// ours.
	doors = []string{"internal/demux", "internal/grpcdial"}
	// tools work on any torc.Table, and know no kind. They may use each other.
	tools = []string{"gateway", "dashboard", "script", "shell", "bench"}
	// forms are what tools and programs have to print alike. They import nothing
	// of ours but the root and each other.
	forms = []string{"internal/jsonform", "internal/terminal", "internal/textform"}
	// programs are built of everything, and nothing below imports them.
	programs = []string{"cmd", "examples", "test"}
)

// allowed tells which folders the packages under folder may import, beside it
// itself. The second result is whether folder is in the picture.
func allowed(folder string) (may []string, known bool) {
	root := []string{"."}
	switch {
	case folder == ".", folder == "ring", folder == "store":
		return nil, true
	case folder == "memcache":
		return []string{"store"}, true
	case slices.Contains(kinds, folder):
		return slices.Concat(root, leaves, manners, doors), true
	case slices.Contains(tools, folder):
		return slices.Concat(root, leaves, tools, forms), true
	case folder == "tabletest":
		return []string{".", "internal/check"}, true
	case folder == "internal": // what tests, programs and the demo are made of
		return slices.Concat(root, leaves, kinds, tools, []string{"tabletest"}), true
	case slices.Contains(programs, folder):
		return slices.Concat(root, leaves, kinds, tools, programs, []string{"tabletest", "internal"}), true
	}
	return nil, false
}

// importViolations holds that imports go downward. Test files may import
// anything that compiles.
func importViolations(t *Tree) (found []Violation) {
	strange := make(map[string]bool)
	for _, f := range t.files {
		folder := top(f.dir)
		may, known := allowed(folder)
		if !known {
			if !strange[folder] {
				strange[folder] = true
				found = append(found, Violation{File: folder, What: "this folder is not in the picture of the design: add it in internal/lint/layers.go"})
			}
			continue
		}
		if f.test {
			continue
		}
		for _, spec := range f.ast.Imports {
			imported, ours := t.relative(spec.Path.Value)
			if !ours || top(imported) == folder {
				continue
			}
			if !slices.ContainsFunc(may, func(m string) bool { return imported == m || m != "." && strings.HasPrefix(imported, m+"/") }) {
				found = append(found, t.violation(f, spec.Pos(), "%s must not import %s: imports go downward", f.dir, imported))
			}
		}
	}
	return found
}

// top returns the topmost folder of dir.
func top(dir string) string {
	folder, _, _ := strings.Cut(dir, "/")
	return folder
}

// relative returns the folder of a package of this module, by its quoted path.
func (t *Tree) relative(quoted string) (dir string, ours bool) {
	p, err := strconv.Unquote(quoted)
	if err != nil {
		return "", false
	}
	if p == t.module {
		return ".", true
	}
	return strings.CutPrefix(p, t.module+"/")
}
