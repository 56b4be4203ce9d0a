package chord

import (
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
)

// table is a CSV to be.
type table struct {
	header []string
	rows   [][]string
}

func newTable(header ...string) *table { return &table{header: header} }

// add appends a row: numbers are written with as many digits as they need, at most four
// behind the point, and NaN as nothing.
func (t *table) add(cells ...any) {
	if len(cells) != len(t.header) {
		panic(fmt.Sprintf("%d cells for %d columns: %v", len(cells), len(t.header), t.header))
	}
	row := make([]string, len(cells))
	for i, c := range cells {
		switch c := c.(type) {
		case float64:
			if !math.IsNaN(c) {
				row[i] = strconv.FormatFloat(math.Round(c*1e4)/1e4, 'f', -1, 64)
			}
		default:
			row[i] = fmt.Sprint(c)
		}
	}
	t.rows = append(t.rows, row)
}

func (t *table) save(dir, name string) error {
	file, err := os.Create(filepath.Join(dir, name+".csv"))
	if err != nil {
		return err
	}
	w := csv.NewWriter(file)
	if err := w.WriteAll(append([][]string{t.header}, t.rows...)); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}

// deviation is by how many per cent ours is more than theirs; NaN where theirs is 0.
func deviation(ours, theirs float64) float64 {
	if theirs == 0 {
		return math.NaN()
	}
	return math.Round(1000*(ours/theirs-1)) / 10
}
