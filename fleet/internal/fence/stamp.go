package fence

import "time"

// Stamp is what a value carries in memcached's 32 bits of flags: the view under
// which it was written, and two marks.
//
//	31        22 21 20 19                  0
//	┌───────────┬──┬──┬─────────────────────┐
//	│generation │p │l │ version of the view │
//	└───────────┴──┴──┴─────────────────────┘
//
// l: the item lingers (see [Stamp.Lingering]). p is kept free for values that
// carry a caller's own flags.
type Stamp uint32

const (
	versionBits    = 20
	lingerMark     = 1 << 20
	generationBits = 10

	// MaxVersion is the highest version that a stamp can carry.
	MaxVersion = 1<<versionBits - 1
)

// Linger is how much longer than its life an item stays that has to be known to
// be dead: a deleted one, or one with a time to live, while a server that is away
// may come back with an older one. A server that was away for longer than this
// comes back to keys whose fate is forgotten, so that nothing it holds counts.
//
// An hour outlives a reboot and a repair. After that the stand-ins have the hits,
// and to keep what has expired for longer would cost them room.
const Linger = time.Hour

// NewStamp returns the stamp of a value written under the given view of the
// given generation. Version is at most MaxVersion. Generations count by their
// lowest 10 bits, of which 0 is taken by values that nobody stamped.
func NewStamp(generation, version uint64) Stamp {
	return Stamp(generation<<(32-generationBits)) | Stamp(version&MaxVersion)
}

// GenerationMark is what stamps know a generation by.
func GenerationMark(generation uint64) uint32 { return uint32(generation) & (1<<generationBits - 1) }

// Of says whether s is of the given generation.
func (s Stamp) Of(generation uint64) bool {
	return uint32(s)>>(32-generationBits) == GenerationMark(generation)
}

// Version is the version of the view under which the value was written.
func (s Stamp) Version() uint64 { return uint64(s & MaxVersion) }

// Lingering returns s with the mark that its item stays for Linger longer than
// its life, which is over when it has Linger or less left to stay. So a
// tombstone is an empty lingering item whose life is over from the beginning.
func (s Stamp) Lingering() Stamp { return s | lingerMark }

// Lingers says whether s has that mark.
func (s Stamp) Lingers() bool { return s&lingerMark != 0 }

// Dead says whether an item with this stamp, that stays for the given time yet
// (0: for ever), is past its life.
func (s Stamp) Dead(stays time.Duration) bool {
	return s&lingerMark != 0 && stays != 0 && stays <= Linger
}
