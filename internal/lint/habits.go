package lint

import (
	"fmt"
	"regexp"
)

// maxLines is how long a file may be. A longer one is two things.
const maxLines = 600

// later matches the marks of things left for another day. They belong where
// somebody looks for work, not where somebody reads how a thing works.
var later = regexp.MustCompile(`\b(TODO|FIXME|XXX|HACK)\b`)

// habitViolations holds what is asked of every file and every package.
func habitViolations(t *Tree) (found []Violation) {
	type packageName struct{ dir, name string }
	documented := make(map[packageName]bool)
	first := make(map[packageName]*file)
	for _, f := range t.files {
		if f.lines > maxLines && !f.generated {
			found = append(found, Violation{File: f.name, What: fmt.Sprintf("more than %d lines: which two things is it?", maxLines)})
		}
		for _, group := range f.ast.Comments {
			for _, c := range group.List {
				if mark := later.FindString(c.Text); mark != "" {
					found = append(found, t.violation(f, c.Pos(), "%s: do it, or write it where work is kept", mark))
				}
			}
		}
		if f.test {
			continue
		}
		p := packageName{f.dir, f.ast.Name.Name}
		if first[p] == nil {
			first[p] = f
		}
		if f.ast.Doc != nil {
			documented[p] = true
		}
	}
	for p, f := range first {
		if !documented[p] {
			found = append(found, Violation{File: f.dir, What: "package " + p.name + " has no comment that says what it is for"})
		}
	}
	return found
}
