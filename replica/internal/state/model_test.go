package state

import (
	"bytes"
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/torc-dht/torc/replica/internal/msg"
)

// model is the stupid version of State: a map, a list, and a search for whatever
// is asked for.
type model struct {
	limits                    Limits
	now, seq, merged, dropped uint64
	keys                      map[string]modelKey
	log                       []modelRecord
}

type modelKey struct {
	value         string
	version       msg.Version
	time, expires uint64
	removed       bool
	by            msg.OpID
	mayBe         bool
}

type modelRecord struct {
	id     msg.OpID // Acked: all that its client had said by then
	time   uint64
	result msg.Result
}

func newModel(l Limits) *model {
	return &model{limits: l.orDefaults(), keys: make(map[string]modelKey)}
}

func (m *model) apply(epoch, now uint64, op *msg.Op) msg.Result {
	m.now = max(m.now, now)
	m.clear()
	switch op.Kind {
	case msg.Get:
		return m.get(op.Key)
	case msg.Put, msg.Delete:
		if res, ok := m.known(op.ID); ok {
			return res
		}
		res := m.write(epoch, op)
		m.remember(op.ID, res)
		return res
	case msg.Merge:
		return m.merge(epoch, op)
	}
	return msg.Result{Status: msg.OK}
}

func (m *model) get(key string) msg.Result {
	k, ok := m.keys[key]
	if !ok || k.removed {
		return msg.Result{Status: msg.NotFound}
	}
	return msg.Result{Status: msg.OK, Found: true, Old: modelBytes(k.value), OldVersion: k.version}
}

func modelName(id msg.OpID) msg.OpID {
	if id.Client == 0 || id.Seq == 0 {
		return msg.OpID{}
	}
	return msg.OpID{Client: id.Client, Seq: id.Seq}
}

func modelBytes(v string) []byte {
	if v == "" {
		return nil
	}
	return []byte(v)
}

func (m *model) write(epoch uint64, op *msg.Op) msg.Result {
	res := m.get(op.Key)
	old := res.Old
	res.Status, res.Old = msg.OK, nil
	switch {
	case op.Kind == msg.Delete:
		if !res.Found {
			res.Status = msg.NotFound
		}
	case op.Cond == msg.IfAbsent && res.Found:
		res.Status = msg.Exists
	case op.Cond == msg.IfPresent && !res.Found, op.Cond == msg.IfVersion && !res.Found:
		res.Status = msg.NotFound
	case op.Cond == msg.IfVersion && res.OldVersion != op.Version:
		res.Status = msg.Conflict
	}
	if res.Status != msg.OK {
		return res
	}
	k := modelKey{time: m.now, removed: op.Kind == msg.Delete, by: modelName(op.ID), mayBe: op.Cond != msg.Always}
	if was, some := m.keys[op.Key]; some {
		k.time = max(k.time, was.time+1)
	}
	if !k.removed {
		k.value, k.expires = string(op.Value), op.Expires
		if !m.fits(op.Key, k) {
			res.Status = msg.Full
			return res
		}
	}
	res.Old, res.Version = old, m.set(epoch, op.Key, k)
	return res
}

func (m *model) merge(epoch uint64, op *msg.Op) msg.Result {
	res := m.get(op.Key)
	old := res.Old
	res.Status, res.Old = msg.OK, nil
	was, some := m.keys[op.Key]
	k := modelKey{time: op.Time, removed: op.Removed, by: modelName(op.ID), mayBe: op.Cond != msg.Always}
	if !k.removed {
		k.value, k.expires = string(op.Value), op.Expires
	}
	fork := msg.Version{Epoch: op.Fork.Epoch.Number, Seq: op.Fork.Seq}
	same := was.value == string(op.Value) && was.removed == op.Removed
	switch {
	case op.ID.Client != 0 && m.find(op.ID) >= 0:
		res.Status = msg.Superseded
	case op.Cond != msg.Always && op.ID.Client != 0 && op.ID.Seq > 0 && op.ID.Seq <= m.acked(op.ID.Client) &&
		(op.Cond == msg.IfPresent || !some || was.version.Epoch != op.Version.Epoch || was.version.Seq >= op.Version.Seq):
		res.Status = msg.Superseded
		m.dropped++
	case some && op.Cond == msg.IfVersion && op.Time <= was.time,
		some && op.Cond != msg.IfVersion && was.version.Compare(fork) > 0:
		res.Status = msg.Superseded
		if !same {
			m.dropped++
		}
	case !k.removed && !m.fits(op.Key, k):
		res.Status = msg.Full
		m.dropped++
	default:
		m.merged++
		res.Old, res.Version = old, m.set(epoch, op.Key, k)
		if op.ID.Seq > m.acked(op.ID.Client) {
			m.remember(op.ID, msg.Result{Status: msg.Repeated, Version: res.Version})
		}
	}
	return res
}

