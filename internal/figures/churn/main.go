// Churn measures how many keys change servers when a server leaves or joins,
// and how evenly keys are spread, for every placement of package ring. It
// writes churn.md, a page with two tables, and churn.svg, the plot in it:
//
//	go run ./internal/figures/churn -out docs/figures
//
// The figures are the same each time: keys and addresses are fixed.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	out := flag.String("out", "docs/figures", "`directory` to write churn.md and churn.svg to")
	png := flag.Bool("png", false, "write churn.png as well")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "churn: unexpected argument %q: see -help\n", flag.Arg(0))
		os.Exit(1)
	}
	if err := run(*out, fullSample, *png); err != nil {
		fmt.Fprintln(os.Stderr, "churn:", err)
		os.Exit(1)
	}
}

func run(out string, s sample, png bool) error {
	if err := os.MkdirAll(out, 0o777); err != nil {
		return err
	}
	figures, err := measureAll(s)
	if err != nil {
		return err
	}
	page, err := os.Create(filepath.Join(out, "churn.md"))
	if err != nil {
		return err
	}
	writePage(page, figures)
	if err := page.Close(); err != nil {
		return err
	}
	if err := draw(figures, filepath.Join(out, "churn.svg")); err != nil || !png {
		return err
	}
	return draw(figures, filepath.Join(out, "churn.png"))
}
