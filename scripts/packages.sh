#!/usr/bin/env bash
# Installs the Debian packages whose programs the tests start. Without the right
# to install it says which tests' packages are missing, and the tests skip; with
# CI=true that is a failure.
set -euo pipefail

# package: a file of it
needed="memcached:/usr/bin/memcached
zookeeper:/usr/share/zookeeper/bin/zkServer.sh
libmemcached-tools:/usr/bin/memccapable
nutcracker:/usr/sbin/nutcracker
gcc:/usr/bin/gcc
libc6-dev:/usr/include/stdio.h
curl:/usr/bin/curl
netcat-openbsd:/bin/nc.openbsd"

missing=()
while IFS=: read -r package file; do
	[ -e "$file" ] || missing+=("$package")
done <<<"$needed"
[ ${#missing[@]} -gt 0 ] || exit 0

install=
if command -v apt-get >/dev/null; then
	if [ "$(id -u)" = 0 ]; then
		install="apt-get"
	elif sudo -n true 2>/dev/null; then
		install="sudo -n apt-get"
	fi
fi
if [ -z "$install" ]; then
	echo "Not installed, and no right to install: ${missing[*]}" >&2
	echo "Tests that need them are skipped. As root: apt-get install ${missing[*]}" >&2
	[ "${CI:-}" != true ] || exit 1
	exit 0
fi

echo "Installing what the tests start: ${missing[*]}" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# A package's own service would only hold the ports that people try things on.
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
if ! { $install update && $install install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
	tail -n 20 "$log" >&2
	echo "apt-get install ${missing[*]} failed" >&2
	exit 1
fi
