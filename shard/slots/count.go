//go:build !fewslots

package slots

// Count is the number of slots: the least common multiple of 1 to 12.
const Count = 27720
