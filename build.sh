#!/usr/bin/env bash
# Builds build/dev/torc, and beside it a link for each other name that it acts by.
# Needs bash and Go. Says nothing when all is well.
set -euo pipefail

say() { printf 'build.sh: %s\n' "$*" >&2; }

here=${BASH_SOURCE[0]%/*}
[[ $here != "${BASH_SOURCE[0]}" ]] || here=.
cd "$here"

# The names that main.go's programs has.
names=(add clt dht-shell fail fleet-client get kv kv-server master-svr node remove svr update watchdog)

need=
while read -r word value _; do
	[[ $word == go ]] && need=$value
done <go.mod

how="install Go $need or later from https://go.dev/dl, and put its bin folder in PATH"
if ! command -v go >/dev/null; then
	say "there is no go command in PATH: $how"
	exit 1
fi
# A go command that is older may fetch the one that go.mod asks for; this is the
# version that will build, or why there is none.
if ! have=$(go env GOVERSION 2>&1); then
	say "$have"
	say "$how"
	exit 1
fi

# older A B: version A comes before version B; each is numbers with dots.
older() {
	local -a a b
	IFS=. read -ra a <<<"$1"
	IFS=. read -ra b <<<"$2"
	local i
	for i in 0 1 2; do
		local x=${a[i]:-0} y=${b[i]:-0}
		((10#$x == 10#$y)) || { ((10#$x < 10#$y)); return; }
	done
	return 1
}
# go1.26.8, go1.27rc1, "go1.26.1 X:..." or "devel go1.27-...".
if [[ $have =~ go([0-9]+(\.[0-9]+)*) ]] && older "${BASH_REMATCH[1]}" "$need"; then
	say "this is ${have}: $how"
	exit 1
fi

version=
if command -v git >/dev/null; then
	version=$(git describe --tags --always --dirty 2>/dev/null) || version=
fi

mkdir -p build/dev
CGO_ENABLED=0 go build -trimpath -buildvcs=false ${version:+-ldflags "-X main.version=$version"} -o build/dev/torc ./cmd/torc
for name in "${names[@]}"; do
	ln -sf torc "build/dev/$name"
done
