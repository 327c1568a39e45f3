#!/bin/sh
# Builds a release into a folder: release.sh VERSION DIR [OS/ARCH...]. The same commit, Go and tools give the same bytes.
# For each system an archive with the program, manual pages and completions; for Linux a Debian package too; a list of what is inside (SBOM,
# CycloneDX) and SHA256SUMS.
set -eu

version=${1:?VERSION} out=${2:?DIR}
shift 2
targets=${*:-linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64}
nfpm=github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2
sbom=github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0

cd "$(dirname "$0")/.."
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH TZ=UTC LC_ALL=C CGO_ENABLED=0
rm -rf "$out"
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

go run ./packaging/manual "$work/manual"
for target in $targets; do
	os=${target%/*} arch=${target#*/} exe=
	[ "$os" != windows ] || exe=.exe
	echo "build $target"
	name=shoal_${version}_${os}_$arch
	dir=$work/$name
	mkdir -p "$dir"
	# -buildvcs=false: what is known of the commit is in the version.
	GOOS=$os GOARCH=$arch go build -trimpath -buildvcs=false -ldflags "-s -w -buildid= -X shoal/internal/cli.Version=$version" -o "$dir/shoal$exe" ./cmd/shoal
	cp LICENSE README.md "$dir/"
	cp docs/config.example.toml docs/node.md docs/cli.md "$dir/"
	cp -r "$work/manual/completions" "$dir/"
	if [ "$os" = windows ]; then
		go run ./packaging/archive "$out/$name.zip" "$dir"
	else
		cp -r "$work/manual/man" "$dir/"
		if [ "$os" = linux ]; then cp -r packaging/systemd packaging/shoal.desktop "$dir/"; fi
		go run ./packaging/archive "$out/$name.tar.gz" "$dir"
	fi
	if [ "$os" = linux ]; then
		gzip -9n "$dir"/man/*.1
		find "$dir" -exec touch -d "@$SOURCE_DATE_EPOCH" {} +
		ARCH=$arch VERSION=$version STAGE=$dir go run $nfpm package --config packaging/nfpm.yaml --packager deb --target "$out/shoal_${version}_$arch.deb"
	fi
done
if [ -z "${NO_SBOM:-}" ]; then
	# Of the first program: what is in the others differs in what single systems need.
	set -- "$work"/shoal_"${version}"_*/shoal*
	go run $sbom bin -json -licenses -noserial -output-version 1.6 -version "v$version" -output "$work/sbom.json" "$1"
	# The time of the list is that of the source.
	sed "s/\"timestamp\": \"[^\"]*\"/\"timestamp\": \"$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)\"/" "$work/sbom.json" > "$out/shoal_${version}.sbom.json"
fi
(cd "$out" && sha256sum -- * > "$work/SHA256SUMS" && mv "$work/SHA256SUMS" .)
