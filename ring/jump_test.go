package ring

import (
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// TestJumpReference: places in 1, 2, 3 ... as the paper's C++ gives them.
func TestJumpReference(t *testing.T) {
	t.Parallel()
	for key, want := range map[uint64][]int{
		0:                  {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		1:                  {0, 0, 0, 0, 0, 0, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 17, 17},
		0xdeadbeef:         {0, 1, 2, 3, 3, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 16, 16, 16},
		0x0ddc0ffeebadf00d: {0, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 15, 15, 15, 15},
	} {
		for i := range want {
			if got := jumpHash(key, i+1); got != want[i] {
				t.Errorf("jumpHash(%#x, %d) = %d, want %d", key, i+1, got, want[i])
			}
		}
	}
}

func TestJumpGrowing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.Uint64().Draw(t, "key")
		n := rapid.IntRange(1, 10000).Draw(t, "n")
		was, is := jumpHash(key, n), jumpHash(key, n+1)
		if is != was && is != n {
			t.Fatalf("from %d to %d places, %#x goes from %d to %d: only the new place may take it", n, n+1, key, was, is)
		}
	})
}

// TestJumpCopies: when the last of ten leaves, an owner that stays is hardly
// ever put out, whatever its rank.
func TestJumpCopies(t *testing.T) {
	t.Parallel()
	was, is := mustNew(t, Jump, servers(10)), mustNew(t, Jump, servers(9))
	const keys, copies = 20000, 3
	lost := 0
	for i := range keys {
		key := strconv.Itoa(i)
		after := is.Owners(nil, key, copies)
		for _, m := range was.Owners(nil, key, copies) {
			if m != 9 && !slices.Contains(after, m) {
				lost++
			}
		}
	}
	if share := float64(lost) / (keys * copies); share > 0.01 {
		t.Errorf("%.1f %% of copies left a server that stayed, want at most 1 %%", 100*share)
	}
}

// TestJumpAllOwners: when all are asked for, everybody gets a rank, however
// seldom he is drawn.
func TestJumpAllOwners(t *testing.T) {
	t.Parallel()
	for n := range 100 {
		r := mustNew(t, Jump, servers(n))
		got := r.Owners(nil, "key", n)
		if len(got) != n {
			t.Fatalf("%d owners of %d", len(got), n)
		}
		slices.Sort(got)
		for i, m := range got {
			if m != i {
				t.Fatalf("owners of a key among %d are %v", n, got)
			}
		}
	}
}
