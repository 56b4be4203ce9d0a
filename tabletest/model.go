package tabletest

import (
	"crypto/rand"
	"errors"

	"pgregory.net/rapid"

	"github.com/torc-dht/torc"
)

// Any list of operations has the answers that a Memory gives.
func (s *suite) testAgainstModel(f *fixture) {
	rapid.Check(f, func(t *rapid.T) {
		model := NewMemory()
		// The keys of one list, so that the next one begins with none.
		suffixes := []string{"a", "b", "c d", "\x00", "é"}
		prefix := rand.Text()[:10]
		// What was last read of each key, there and in the model.
		type pair struct{ inTable, model torc.Version }
		read := make(map[string]pair)

		drawKey := func(t *rapid.T) string { return prefix + rapid.SampledFrom(suffixes).Draw(t, "key") }
		compare := func(t *rapid.T, what string, got, want error) {
			if got == nil && want == nil {
				return
			}
			for _, kind := range sentinels {
				if errors.Is(got, kind) != errors.Is(want, kind) {
					t.Fatalf("%s: %v, want %v", what, got, want)
				}
			}
			if got == nil || want == nil {
				t.Fatalf("%s: %v, want %v", what, got, want)
			}
		}
		get := func(t *rapid.T, key string) {
			got, gotErr := f.Get(f.ctx, key)
			want, wantErr := model.Get(f.ctx, key)
			compare(t, "Get", gotErr, wantErr)
			if string(got.Value) != string(want.Value) {
				t.Fatalf("Get = %q, want %q", got.Value, want.Value)
			}
			if wantErr == nil {
				read[key] = pair{got.Version, want.Version}
			}
		}

		actions := map[string]func(*rapid.T){
			"get": func(t *rapid.T) { get(t, drawKey(t)) },
			"put": func(t *rapid.T) {
				key, value := drawKey(t), rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "value")
				compare(t, "Put", f.Put(f.ctx, key, value), model.Put(f.ctx, key, value))
			},
			"delete": func(t *rapid.T) {
				key := drawKey(t)
				compare(t, "Delete", f.Delete(f.ctx, key), model.Delete(f.ctx, key))
			},
			"": func(t *rapid.T) {},
		}
		if !s.lacks[Conditions] {
			actions["put if"] = func(t *rapid.T) {
				key, value := drawKey(t), rapid.SliceOfN(rapid.Byte(), 0, 30).Draw(t, "value")
				inTable, inModel := torc.IfAbsent(), torc.IfAbsent()
				switch rapid.SampledFrom([]string{"absent", "present", "version"}).Draw(t, "condition") {
				case "present":
					inTable, inModel = torc.IfPresent(), torc.IfPresent()
				case "version":
					p, ok := read[key]
					if !ok {
						t.Skip("no version was read")
					}
					inTable, inModel = torc.IfVersion(p.inTable), torc.IfVersion(p.model)
				}
				compare(t, "Put", f.Put(f.ctx, key, value, inTable), model.Put(f.ctx, key, value, inModel))
			}
		}
		t.Repeat(actions)
		for _, suffix := range suffixes {
			get(t, prefix+suffix)
		}
	})
}
