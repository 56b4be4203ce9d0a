package zookeeper

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/torc-dht/torc/fleet"
	"github.com/torc-dht/torc/fleet/internal/fence"
)

// configData is what is written into config.
type configData struct {
	// Generation is below 2^53, so that programs whose numbers are floating
	// point read it right, and its lowest 10 bits, by which stamps tell
	// generations apart, are never all 0.
	Generation uint64 `json:"generation"`
	Hash       string `json:"hash"`
	VNodes     int    `json:"vnodes"`
	Copies     int    `json:"copies"`
	// Stamps and Rejoin are missing in what a torc wrote that knew no stamps.
	Stamps string `json:"stamps,omitempty"`
	Rejoin string `json:"rejoin,omitempty"`
	// Base is the members' cversion from which the generation's versions count.
	Base uint32 `json:"base,omitempty"`
}

func (d configData) config() fleet.Config {
	return fleet.Config{Hash: d.Hash, VNodes: d.VNodes, Copies: d.Copies, Stamps: d.Stamps, Rejoin: d.Rejoin}
}

func (d configData) stamped() bool { return d.Stamps == fleet.StampsOn }

// version is that of the view which has the given cversion, and fits says
// whether a stamp can carry it. ZooKeeper lets cversion overflow.
func (d configData) version(cversion int32) (version uint64, fits bool) {
	version = uint64(uint32(cversion) - d.Base)
	return version, version <= fence.MaxVersion
}

func (d configData) encode() []byte {
	data, err := json.Marshal(d)
	if err != nil {
		panic(err) // numbers and strings
	}
	return data
}

// parseConfig reads what is in config.
func parseConfig(data []byte) (configData, error) {
	var d configData
	if err := json.Unmarshal(data, &d); err != nil {
		return configData{}, err
	}
	d.Stamps = cmp.Or(d.Stamps, fleet.StampsOff)
	d.Rejoin = cmp.Or(d.Rejoin, fleet.RejoinCheck)
	switch {
	case d.Generation == 0 || d.Hash == "" || d.VNodes < 1 || d.Copies < 1:
		return configData{}, errors.New("generation, hash, vnodes and copies have to be there")
	case d.Stamps != fleet.StampsOn && d.Stamps != fleet.StampsOff:
		return configData{}, fmt.Errorf("stamps is %q, neither %s nor %s", d.Stamps, fleet.StampsOn, fleet.StampsOff)
	case d.Rejoin != fleet.RejoinCheck && d.Rejoin != fleet.RejoinDrop:
		return configData{}, fmt.Errorf("rejoin is %q, neither %s nor %s", d.Rejoin, fleet.RejoinCheck, fleet.RejoinDrop)
	case d.stamped() && fence.GenerationMark(d.Generation) == 0:
		return configData{}, fmt.Errorf("generation %d has 0 in its lowest 10 bits, which stands for values without a stamp", d.Generation)
	}
	return d, nil
}

// newConfig is the config of a new generation after the given one (0 if none is
// known): what was asked for, and the defaults where nothing was. Cversion is
// the members' own as far as it is known.
func newConfig(before uint64, asked fleet.Config, cversion int32) configData {
	asked.Stamps = cmp.Or(asked.Stamps, fleet.StampsOn)
	c := asked.WithDefaults()
	d := configData{Generation: newGeneration(before), Hash: c.Hash, VNodes: c.VNodes, Copies: c.Copies, Stamps: c.Stamps, Rejoin: c.Rejoin}
	if _, fits := d.version(cversion); !fits {
		d.Base = uint32(cversion) - 1
	}
	return d
}

// newGeneration draws a generation. Stamps don't take it for the one before.
func newGeneration(before uint64) uint64 {
	for {
		g := rand.Uint64N(1 << 53)
		if mark := fence.GenerationMark(g); mark != 0 && mark != fence.GenerationMark(before) {
			return g
		}
	}
}

// contradiction says in what asked differs from has. Zero fields ask nothing.
func contradiction(asked, has fleet.Config) error {
	var wrong []string
	if asked.Hash != "" && asked.Hash != has.Hash {
		wrong = append(wrong, fmt.Sprintf("hash=%s, not %s", has.Hash, asked.Hash))
	}
	if asked.VNodes != 0 && asked.VNodes != has.VNodes {
		wrong = append(wrong, fmt.Sprintf("vnodes=%d, not %d", has.VNodes, asked.VNodes))
	}
	if asked.Copies != 0 && asked.Copies != has.Copies {
		wrong = append(wrong, fmt.Sprintf("copies=%d, not %d", has.Copies, asked.Copies))
	}
	if asked.Stamps != "" && asked.Stamps != has.Stamps {
		wrong = append(wrong, fmt.Sprintf("stamp=%s, not %s", has.Stamps, asked.Stamps))
	}
	if asked.Rejoin != "" && has.Stamps == fleet.StampsOff {
		wrong = append(wrong, "stamp=off, with which nobody knows what may be stale, so that rejoin="+asked.Rejoin+" can't be")
	} else if asked.Rejoin != "" && asked.Rejoin != has.Rejoin {
		wrong = append(wrong, fmt.Sprintf("rejoin=%s, not %s", has.Rejoin, asked.Rejoin))
	}
	if wrong == nil {
		return nil
	}
	return fmt.Errorf("the fleet has %s", strings.Join(wrong, "; "))
}
