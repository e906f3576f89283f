/* Internal: choices by name. A table of choices is an array of pointers to structs whose first
 * member is their name. */
#ifndef ITO_DDPM_CHOICES_H
#define ITO_DDPM_CHOICES_H

#include <stddef.h>

/* The choice of that name among n, or NULL with "WHAT: there is no "NAME"; there are a, b and c"
 * recorded. */
const void *choice_find(const char *what, const void *const *choices, size_t n, const char *name);

#define CHOICE_FIND(what, choices, name)                                                           \
    choice_find(what, (const void *const *)(choices), sizeof(choices) / sizeof(choices)[0], name)

#endif
