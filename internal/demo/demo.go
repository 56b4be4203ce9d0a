package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/crash"
	"github.com/torc-dht/torc/internal/terminal"
	"github.com/torc-dht/torc/script"
)

// Servers is the fleet that a demo plays with: servers that run, and together
// are one table.
type Servers interface {
	// What says in a few words what the servers are.
	What() string
	// URL names the table.
	URL() string
	// Addrs are the servers' addresses, always in the same order.
	Addrs() []string
	// Kill ends server i by SIGKILL, and returns when it is gone.
	Kill(i int) error
	// Restart starts server i again at its address, with nothing in it, and
	// returns when it answers.
	Restart(ctx context.Context, i int) error
	// Close ends all of them, and returns when they are gone.
	Close() error
}

// Config of a demo. All fields but Style are needed.
type Config struct {
	// Out takes the story.
	Out io.Writer
	// Style is what suits Out.
	Style terminal.Style
	// Commands is the commands file that runs while things happen. A server is
	// killed in its first SLEEP and started again in its second.
	Commands script.Script
	// Keys is how many keys are put.
	Keys int
}

// What a table has to keep in a demo. A server that was killed refuses its
// connections at once, so that a second is plenty; and one hit in a thousand is
// what an overloaded machine may cost.
const (
	seenWithin = time.Second
	leastHits  = 0.999
)

// ErrNotAsPromised is what Run's error wraps when all could be tried and
// something was seen that the table promises not to do.
var ErrNotAsPromised = errors.New("the demo saw something else than was promised")

// Run plays the demo on servers, which stay running, and tells it on cfg.Out.
func Run(ctx context.Context, cfg Config, servers Servers) error {
	t, err := torc.Open(ctx, servers.URL())
	if err != nil {
		return err
	}
	d := &demo{Config: cfg, servers: servers, table: t, views: follow(t), start: time.Now()}
	err = d.play(ctx)
	err = errors.Join(err, t.Close())
	d.views.wait()
	return err
}

type demo struct {
	Config
	servers Servers
	table   torc.Table
	views   *views

	keys   []string
	home   map[string]string // each key's place before anything happened
	victim int               // the server that is killed, by its index
	start  time.Time         // of the demo
	began  time.Time         // of the commands file

	promises []promise
}

// promise is something that the table promises, and what was seen of it.
type promise struct {
	text, seen string
	kept       bool
}

func (d *demo) promise(kept bool, text, format string, args ...any) {
	d.promises = append(d.promises, promise{text, fmt.Sprintf(format, args...), kept})
}

func (d *demo) play(ctx context.Context) error {
	for i := range d.Keys {
		d.keys = append(d.keys, fmt.Sprintf("key-%03d", i))
	}
	if err := d.awaitAll(ctx); err != nil {
		return err
	}
	d.introduce()
	if err := d.putAll(ctx); err != nil {
		return err
	}
	if err := d.chooseVictim(ctx); err != nil {
		return err
	}

	callers := &load{table: d.table, keys: d.keys, callers: 4, pause: time.Millisecond}
	loading, stopLoad := context.WithCancel(ctx)
	defer stopLoad()
	loaded := make(chan struct{})
	go func() {
		defer crash.Guard()
		defer close(loaded)
		callers.run(loading)
	}()
	err := d.runCommands(ctx)
	stopLoad()
	<-loaded
	if err != nil {
		return err
	}
	if err := d.checkAll(ctx); err != nil {
		return err
	}
	d.report(callers)
	return d.verdict()
}

// number names server i as the story does.
func (d *demo) number(i int) string { return fmt.Sprintf("server %d", i+1) }

// say prints a line, indented under its heading.
func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.Out, "  "+format+"\n", args...)
}

func (d *demo) heading(format string, args ...any) {
	fmt.Fprintf(d.Out, "\n%s\n", d.Style.Bold(fmt.Sprintf(format, args...)))
}

// at prints a line with the time since the commands file began.
func (d *demo) at(when time.Time, format string, args ...any) {
	d.say("%s  %s", d.Style.Dim(fmt.Sprintf("%5.2f s", when.Sub(d.began).Seconds())), fmt.Sprintf(format, args...))
}

