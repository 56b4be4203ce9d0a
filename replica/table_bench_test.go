package replica

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/torc-dht/torc/internal/versus"
	"github.com/torc-dht/torc/replica/internal/standin"
)

const benchKeys = 1024

// benchTable returns a table over one server, which holds a value of 100 bytes at
// each of these keys, and the server's address.
func benchTable(b *testing.B) (table *Table, keys []string, value []byte, addr string) {
	stand := standin.NewPlain(b, 1)
	table = newTable(b, stand, TableOptions{})
	value = bytes.Repeat([]byte("v"), 100)
	for i := range benchKeys {
		keys = append(keys, fmt.Sprintf("bench-key-%d", i))
		if err := table.Put(b.Context(), keys[i], value); err != nil {
			b.Fatal(err)
		}
	}
	return table, keys, value, stand.Addrs()[0]
}

// BenchmarkCalls counts what a call allocates. The server's part is in it.
//
//	go test -run '^$' -bench Calls ./replica
func BenchmarkCalls(b *testing.B) {
	table, keys, value, _ := benchTable(b)
	ctx := b.Context()
	for name, call := range map[string]func(key string) error{
		"get":  func(key string) error { _, err := table.Get(ctx, key); return err },
		"put":  func(key string) error { return table.Put(ctx, key, value) },
		"swap": func(key string) error { _, err := table.Swap(ctx, key, value); return err },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := range b.N {
				if err := call(keys[i%benchKeys]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkTable puts the table beside the standard library's client, with the same
// requests to the same server. All share this process's cores.
//
//	go test -run '^$' -bench Table ./replica
func BenchmarkTable(b *testing.B) {
	table, keys, value, addr := benchTable(b)
	ctx := b.Context()
	plain := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: DefaultConns}}
	defer plain.CloseIdleConnections()
	send := func(method, key, body string) error {
		r, err := http.NewRequestWithContext(ctx, method, "http://"+addr+"/"+key, strings.NewReader(body))
		if err != nil {
			return err
		}
		if body == "" {
			r.Body = http.NoBody
		}
		r.Header.Set("X-Torc-Op", "0-0-0")
		a, err := plain.Do(r)
		if err != nil {
			return err
		}
		defer a.Body.Close()
		_, err = io.ReadAll(a.Body)
		return err
	}
	for _, goroutines := range []int{1, 64} {
		b.Run(fmt.Sprint("get/goroutines=", goroutines), func(b *testing.B) {
			versus.Run(b, goroutines,
				versus.Side{Name: "replica", Call: func(i int) error { _, err := table.Get(ctx, keys[i%benchKeys]); return err }},
				versus.Side{Name: "net-http", Call: func(i int) error { return send("GET", keys[i%benchKeys], "") }})
		})
		b.Run(fmt.Sprint("put/goroutines=", goroutines), func(b *testing.B) {
			versus.Run(b, goroutines,
				versus.Side{Name: "replica", Call: func(i int) error { return table.Put(ctx, keys[i%benchKeys], value) }},
				versus.Side{Name: "net-http", Call: func(i int) error { return send("PUT", keys[i%benchKeys], string(value)) }})
		})
	}
}
