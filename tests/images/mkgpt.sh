#!/bin/bash
# Puts a file system image onto a whole GPT disk, as published OS images are: an ESP that holds
# EFI/Linux/linux.efi, and a partition `rootfs`.
#
# Usage: mkgpt.sh ROOTFS UKI DISK [ESP_MEBIBYTES]    needs: sfdisk, mtools
set -euo pipefail

rootfs=${1:?usage: mkgpt.sh ROOTFS UKI DISK [ESP_MEBIBYTES]}
uki=${2:?usage: mkgpt.sh ROOTFS UKI DISK [ESP_MEBIBYTES]}
disk=${3:?usage: mkgpt.sh ROOTFS UKI DISK [ESP_MEBIBYTES]}
esp_mib=${4:-64}

mib=$((1024 * 1024))
rootfs_mib=$((($(stat -c %s "$rootfs") + mib - 1) / mib))
new=$(mktemp "$disk.XXXXXX")
trap 'rm -f "$new"' EXIT
truncate -s $(((esp_mib + rootfs_mib + 2) * mib)) "$new"
sfdisk -q "$new" <<TABLE
label: gpt
label-id: 5D2A6F00-0B0C-4C8E-9A55-0E7C7E8B1A01
first-lba: 2048
size=${esp_mib}MiB, name=ESP, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, uuid=5D2A6F00-0B0C-4C8E-9A55-0E7C7E8B1A02
size=${rootfs_mib}MiB, name=rootfs, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, uuid=5D2A6F00-0B0C-4C8E-9A55-0E7C7E8B1A03
TABLE
export MTOOLS_SKIP_CHECK=1 SOURCE_DATE_EPOCH=1700000000
mformat -i "$new@@1M" -T $((esp_mib * 2048)) -F -v ESP -N 5d2a6f04 ::
mmd -i "$new@@1M" ::/EFI ::/EFI/Linux
mcopy -i "$new@@1M" "$uki" ::/EFI/Linux/linux.efi
dd if="$rootfs" of="$new" bs=1M seek=$((esp_mib + 1)) conv=notrunc,sparse status=none
chmod 0644 "$new"
mv "$new" "$disk"
