#!/bin/sh
# Builds the same Dockerfiles with two daemons and shows where the images differ: configuration, history, files.
# Not part of any test run: it needs a reference daemon.
#
#   tests/compare-builds.sh unix:///reference.sock unix:///berth.sock FOLDER...
#
# Each FOLDER is a build context. Both daemons must have the base images. Times and ids aren't compared.
set -eu
reference=$1 berth=$2
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

facts() {
    docker -H "$1" inspect --format '{{json .Config.Env}}
{{json .Config.Cmd}} {{json .Config.Entrypoint}} {{json .Config.WorkingDir}} {{json .Config.User}}
{{json .Config.Labels}} {{json .Config.ExposedPorts}} {{json .Config.Volumes}} {{json .Config.StopSignal}}
{{json .Config.Healthcheck}} {{json .Config.OnBuild}} {{json .Config.Shell}} {{.Author}} {{.Architecture}} {{.Os}}
{{len .RootFS.Layers}} layers' "$2"
    # The content's digest in COPY lines is each daemon's own.
    docker -H "$1" history --no-trunc --format '{{.CreatedBy}} {{.Size}} {{.Comment}}' "$2" |
        sed -E 's/(file|dir|multi):[0-9a-f]{64}/CONTENT/'
    docker -H "$1" save -o "$work/image.tar" "$2"
    python3 - "$work/image.tar" <<'LIST'
import json, sys, tarfile
image = tarfile.open(sys.argv[1])
files = {}
for layer in json.load(image.extractfile("manifest.json"))[0]["Layers"]:
    for entry in tarfile.open(fileobj=image.extractfile(layer)):
        folder, _, name = entry.name.strip("./").rpartition("/")
        path = f"{folder}/{name}".strip("/")
        if name.startswith(".wh."):
            gone = f"{folder}/{name[4:]}".strip("/")
            files = {k: v for k, v in files.items() if k != gone and not k.startswith(gone + "/")}
        elif path:
            size = entry.size if entry.isreg() else 0
            files[path] = f"{entry.type.decode()} {entry.mode & 0o7777:o} {entry.uid}:{entry.gid} {size} {entry.linkname}"
for path in sorted(files):
    print(path, files[path])
LIST
}

status=0
for folder in "$@"; do
    for daemon in "$reference" "$berth"; do
        DOCKER_BUILDKIT=0 docker -H "$daemon" build --no-cache -q -t compared "$folder" >/dev/null 2>"$work/log" ||
            { echo "$folder: $daemon can't build it"; cat "$work/log"; }
    done
    facts "$reference" compared >"$work/reference"
    facts "$berth" compared >"$work/berth"
    if diff -u "$work/reference" "$work/berth"; then
        echo "$folder: the same"
    else
        status=1
    fi
done
exit $status
