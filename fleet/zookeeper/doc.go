// Package zookeeper keeps the directory of a fleet in ZooKeeper. Importing it
// makes torc.Open know zk:// URLs:
//
//	zk://zk1:2181,zk2:2181,zk3:2181/torc?hash=murmur3
//
// # What is kept
//
//	/torc/config                                 {"generation":…,"hash":"ketama","vnodes":40,"copies":1}
//	/torc/members/10.0.0.7:11211-0000000042      {"weight":1}, ephemeral, sequential
//	/torc/members/drain-10.0.0.7:11211           persistent
//
// Nothing else: no key, no value, and no word on which key is where, which is a
// function of the key and the members.
//
// Each server is announced by its watchdog ([Announcer]), with a znode that goes
// when the watchdog's session does. [Directory.Follow] gives the members and
// every change to a table. The version of a view is the cversion of members,
// from the same answer as the list, so that all clients call the same members by
// the same version. The number in a znode's name counts otherwise, and only
// chooses between two announcements of one address: the higher is the living
// one. [Directory.Drain] takes the keys from a server that goes on running.
//
// Whoever first needs config writes it, with a generation drawn at random. What
// a client asks for in its URL has to agree with it.
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
// expired.
//
// # What it asks of ZooKeeper
//
// ZooKeeper 3.5 or newer, a session for each client and each watchdog, open
// access rules under the path. Each change of the members makes each client read
// the list once, and the data of the server that is new.
package zookeeper
