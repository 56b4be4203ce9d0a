#!/usr/bin/python3
"""A fleet of memcached servers in Mininet, and what becomes of it when parts fail.

Five hosts on one switch: zk runs ZooKeeper; mc1, mc2 and mc3 run a memcached
and its watchdog each; client runs `torc watch` and `fleet-client`. Three things
happen to mc2, one after the other:

    memcached   its memcached is killed, and started again after a while
    watchdog    its watchdog is killed, and started again after a while
    interface   its network interface is disabled, and enabled again

and a table says what the client saw. README.md beside this file has the commands.
"""

import contextlib
import inspect
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from mininet.net import Mininet
from mininet.nodelib import LinuxBridge
from mininet.topo import Topo

SERVERS = ("mc1", "mc2", "mc3")
VICTIM = "mc2"
PORT = 11211
KEYS = 300
AWAY = 3.0  # seconds for which what was taken away stays away
PATIENCE = 30.0  # seconds after which something is taken never to happen

# mn reads this file by exec, which knows no __file__.
HERE = os.path.dirname(os.path.abspath(inspect.currentframe().f_code.co_filename))
ROOT = os.path.dirname(os.path.dirname(HERE))
BIN = os.environ.get("TORC_BIN_DIR", os.path.join(ROOT, "build", "dev"))


class FleetTopo(Topo):
    """One switch and five hosts."""

    def build(self):
        switch = self.addSwitch("s1")
        for name, ip in (("zk", 1), ("mc1", 11), ("mc2", 12), ("mc3", 13), ("client", 100)):
            self.addLink(self.addHost(name, ip=f"10.0.0.{ip}/24"), switch)


class Failed(Exception):
    """Something that was to be seen was not."""


def wait_for(what, condition):
    """Returns what condition returns as soon as that is true."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.005)
    raise Failed(f"waited {PATIENCE:.0f} s for {what}")


class Process:
    """A program on a Mininet host, with its output in a file."""

    def __init__(self, host, name, args, folder, env=None, stdout=None):
        self.name = f"{name}@{host.name}"
        self.log = os.path.join(folder, f"{host.name}-{name}.log")
        with open(self.log, "ab") as log:
            # mnexec, which popen runs it by, gives it a session of its own; with
            # this script it ends however the script ends.
            self.popen = host.popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *args], cwd=folder, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
                stdout=stdout or log, stderr=log, text=bool(stdout),
            )

    def kill(self):
        """SIGKILL to it and whatever it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        # Killed before it had its session: then it has started nothing yet.
        self.popen.kill()
        self.popen.wait()

    def check(self):
        if self.popen.poll() is not None:
            with open(self.log, errors="replace") as log:
                tail = "".join(log.readlines()[-10:])
            raise Failed(f"{self.name} has ended with {self.popen.returncode}; it printed:\n{tail}")


class Watch:
    """The members that are up, as `torc watch --json` on a host tells them."""

    def __init__(self, fleet, host):
        self.process = fleet.start(host, "torc-watch", fleet.torc("torc", "watch", "--json"), stdout=subprocess.PIPE)
        self.changed = threading.Condition()
        self.views = []  # (when it was read, the addresses that are up)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.popen.stdout:
            now = time.monotonic()
            up = {m["addr"] for m in json.loads(line)["members"] if m["state"] == "up"}
            with self.changed:
                self.views.append((now, up))
                self.changed.notify_all()

    def first(self, since, what, accept):
        """The time after since at which the first view that accept takes was read."""
        deadline = time.monotonic() + PATIENCE
        with self.changed:
            seen = 0
            while True:
                for when, up in self.views[seen:]:
                    if when >= since and accept(up):
                        return when - since
                seen = len(self.views)
                left = deadline - time.monotonic()
                if left <= 0 or not self.changed.wait(left):
                    last = sorted(self.views[-1][1]) if self.views else "none"
                    raise Failed(f"waited {PATIENCE:.0f} s for {what}; the last view: {last}")


