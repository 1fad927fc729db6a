#!/bin/sh
# Writes the root file system that the images of this corpus start from, `debian:here`: what some Debian packages have
# put on this machine, and what those depend on. Nothing is downloaded.
#
#   tests/dockerfiles/base.sh ROOT.tar
#
# Ends with 3, and says which, when packages aren't installed.
set -eu
wanted='apt base-files bash binutils coreutils dash debianutils diffutils dpkg findutils grep gzip hostname libc-bin
perl-base python3-minimal libpython3-stdlib python3-pip sed tar util-linux'
# Of what they depend on, nobody here needs these.
spared='adduser ca-certificates debconf openssl passwd'
out=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

dpkg-query --show --showformat '${Package}|${db:Status-Status}|${Depends}, ${Pre-Depends}\n' |
    awk -F '|' -v wanted="$wanted" -v spared="$spared" '
        $2 == "installed" { there[$1] = 1; rest = $3; for (i = 4; i <= NF; i++) rest = rest "," $i; needs[$1] = rest }
        END {
            count = split(wanted, list, /[ \n]+/)
            split(spared, names, " "); for (i in names) seen[names[i]] = 1
            for (i = 1; i <= count; i++) {
                if (!(list[i] in there)) { print list[i] > "/dev/stderr"; missing = 1 }
                seen[list[i]] = 1
            }
            if (missing) exit 3
            for (i = 1; i <= count; i++) {
                print list[i]
                more = split(needs[list[i]], parts, ",")
                for (j = 1; j <= more; j++) {
                    name = parts[j]; gsub(/^ +| *[(:].*$| +$/, "", name)
                    if (name in there && !(name in seen)) { seen[name] = 1; list[++count] = name }
                }
            }
        }' >"$work/packages"

xargs dpkg-query --listfiles <"$work/packages" |
    grep -Ev '^/usr/share/(doc|man|locale|info|lintian|bash-completion|perl5)/|^package |^$|^/\.$' |
    sed -E 's,^/(s?bin|lib|lib32|lib64|libx32)/,/usr/\1/,; s,^/,,' | grep -v '^var/lib/dpkg' | sort -u |
    (cd / && xargs -d '\n' ls -d 2>/dev/null || true) >"$work/files"

# What the packages' scripts would have made.
mkdir -p "$work/root/etc" "$work/root/var/lib/dpkg/info" "$work/root/var/lib/dpkg/updates"
touch "$work/root/var/lib/dpkg/status"
printf 'root:x:0:0:root:/root:/bin/bash\nwww-data:x:33:33::/var/www:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n' \
    >"$work/root/etc/passwd"
printf 'root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n' >"$work/root/etc/group"
tar --create --file "$out" --numeric-owner --directory / --no-recursion --files-from "$work/files"
tar --append --file "$out" --owner 0 --group 0 --directory "$work/root" etc/passwd etc/group var/lib/dpkg
