package link

import (
	"bytes"
	"sync"

	"github.com/torc-dht/torc/shard/slots"
)

// maps are the last few that this process sent or received, with their bytes. A
// process sends its newest map to everybody and gets it from nearly everybody, and
// to write or read one costs a hundred times what it costs to compare it.
var maps struct {
	sync.Mutex
	kept [4]keptMap
	next int // to be forgotten first
}

type keptMap struct {
	m    *slots.Map
	data []byte
}

// keptBy returns a map that is kept, if one is as is asked for.
func keptBy(is func(*keptMap) bool) (keptMap, bool) {
	maps.Lock()
	defer maps.Unlock()
	for i := range maps.kept {
		if is(&maps.kept[i]) {
			return maps.kept[i], true
		}
	}
	return keptMap{}, false
}

func keepMap(m *slots.Map, data []byte) {
	maps.Lock()
	defer maps.Unlock()
	maps.kept[maps.next] = keptMap{m, data}
	maps.next = (maps.next + 1) % len(maps.kept)
}

// mapToWire returns a map's bytes, which are not to be changed; nil for no map.
func mapToWire(m *slots.Map) ([]byte, error) {
	if m == nil {
		return nil, nil
	}
	if k, ok := keptBy(func(k *keptMap) bool { return k.m == m }); ok {
		return k.data, nil
	}
	data, err := m.MarshalBinary()
	if err == nil {
		keepMap(m, data)
	}
	return data, err
}

// mapFromWire returns the map that b has, nil for no bytes. It keeps nothing of b.
func mapFromWire(b []byte) (*slots.Map, error) {
	if len(b) == 0 {
		return nil, nil
	}
	if k, ok := keptBy(func(k *keptMap) bool { return bytes.Equal(k.data, b) }); ok {
		return k.m, nil
	}
	m := new(slots.Map)
	if err := m.UnmarshalBinary(b); err != nil {
		return nil, err
	}
	keepMap(m, bytes.Clone(b))
	return m, nil
}
