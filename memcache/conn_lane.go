package memcache

import "context"

// laneChunk is how many bytes of a lane are appended in one go: others who send
// wait as long.
const laneChunk = 16 << 10

// sendLane is send for the requests of l, in order, as calls of w: for all of
// them or, unless all is set, for as many as there is room for. What it did is in
// l; flush, and with l.lone readFor, have to follow.
func (p *pipe) sendLane(ctx context.Context, l *lane, w *wave, all bool) (room <-chan struct{}, err error) {
	g := l.group
	p.mu.Lock()
	if err := p.mu.dead; err != nil {
		p.mu.Unlock()
		return nil, err
	}
	inFlight := p.inFlightLocked()
	n, last, size := l.n, l.last, l.size
	if !p.fitsLocked(inFlight, n, size) {
		if !all {
			n, last, size = p.admitLaneLocked(inFlight, l)
		}
		if all || n == 0 {
			room := p.roomLocked()
			p.mu.Unlock()
			return room, errFull
		}
	}
	l.pipe, l.sent = p, n
	w.left.Add(int64(n))
	l.crowd = inFlight > 0 || p.mu.crowd
	writes, now := p.takeWritingLocked()
	l.writes = writes
	if cl := g.calls[last]; p.takeReadingLocked(ctx, cl) {
		l.lone = cl
		l.looks = !p.fresh(now) && writes
	}
	p.mu.calls += uint64(n)
	l.upTo = p.mu.calls
	p.mu.promised += size
	i, chunk := l.first, 0
	for {
		r := &g.requests[i]
		p.appendLocked(g.calls[i], &r.query)
		p.mu.promised -= r.query.maxLen()
		if n--; n == 0 {
			break
		}
		i = r.next
		if chunk += r.query.maxLen(); chunk < laneChunk {
			continue
		}
		chunk = 0
		p.mu.Unlock()
		l.flush()
		p.mu.Lock()
		if p.mu.dead != nil {
			break
		}
		l.writes, _ = p.takeWritingLocked()
	}
	dead := p.mu.dead
	p.mu.Unlock()
	for ; n > 0; n-- { // it died meanwhile, and never saw these
		cl := g.calls[i]
		cl.err, cl.sent = dead, false
		cl.end(answered)
		i = g.requests[i].next
	}
	return nil, nil
}

// admitLaneLocked says how many of l's requests there is room for, which the last
// of them is, and the bytes that they take at most.
func (p *pipe) admitLaneLocked(inFlight int, l *lane) (n, last, size int) {
	for i := l.first; i >= 0; i = l.group.requests[i].next {
		more := l.group.requests[i].query.maxLen()
		if !p.fitsLocked(inFlight, n+1, size+more) {
			break
		}
		n, last, size = n+1, i, size+more
	}
	return n, last, size
}

// park parks the read role, which a caller has, unless others have sent calls
// since the calls-th.
func (p *pipe) park(calls uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.calls != calls || p.mu.dead != nil || p.mu.broke {
		p.stopReadingLocked()
	} else {
		p.mu.reading = readParked
	}
}

// unpark takes the role back that was parked for cl, or, if the caller can't
// stay, gives it to run. It says whether the caller has it now.
func (p *pipe) unpark(cl *call, stay bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.reading != readParked || p.mu.lone != cl {
		return false // run has it
	}
	if stay {
		p.mu.reading = readCaller
	} else {
		p.readByRunLocked()
	}
	return stay
}
