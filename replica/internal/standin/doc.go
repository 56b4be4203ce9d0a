// Package standin stands in for the servers of a replica table, in tests of its
// clients: several HTTP servers, over one memory that every one of them speaks for,
// so that they are always of one mind. They die, freeze, lose answers and refuse to
// serve when a test says so.
package standin