class Fleet:
    """ZooKeeper, the servers with their watchdogs, and the client's programs."""

    def __init__(self, net, folder):
        self.net = net
        self.folder = folder
        self.processes = []
        self.round = 0  # how often put has been called
        self.memcached = {}
        self.watchdog = {}
        self.zookeeper = net["zk"].IP() + ":2181"
        self.table = f"zk://{self.zookeeper}/torc"

    def torc(self, name, *args):
        """The command line of one of torc's programs on this fleet."""
        return [os.path.join(BIN, name), "--table", self.table, *args]

    def start(self, host, name, args, **kwargs):
        process = Process(host, name, args, self.folder, **kwargs)
        self.processes.append(process)
        return process

    def start_zookeeper(self):
        config = os.path.join(self.folder, "zoo.cfg")
        with open(config, "w") as f:
            f.write(f"tickTime=200\ndataDir={self.folder}/zookeeper\nclientPort=2181\n"
                    "4lw.commands.whitelist=*\nadmin.enableServer=false\nmaxClientCnxns=0\n")
        host = self.net["zk"]
        process = self.start(
            host, "zookeeper", ["/usr/share/zookeeper/bin/zkServer.sh", "start-foreground", config],
            env={"JVMFLAGS": "-Xmx128m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC", "JMXDISABLE": "true"})
        self.answering(host, self.zookeeper, "srvr", "Mode:", process)

    def start_memcached(self, name):
        host = self.net[name]
        self.memcached[name] = self.start(
            host, "memcached", ["memcached", "-u", "root", "-l", host.IP(), "-p", str(PORT), "-U", "0"])
        self.answering(host, self.addr(name), "version\r\nquit\r\n", "VERSION", self.memcached[name])

    def start_watchdog(self, name):
        host = self.net[name]
        self.watchdog[name] = self.start(host, "watchdog", self.torc("watchdog", self.addr(name)))

    def addr(self, name):
        return f"{self.net[name].IP()}:{PORT}"

    def answering(self, host, addr, question, answer, process):
        def ask():
            process.check()
            return answer in self.ask(host, addr, question)
        wait_for(f"{process.name} to answer", ask)

    @staticmethod
    def ask(host, addr, question):
        """What the server at addr answers to a question from host; "" if nothing."""
        ip, port = addr.split(":")
        script = f"exec 3<>/dev/tcp/{ip}/{port} && printf '%b' \"$1\" >&3 && timeout 1 cat <&3"
        return host.popen(["bash", "-c", script, "ask", question], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True).communicate()[0]

    def items(self, name):
        """How many keys a memcached says that it holds."""
        for line in self.ask(self.net["client"], self.addr(name), "stats\r\nquit\r\n").splitlines():
            if line.startswith("STAT curr_items "):
                return int(line.split()[2])
        raise Failed(f"memcached@{name} has no statistics")

    def run(self, commands):
        """What fleet-client on the client host prints for these commands."""
        path = os.path.join(self.folder, "commands.txt")
        with open(path, "w") as f:
            f.write(commands)
        popen = self.net["client"].popen(self.torc("fleet-client", path), stdout=subprocess.PIPE,
                                         stderr=subprocess.PIPE, text=True)
        out, err = popen.communicate()
        if popen.returncode:
            raise Failed(f"fleet-client ended with {popen.returncode}:\n{err}")
        return out

    def put(self):
        """Gives every key a new value."""
        self.round += 1
        self.run("".join(f"PUT key{i}, value {self.round} of key{i}\n" for i in range(KEYS)))

    def get(self):
        """Asks for every key. Returns how many have their newest value and how many
        an older one; a value that was never written to its key is a failure."""
        lines = self.run("".join(f"GET key{i}\n" for i in range(KEYS))).splitlines()
        newest = older = 0
        last = -1  # a miss prints nothing, but what is printed comes in the keys' order
        for line in lines:
            match = re.fullmatch(r"value (\d+) of key(\d+)", line)
            if not match or int(match[2]) <= last or not 1 <= int(match[1]) <= self.round:
                raise Failed(f"a GET printed {line!r}, which was not written to its key")
            last = int(match[2])
            if int(match[1]) == self.round:
                newest += 1
            else:
                older += 1
        return newest, older

    def stop(self):
        for process in reversed(self.processes):
            process.kill()