func modelSize(key string, k modelKey) uint64 { return uint64(len(key)+len(k.value)) + 128 }

// sum adds up the sizes of the entries, or of the graves.
func (m *model) sum(removed bool) (n int, size uint64) {
	for key, k := range m.keys {
		if k.removed == removed {
			n++
			size += modelSize(key, k)
		}
	}
	return n, size
}

func (m *model) fits(key string, k modelKey) bool {
	_, size := m.sum(false)
	var before uint64
	if was, ok := m.keys[key]; ok && !was.removed {
		before = modelSize(key, was)
	}
	return modelSize(key, k) <= before || size-before+modelSize(key, k) <= m.limits.Bytes
}

func (m *model) set(epoch uint64, key string, k modelKey) msg.Version {
	m.seq++
	k.version = msg.Version{Epoch: epoch, Seq: m.seq}
	m.keys[key] = k
	if !k.removed && k.expires != 0 && k.expires <= m.now {
		m.bury(key)
	}
	m.trim()
	return k.version
}

func (m *model) bury(key string) {
	k := m.keys[key]
	k.value, k.removed = "", true
	m.keys[key] = k
}

func (m *model) trim() {
	for {
		if _, size := m.sum(true); size <= m.limits.RecordBytes {
			return
		}
		key, _, _ := m.first(true)
		delete(m.keys, key)
	}
}

// first returns the key that is the first to expire, or the oldest grave, and
// when.
func (m *model) first(removed bool) (key string, at uint64, ok bool) {
	for k, v := range m.keys {
		if v.removed != removed || !removed && v.expires == 0 {
			continue
		}
		t := v.expires
		if t == 0 {
			t = v.time
		}
		if !ok || t < at || t == at && k < key {
			key, at, ok = k, t, true
		}
	}
	return key, at, ok
}

func (m *model) clear() {
	for {
		key, at, ok := m.first(false)
		if !ok || at > m.now {
			break
		}
		m.bury(key)
		m.trim()
	}
	for {
		key, at, ok := m.first(true)
		if !ok || at+3600e6 > m.now {
			break
		}
		delete(m.keys, key)
	}
	m.log = slices.DeleteFunc(m.log, func(r modelRecord) bool { return r.time+600e6 <= m.now })
}

// acked is what the newest record of a client says.
func (m *model) acked(client uint64) uint64 {
	for _, r := range slices.Backward(m.log) {
		if r.id.Client == client {
			return r.id.Acked
		}
	}
	return 0
}

func (m *model) find(id msg.OpID) int {
	return slices.IndexFunc(m.log, func(r modelRecord) bool { return r.id.Client == id.Client && r.id.Seq == id.Seq })
}

func (m *model) known(id msg.OpID) (msg.Result, bool) {
	switch i := m.find(id); {
	case id.Client == 0 || id.Seq == 0:
		return msg.Result{}, false
	case id.Seq <= m.acked(id.Client):
		return msg.Result{Status: msg.Repeated}, true
	case i >= 0:
		return m.log[i].result, true
	}
	return msg.Result{}, false
}

