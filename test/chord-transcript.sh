#!/usr/bin/env bash
# The ring's transcript, as its requirement has it: run as it is written, and what is
# printed compared to the letter. Then the same with other identifiers, keys and
# values, drawn by chance, where this script works out what is to be printed from a
# sorted list of the identifiers; and nodes that fail by message, by Ctrl-C and by
# SIGKILL, after which every pair is still there.
#
#   test/chord-transcript.sh
#   SEED=4711 test/chord-transcript.sh
#
# Prints a line for each thing that holds, and exits with 1 at the first that doesn't.
# Needs bash and Go; BIN=FOLDER takes programs that are built already.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

bin=${BIN:-$PWD/build/dev}
if [[ -z ${BIN:-} ]]; then
	./build.sh || exit 1
fi
export PATH=$bin:$PATH
hash -r
tmp=$(mktemp -d)
export TORC_RUN=$tmp/run
seed=${SEED:-$((RANDOM * 32768 + RANDOM))}
RANDOM=$seed
declare -A pids=() # of the nodes, by identifier

cleanup() {
	for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null; done
	wait 2>/dev/null
	rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

ok() { printf 'ok    %s\n' "$*"; }
fail_with() {
	printf 'FAIL  %s (SEED=%s)\n' "$*" "$seed"
	[[ -s $tmp/stderr ]] && cat "$tmp/stderr"
	torc chord ring 2>&1
	for log in "$tmp"/*.log; do
		[[ -e $log ]] && printf -- '--- %s\n' "${log##*/}" && tail -n 20 "$log"
	done
	exit 1
}

# A node runs in the background, as the transcript needs it to.
start() { # N ID [CONNECT]
	node "$@" >"$tmp/$2.out" 2>"$tmp/$2.log" &
	pids[$2]=$!
}

# gone ID: its process has ended.
gone() {
	wait "${pids[$1]}" 2>/dev/null
	unset "pids[$1]"
}

