#!/usr/bin/env bash
# The sharded store's scenarios, as anyone can run them: a master, servers that
# join it and leave, and a client that is run once for each request.
#
#   test/shard.sh
#
# Prints a line for each thing that holds, and exits with 1 at the first that
# doesn't. Needs bash and Go; BIN=FOLDER takes programs that are built already.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

bin=${BIN:-build/dev}
if [[ -z ${BIN:-} ]]; then
	./build.sh || exit 1
fi
tmp=$(mktemp -d)
declare -A pids=() # of what runs, by name
declare -A ports=()
master= # its port

cleanup() {
	for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null; done
	wait 2>/dev/null
	rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

ok() { printf 'ok    %s\n' "$*"; }
fail() {
	printf 'FAIL  %s\n' "$*"
	for log in "$tmp"/*.log; do
		[[ -e $log ]] && printf -- '--- %s\n' "${log##*/}" && tail -n 20 "$log"
	done
	exit 1
}

# free_port prints a port that nobody listens on.
free_port() {
	local port
	while :; do
		port=$((20000 + RANDOM % 12000))
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
	done
	echo "$port"
}

# await SECONDS WHAT COMMAND...: until the command succeeds.
await() {
	local end=$((SECONDS + $1)) what=$2
	shift 2
	until "$@"; do
		((SECONDS <= end)) || fail "$what: not in time"
		sleep 0.02
	done
}

start_master() { # FLAGS...
	[[ -n $master ]] || master=$(free_port)
	"$bin/master-svr" -p "$master" "$@" >"$tmp/master.log" 2>&1 &
	pids[master]=$!
	await 5 "the master listens" grep -q 'listens on' "$tmp/master.log"
}

start_server() { # NUMBER FLAGS...
	local n=$1
	shift
	[[ -n ${ports[$n]:-} ]] || ports[$n]=$(free_port)
	: >"$tmp/svr$n.out"
	"$bin/svr" -p "${ports[$n]}" -m "$master" "$@" >"$tmp/svr$n.out" 2>"$tmp/svr$n.log" &
	pids[$n]=$!
}

# settled waits until every key is where it shall be.
settled() { await 10 'all is settled' is_settled; }
is_settled() { "$bin/torc" shard status --master "127.0.0.1:$master" --json | grep -q '"settled":true'; }

joined() { await 10 "server $1 has joined" grep -qx joined "$tmp/svr$1.out"; }

# stop NAME SIGNAL CODE: it ends with that exit code.
stop() {
	local pid=${pids[$1]} code=0
	kill "-$2" "$pid"
	wait "$pid" 2>/dev/null || code=$?
	unset "pids[$1]"
	[[ $code == "$3" ]] || fail "$1 exits with $code after SIG$2, not $3"
}

stop_all() {
	for name in "${!pids[@]}"; do
		kill -KILL "${pids[$name]}"
		wait "${pids[$name]}" 2>/dev/null
	done
	pids=() ports=() master=
}

# expect CODE OUTPUT ARGS...: clt with these arguments exits so, having printed
# just that; what it complains of is one line, and there is none when it is done.
expect() {
	local want=$1 output=$2 got=0 printed
	shift 2
	printed=$("$bin/clt" "$@" 2>"$tmp/stderr") || got=$?
	[[ $got == "$want" ]] || fail "clt $*: exits with $got, not $want: $(<"$tmp/stderr")"
	[[ $printed == "$output" ]] || fail "clt $*: prints '$printed', not '$output'"
	local lines=1
	[[ $want == 0 ]] && lines=0
	[[ $(wc -l <"$tmp/stderr") -eq $lines ]] || fail "clt $*: complains in other than $lines lines: $(<"$tmp/stderr")"
}
put() { expect 0 '' -p 0 -o PUT -k "$1" -v "$2" -m "$master" -d 0; }
get() { expect 0 "$2" -p 0 -o GET -k "$1" -v '' -m "$master" -d 0; }

# at_its_server COUNT KEY...: of that many servers, the one that the requirement
# names has the key, and the others say that they don't.
at_its_server() {
	local count=$1 key n
	shift
	for key in "$@"; do
		for ((n = 1; n <= count; n++)); do
			if ((key % count + 1 == n)); then
				expect 0 "value $key" -p "${ports[$n]}" -o GET -k "$key" -d 1
			else
				expect 2 '' -p "${ports[$n]}" -o GET -k "$key" -m "$master" -d 1
			fi
		done
	done
}