func (m *model) remember(id msg.OpID, res msg.Result) {
	if id.Client == 0 || id.Seq == 0 {
		return
	}
	id.Acked = max(m.acked(id.Client), min(id.Acked, id.Seq-1))
	m.log = slices.DeleteFunc(m.log, func(r modelRecord) bool { return r.id.Client == id.Client && r.id.Seq <= id.Acked })
	m.log = append(m.log, modelRecord{id: id, time: m.now, result: res})
	if n := len(m.log) - m.limits.Records; n > 0 {
		m.log = m.log[n:]
	}
	for i := range m.log {
		var held uint64
		for _, r := range m.log {
			held += uint64(len(r.result.Old))
		}
		if held <= m.limits.RecordBytes {
			return
		}
		if r := &m.log[i].result; len(r.Old) > 0 {
			*r = msg.Result{Status: msg.Repeated, Version: r.Version}
		}
	}
}

func (m *model) since(f msg.Point) []msg.Op {
	ops := []msg.Op{}
	for key, k := range m.keys {
		if k.version.Compare(msg.Version{Epoch: f.Epoch.Number, Seq: f.Seq}) <= 0 {
			continue
		}
		op := msg.Op{
			ID: k.by, Kind: msg.Merge, Key: key, Value: modelBytes(k.value), Version: k.version,
			Time: k.time, Expires: k.expires, Removed: k.removed, Fork: f,
		}
		if k.mayBe {
			op.Cond = msg.IfPresent
		}
		ops = append(ops, op)
	}
	slices.SortFunc(ops, func(a, b msg.Op) int { return cmp.Compare(a.Version.Seq, b.Version.Seq) })
	return ops
}

// someOps draws operations that come upon each other: few keys, few clients, times
// and versions that are near.
func someOp(t *rapid.T, seq, now uint64) *msg.Op {
	back := func(v uint64, most int, label string) uint64 {
		return v - min(v, uint64(rapid.IntRange(0, most).Draw(t, label)))
	}
	near := func(v uint64, label string) uint64 { return back(v, 6, label) }
	op := &msg.Op{
		Kind:  rapid.SampledFrom([]msg.OpKind{msg.Put, msg.Put, msg.Put, msg.Delete, msg.Merge, msg.Expire, msg.Get}).Draw(t, "kind"),
		Key:   rapid.SampledFrom([]string{"", "a", "b", "c", "long name", "\xff"}).Draw(t, "key"),
		Value: rapid.SliceOfN(rapid.Byte(), 0, 60).Draw(t, "value"),
	}
	if rapid.IntRange(0, 3).Draw(t, "named") > 0 {
		op.ID = msg.OpID{
			Client: uint64(rapid.IntRange(0, 3).Draw(t, "client")),
			Seq:    near(seq+3, "number"),
			Acked:  back(seq+3, 30, "acked"),
		}
	}
	if rapid.IntRange(0, 3).Draw(t, "expires") == 0 {
		op.Expires = now + uint64(rapid.IntRange(0, 3_000_000).Draw(t, "ttl"))
	}
	op.Cond = msg.Cond(rapid.IntRange(0, 3).Draw(t, "cond"))
	op.Version = msg.Version{Epoch: 1, Seq: near(seq, "version")}
	if op.Kind == msg.Merge {
		op.Time = near(now, "time")
		op.Fork.Epoch.Number, op.Fork.Seq = uint64(rapid.IntRange(0, 2).Draw(t, "fork")), near(seq, "fork seq")
		if op.Removed = rapid.Bool().Draw(t, "removed"); op.Removed {
			op.Value = nil
		}
	}
	return op
}

func someLimits(t *rapid.T) Limits {
	if rapid.Bool().Draw(t, "no limits") {
		return Limits{}
	}
	return Limits{
		Bytes:       rapid.SampledFrom([]uint64{1, 150, 300, 900, 1 << 20}).Draw(t, "bytes"),
		Records:     rapid.SampledFrom([]int{1, 2, 8, 1000}).Draw(t, "records"),
		RecordBytes: rapid.SampledFrom([]uint64{1, 20, 80, 150, 300, 1 << 20}).Draw(t, "record bytes"),
	}
}

