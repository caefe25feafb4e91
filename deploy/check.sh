#!/bin/sh
# Checks the systemd units: that systemd understands them without a warning, and
# that they are as confined as they are meant to be. Needs systemd-analyze.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
# systemd's own measure of exposure, in tenths of a point: 0 is none, 100 all.
threshold=25

if ! command -v systemd-analyze >/dev/null; then
	echo "deploy/check.sh: systemd-analyze is missing; run make deps" >&2
	exit 1
fi

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root/bin"

failed=0
for unit in "$here"/systemd/*.service; do
	name=$(basename "$unit")
	program=${name%.service}
	# systemd wants the program to be there; only its name matters here.
	ln -sf /bin/true "$root/bin/$program"
	sed "s|/usr/bin/$program|$root/bin/$program|" "$unit" >"$root/$name"
	if ! out=$(systemd-analyze verify --man=no --recursive-errors=no "$root/$name" 2>&1) || [ -n "$out" ]; then
		echo "$name: $out" >&2
		failed=1
	fi
	if ! out=$(systemd-analyze security --no-pager --offline=true --threshold=$threshold "$root/$name" 2>&1); then
		echo "$name is more exposed than $threshold tenths of a point:" >&2
		echo "$out" >&2
		failed=1
	else
		echo "$name: $(echo "$out" | sed -n 's/.*Overall exposure level for [^:]*: //p')"
	fi
done
exit $failed
