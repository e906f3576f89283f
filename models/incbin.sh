#!/bin/sh
# A header that makes the bytes of a file part of a program: NAME is an array of NAME_size() bytes that
# nothing can change. Included once. The path is relative to where the compiler runs; the checksum makes
# the header, and so what includes it, new when the file's content is.    incbin.sh NAME FILE OUT
set -e
cat >"$3" <<END
/* Made by incbin.sh of $2, cksum $(cksum <"$2"). */
#include <stddef.h>
#include <stdint.h>

__asm__(".pushsection .rodata\n"
        ".balign 64\n$1: .incbin \"$2\"\n$1_end:\n"
        ".popsection\n");
extern const unsigned char $1[] __attribute__((visibility("hidden")));
extern const unsigned char $1_end[] __attribute__((visibility("hidden")));

/* By numbers: to the compiler the two are different objects. */
static inline size_t $1_size(void)
{
    return (size_t)((uintptr_t)$1_end - (uintptr_t)$1);
}
END