// A state does what the model does, the same operations applied to what was loaded
// from its images do, too, and images stay what they were.
func TestAgainstModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		limits := someLimits(t)
		s, m := New(limits), newModel(limits)
		var epoch, now uint64 = 1, 0
		var im *Image
		var imBytes []byte
		t.Repeat(map[string]func(*rapid.T){
			"apply": func(t *rapid.T) {
				for range rapid.IntRange(1, 20).Draw(t, "operations") {
					now += rapid.SampledFrom([]uint64{0, 0, 1, 1000, 1_000_000}).Draw(t, "step")
					op := someOp(t, s.Seq(), now)
					at := now
					if rapid.IntRange(0, 9).Draw(t, "clock goes back") == 0 {
						at = 0
					}
					got, want := s.Apply(epoch, at, op), m.apply(epoch, at, op)
					if !reflect.DeepEqual(got, want) {
						t.Fatalf("%+v: got %s, want %s", op, show(got), show(want))
					}
					clear(op.Value) // it was ours
				}
			},
			"wait": func(t *rapid.T) {
				now += rapid.Uint64Range(0, 3700e6).Draw(t, "wait")
			},
			"epoch": func(*rapid.T) { epoch++ },
			"reload": func(t *rapid.T) {
				again, err := reload(s, rapid.IntRange(1, 300).Draw(t, "chunk"))
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(all(again.Image(), 1<<20), all(s.Image(), 1<<20)) {
					t.Fatal("the image of what was loaded is another")
				}
				s = again
			},
			"image": func(t *rapid.T) {
				if im != nil && !bytes.Equal(all(im, 100), imBytes) {
					t.Fatal("an image has changed")
				}
				im = s.Image()
				imBytes = all(im, 1<<20)
			},
			"since": func(t *rapid.T) {
				f := msg.Point{Epoch: msg.Epoch{Number: epoch - 1 + uint64(rapid.IntRange(0, 1).Draw(t, "epoch"))}}
				f.Seq = s.Seq() - min(s.Seq(), uint64(rapid.IntRange(0, 10).Draw(t, "back")))
				got := []msg.Op{}
				for _, op := range s.Since(f) {
					got = append(got, *op)
				}
				if want := m.since(f); !reflect.DeepEqual(got, want) {
					t.Fatalf("since %+v: got %+v, want %+v", f, got, want)
				}
			},
			"": func(t *rapid.T) { compare(t, s, m) },
		})
	})
}

func compare(t *rapid.T, s *State, m *model) {
	for _, key := range []string{"", "a", "b", "c", "long name", "\xff"} {
		if got, want := s.Get(key), m.get(key); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: got %s, want %s", key, show(got), show(want))
		}
	}
	type numbers struct {
		len                                  int
		bytes, seq, now, merged, dropped, at uint64
		due                                  bool
		items, records, buried               int
	}
	merged, dropped := s.Dropped()
	at, due := s.Due()
	got := numbers{s.Len(), s.Bytes(), s.Seq(), s.Now(), merged, dropped, at, due, s.items.Len(), s.records.ledger.n, len(s.graves.items)}
	n, size := m.sum(false)
	buried, _ := m.sum(true)
	_, wantAt, wantDue := m.first(false)
	want := numbers{n, size, m.seq, m.now, m.merged, m.dropped, wantAt, wantDue, len(m.keys), len(m.log), buried}
	if got != want {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	known := 0
	for client, sess := range s.records.sessions {
		if len(sess.known) == 0 || sess.acked != m.acked(client) {
			t.Fatalf("client %d: %d records, acked %d, want %d", client, len(sess.known), sess.acked, m.acked(client))
		}
		known += len(sess.known)
	}
	if known != len(m.log) {
		t.Fatalf("clients have %d records, of %d", known, len(m.log))
	}
	if _, size := m.sum(true); s.buried != size {
		t.Fatalf("graves take %d, want %d", s.buried, size)
	}
	if len(s.index) != s.items.Len() {
		t.Fatalf("%d items in the index, %d in the tree", len(s.index), s.items.Len())
	}
	if s.Bytes() > s.limits.Bytes {
		t.Fatalf("%d bytes: at most %d", s.Bytes(), s.limits.Bytes)
	}
	for i, r := range m.log {
		if got := fmt.Sprint(s.records.find(r.id)); i == len(m.log)-1 && got != fmt.Sprint(m.known(r.id)) {
			t.Fatalf("%+v: got %s, want %s", r.id, got, fmt.Sprint(m.known(r.id)))
		}
	}
}
