package cluster

import (
	"os"
	"os/exec"
	"strings"
)

// needs has, for each Debian package, a program or file of each thing that is
// wanted of it. A package that isn't here has a program of its own name.
var needs = map[string][]string{
	"zookeeper":          {"java", zookeeperJar},
	"libmemcached-tools": {"memccapable", "memcaslap"},
	"mininet":            {"mn"},
	"bridge-utils":       {"brctl"},
	"netcat-openbsd":     {"nc.openbsd"},
	"iproute2":           {"ip"},
	"iputils-ping":       {"ping"},
	"nutcracker":         {"/usr/sbin/nutcracker"},
	"redis-tools":        {"redis-cli"},
}

// Missing returns those of the Debian packages whose programs aren't here.
func Missing(packages ...string) []string {
	var missing []string
	for _, pkg := range packages {
		things, known := needs[pkg]
		if !known {
			things = []string{pkg}
		}
		for _, thing := range things {
			if !present(thing) {
				missing = append(missing, pkg)
				break
			}
		}
	}
	return missing
}

func present(thing string) bool {
	if strings.HasPrefix(thing, "/") {
		_, err := os.Stat(thing)
		return err == nil
	}
	_, err := exec.LookPath(thing)
	return err == nil
}

func installLine(packages []string) string {
	return "apt-get install " + strings.Join(packages, " ")
}