echo '== a single server'
start_master
start_server 1
joined 1
expect 0 '' -p "${ports[1]}" -o PUT -k 1 -v 1000 -m "$master" -d 0
ok 'PUT exits with 0'
expect 0 1000 -p "${ports[1]}" -o GET -k 1 -v '' -m "$master" -d 0
ok 'GET prints the value and exits with 0'
expect 2 '' -p "${ports[1]}" -o GET -k 2 -v '' -m "$master" -d 0
ok 'GET of a key that is not there exits with 2'
expect 0 '' -p "${ports[1]}" -o PUT -k 1 -v 1001 -m "$master" -d 0
get 1 1001
ok 'PUT over a key replaces its value'
expect 0 '' -p "${ports[1]}" -o PUT -k word -v '' -m '' -d 1
expect 0 '' -p "${ports[1]}" -o GET -k word -m 0 -d 1
ok 'the server is asked directly, a key may be any word, a value empty'
stop 1 TERM 0
expect 1 '' -o GET -k 1 -m "$master" -d 0 --timeout 200ms
ok 'without a server GET exits with 1'
stop_all

echo '== two servers'
start_master
start_server 1
joined 1
start_server 2
joined 2
for key in {1..20}; do put "$key" "value $key"; done
for key in {1..20}; do get "$key" "value $key"; done
ok 'keys 1 to 20 are put and got'
at_its_server 2 {1..20}
ok 'key k lies on server (k % 2) + 1, and on no other'
expect 1 '' -p "${ports[1]}" -o PUT -k 1 -v x -m "$master" -d 1
get 1 'value 1'
ok 'PUT to the server that does not have the key exits with 1 and changes nothing'
stop_all

echo '== a third server joins'
start_master
start_server 1
joined 1
start_server 2
joined 2
for key in {1..30}; do put "$key" "value $key"; done
start_server 3
joined 3
settled
at_its_server 3 {1..30}
ok 'the keys that were put before lie on server (k % 3) + 1'
for key in {31..40}; do put "$key" "value $key"; done
at_its_server 3 {31..40}
ok 'so do keys that are put afterwards'

echo '== servers go'
stop 3 TERM 0
for key in {1..40}; do get "$key" "value $key"; done
ok 'SIGTERM: the server exits with 0, and its keys are elsewhere at once'
settled
at_its_server 2 {1..40}
ok 'key k lies on server (k % 2) + 1 again'
stop 2 KILL 137
for key in {1..40}; do expect 0 "value $key" -o GET -k "$key" -m "$master" --timeout 3s; done
ok 'SIGKILL: its keys are served by the copies'
put 1 'value one'
get 1 'value one'
ok 'and can be written'
expect 1 '' -p "${ports[2]}" -o GET -k 1 -d 1 --timeout 200ms
ok 'asked directly, a server that is gone fails'
start_server 2
joined 2
for key in {2..40}; do get "$key" "value $key"; done
ok 'started again on its port it joins anew'

echo '== the master goes'
stop master KILL 137
expect 1 '' -o GET -k 1 -m "$master" --timeout 200ms
ok 'without a master GET fails'
found=0
for n in 1 2; do
	"$bin/clt" -o GET -k 2 -p "${ports[$n]}" -d 1 >/dev/null 2>&1 && found=$((found + 1))
done
[[ $found == 1 ]] || fail "key 2 is answered for by $found servers without a master"
ok 'but the servers answer'
start_master
for key in {2..40}; do get "$key" "value $key"; done
ok 'started again it knows where the keys are'

echo '== wrong use'
# refused WHAT COMMAND...: it exits with 1 and one line.
refused() {
	local what=$1 code=0
	shift
	"$@" >"$tmp/stdout" 2>"$tmp/stderr" || code=$?
	[[ $code == 1 ]] || fail "$what: exits with $code"
	[[ ! -s $tmp/stdout ]] || fail "$what: prints $(<"$tmp/stdout")"
	[[ $(wc -l <"$tmp/stderr") == 1 ]] || fail "$what: complains in other than one line: $(<"$tmp/stderr")"
	ok "$what: $(<"$tmp/stderr")"
}
long=$(printf 'k%.0s' {1..251})
nobody=$(free_port)
refused 'an unknown option' "$bin/clt" --nonsense
refused 'an unknown operation' "$bin/clt" -o PATCH -k 1 -m "$master"
refused 'no key' "$bin/clt" -o GET -m "$master"
refused 'a key of 251 bytes' "$bin/clt" -o GET -k "$long" -m "$master"
refused 'PUT without a value' "$bin/clt" -o PUT -k 1 -m "$master"
refused 'a port beyond 65535' "$bin/clt" -o GET -k 1 -m 65536
refused 'port 0' "$bin/svr" -p 0 -m "$master"
refused 'a port that is a word' "$bin/master-svr" -p http
refused 'a port in use, master' "$bin/master-svr" -p "$master"
refused 'a port in use, server' "$bin/svr" -p "${ports[1]}" -m "$master"
refused 'no master' "$bin/clt" -o GET -k 1 -m "$nobody" --timeout 200ms
refused 'a server for a master' "$bin/clt" -o GET -k 1 -m "${ports[1]}"
for key in {2..40}; do get "$key" "value $key"; done
ok 'and nothing has changed'
