#!/usr/bin/env bash
# Configures, starts and stops kv-server, the server of a replica table, in the
# current folder: servers.txt lists the servers, kv-server.pid has the process, and
# kv-server.log what it says. Exit codes: 0 done, 1 not.
set -euo pipefail

usage="usage: replica.sh configure SELF [PEER...]   write servers.txt: this server, then the others
       replica.sh start [FLAG...]            start this folder's server, with kv-server's flags
       replica.sh stop | status              stop it, or tell how it and the table are
       replica.sh local N [PORT]             set up and start 1 to 4 servers on this machine, in
                                             the folders replica-1, replica-2, ..., from PORT (8081) on
       replica.sh local stop | status        stop them, or tell how they are"

say() { printf 'replica.sh: %s\n' "$*" >&2; }
fail() {
	say "$*"
	exit 1
}
wrong() {
	say "$*"
	printf '%s\n' "$usage" >&2
	exit 1
}

here=$(cd "${BASH_SOURCE[0]%/*}" && pwd)

# program NAME prints where the program of that name is: in PATH, or else built.
program() {
	command -v "$1" && return
	[[ -x $here/../build/dev/$1 ]] || "$here/../build.sh" || exit 1
	printf '%s\n' "$here/../build/dev/$1"
}

# pid prints the process of this folder's server, and fails if it doesn't run.
pid() {
	local id what
	read -r id 2>/dev/null <kv-server.pid || return 1
	# The number may be another program's by now, and a dead process (Z) is there
	# until somebody asks for its end.
	what=$(ps -p "$id" -o stat=,args= 2>/dev/null) || return 1
	[[ $what == *kv-server* && $what != Z* ]] && printf '%s\n' "$id"
}

# self prints the first address in servers.txt.
self() {
	local line word
	while read -r line || [[ -n $line ]]; do
		for word in ${line%%#*}; do
			printf '%s\n' "$word"
			return
		done
	done <servers.txt
	return 1
}

configure() {
	(($# >= 1 && $# <= 4)) || wrong "configure: 1 to 4 addresses, host:port, and here are $#"
	local addr seen=" "
	for addr; do
		[[ $addr =~ ^[^[:space:]]+:[0-9]+$ ]] || fail "configure: $addr is no address: write host:port"
		[[ $seen != *" $addr "* ]] || fail "configure: $addr is there twice"
		seen+="$addr "
	done
	printf '%s\n' "$@" >servers.txt
}

start() {
	local id server said i
	[[ -e servers.txt ]] || fail "there is no servers.txt in $PWD: replica.sh configure SELF PEER..."
	if id=$(pid); then
		say "$(self) runs already, process $id"
		return
	fi
	server=$(program kv-server) || return
	touch kv-server.log # it is looked at before the server may have made it
	said=$(wc -l <kv-server.log)
	nohup "$server" "$@" >>kv-server.log 2>&1 </dev/null &
	id=$!
	echo "$id" >kv-server.pid
	for ((i = 0; i < 200; i++)); do
		if tail -n +$((said + 1)) kv-server.log | grep -q ': listens on '; then
			echo "$(self) runs, process $id; what it says is in $PWD/kv-server.log"
			return
		fi
		kill -0 "$id" 2>/dev/null || break
		sleep 0.05
	done
	kill -9 "$id" 2>/dev/null || true
	rm -f kv-server.pid
	say "kv-server didn't start:"
	tail -n +$((said + 1)) kv-server.log >&2
	return 1
}

stop() {
	local id i
	if ! id=$(pid); then
		rm -f kv-server.pid
		say "no server of $PWD runs"
		return
	fi
	kill -TERM "$id"
	for ((i = 0; i < 100; i++)); do
		if ! pid >/dev/null; then
			rm -f kv-server.pid
			return
		fi
		sleep 0.05
	done
	say "process $id doesn't end within 5 s: it is killed"
	kill -9 "$id" 2>/dev/null || true
	rm -f kv-server.pid
}

# runs tells whether this folder's server runs.
runs() {
	local id
	if ! id=$(pid); then
		echo "$(self) doesn't run"
		return 1
	fi
	echo "$(self) runs, process $id"
}

table() {
	local torc
	torc=$(program torc) || return
	"$torc" replica status --servers servers.txt
}

status() {
	[[ -e servers.txt ]] || fail "there is no servers.txt in $PWD"
	runs && table
}

# each DO does it in every folder of local, and fails if it fails in one.
each() {
	local folder failed=0
	for folder in replica-[1-4]; do
		[[ -e $folder/servers.txt ]] || continue
		(cd "$folder" && "$@") || failed=1
	done
	return $failed
}

start_local() {
	local n=$1 port=${2:-8081} i j
	[[ $n =~ ^[1-4]$ ]] || wrong "local: from 1 to 4 servers"
	if ! [[ $port =~ ^[1-9][0-9]*$ ]] || ((port + n - 1 > 65535)); then
		wrong "local: $port is no port for the first of them"
	fi
	each stop 2>/dev/null
	rm -f replica-[1-4]/servers.txt
	for ((i = 0; i < n; i++)); do
		local addrs=()
		for ((j = 0; j < n; j++)); do
			addrs+=("127.0.0.1:$((port + (i + j) % n))")
		done
		mkdir -p "replica-$((i + 1))"
		(cd "replica-$((i + 1))" && configure "${addrs[@]}" && start)
	done
}

command=${1:-}
shift || true
case $command in
configure) configure "$@" ;;
start) start "$@" ;;
stop | status)
	(($# == 0)) || wrong "$command takes no arguments"
	"$command"
	;;
local)
	case ${1:-} in
	stop) each stop ;;
	status)
		[[ -e replica-1/servers.txt ]] || fail "no servers were set up in $PWD: replica.sh local N"
		failed=0
		each runs || failed=1
		(cd replica-1 && table) || failed=1
		exit $failed
		;;
	'') wrong "local: how many servers?" ;;
	*)
		(($# <= 2)) || wrong "local: ${3} is too much"
		start_local "$@"
		;;
	esac
	;;
'') wrong "what shall be done?" ;;
*) wrong "there is no command $command" ;;
esac
