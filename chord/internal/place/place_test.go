package place

import (
	"crypto/sha1"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func some(t *rapid.T, c Circle, label string) Place {
	b := rapid.SliceOfN(rapid.Byte(), size, size).Draw(t, label)
	return c.Of(new(big.Int).SetBytes(b))
}

func number(p Place) *big.Int { return new(big.Int).SetBytes(p[:]) }

// Everything against numbers of any size.
func TestArithmetic(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := Circle(rapid.IntRange(1, MaxBits).Draw(t, "n"))
		modulus := new(big.Int).Lsh(big.NewInt(1), uint(c))
		a, b, x := some(t, c, "a"), some(t, c, "b"), some(t, c, "x")
		k := rapid.IntRange(0, int(c)-1).Draw(t, "k")
		mod := func(v *big.Int) *big.Int { return v.Mod(v, modulus) }

		want := mod(new(big.Int).Add(number(a), new(big.Int).Lsh(big.NewInt(1), uint(k))))
		if got := number(c.Plus(a, k)); got.Cmp(want) != 0 {
			t.Fatalf("%v + 2^%d is %v, want %v", a, k, got, want)
		}
		ab, ax := mod(new(big.Int).Sub(number(b), number(a))), mod(new(big.Int).Sub(number(x), number(a)))
		if got := number(c.Distance(a, b)); got.Cmp(ab) != 0 {
			t.Fatalf("from %v to %v it is %v, want %v", a, b, got, ab)
		}
		between := a == b || ax.Sign() > 0 && ax.Cmp(ab) <= 0
		if got := Between(a, x, b); got != between {
			t.Fatalf("Between(%v, %v, %v) is %v", a, x, b, got)
		}
		if got := Inside(a, x, b); got != (between && x != b) {
			t.Fatalf("Inside(%v, %v, %v) is %v", a, x, b, got)
		}
		if got := a.Compare(b); got != number(a).Cmp(number(b)) {
			t.Fatalf("%v to %v is %d", a, b, got)
		}
		if got := a.Log(); got != number(a).BitLen()-1 {
			t.Fatalf("log of %v is %d", a, got)
		}
		if got, err := c.Parse(a.String()); err != nil || got != a {
			t.Fatalf("%v is read as %v, %v", a, got, err)
		}
	})
}

// Keys of digits, of any length, are numbers; others have a sha-1.
func TestOfKey(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := Circle(rapid.IntRange(1, MaxBits).Draw(t, "n"))
		key := rapid.OneOf(rapid.StringMatching(`[0-9]{1,60}`), rapid.String()).Draw(t, "key")
		v, ok := new(big.Int).SetString(key, 10)
		if !ok || strings.Trim(key, "0123456789") != "" {
			sum := sha1.Sum([]byte(key))
			v = new(big.Int).SetBytes(sum[:])
		}
		if got := c.OfKey(key); got != c.Of(v) {
			t.Fatalf("%q lies at %v, want %v", key, got, c.Of(v))
		}
	})
	c, err := New(8)
	if err != nil {
		t.Fatal(err)
	}
	// The requirement's: key 291, hash 35.
	if got := c.OfKey("291").String(); got != "35" {
		t.Errorf("291 lies at %s", got)
	}
}

func TestOutside(t *testing.T) {
	t.Parallel()
	for _, n := range []int{-1, 0, 161} {
		if _, err := New(n); err == nil || !strings.Contains(err.Error(), "1 to 160") {
			t.Errorf("n = %d: %v", n, err)
		}
	}
	c := Circle(8)
	for id, want := range map[string]string{"256": "0 to 255", "": "not a decimal", "-1": "not a decimal", "1e3": "not a decimal", "99999999999999999999999999": "0 to 255"} {
		if p, err := c.Parse(id); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v", id, p, err)
		}
	}
}

func BenchmarkOfKey(b *testing.B) {
	for name, key := range map[string]string{"number": "1234567890", "long": strings.Repeat("7", 40), "text": "user:1234567890"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Circle(MaxBits).OfKey(key)
			}
		})
	}
}

func BenchmarkBetween(b *testing.B) {
	x, y, z := Circle(160).OfKey("x"), Circle(160).OfKey("y"), Circle(160).OfKey("z")
	for b.Loop() {
		Between(x, y, z)
	}
}
