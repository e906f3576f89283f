/* The registry of a module tree, and lists of its contents. Internal.
 * Invariant: a full name is the path from the module that the function was given, without that
 * module's name. */
#ifndef ITO_NN_REGISTRY_H
#define ITO_NN_REGISTRY_H

#include "nn/module.h"

typedef enum entry_kind { ENTRY_PARAMETER = 1, ENTRY_BUFFER = 2, ENTRY_GENERATOR = 4 } entry_kind;

/* A parameter, buffer or generator of one module. */
typedef struct ito_module_entry {
    entry_kind kind;
    char *name;
    ito_tensor *tensor;       /* a reference; NULL for a generator */
    ito_generator *generator; /* borrowed from the module's struct; else NULL */
    struct ito_module_entry *next;
} ito_module_entry;

/* Called with an entry and the module m that it belongs to; false ends the traversal. */
typedef bool registry_visit(const ito_module *m, ito_module_entry *e, void *context);
/* Visit each entry of these kinds (entry_kind, combined) in registry order; false if a visit was.
 */
bool registry_walk(const ito_module *m, int kinds, registry_visit *visit, void *context);

/* Bytes of the full name of e, an entry of m, as seen from root, with its 0. */
size_t registry_name_size(const ito_module *root, const ito_module *m, const ito_module_entry *e);
/* Write that name to out, and return the address after its 0. */
char *registry_name_write(const ito_module *root, const ito_module *m, const ito_module_entry *e,
                          char *out);

/* A copy of a name, to be freed; NULL without memory. */
char *registry_copy_name(const char *name);
/* Take the entry of that name out of m and free it, if there is one. */
void registry_remove(ito_module *m, const char *name);
/* Free m's list of computed parameters; nn/parametrise.c. */
void parametrisations_free(ito_module *m);

/* Evaluation mode for m and all below. The value, NULL without memory, brings the modes back. */
bool *module_modes_evaluate(ito_module *m);
void module_modes_restore(ito_module *m, bool *modes);

/* An empty list with room for n tensors and name_bytes bytes of names, 0s included. */
ito_named_tensors *named_tensors_create(int64_t n, size_t name_bytes);
/* Append t under the name "<prefix><name>"; the list takes over the reference. False, and nothing
 * appended, if t is NULL. */
bool named_tensors_add(ito_named_tensors *list, const char *prefix, const char *name,
                       ito_tensor *t);
/* Bytes of all names, 0s included. */
size_t named_tensors_bytes(const ito_named_tensors *list);
/* ITO_OK, or ITO_ERR_NUMERIC with "op: <what><name> is not finite" for the first tensor that holds
 * a NaN or an infinity, or ITO_ERR_MEMORY. Integers are always finite. */
ito_status named_tensors_check_finite(const ito_named_tensors *list, const char *op,
                                      const char *what);

#endif
