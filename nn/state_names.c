/* Names of tensors in files of other makers, and in the model.
 * Invariant: a name is taken as it is wherever the model has it; a prefix is found only where it
 * has none of them. */
#include "nn/state_names.h"
#include "tensor/internal.h"
#include "tensor/io/file.h"

#include <stdio.h>
#include <string.h>

/* ---- from names of the file to names of the model ---- */

/* The rename whose in_file is the first part or parts of `at`, up to a dot or the end; or NULL. */
static const ito_rename *rename_at(const ito_load_options *o, const char *at)
{
    for (int64_t i = 0; i < o->n_renames; i++) {
        size_t length = strlen(o->renames[i].in_file);
        if (strncmp(at, o->renames[i].in_file, length) == 0 &&
            (at[length] == '.' || at[length] == '\0'))
            return &o->renames[i];
    }
    return NULL;
}

const char *state_prefix(const state_names *n)
{
    return n->options->prefix != NULL ? n->options->prefix : n->prefix;
}

size_t state_name(const state_names *n, const char *in_file, char *out)
{
    const ito_load_options *o = n->options;
    size_t prefix = strlen(state_prefix(n)), used = 0;
    if (strncmp(in_file, state_prefix(n), prefix) != 0)
        return 0;
    const char *at = in_file + prefix;
    while (*at != '\0') {
        const ito_rename *r = rename_at(o, at);
        const char *from = r != NULL ? r->in_model : at;
        size_t skip = r != NULL ? strlen(r->in_file) : strcspn(at, ".");
        size_t length = r != NULL ? strlen(r->in_model) : skip;
        if (out != NULL)
            memcpy(out + used, from, length);
        used += length;
        at += skip;
        if (*at == '.') {
            if (out != NULL)
                out[used] = '.';
            used++;
            at++;
        }
    }
    if (out != NULL)
        out[used] = '\0';
    return used + 1;
}

/* ---- prefixes ---- */

/* What wrappers and training programs put in front of names: DistributedDataParallel, compile, the
 * dicts of checkpoints. */
static const char *const wrappers[] = {"module.",    "_orig_mod.",  "model.",
                                       "ema_model.", "state_dict.", "model_state_dict.",
                                       "ema.",       "unet.",       "ema_state_dict."};
enum { WRAPPERS = sizeof wrappers / sizeof *wrappers, MOST_FOUND = 8 };

/* The length of the wrapper that text begins with, or 0. */
static size_t wrapper_at(const char *text)
{
    for (int i = 0; i < WRAPPERS; i++) {
        size_t length = strlen(wrappers[i]);
        if (strncmp(text, wrappers[i], length) == 0)
            return length;
    }
    return 0;
}

size_t state_longest_name(const state_names *n, const ito_weights *file)
{
    size_t longest = 1;
    for (int64_t i = 0; i < ito_weights_count(file); i++) {
        const char *rest = ito_weights_name(file, i);
        for (size_t cut = 1; cut > 0; rest += cut) {
            size_t size = state_name(n, rest, NULL);
            longest = size > longest ? size : longest;
            cut = wrapper_at(rest);
        }
    }
    return longest;
}

/* The prefixes that the model has been found under. */
typedef struct found_prefixes {
    int n;
    char text[MOST_FOUND][sizeof((state_names *)0)->prefix];
} found_prefixes;

static void add_prefix(found_prefixes *f, const char *name, size_t length)
{
    for (int i = 0; i < f->n; i++)
        if (strlen(f->text[i]) == length && strncmp(f->text[i], name, length) == 0)
            return;
    if (f->n < MOST_FOUND && length < sizeof f->text[0])
        snprintf(f->text[f->n++], sizeof f->text[0], "%.*s", (int)length, name);
}

/* Put down what stands in front of this name of the file, if the model has the rest of it. */
static void look_at(found_prefixes *f, state_names *n, const char *in_file, state_has *has,
                    const void *model, char *name)
{
    for (size_t at = wrapper_at(in_file), more = at; more > 0; at += more) {
        state_names rest = {.options = n->options};
        state_name(&rest, in_file + at, name);
        if (has(model, name))
            add_prefix(f, in_file, at);
        more = wrapper_at(in_file + at);
    }
}

ito_status state_find_prefix(state_names *n, const ito_weights *file, state_has *has,
                             const void *model, char *name)
{
    found_prefixes found = {0};
    if (n->options->prefix != NULL)
        return ITO_OK;
    for (int64_t i = 0; i < ito_weights_count(file); i++) {
        const char *in_file = ito_weights_name(file, i);
        state_name(n, in_file, name);
        if (has(model, name))
            return ITO_OK;
        look_at(&found, n, in_file, has, model, name);
    }
    if (found.n > 1)
        return file_error(ITO_ERR_FORMAT, ito_weights_path(file),
                          "holds the model under %.50s and under %.50s: say which by a prefix",
                          found.text[0], found.text[1]);
    memcpy(n->prefix, found.text[0], sizeof n->prefix);
    return ITO_OK;
}

/* ---- what names begin with ---- */

/* The length of a name's first part, with its dot or slash. */
static size_t first_part(const char *name)
{
    size_t length = strcspn(name, "./");
    return length + (name[length] != '\0');
}

/* "module., ema., ..." */
static void first_parts(char *out, size_t size, const ito_weights *file)
{
    enum { SHOWN = 4 };
    const char *shown[SHOWN];
    int n = 0;
    size_t used = 0;
    snprintf(out, size, "nothing");
    for (int64_t i = 0; i < ito_weights_count(file); i++) {
        const char *name = ito_weights_name(file, i);
        size_t length = first_part(name);
        int k = 0;
        while (k < n && (first_part(shown[k]) != length || strncmp(shown[k], name, length) != 0))
            k++;
        if (k < n)
            continue;
        if (n == SHOWN) {
            snprintf(out + used, size - used, ", ...");
            return;
        }
        shown[n++] = name;
        used += (size_t)snprintf(out + used, size - used, "%s%.*s", n > 1 ? ", " : "",
                                 (int)(length < 40 ? length : 40), name);
    }
}

ito_status state_check_prefix(const state_names *n, const ito_weights *file)
{
    const char *prefix = n->options->prefix;
    if (prefix == NULL || prefix[0] == '\0')
        return ITO_OK;
    for (int64_t i = 0; i < ito_weights_count(file); i++)
        if (strncmp(ito_weights_name(file, i), prefix, strlen(prefix)) == 0)
            return ITO_OK;
    char parts[200];
    first_parts(parts, sizeof parts, file);
    return file_error(ITO_ERR_FORMAT, ito_weights_path(file),
                      "no name begins with %.60s: names begin with %s", prefix, parts);
}
