// Package watchdog announces one memcached in a fleet's directory, truthfully:
// while it answers, and not a moment longer.
//
//	err := watchdog.Run(ctx, watchdog.Config{
//		Addr:      "10.0.0.7:11211",
//		Directory: zookeeper.Options{Hosts: []string{"zk1:2181"}},
//		Report:    func(e watchdog.Event) { fmt.Println(e) },
//	})
//
// A watchdog never starts, stops or restarts the memcached that it watches.
//
// # When it announces and when it withdraws
//
// It checks as [fleet.Probe] does: it withdraws at the first refused connection
// or after three silent checks, and announces after three answers. The
// announcement goes with the watchdog: at once when Run's context is done, and
// when its session is over if it dies, freezes, or is cut off from ZooKeeper.
// However the announcement vanished (the session expired, ZooKeeper lost its
// data, somebody deleted it), it is made again as soon as there is a connection.
//
// An announcement stands for one stay of a memcached that kept its memory: to
// clients, what it doesn't hold it was not given since. So a memcached that was
// restarted is withdrawn and announced anew, even if it came back before any
// check could fail (it tells by its process number and its age), and even if it
// went and came back while ZooKeeper couldn't be told.
//
// # Flush before announce
//
// A memcached that was away from the fleet still holds what it held, and others
// took its keys meanwhile: what it holds may be stale. Where values are stamped
// (the fleet's config says so) clients know which, and nothing is emptied. The
// announcement is made in one transaction with the check that this config still
// stands; should it be replaced later by one without stamps, the server is
// withdrawn, emptied and announced again.
//
// Without stamps, and where there is no config yet, before it is announced it
// is emptied, with flush_all, unless it was never away. It was away whenever
// there was a moment without an announcement of its address. In detail, with
// what else could happen between the steps:
//
//   - Nothing is announced for the address: flush, then announce. Nobody places
//     keys here before the announcement, so that any moment between the last
//     announcement's end and the next one's beginning will do for the flush. If
//     the announcement fails, the next attempt flushes again.
//   - The address is announced by another session: that of a watchdog which was
//     killed a moment ago and whose session isn't over, or of a second watchdog.
//     Then the server is in every client's view now, and emptying it would only
//     hurt. The announcement is made in one transaction with the check that the
//     other one still stands, so that there is no moment without either. If the
//     check fails, there was such a moment: look again, and flush.
//   - The answer to the announcement is lost. It may stand or not, or may yet
//     come to stand: ZooKeeper is asked to catch up with all that was sent
//     (sync), and then which announcements carry this session's number. One that
//     does was made after its flush. If none does, begin again, with the flush.
//   - The connection breaks and the session lives on: so does the announcement,
//     and nothing needs doing.
//   - The session expires: its announcement is gone, or will be before ours
//     stands, and the transaction above sees which.
//   - The memcached dies between flush and announcement: the announcement stands
//     until the next check, and what comes back is empty anyway.
//
// What this does not cover: a client that still acts on an old view, or a
// request that was on its way when the server went (in a frozen server's
// sockets, or in a cut link's retransmissions) and arrives after the flush; and
// two watchdogs of one memcached, one of which comes and goes within the
// milliseconds between the other's flush and its announcement.
package watchdog
