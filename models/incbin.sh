#!/bin/sh
# A header that names a file whose bytes C includes with .incbin. The checksum makes the header, and so
# what includes it, new when the file's content is.    incbin.sh MACRO FILE OUT
set -e
printf '#define %s "%s" /* cksum %s */\n' "$1" "$2" "$(cksum <"$2")" >"$3"
