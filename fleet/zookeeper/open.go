package zookeeper

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/fleet"
)

// Scheme is the scheme of a table whose members are in ZooKeeper.
const Scheme = "zk"

func init() { torc.Register(Scheme, open) }

// ParseURL reads zk://host:port,host:port/path?name=value. The port is
// DefaultPort unless given, the path DefaultPath. The parameters are those that
// every fleet has, and stamp, rejoin and offline. The Logger is slog's default.
func ParseURL(u *torc.URL) (Options, fleet.Options, error) {
	shared, err := fleet.ParseOptions(u, "stamp", "rejoin", "offline")
	if err != nil {
		return Options{}, fleet.Options{}, err
	}
	for _, choice := range []struct {
		name   string
		value  *string
		values [2]string
	}{
		{"stamp", &shared.Config.Stamps, [2]string{fleet.StampsOn, fleet.StampsOff}},
		{"rejoin", &shared.Config.Rejoin, [2]string{fleet.RejoinCheck, fleet.RejoinDrop}},
		{"offline", &shared.Offline, [2]string{fleet.OfflineServe, fleet.OfflineRefuse}},
	} {
		if !u.Query.Has(choice.name) {
			continue
		}
		*choice.value = u.Query.Get(choice.name)
		if !slices.Contains(choice.values[:], *choice.value) {
			return Options{}, fleet.Options{}, fmt.Errorf("%w: %s=%s in %s: it takes %s or %s", torc.ErrInvalid, choice.name, *choice.value, u, choice.values[0], choice.values[1])
		}
	}
	if shared.Config.Stamps == fleet.StampsOff && shared.Config.Rejoin != "" {
		return Options{}, fleet.Options{}, fmt.Errorf("%w: rejoin=%s with stamp=off in %s: without stamps nobody knows which values may be stale, so a server that was away is emptied instead", torc.ErrInvalid, shared.Config.Rejoin, u)
	}
	shared.OfflineAfter = DefaultSessionTimeout
	o := Options{
		Hosts:  u.Addrs(DefaultPort),
		Path:   strings.TrimSuffix(u.Path, "/"),
		Config: shared.Config,
		Logger: slog.Default(),
	}
	return o, shared, o.Validate()
}

// open opens a zk:// table. It fails when ZooKeeper can't be reached within
// DefaultConnectTimeout; a table that is open lives on without.
func open(ctx context.Context, u *torc.URL) (torc.Table, error) {
	failed := func(err error) (torc.Table, error) { return nil, &torc.Error{Op: "open", Err: err} }
	o, shared, err := ParseURL(u)
	if err != nil {
		return failed(err)
	}
	d, err := New(o)
	if err != nil {
		return failed(err)
	}
	ctx, cancel := d.bound(ctx)
	defer cancel()
	if _, err := d.connect(ctx); err != nil {
		return failed(err)
	}
	defer d.release() // once the table follows, over the same session
	t, err := fleet.New(ctx, d, shared)
	if err != nil {
		return nil, err // names what was being done
	}
	return t, nil
}
