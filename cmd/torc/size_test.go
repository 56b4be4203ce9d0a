package main

import "testing"

func TestSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]size{
		"1": 1, "1000": 1000, "1k": 1024, "64M": 64 << 20, "64mb": 64 << 20, "2G": 2 << 30, " 3K ": 3 << 10,
	} {
		var got size
		if err := got.Set(text); err != nil || got != want {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
		var again size
		if err := again.Set(got.String()); err != nil || again != got {
			t.Errorf("%d prints as %q, which is %d, %v", got, got.String(), again, err)
		}
	}
	for _, text := range []string{"", "0", "-1", "1.5G", "M", "64X", "9999999999G", "1 M"} {
		var got size
		if err := got.Set(text); err == nil {
			t.Errorf("%q is taken for %d", text, got)
		}
	}
}
