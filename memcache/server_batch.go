package memcache

// nextCall is where the connection parses a request that may be gathered.
func (c *serverConn) nextCall() *Call {
	if c.batch == nil {
		c.batch = batchPool.Get().(*Batch)
	}
	return c.batch.next()
}

// gather makes the next call part of the batch, with its value, and serves a
// batch that is full by that. It says no to what isn't all here, isn't as it
// should be or isn't for ServeBatch: that is carried out by itself.
func (c *serverConn) gather() bool {
	r := &c.batch.next().Request
	if !batched(r) || len(r.Keys) > MaxBatch {
		return false
	}
	if n, hasData := r.DataLen(); hasData {
		here := c.in[c.r:c.w]
		if n > c.maxItem || len(here) < n+2 || here[n] != '\r' || here[n+1] != '\n' {
			return false
		}
		r.Value = append(make([]byte, 0, n), here[:n]...)
		c.r += n + 2
	}
	r.MaxValue = c.maxItem
	c.batch.add()
	if c.batch.full() {
		c.serveBatch()
	}
	return true
}

// batched says whether r is for ServeBatch.
func batched(r *Request) bool {
	switch r.Op {
	case OpNoop, OpQuit, OpStats, OpDump:
		return false
	}
	return true
}

// serveBatch has what was gathered carried out and writes the answers. The next
// call stays that: a request may be in it which could not be gathered.
func (c *serverConn) serveBatch() {
	b := c.batch
	if b == nil || b.n == 0 {
		return
	}
	n := b.n
	c.serveAll(b, false)
	if n < len(b.calls) {
		b.calls[0], b.calls[n] = b.calls[n], b.calls[0]
	}
}

// serveAll has the calls of b carried out, writes the answers, and empties b. If
// the last answer goes on in another batch it isn't completed, unless by an
// error: then goesOn comes back as false.
func (c *serverConn) serveAll(b *Batch, goesOn bool) bool {
	kept := c.batch
	c.batch = nil // after a panic somebody may still have it
	b.serve(c.batcher)
	c.batch = kept
	c.out.open()
	for i, call := range b.Calls() {
		a := &call.Answer
		if goesOn && i == b.n-1 {
			if goesOn = a.end; goesOn {
				a.end, a.answered = false, true
			}
		}
		a.finish()
		c.out.take(a)
	}
	b.empty()
	return goesOn
}

// serveAlone has the next call carried out in a batch of its own; a get of many
// keys in several.
func (c *serverConn) serveAlone() {
	b := c.batch
	r := &b.next().Request
	keys := r.Keys
	for goesOn := true; goesOn && c.out.err == nil; {
		if goesOn = len(keys) > MaxBatch; goesOn {
			r.Keys, keys = keys[:MaxBatch:MaxBatch], keys[MaxBatch:]
		} else {
			r.Keys = keys
		}
		if len(r.Keys) > 0 {
			r.Key = r.Keys[0]
		}
		b.add()
		goesOn = c.serveAll(b, goesOn)
	}
}

// releaseBatch gives the empty batch back while there is nothing to do.
func (c *serverConn) releaseBatch() {
	if c.batch != nil {
		batchPool.Put(c.batch)
		c.batch = nil
	}
}