def scenarios(fleet):
    """(what happens, how it is taken away, how it is brought back) for each."""
    host = fleet.net[VICTIM]

    def link(state):
        # The requirement's fault: on the server itself, where its programs see it.
        return lambda: host.cmd("ip", "link", "set", "dev", f"{VICTIM}-eth0", state)

    return (
        ("memcached killed, started again",
         lambda: fleet.memcached[VICTIM].kill(), lambda: fleet.start_memcached(VICTIM)),
        ("watchdog killed, started again",
         lambda: fleet.watchdog[VICTIM].kill(), lambda: fleet.start_watchdog(VICTIM)),
        ("interface disabled, enabled", link("down"), link("up")),
    )


def play(fleet, watch, take, bring):
    """Plays one scenario and returns the table's cells for it."""
    addr = fleet.addr(VICTIM)
    fleet.put()
    held = fleet.items(VICTIM)
    before = fleet.get()

    took = time.monotonic()
    take()
    left = watch.first(took, f"{addr} to leave the view", lambda up: addr not in up)
    away = fleet.get()
    if away[0] < before[0] - held:
        raise Failed(f"{before[0] - away[0]} keys are lost, and {addr} held only {held}")
    fleet.put()  # on the servers that are left
    again = fleet.get()
    time.sleep(max(0.0, took + AWAY - time.monotonic()))

    brought = time.monotonic()
    bring()
    back = watch.first(brought, f"{addr} to come back", lambda up: addr in up)
    after = fleet.get()
    return [f"{left:.2f} s", f"{back:.2f} s", str(held), *map(cell, (before, away, again, after))]


def cell(hits):
    newest, older = hits
    return f"{newest}" + (f" + {older} old" if older else "")


def table(rows):
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip(), flush=True)


def fleet(net):
    """Plays the scenarios on a network that has been started."""
    for name in ("torc", "watchdog", "fleet-client"):
        if not os.access(os.path.join(BIN, name), os.X_OK):
            raise Failed(f"no {name} in {BIN}: run ./build.sh, or set TORC_BIN_DIR")
    folder = tempfile.mkdtemp(prefix="torc-mininet-")
    running = Fleet(net, folder)
    try:
        running.start_zookeeper()
        for name in SERVERS:
            running.start_memcached(name)
            running.start_watchdog(name)
        watch = Watch(running, net["client"])
        everybody = {running.addr(name) for name in SERVERS}
        watch.first(0, "all servers to be announced", lambda up: up == everybody)

        rows = [["what happened to " + VICTIM, "left after", "back after", "keys on it",
                 f"hits of {KEYS}", "away", "put again", "back"]]
        for words, take, bring in scenarios(running):
            rows.append([words, *play(running, watch, take, bring)])
        print()
        table(rows)
        print("\nleft, back: until the view of `torc watch` on the client said so. hits: GETs that printed\n"
              "the key's newest value; old: an earlier one. away: while it was. put again: after new\n"
              "values for all keys were put to the servers that were left. back: when it was.")
    finally:
        running.stop()
        shutil.rmtree(folder, ignore_errors=True)


def fleet_test(net):
    """What mn --test runs. It prints a failure and does not raise it: mn's answer to
    an exception is a clean-up of the whole machine, by kill -9 on names as common as
    ping and rm of /tmp/*.log, whoever they belong to."""
    try:
        fleet(net)
    except Exception as failure:  # pylint: disable=broad-except
        print(f"fleet.py: {failure}", file=sys.stderr)


topos = {"fleet": FleetTopo}
tests = {"fleet": fleet_test}


def main():
    if os.geteuid() != 0:
        sys.exit("fleet.py: Mininet needs root")
    net = Mininet(topo=FleetTopo(), switch=LinuxBridge, controller=None)
    try:
        net.start()
        fleet(net)
    except Failed as failure:
        sys.exit(f"fleet.py: {failure}")
    finally:
        net.stop()


if __name__ == "__main__":
    main()
