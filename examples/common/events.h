/* TensorBoard event files: scalars by tag and step, appended during training. The format: records
 * of TFRecord around protocol buffers of TensorFlow's Event. */
#ifndef ITO_DDPM_EVENTS_H
#define ITO_DDPM_EVENTS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct event_file {
    FILE *file; /* NULL while closed */
    char *path;
} event_file;

typedef struct event_scalar {
    const char *tag;
    double value; /* left out if not finite */
} event_scalar;

/* Begin a new file in dir, which is created. Entries of older files for steps beyond `step` become
 * invalid. False with an error recorded, as from the others. */
bool events_open(event_file *e, const char *dir, int64_t step);
/* Append numbers of one step; they are flushed to the file when this returns. */
bool events_write(event_file *e, int64_t step, const event_scalar *scalars, int n);
/* Accepts one that is not open, zeroed. */
void events_close(event_file *e);

#endif
