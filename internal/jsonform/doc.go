// Package jsonform puts keys and values into JSON, the same way in every
// object that torc prints.
//
// Keys and values are any bytes, and JSON's strings are UTF-8. So a key or a
// value has two fields in an object, of which one is there: "key" or "value" as
// a string where the bytes are UTF-8, and otherwise "key_base64" or
// "value_base64". A reader who never meets bytes of the second sort never meets
// the second field, and one who does can't mistake one for the other.
package jsonform
