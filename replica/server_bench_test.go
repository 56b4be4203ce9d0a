package replica_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// BenchmarkServers measures swaps and reads by plain HTTP clients on connections of
// their own, against tables of one and of three servers, all of them and the clients
// in this process.
func BenchmarkServers(b *testing.B) {
	for _, n := range []int{1, 3} {
		for _, op := range []string{"swap", "read"} {
			for _, clients := range []int{1, 64} {
				b.Run(fmt.Sprintf("servers=%d/%s/clients=%d", n, op, clients), func(b *testing.B) {
					servers := startServers(b, n, nil)
					awaitNormal(b, servers)
					benchmarkClients(b, servers, clients, op == "swap")
					for _, s := range servers {
						s.end(b)
					}
				})
			}
		}
	}
}

func benchmarkClients(b *testing.B, servers []*running, clients int, swap bool) {
	b.ReportAllocs()
	b.ResetTimer()
	var left atomic.Int64
	left.Store(int64(b.N))
	var all sync.WaitGroup
	for i := range clients {
		c, err := net.Dial("tcp", servers[i%len(servers)].addr)
		if err != nil {
			b.Fatal(err)
		}
		all.Go(func() {
			defer c.Close()
			r := bufio.NewReader(c)
			var request []byte
			for j := 0; left.Add(-1) >= 0; j++ {
				request = appendRequest(request[:0], i, j, swap)
				if err := roundTrip(c, r, request); err != nil {
					b.Errorf("%s: %v", request, err)
					return
				}
			}
		})
	}
	all.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}

// appendRequest appends a client's request to dst: of one of a thousand keys, and if
// it is a swap with a value of its own.
func appendRequest(dst []byte, client, number int, swap bool) []byte {
	dst = append(dst, "GET /key"...)
	dst = strconv.AppendInt(dst, int64(client*7919+number)%1000, 10)
	if swap {
		dst = append(dst, '=')
		dst = strconv.AppendInt(dst, int64(client), 10)
		dst = append(dst, '.')
		dst = strconv.AppendInt(dst, int64(number), 10)
	}
	return append(dst, " HTTP/1.1\r\nHost: h\r\n\r\n"...)
}

var contentLength = []byte("Content-Length: ")

// roundTrip sends a request and reads the answer, which has to be 200.
func roundTrip(c io.Writer, r *bufio.Reader, request []byte) error {
	if _, err := c.Write(request); err != nil {
		return err
	}
	length := 0
	for first := true; ; first = false {
		line, err := r.ReadSlice('\n')
		switch {
		case err != nil:
			return err
		case first && !bytes.Contains(line, []byte(" 200 ")):
			return fmt.Errorf("it answers %s", line)
		case bytes.HasPrefix(line, contentLength):
			length, err = strconv.Atoi(string(bytes.TrimSpace(line[len(contentLength):])))
			if err != nil {
				return err
			}
		case len(line) <= 2:
			_, err := r.Discard(length)
			return err
		}
	}
}
