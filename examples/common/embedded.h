/* Files whose bytes become part of the program: EMBED(name, "path") at file scope makes `name`, an
 * array of EMBED_SIZE(name) bytes that nothing can change. The path is relative to where the
 * compiler runs; models/incbin.sh makes it for meson. */
#ifndef ITO_EXAMPLES_EMBEDDED_H
#define ITO_EXAMPLES_EMBEDDED_H

#include <stdint.h>

#define EMBED(name, path)                                                                          \
    __asm__(".pushsection .rodata\n"                                                               \
            ".balign 64\n" #name ": .incbin \"" path "\"\n" #name "_end:\n"                        \
            ".popsection\n");                                                                      \
    extern const unsigned char name[] __attribute__((visibility("hidden")));                       \
    extern const unsigned char name##_end[] __attribute__((visibility("hidden")));

#define EMBED_SIZE(name) ((size_t)((uintptr_t)name##_end - (uintptr_t)name))

#endif
