package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/version"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/torc-dht/torc/internal/cluster"
)

// memberCommand makes this program a member of etcd.
const memberCommand = "etcd-member"

const etcdReady = "etcd is ready"

// member runs one member of etcd until it is killed.
func member(args []string) error {
	f := flag.NewFlagSet(memberCommand, flag.ContinueOnError)
	name := f.String("name", "", "")
	dir := f.String("dir", "", "")
	client := f.String("client", "", "")
	peer := f.String("peer", "", "")
	all := f.String("cluster", "", "")
	if err := f.Parse(args); err != nil {
		return err
	}
	c := embed.NewConfig()
	c.Name, c.Dir, c.InitialCluster = *name, *dir, *all
	c.UnsafeNoFsync = true
	c.LogLevel = "error"
	for _, to := range []struct {
		listen, advertise *[]url.URL
		at                string
	}{{&c.ListenClientUrls, &c.AdvertiseClientUrls, *client}, {&c.ListenPeerUrls, &c.AdvertisePeerUrls, *peer}} {
		u, err := url.Parse(to.at)
		if err != nil {
			return err
		}
		*to.listen, *to.advertise = []url.URL{*u}, []url.URL{*u}
	}
	e, err := embed.StartEtcd(c)
	if err != nil {
		return err
	}
	defer e.Close()
	select {
	case <-e.Server.ReadyNotify():
		fmt.Println(etcdReady)
	case err := <-e.Err():
		return err
	}
	return <-e.Err()
}

// etcd is a cluster of three members.
type etcd struct{ members }

func startEtcd(ctx context.Context, c *cluster.Cluster) (*etcd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	const n = 3
	e := &etcd{}
	var all []string
	for i := range n {
		h := c.Host("etcd" + strconv.Itoa(i))
		e.addrs = append(e.addrs, h.Addr(2379))
		all = append(all, fmt.Sprintf("%s=http://%s", h.Name, h.Addr(2380)))
	}
	for i := range n {
		h := c.Host("etcd" + strconv.Itoa(i))
		p, err := h.Start(ctx, cluster.Spec{Name: "etcd", Path: self, Args: []string{
			memberCommand, "-name", h.Name, "-dir", filepath.Join(c.Dir(), h.Name), "-client", "http://" + e.addrs[i],
			"-peer", "http://" + h.Addr(2380), "-cluster", strings.Join(all, ","),
		}})
		if err != nil {
			return nil, err
		}
		e.add(p)
	}
	for _, p := range e.procs {
		if _, err := p.WaitLine(ctx, time.Time{}, cluster.Containing(etcdReady)); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// clients returns so many, the i-th of which has one connection, to addrs[i mod all of
// them].
func (e *etcd) clients(n int, addrs []string) (cs []*clientv3.Client, closeAll func(), err error) {
	closeAll = func() {
		for _, c := range cs {
			_ = c.Close()
		}
	}
	for i := range n {
		c, err := clientv3.New(clientv3.Config{Endpoints: []string{addrs[i%len(addrs)]}, DialTimeout: 10 * time.Second})
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		cs = append(cs, c)
	}
	return cs, closeAll, nil
}

// puts and gets make callers of clients.
func puts(cs []*clientv3.Client) (out []caller) {
	for _, c := range cs {
		out = append(out, func(ctx context.Context, i int) error {
			_, err := c.Put(ctx, keyOf(i), value)
			return err
		})
	}
	return out
}

func gets(cs []*clientv3.Client) (out []caller) {
	for _, c := range cs {
		out = append(out, func(ctx context.Context, i int) error {
			r, err := c.Get(ctx, keyOf(i))
			if err == nil && len(r.Kvs) != 1 {
				err = errors.New("etcd: a key is missing")
			}
			return err
		})
	}
	return out
}

func etcdVersion() string { return version.Version }
