package memcache

import "fmt"

// oldest is the first memcached whose meta commands are the ones that this
// package sends. 1.6.10 brought ms with a length, base64 keys and HD, and until
// 1.6.13 CAS numbers in answers were wrong and md took no CAS.
var oldest = version{1, 6, 13}

// version is a memcached's, as "1.6.13" has it.
type version [3]int

func (v version) String() string { return fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2]) }

func (v version) before(w version) bool {
	for i := range v {
		if v[i] != w[i] {
			return v[i] < w[i]
		}
	}
	return false
}

// parseVersion reads the numbers that text begins with. Not every server that
// speaks the protocol has such.
func parseVersion(text string) (v version, ok bool) {
	n, _ := fmt.Sscanf(text, "%d.%d.%d", &v[0], &v[1], &v[2])
	return v, n == len(v)
}

// CheckVersion says why a server that calls itself version (the answer to the
// command of that name, "1.6.18" say) will not do for a Client; nil if it will.
// Not every server that speaks the protocol has a number to tell: those pass.
func CheckVersion(version string) error {
	if v, ok := parseVersion(version); ok && v.before(oldest) {
		return fmt.Errorf("it is a memcached %s, and %s is the oldest that will do: its meta commands are others", version, oldest)
	}
	return nil
}

// greet makes sure that a server is there that serves, and no memcached that is
// too old: a frozen one still accepts connections, by its kernel. A server that
// has no version to tell passes.
func (p *pipe) greet() error {
	out := appendQuery(nil, &query{op: opVersion}, 0)
	if _, err := p.nc.Write(appendQuery(out, &query{op: opNoop}, 0)); err != nil {
		return err
	}
	told, err := p.greeted(opVersion)
	if err != nil {
		return err
	}
	if told.code == codeText {
		if err := CheckVersion(told.text); err != nil {
			return err
		}
	}
	a, err := p.greeted(opNoop)
	switch {
	case told.code == codeError && (err != nil || a.code == codeError):
		// What it said first says more: one that is too busy hangs up after it.
		return fmt.Errorf("it answers %q to a greeting: too busy, or no memcached %v or newer", told.text, oldest)
	case err != nil:
		return err
	case a.code == codeError:
		return fmt.Errorf("it answers %q to the meta command mn, which a memcached %v or newer knows", a.text, oldest)
	case p.reader.buffered():
		return errUnasked // or it would be taken for the first call's answer
	}
	return nil
}

// greeted reads the answer to one of the two commands of a greeting.
func (p *pipe) greeted(o op) (answer, error) {
	line, err := p.reader.line()
	if err != nil {
		return answer{}, readError(err)
	}
	return p.reader.answer(line, o, echo{}, false)
}
