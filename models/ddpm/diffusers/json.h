/* A JSON file of a diffusers directory. Not installed.
 * Each setting is taken once; a setting that nobody took is one that Ito does not know, and is
 * refused unless it says nothing. */
#ifndef ITO_DDPM_DIFFUSERS_JSON_H
#define ITO_DDPM_DIFFUSERS_JSON_H

#include "tensor/base.h"

#include <cjson/cJSON.h>

/* The zero value is one that is not open. */
typedef struct diffusers_json {
    char *path;   /* for messages */
    cJSON *root;  /* what nobody took yet */
    cJSON *taken; /* what was taken, alive until close */
} diffusers_json;

/* Open DIR/NAME, which is an object. Python's infinities, which JSON has not, are null. */
bool diffusers_json_open(diffusers_json *j, const char *dir, const char *name);
/* Whether nothing is left that says something: null, false and names that begin with _ do not.
 * An error is recorded if not. */
bool diffusers_json_finish(const diffusers_json *j);
void diffusers_json_close(diffusers_json *j);

/* The setting of this name; NULL if there is none, or it was taken before. */
const cJSON *diffusers_take(diffusers_json *j, const char *key);
/* Record 'PATH: "key" is VALUE; WANTED' and give false. */
bool diffusers_refuse(const diffusers_json *j, const char *key, const cJSON *item,
                      const char *wanted, ...) ITO_PRINTF(4, 5);

/* Whether an item is a whole number that a double holds exactly. */
bool diffusers_is_whole(const cJSON *item, int64_t *out);

/* One of a few names and what each stands for; closed by a NULL name. */
typedef struct diffusers_word {
    const char *name;
    int value;
} diffusers_word;

/* Take a setting; one that is missing has its usual value. False with an error recorded, if it is
 * of another kind. */
bool diffusers_whole(diffusers_json *j, const char *key, int64_t usual, int64_t *out);
/* The same, where null is 0. */
bool diffusers_whole_or_null(diffusers_json *j, const char *key, int64_t usual, int64_t *out);
bool diffusers_real(diffusers_json *j, const char *key, double usual, double *out);
bool diffusers_truth(diffusers_json *j, const char *key, bool usual, bool *out);
bool diffusers_choice(diffusers_json *j, const char *key, const diffusers_word *words, int usual,
                      int *out);
/* The value that this name stands for, or -1; and the name of a value. */
int diffusers_word_value(const diffusers_word *words, const char *name);
const char *diffusers_word_name(const diffusers_word *words, int value);

/* Add a setting to an object that is written; item, which may be NULL, is the object's then, or
 * gone. */
bool diffusers_put(cJSON *o, const char *key, cJSON *item);

/* Append a line to *text, NULL at first; freed with free(). False: ITO_ERR_MEMORY. */
bool diffusers_note(char **text, const char *format, ...) ITO_PRINTF(2, 3);

#endif
