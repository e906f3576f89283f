/* The results of a command, printed on stdout: one JSON object, or a line for each member,
 * "frechet: 12.3". */
#ifndef ITO_EXAMPLES_RESULTS_H
#define ITO_EXAMPLES_RESULTS_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

/* Add a member; a text that is NULL is left out. False if there is no memory. */
bool result_text(cJSON *root, const char *name, const char *value);
bool result_number(cJSON *root, const char *name, double value);
/* Add the "seconds" since `started`, print, and delete root; the command's exit code. */
int results_print(const char *command, cJSON *root, double started, bool json);
/* Print one JSON object, and delete it; the command's exit code. */
int results_print_json(const char *command, cJSON *root);
/* Flush stdout and return the command's exit code: 0 unless `good` is false or stdout cannot be
 * written, which is reported; 141 without a word if it is a pipe that was closed. */
int results_end(const char *command, bool good);
/* Report on stderr where n results were written, if anywhere; the words are for one and for
 * several. */
void say_where(int64_t n, const char *one, const char *several, const char *path);

#endif
