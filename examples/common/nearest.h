/* The name that a mistyped one may have meant. */
#ifndef ITO_EXAMPLES_NEAREST_H
#define ITO_EXAMPLES_NEAREST_H

typedef struct nearest {
    const char *word; /* as it was written */
    const char *name; /* the nearest so far; NULL if none was near */
    int distance;     /* from it */
} nearest;

/* Begin with {.word = "sampels"}, and try all names. */
void nearest_try(nearest *n, const char *name);
/* "; did you mean BEFOREname?", or "" if none was near; text. */
const char *nearest_question(const nearest *n, const char *before, char text[128]);

#endif
