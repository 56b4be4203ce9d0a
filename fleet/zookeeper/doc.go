// Package zookeeper keeps the directory of a fleet in ZooKeeper. Importing it
// makes torc.Open know zk:// URLs:
//
//	zk://zk1:2181,zk2:2181,zk3:2181/torc?hash=murmur3
//
// # What is kept
//
//	/torc/config                                 {"generation":…,"hash":"ketama","vnodes":40,"copies":1,
//	                                              "stamps":"on","rejoin":"check","base":…}
//	/torc/members/10.0.0.7:11211-0000000042      {"weight":1}, ephemeral, sequential
//	/torc/members/drain-10.0.0.7:11211           persistent
//	/torc/views/0000000107                       {"generation":…,"servers":[…]}: who was announced in view 107
//	/torc/done                                   {"generation":…,"version":107}: the last view that was rebalanced for
//	/torc/rebalance/                             who stands for election, ephemeral, sequential
//
// Nothing else: no key, no value, and no word on which key is where, which is a
// function of the key and the members.
//
// Each server is announced by its watchdog ([Announcer]), with a znode that goes
// when the watchdog's session does. [Directory.Follow] gives the members and
// every change to a table. The version of a view is the cversion of members,
// from the same answer as the list, so that all clients call the same members by
// the same version; it counts from base, where a generation began with a cversion
// too high for a stamp. The number in a znode's name counts otherwise, and only
// chooses between two announcements of one address: the higher is the living
// one. [Directory.Drain] takes the keys from a server that goes on running.
//
// Whoever first needs config writes it, with a generation drawn at random. What
// a client asks for in its URL has to agree with it. A config without stamps and
// rejoin is one of an older torc, and has the stamps off.
//
// # The history of views
//
// Where values are stamped, clients need to know who was in each view that
// anybody wrote under. The promise of a Membership's Past is: every view of its
// generation that any client had reported, before the members changed to this
// one, is in it (or was among the oldest, when there were more than 256). It
// holds since a client that has read the members
//
//  1. records their view, and
//  2. reports it only if no change of the members has been delivered to it by the
//     time that the view stands recorded: so it was recorded before the change
//     to the next one, as ZooKeeper delivers in order;
//  3. lists the recorded views after it has read the members, over the same
//     connection: so it sees what was recorded before the change to them.
//
// It takes a client three round trips from a change to its report: the members,
// the list of views (with the data of who is new), and the record (with the views
// that others recorded). A list of members that clients don't go by yet, because
// ZooKeeper had forgotten everybody and it is only filling, is not recorded.
//
// Views and done belong to a generation. They are written in one transaction with
// the check that config has not changed, those of another generation go with the
// transaction that begins the next one, and what is left behind all the same is
// known by the generation in it.
//
// Whoever records a view removes those that have 256 newer ones, and nobody
// removes others. So if one is missing without that, ZooKeeper was set back, or
// somebody has deleted it: a new generation begins, as when the members' version
// went back, and what was written before counts no more.
//
// A client has to have the right to create and to delete below /torc/views. One
// without it can't open a fleet whose values are stamped.
//
// # When ZooKeeper is away
//
// Disconnected, a client keeps the last members and says so
// (fleet.Membership's LostContact). When its session has expired it makes a new
// one and reads again. When ZooKeeper comes back without its data, or with older
// data than it had, whoever first needs it writes config again, with the
// settings it remembers and a new generation; and until the servers have
// announced themselves again clients keep the members that they knew, for three
// seconds at most. The same when it comes back so slowly that every session has
// expired. What was written in another generation counts no more, with stamps.
//
// # Election
//
// [Directory.Lead] has one of many processes do some work for the fleet.
//
// # What it asks of ZooKeeper
//
// ZooKeeper 3.5 or newer, a session for each client and each watchdog, open
// access rules under the path. Each change of the members makes each client read
// the list once, the data of the server that is new, the list of views, and the
// view that it was in before; and write one view, which is an error to all but
// the first.
package zookeeper