// awaitAll waits until the table has all servers: watchdogs take a moment to
// announce theirs.
func (d *demo) awaitAll(ctx context.Context) error {
	for _, addr := range d.servers.Addrs() {
		if _, _, err := d.views.await(ctx, addr, time.Time{}, torc.Up); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) introduce() {
	addrs := d.servers.Addrs()
	d.heading("%d servers (%s), one table", len(addrs), d.servers.What())
	d.say("%s", d.servers.URL())
}

func (d *demo) putAll(ctx context.Context) error {
	began := time.Now()
	if err := fill(ctx, d.table, d.keys); err != nil {
		return err
	}
	took := time.Since(began)
	home, err := places(ctx, d.table, d.keys)
	if err != nil {
		return err
	}
	d.home = home
	d.heading("%d keys, put in %d ms; a key's place follows from its name and from who is there", len(d.keys), took.Milliseconds())
	d.showPlaces(home)
	return nil
}

// showPlaces prints how many keys each server holds, and how many of them had
// another place at first.
func (d *demo) showPlaces(where map[string]string) {
	held, arrived := make(map[string]int), make(map[string]int)
	most := 1
	for key, addr := range where {
		held[addr]++
		most = max(most, held[addr])
		if d.home[key] != addr {
			arrived[addr]++
		}
	}
	var table terminal.Table
	for i, addr := range d.servers.Addrs() {
		count := fmt.Sprintf("%4d keys", held[addr])
		if n := arrived[addr]; n > 0 {
			count += fmt.Sprintf(", %d of them new", n)
		}
		bar := d.Style.Accent(d.bar(held[addr]-arrived[addr], most)) + d.Style.Warn(d.bar(arrived[addr], most))
		table.Add(d.number(i), addr, count, bar)
	}
	table.Paint = func(_, column int, cell string) string {
		if column == 0 {
			return d.Style.Bold(cell)
		}
		return cell
	}
	for line := range strings.Lines(table.String()) {
		d.say("%s", strings.TrimRight(line, " \n"))
	}
}

// barWidth is how wide the longest bar is, in cells.
const barWidth = 32

func (d *demo) bar(n, most int) string {
	return strings.TrimRight(d.Style.Bar(float64(n)/float64(most), barWidth), " ")
}

// chooseVictim picks the server that holds the most keys of the commands file,
// so that its death is seen there.
func (d *demo) chooseVictim(ctx context.Context) error {
	var keys []string
	for _, line := range d.Commands {
		if line.Op == script.Put {
			keys = append(keys, line.Key)
		}
	}
	where, err := places(ctx, d.table, keys)
	if err != nil {
		return err
	}
	count := make(map[string]int)
	for _, addr := range where {
		count[addr]++
	}
	addrs := d.servers.Addrs()
	for i, addr := range addrs {
		if count[addr] > count[addrs[d.victim]] {
			d.victim = i
		}
	}
	return nil
}

// kill kills the victim and looks at what that changes.
func (d *demo) kill(ctx context.Context) error {
	addr := d.servers.Addrs()[d.victim]
	began := time.Now()
	if err := d.servers.Kill(d.victim); err != nil {
		return err
	}
	d.at(began, "%s", d.Style.Bad(fmt.Sprintf("x %s (%s) is killed", d.number(d.victim), addr)))
	seen, reason, err := d.views.await(ctx, addr, began, torc.Down)
	if err != nil {
		return err
	}
	d.at(seen, "%s", d.Style.Bad(fmt.Sprintf("- the table has seen it, %d ms after the kill%s", seen.Sub(began).Milliseconds(), reason)))
	d.promise(seen.Sub(began) <= seenWithin, "the table sees that a server is gone", "after %d ms", seen.Sub(began).Milliseconds())

	now, err := places(ctx, d.table, d.keys)
	if err != nil {
		return err
	}
	var lost, moved, stayed, others int
	for _, k := range d.keys {
		if d.home[k] == addr {
			lost++
			if now[k] != addr {
				moved++
			}
			continue
		}
		others++
		if now[k] == d.home[k] {
			stayed++
		}
	}
	d.at(time.Now(), "its %d keys have moved to the others; of the others' own %d keys, %d are where they were", moved, others, stayed)
	d.showPlaces(now)
	d.promise(moved == lost, "its keys, and they alone, move", "%d of %d moved", moved, lost)
	d.promise(stayed == others, "the other servers' keys stay where they are", "%d of %d stayed", stayed, others)
	return nil
}

// revive starts the victim again and looks at what that changes.
func (d *demo) revive(ctx context.Context) error {
	addr := d.servers.Addrs()[d.victim]
	began := time.Now()
	if err := d.servers.Restart(ctx, d.victim); err != nil {
		return err
	}
	answers := time.Now()
	d.at(answers, "%s", d.Style.Good(fmt.Sprintf("o %s runs again, with nothing in it", d.number(d.victim))))
	seen, _, err := d.views.await(ctx, addr, began, torc.Up)
	if err != nil {
		return err
	}
	after := max(0, seen.Sub(answers))
	d.at(seen, "%s", d.Style.Good(fmt.Sprintf("+ the table has seen it, %d ms after it answered", after.Milliseconds())))
	d.promise(after <= seenWithin, "the table sees that it is back", "after %d ms", after.Milliseconds())
	return nil
}

// checkAll looks at every key once more, when all servers are there again.
func (d *demo) checkAll(ctx context.Context) error {
	now, err := places(ctx, d.table, d.keys)
	if err != nil {
		return err
	}
	same := 0
	for _, k := range d.keys {
		if now[k] == d.home[k] {
			same++
		}
	}
	d.heading("All servers are there again")
	d.showPlaces(now)
	d.promise(same == len(d.keys), "with all back, every key has its first place again", "%d of %d", same, len(d.keys))

	first, err := readThrough(ctx, d.table, d.keys)
	if err != nil {
		return err
	}
	second, err := readThrough(ctx, d.table, d.keys)
	if err != nil {
		return err
	}
	if first < len(d.keys) {
		d.say("%d keys hit, %d were put again at the miss; then all %d hit", first, len(d.keys)-first, second)
	}
	d.promise(second == len(d.keys), "and every key hits", "%d of %d", second, len(d.keys))
	return nil
}

// report tells what the callers saw.
func (d *demo) report(callers *load) {
	addr := d.servers.Addrs()[d.victim]
	others := callers.totals(func(k string) bool { return d.home[k] != addr })
	its := callers.totals(func(k string) bool { return d.home[k] == addr })
	d.heading("Meanwhile %d callers read the keys, and put again what they missed", callers.callers)
	if d.Style.Rich() {
		d.say("hits   %s  %s", d.Style.Accent(d.Style.Spark(callers.curve())), d.Style.Dim("a cell is 0.1 s"))
	}
	d.say("%s's keys      %6d reads  %6.2f %% hit", d.number(d.victim), its.reads, 100*its.hitRate())
	d.say("the others' keys     %6d reads  %6.2f %% hit", others.reads, 100*others.hitRate())
	d.promise(others.hitRate() >= leastHits, "the other servers' keys go on hitting", "%d of %d reads", others.hits, others.reads)
	failed := others.failed + its.failed
	d.promise(failed == 0, "no read fails: at worst it misses", "%d of %d reads failed", failed, others.reads+its.reads)
	d.promise(callers.wrong() == 0, "no key ever has another key's value", "%d had", callers.wrong())
}

// verdict prints the promises, kept and broken.
func (d *demo) verdict() error {
	d.heading("Promised and seen")
	broken := 0
	var table terminal.Table
	for _, p := range d.promises {
		mark := "ok"
		if !p.kept {
			mark = "NOT"
			broken++
		}
		table.Add(mark, p.text, p.seen)
	}
	table.Paint = func(row, column int, cell string) string {
		switch {
		case column != 0:
			return cell
		case d.promises[row].kept:
			return d.Style.Good(cell)
		}
		return d.Style.Bad(cell)
	}
	for line := range strings.Lines(table.String()) {
		d.say("%s", strings.TrimRight(line, "\n"))
	}
	if broken > 0 {
		return fmt.Errorf("%w: %d of %d promises, marked NOT above", ErrNotAsPromised, broken, len(d.promises))
	}
	d.heading("%d promises, all kept, in %.1f s", len(d.promises), time.Since(d.start).Seconds())
	return nil
}
