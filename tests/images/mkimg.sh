#!/bin/bash
# Builds a pair of ext4 images from two versions of real Debian packages: FOLDER/old.img and
# FOLDER/new.img, 176 MiB with about 150 MB in each, alike but for one update. What is there already is kept, so
# that a CI run with a cached FOLDER downloads nothing.
#
# Usage: mkimg.sh FOLDER [MEBIBYTES]    needs: apt-get (with lists), dpkg-deb, mke2fs, debugfs
set -euo pipefail

folder=${1:?usage: mkimg.sh FOLDER [MEBIBYTES]}
size=${2:-176}M
if [ -s "$folder/old.img" ] && [ -s "$folder/new.img" ]; then exit 0; fi

# In both images the same.
same=(coreutils busybox libicu72 vim-runtime perl-modules-5.36)
# In the older and the newer of the versions that the lists offer.
updated=(openssl libssl3 curl libcurl4 openssh-client openssh-server libc6 tzdata)

packages=$folder/packages
mkdir -p "$packages"/{same,old,new}

# download INTO PACKAGE[=VERSION]
download() {
    (cd "$packages/$1" && apt-get -q download "$2" >/dev/null)
}

for package in "${same[@]}"; do
    compgen -G "$packages/same/${package}_*.deb" >/dev/null || download same "$package"
done
changed=0
for package in "${updated[@]}"; do
    mapfile -t versions < <(apt-cache madison "$package" | awk '{ print $3 }' | awk '!seen[$0]++')
    newer=${versions[0]:?no version of $package in the package lists: run apt-get update}
    older=${versions[1]:-$newer}
    [ "$older" = "$newer" ] || changed=$((changed + 1))
    compgen -G "$packages/new/${package}_*.deb" >/dev/null || download new "$package=$newer"
    compgen -G "$packages/old/${package}_*.deb" >/dev/null || download old "$package=$older"
done
if [ "$changed" = 0 ]; then
    echo "mkimg.sh: the package lists offer one version of each package; add Debian's security or" \
        "update archive" >&2
    exit 1
fi

# Everything that mke2fs would draw or read off the clock is fixed: equal trees, equal images.
uuid=6b1c0a52-7d0e-4f35-9a41-1d2f6d0c7e11
work=$(mktemp -d "$folder/.work-XXXXXX")
trap 'rm -rf "$work"' EXIT
for side in old new; do
    mkdir "$work/$side"
    for deb in "$packages"/same/*.deb "$packages/$side"/*.deb; do
        dpkg-deb -x "$deb" "$work/$side"
    done
    mkdir -p "$work/$side/etc"
    printf 'ID=sample\nIMAGE_ID=sample-edge\nIMAGE_VERSION=%s\n' \
        "$([ $side = old ] && echo 1.0.20260101 || echo 1.1.20260201)" >"$work/$side/etc/os-release"
    find "$work/$side" -exec touch -h -d @1700000000 {} +
    truncate -s "$size" "$work/$side.img"
    E2FSPROGS_FAKE_TIME=1700000000 mke2fs -q -F -t ext4 -b 4096 -m 0 -U "$uuid" \
        -E "hash_seed=$uuid,lazy_itable_init=0,root_owner=0:0" -d "$work/$side" "$work/$side.img"
    # mke2fs copies the times of change and access, which no tool can set on the tree itself.
    (cd "$work/$side" && find . -printf '/%P\n' | while read -r path; do
        printf 'sif "%s" ctime 20231114221320\nsif "%s" atime 20231114221320\n' "$path" "$path"
    done) >"$work/times"
    E2FSPROGS_FAKE_TIME=1700000000 debugfs -w -f "$work/times" "$work/$side.img" >/dev/null 2>&1
done
mv "$work/old.img" "$work/new.img" "$folder/"
