#!/bin/sh
# Makes a release for this kind of machine twice, the second time from a copy of the source elsewhere, and looks at what came of it. As root.
set -eu
cd "$(dirname "$0")/.."
version=0.0.1 arch=$(go env GOARCH)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "release-check: $*" >&2; exit 1; }

SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) NO_SBOM=1
export SOURCE_DATE_EPOCH NO_SBOM
packaging/release.sh $version "$work/one" "linux/$arch"
mkdir "$work/copy"
git ls-files -z | xargs -0 cp --parents -t "$work/copy"
(cd "$work/copy" && packaging/release.sh $version "$work/two" "linux/$arch")
cmp "$work/one/SHA256SUMS" "$work/two/SHA256SUMS" || fail "two builds of the same source differ"
(cd "$work/one" && sha256sum -c --quiet SHA256SUMS)

deb=$work/one/shoal_${version}_$arch.deb
root=$work/root
mkdir -p "$root/var/lib/dpkg/info" "$root/var/lib/dpkg/updates" "$root/etc"
: > "$root/var/lib/dpkg/status"
dpkg --instdir="$root" --admindir="$root/var/lib/dpkg" --force-script-chrootless --force-depends -i "$deb" > "$work/dpkg.log" 2>&1 || { cat "$work/dpkg.log"; fail "the package does not install"; }
grep -q '^shoal:.*:/var/lib/shoal:' "$root/etc/passwd" || fail "the package makes no user"
"$root/usr/bin/shoal" --version | grep -q "version $version" || fail "the program does not tell its version"
grep -q "^Exec=shoal add --open %U" "$root/usr/share/applications/shoal.desktop" || fail "desktop entry"
bash -n "$root/usr/share/bash-completion/completions/shoal" || fail "bash completion"
man --warnings=w -l "$root/usr/share/man/man1/shoal.1.gz" > /dev/null 2> "$work/man.log" || fail "manual page"
[ ! -s "$work/man.log" ] || fail "manual page: $(head -3 "$work/man.log")"
for unit in system user; do
	for name in shoal.service shoal.socket; do # the program is not where the unit says, in here
		sed "s#/usr/bin/shoal#$root/usr/bin/shoal#; /^Documentation=/d" "$root/usr/lib/systemd/$unit/$name" > "$work/$name"
	done
	[ $unit = system ] && flag= || flag=--user
	# shellcheck disable=SC2086
	XDG_RUNTIME_DIR=$work systemd-analyze verify $flag "$work/shoal.service" "$work/shoal.socket" > "$work/verify.log" 2>&1 || { cat "$work/verify.log"; fail "$unit units"; }
	[ ! -s "$work/verify.log" ] || { cat "$work/verify.log"; fail "$unit units"; }
done
systemd-analyze security --offline=true --threshold=20 "$root/usr/lib/systemd/system/shoal.service" > "$work/security.log" || { tail -1 "$work/security.log"; fail "exposure above 2.0"; }
tail -1 "$work/security.log"
dpkg --instdir="$root" --admindir="$root/var/lib/dpkg" --force-script-chrootless -r shoal > "$work/dpkg.log" 2>&1 || { cat "$work/dpkg.log"; fail "the package does not go away"; }
[ ! -e "$root/usr/bin/shoal" ] || fail "the package leaves its program behind"
echo "release-check: all passed"
