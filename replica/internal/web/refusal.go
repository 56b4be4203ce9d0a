package web

import "strconv"

// refusal says why a request is not carried out: a status, and one line of text
// without its end.
type refusal struct {
	status int
	text   string
}

// Error returns the line.
func (r *refusal) Error() string { return r.text }

// What is said to bad input. The first group leaves open where the request ends,
// so the connection ends with the answer.
var (
	badStart      = &refusal{400, "this is not HTTP: a request is GET KEY HTTP/1.1"}
	badLine       = &refusal{400, "the request line is not: GET KEY HTTP/1.1, with one space between the words"}
	badVersion    = &refusal{505, "only HTTP/1.1 and HTTP/1.0 are spoken here"}
	badByte       = &refusal{400, "a space or control character stands in the key or value as it is: write it as %20 or the like"}
	badField      = &refusal{400, "a header line is not NAME: VALUE"}
	foldedField   = &refusal{400, "a header line begins with a space"}
	tooManyFields = &refusal{431, "there are more than " + strconv.Itoa(maxFields) + " header lines"}
	fieldsTooLong = &refusal{431, "the header lines are longer than " + strconv.Itoa(maxFieldBytes) + " bytes"}
	lineTooLong   = &refusal{413, "the key and the value are longer than this server takes"}
	repeatedField = &refusal{400, "a header line that counts is there twice"}
	badLength     = &refusal{400, "Content-Length is not a number"}
	twoLengths    = &refusal{400, "Transfer-Encoding comes with Content-Length, or in HTTP/1.0"}
	noLength      = &refusal{411, "a body needs a Content-Length: it is not taken in chunks"}
	unwantedBody  = &refusal{400, "only a PUT has a body"}
	cutOff        = &refusal{400, "the request ends before it is complete"}
	tooSlow       = &refusal{408, "the request took too long to arrive"}
	tooManyConns  = &refusal{503, "there are too many connections: try again, or ask another server"}
	noMemory      = &refusal{503, "too much is under way for a request or an answer as large as this one: try again"}
	shuttingDown  = &refusal{503, "this server is shutting down: ask another one"}
	plainToTLS    = &refusal{400, "this port speaks HTTPS alone"}
)

// These leave the connection as it is, if it can go on at all.
var (
	badMethod      = &refusal{405, "the methods are GET and HEAD"}
	badMethodOfOp  = &refusal{405, "the methods are GET, HEAD, PUT and DELETE"}
	badExpectation = &refusal{417, "nothing can be expected but 100-continue"}
	emptyKey       = &refusal{400, "the key is empty"}
	badEscape      = &refusal{400, "a % in the key or value is not followed by two hex digits: write the sign itself as %25"}
	keyTooLong     = &refusal{413, "the key is longer than this server takes"}
	valueTooLong   = &refusal{413, "the value is longer than this server takes"}
	badOp          = &refusal{400, "X-Torc-Op is not CLIENT-SEQ-ACKED, in hex, decimal and decimal, SEQ above ACKED"}
	badForm        = &refusal{400, "a request with X-Torc-Op is in HTTP/1.1, with a slash before the key, and Host"}
	badIf          = &refusal{400, "X-Torc-If is not absent, present or a version EPOCH-SEQ"}
	badTTL         = &refusal{400, "X-Torc-TTL is not a number of milliseconds from 1"}
	badFlag        = &refusal{400, "X-Torc-Swap and X-Torc-Members are 1 or not there"}
	onlyForPut     = &refusal{400, "X-Torc-If, X-Torc-TTL and X-Torc-Swap are for PUT"}
	noMembers      = &refusal{404, "this server tells nothing of its members"}
	noAnswer       = &refusal{500, "the value was set, but too much is under way for the old one to be sent"}
)