stop_all() {
	for id in "${!pids[@]}"; do
		kill -KILL "${pids[$id]}"
		gone "$id"
	done
	rm -f "$tmp"/*.out "$tmp"/*.log
}

# silent: no node has printed anything on standard output, and one that lives has said
# one line in all.
silent() {
	local id
	for id in "${!pids[@]}"; do
		[[ ! -s $tmp/$id.out ]] || fail_with "node $id prints $(<"$tmp/$id.out")"
		[[ $(wc -l <"$tmp/$id.log") == 1 ]] || fail_with "node $id says other than one line"
	done
}

# run CODE COMMAND...: it exits so. What it prints is in $printed.
run() {
	local want=$1 got=0
	shift
	printed=$("$@" 2>"$tmp/stderr") || got=$?
	[[ $got == "$want" ]] || fail_with "$*: exits with $got, not $want, having printed '$printed'"
}

# expect CODE LINE COMMAND...: it exits so, having printed just that line.
expect() {
	local line=$2
	run "$1" "${@:3}"
	[[ $printed == "$line" ]] || fail_with "${*:3}: prints '$printed', not '$line'"
	[[ ! -s $tmp/stderr ]] || fail_with "${*:3}: says more than it prints"
}

# whole: every node has as many copies of its pairs elsewhere as there shall be. It is
# waited for between two failures: they don't happen at once.
whole() {
	local end=$((SECONDS + 30)) ring
	while :; do
		ring=$(torc chord ring --json 2>"$tmp/stderr")
		[[ $(grep -o '"joined":true' <<<"$ring" | wc -l) == "${#pids[@]}" && $ring != *'"whole":false'* && $ring != *'"serving":false'* ]] && return
		((SECONDS <= end)) || fail_with 'the ring does not become whole'
		sleep 0.05
	done
}

echo '== the transcript'
transcript='--> node 8 1
--> node 8 136 1
--> node 8 35 1
Added "hello" to hashtable with key 291, hash 35, node 35.
--> node 8 99 136
Added "world" to hashtable with key 15, hash 15, node 35.
--> node 8 32 35
--> get 35 15
Retrieved "world" from the hashtable.
--> get 136 291
Retrieved "hello" from the hashtable.
--> remove 136 291
Removed "hello" with key 291 from the hashtable.
--> get 1 291
No key/value pair for key 291 was found in the hashtable.
--> update 99 15 "hello"
Updated value for key 15 to "hello".
--> get 35 15
Retrieved "hello" from the hashtable.'
# The two commands that it leaves out, by what comes before them.
declare -A missing=(['node 8 35 1']='add 1 291 hello' ['node 8 99 136']='add 136 15 world')

while IFS= read -r line; do
	[[ $line == '--> '* ]] || continue
	command=${line#--> }
	printf '%s\n' "$line"
	if [[ $command == node\ * ]]; then
		# shellcheck disable=SC2086 # as written: words apart by blanks
		start ${command#node }
		[[ -z ${missing[$command]:-} ]] || eval "${missing[$command]}"
	else
		eval "$command"
	fi
done <<<"$transcript" >"$tmp/transcript" 2>"$tmp/stderr"
diff <(printf '%s\n' "$transcript") "$tmp/transcript" || fail_with 'the transcript is another one'
[[ ! -s $tmp/stderr ]] || fail_with 'the transcript says something on standard error'
ok 'what the programs print is what the requirement prints'
silent
ok 'nodes print nothing, and say in one line that they have joined'
run 2 get 1 291
run 2 update 99 291 x
[[ $printed == 'No key/value pair for key 291 was found in the hashtable.' ]] || fail_with "update prints '$printed'"
run 2 remove 99 291
[[ $printed == 'No key/value pair for key 291 was found in the hashtable.' ]] || fail_with "remove prints '$printed'"
run 2 add 1 15 again
[[ $printed == 'Key 15 is already in the hashtable.' ]] || fail_with "add prints '$printed'"
expect 0 'Retrieved "hello" from the hashtable.' get 32 15
ok 'a key that is missing, or there already, is said, and exits with 2'
expect 0 'Added "again" to hashtable with key 291, hash 35, node 35.' add 32 291 again
whole

# everywhere KEY VALUE: each node that lives tells it.
everywhere() {
	local id
	for id in "${!pids[@]}"; do expect 0 "Retrieved \"$2\" from the hashtable." get "$id" "$1"; done
}
expect 0 'Node 35 failed.' fail 35
gone 35
everywhere 15 hello
everywhere 291 again
ok 'after the failure message to 35 every pair is there'
expect 0 'Added "35" to hashtable with key 33, hash 33, node 99.' add 1 33 35
whole
kill -INT "${pids[99]}"
gone 99
everywhere 15 hello
everywhere 291 again
everywhere 33 35
ok 'after Ctrl-C at 99 every pair is there'
whole
kill -KILL "${pids[32]}"
gone 32
everywhere 15 hello
everywhere 291 again
everywhere 33 35
ok 'after SIGKILL of 32 every pair is there'
expect 0 'Removed "35" with key 33 from the hashtable.' remove 1 33
start 8 35 136
expect 0 'Added "back" to hashtable with key 35, hash 35, node 35.' add 1 35 back
ok 'a node that failed can join again'
stop_all

echo "== drawn with SEED=$seed"
bits=$((5 + RANDOM % 56))
places=$((1 << bits))
# What is drawn is left in a variable: in a subshell, chance has another seed.
draw_number() { number=$(((RANDOM << 45 | RANDOM << 30 | RANDOM << 15 | RANDOM) & 0x3fffffffffffffff)); }
draw_node() { drawn=${ids[RANDOM % ${#ids[@]}]}; }

ids=() # of the nodes that live, sorted
sort_ids() { mapfile -t ids < <(printf '%s\n' "${ids[@]}" | sort -n); }

# owner KEY: the first node at or after its place.
owner() {
	local id
	for id in "${ids[@]}"; do
		((id >= $1 % places)) && echo "$id" && return
	done
	echo "${ids[0]}"
}

while ((${#ids[@]} < 6)); do
	draw_number
	id=$((number % places))
	[[ " ${ids[*]} " == *" $id "* ]] && continue
	if ((${#ids[@]} == 0)); then
		start "$bits" "$id"
	else
		draw_node
		start "$bits" "$id" "$drawn"
	fi
	ids+=("$id")
done
sort_ids
echo "      n = $bits, nodes ${ids[*]}"

declare -A model=() # what the ring holds
words=('hello world' '"quoted"' '$HOME `x` \n' "it's" '-x' '' 'ä ö ü' '%s%d' '*' 'a  b ')
values=0
draw_value() {
	value=${words[RANDOM % ${#words[@]}]}
	((RANDOM % 2)) && value+=$((values++))
	return 0
}

# step: one command by chance, and what is to come of it.
step() {
	local key=$1 at value
	draw_node
	at=$drawn
	draw_value
	local none="No key/value pair for key $key was found in the hashtable."
	case $((RANDOM % 5)) in
	0 | 1)
		if [[ -v model[$key] ]]; then
			expect 2 "Key $key is already in the hashtable." add "$at" "$key" "$value"
		else
			expect 0 "Added \"$value\" to hashtable with key $key, hash $((key % places)), node $(owner "$key")." add "$at" "$key" "$value"
			model[$key]=$value
		fi
		;;
	2)
		if [[ -v model[$key] ]]; then
			expect 0 "Updated value for key $key to \"$value\"." update "$at" "$key" "$value"
			model[$key]=$value
		else
			expect 2 "$none" update "$at" "$key" "$value"
		fi
		;;
	3)
		if [[ -v model[$key] ]]; then
			expect 0 "Removed \"${model[$key]}\" with key $key from the hashtable." remove "$at" "$key"
			unset "model[$key]"
		else
			expect 2 "$none" remove "$at" "$key"
		fi
		;;
	4) check "$key" "$at" ;;
	esac
}

check() { # KEY NODE
	if [[ -v model[$1] ]]; then
		expect 0 "Retrieved \"${model[$1]}\" from the hashtable." get "$2" "$1"
	else
		expect 2 "No key/value pair for key $1 was found in the hashtable." get "$2" "$1"
	fi
}
all_there() {
	local key
	for key in "${keys[@]}"; do
		draw_node
		check "$key" "$drawn"
	done
	ok "$1: ${#model[@]} pairs, and no other, are there"
}

keys=()
for i in {1..8}; do
	draw_number
	keys+=("$number" $((number % places))) # two keys of one place, mostly
done
steps() {
	local i
	for ((i = 0; i < $1; i++)); do step "${keys[RANDOM % ${#keys[@]}]}"; done
}

steps 40
ok '40 commands print what they have to'
all_there 'after them'
silent

# leaves HOW: a node goes, and afterwards all is there.
leaves() {
	whole
	draw_node
	local id=$drawn other
	case $1 in
	'the failure message') expect 0 "Node $id failed." fail "$id" ;;
	*) kill "-$1" "${pids[$id]}" ;;
	esac
	gone "$id"
	local left=()
	for other in "${ids[@]}"; do [[ $other == "$id" ]] || left+=("$other"); done
	ids=("${left[@]}")
	all_there "$1 to $id"
	steps 5
}
leaves 'the failure message'
leaves INT
leaves KILL
leaves TERM
