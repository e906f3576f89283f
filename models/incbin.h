/* Files whose bytes become part of the program: INCBIN(name, "path") at file scope makes `name`, an
 * array of INCBIN_SIZE(name) bytes that nothing can change. Not installed.
 * The path is relative to where the compiler runs; incbin.sh makes it for meson. */
#ifndef ITO_MODELS_INCBIN_H
#define ITO_MODELS_INCBIN_H

#include <stdint.h>

#define INCBIN(name, path)                                                                         \
    __asm__(".pushsection .rodata\n"                                                               \
            ".balign 64\n" #name ": .incbin \"" path "\"\n" #name "_end:\n"                        \
            ".popsection\n");                                                                      \
    extern const unsigned char name[] __attribute__((visibility("hidden")));                       \
    extern const unsigned char name##_end[] __attribute__((visibility("hidden")));

#define INCBIN_SIZE(name) ((size_t)((uintptr_t)name##_end - (uintptr_t)name))

#endif
