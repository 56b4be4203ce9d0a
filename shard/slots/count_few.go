//go:build fewslots

package slots

// Count is the number of slots of a table that is made small, for simulations: what
// goes wrong among many goes wrong among few, and many more runs fit in a minute.
// Nothing that is built so gets on with what is not.
const Count = 120
