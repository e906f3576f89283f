/* Python's pickles, read without executing anything. Not installed.
 *
 * A pickle is a program for a stack machine. Of its instructions those are followed that dicts,
 * lists, tuples, numbers, text and references to them take, as PyTorch's state dicts do, in
 * protocols 2 to 5. All others are refused by their names. What a pickle calls is not called: it is
 * looked up in a list of names, and refused if it is not on it.
 *
 * A pickle of n bytes costs at most n steps and PICKLE_MOST_BYTES + 44 PICKLE_MOST_VALUES bytes of
 * memory, 240 MiB at the bounds below, and half of the largest list again while it grows. */
#ifndef ITO_IO_PICKLE_H
#define ITO_IO_PICKLE_H

#include "tensor/tensor.h"

enum {
    PICKLE_MOST_BYTES = 1 << 26,
    PICKLE_MOST_VALUES = 1 << 22, /* values, places in lists, stack and memo: of each */
};

typedef enum pickle_kind {
    PICKLE_OPAQUE, /* None, bytes, numbers beyond i64: nothing that is looked into */
    PICKLE_INT,    /* and bool */
    PICKLE_TEXT,
    PICKLE_TUPLE,
    PICKLE_LIST,
    PICKLE_DICT,
    PICKLE_GLOBAL,     /* number: what pickle_find_global gave */
    PICKLE_CALL,       /* of global `number`, with the arguments as items */
    PICKLE_PERSISTENT, /* what stands outside: its id is the one item */
} pickle_kind;

typedef struct pickle_value {
    pickle_kind kind;
    int32_t first, last, count; /* cells of its items: in a dict a key, a value, a key, ... */
    int64_t number;             /* or where a text begins, of count bytes */
} pickle_value;

typedef struct pickle_cell {
    int32_t value, next; /* next is -1 at the end */
} pickle_cell;

/* A global by its module and name, of these lengths: a number of the caller's, at least 0; -1 for
 * one that is refused. *makes says what a call of it makes: PICKLE_CALL, PICKLE_DICT for an empty
 * one without arguments, PICKLE_OPAQUE; PICKLE_GLOBAL if it cannot be called. */
typedef int pickle_find_global(const char *module, size_t module_length, const char *name,
                               size_t name_length, pickle_kind *makes);

typedef struct pickle {
    const char *path; /* for messages */
    const char *bytes;
    int64_t size;
    pickle_value *values;
    pickle_cell *cells;
    int32_t n_values, n_cells, values_room, cells_room;
    int32_t root;
} pickle;

/* Read these bytes, which stay the caller's as long as p is used. ITO_ERR_FORMAT, ITO_ERR_MEMORY;
 * on failure there is nothing to free. */
ito_status pickle_read(pickle *p, const char *path, const char *bytes, int64_t size,
                       pickle_find_global *find_global);
void pickle_free(pickle *p);

/* Item i of a value that has more than i: the index of a value. It walks from the first. */
int32_t pickle_item(const pickle *p, const pickle_value *of, int32_t i);

#endif
