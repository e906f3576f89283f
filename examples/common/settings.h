/* The settings of a run: values of a table of options as members of a JSON object, and back. */
#ifndef ITO_EXAMPLES_SETTINGS_H
#define ITO_EXAMPLES_SETTINGS_H

#include "examples/common/options.h"

#include <cjson/cJSON.h>

/* Add the values of all rows that belong to a run; one that is unset is left out. False if there is
 * no memory. */
bool settings_put(cJSON *object, const option_row *rows, const void *values);
/* Read them back. found[row] is whether the object has it. Texts are borrowed from the object.
 * False with an error recorded, "SOURCE: ...", if a value is not valid for its row. */
bool settings_get(const cJSON *object, const option_row *rows, void *values, bool *found,
                  const char *source);
/* Whether all members of the object are settings of the rows that belong to a run. False with an
 * error recorded, "SOURCE: ...", for another one. */
bool settings_known(const cJSON *object, const option_row *rows, const char *source);
/* Whether a row has the same value in both; and a function that copies it. */
bool settings_same(const option_row *o, const void *a, const void *b);
void settings_copy(const option_row *o, void *to, const void *from);

#endif
