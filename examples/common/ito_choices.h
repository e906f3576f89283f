/* The choices of a diffusion as lists, until the library lists them itself: this header and its
 * source go then, and <ito/ito.h> takes their place. */
#ifndef ITO_EXAMPLES_ITO_CHOICES_H
#define ITO_EXAMPLES_ITO_CHOICES_H

#include <stdint.h>

/** The head of every descriptor that is chosen by name. */
typedef struct ito_choice {
    const char *name;
    const char *help;   /* one line */
    const char *source; /* of the method, or NULL */
} ito_choice;

/**
 * The choices of a kind: "schedule", "prediction", "variance", "weighting", "objective",
 * "timestep_law", "spacing" or "sampler".
 * @param n  their number; 0 for another kind.
 * @return   [n], static.
 */
const ito_choice *const *ito_choices(const char *kind, int64_t *n);

#endif
