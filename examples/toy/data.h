/* Distributions of points in the plane, within about [-1, 1]. */
#ifndef ITO_EXAMPLES_TOY_DATA_H
#define ITO_EXAMPLES_TOY_DATA_H

#include <ito/ito.h>

/* A distribution by name. */
typedef struct toy_data {
    const char *name, *help, *source; /* an ito_choice */
    void (*point)(ito_generator *g, float xy[2]);
} toy_data;

/* All of them, closed by NULL. */
extern const ito_choice *const toy_distributions[];

/* n points [n, 2] f32, of the current scope; NULL with an error recorded. */
ito_tensor *toy_points(const toy_data *data, ito_generator *g, int64_t n);

#endif
