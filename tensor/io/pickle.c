/* Python's pickles, read without executing anything.
 * Invariant: the stack never goes below the last mark, every value and cell is within its list, and
 * each list is within its bound. */
#include "tensor/io/pickle.h"
#include "tensor/internal.h"
#include "tensor/io/file.h"

#include <stdio.h>
#include <string.h>

static const char *const names[256] = {
#define PICKLE_NAME(code, name) [code] = #name,
#include "tensor/io/pickle_names.def"
#undef PICKLE_NAME
};

/* ---- the machine ---- */

/* A list of numbers that grows. */
typedef struct numbers {
    int32_t *at;
    int32_t n, room;
} numbers;

typedef struct machine {
    pickle *p;
    int64_t next, instruction; /* where it reads, and where the instruction under way begins */
    numbers stack, marks;      /* indices of values; heights of the stack */
    numbers memo;              /* by key: index of a value, or -1 */
    pickle_find_global *find_global;
    bool stopped;
} machine;

static bool refuse(const machine *m, const char *fault)
{
    file_error(ITO_ERR_FORMAT, m->p->path, "its pickle %s, at byte %" PRId64, fault,
               m->instruction);
    return false;
}

/* Room for one more of size bytes, of n in a list with *room; false with an error. */
static bool grow(machine *m, void **list, int32_t n, int32_t *room, size_t size)
{
    if (n < *room)
        return true;
    if (n >= PICKLE_MOST_VALUES)
        return refuse(m, "has more than 4194304 values");
    int32_t larger = *room > 0 ? 2 * *room : 256;
    void *grown = mem_alloc((size_t)larger * size);
    if (grown == NULL)
        return false;
    if (n > 0)
        memcpy(grown, *list, (size_t)n * size);
    mem_free(*list);
    *list = grown;
    *room = larger;
    return true;
}

static bool append(machine *m, numbers *list, int32_t number)
{
    void *at = list->at;
    if (!grow(m, &at, list->n, &list->room, sizeof *list->at))
        return false;
    list->at = at;
    list->at[list->n++] = number;
    return true;
}

/* The next n bytes, or NULL with an error. */
static const char *take(machine *m, uint64_t n)
{
    if (n > (uint64_t)(m->p->size - m->next)) {
        refuse(m, "ends within an instruction");
        return NULL;
    }
    const char *at = m->p->bytes + m->next;
    m->next += (int64_t)n;
    return at;
}

/* A little-endian number of n bytes. */
static bool take_number(machine *m, int n, uint64_t *out)
{
    const char *at = take(m, (uint64_t)n);
    *out = 0;
    if (at != NULL)
        memcpy(out, at, (size_t)n);
    return at != NULL;
}

/* ---- values ---- */

/* A new value on the stack. */
static bool push(machine *m, pickle_value v)
{
    void *values = m->p->values;
    if (!grow(m, &values, m->p->n_values, &m->p->values_room, sizeof v))
        return false;
    m->p->values = values;
    m->p->values[m->p->n_values] = v;
    return append(m, &m->stack, m->p->n_values++);
}

static bool push_empty(machine *m, pickle_kind kind)
{
    return push(m, (pickle_value){.kind = kind, .first = -1, .last = -1});
}

static bool push_int(machine *m, int64_t number)
{
    return push(m, (pickle_value){.kind = PICKLE_INT, .number = number});
}

/* Values above the last mark. */
static int32_t above_mark(const machine *m)
{
    return m->stack.n - (m->marks.n > 0 ? m->marks.at[m->marks.n - 1] : 0);
}

/* The value on top, which is taken off; -1 with an error. */
static int32_t pop(machine *m)
{
    if (above_mark(m) > 0)
        return m->stack.at[--m->stack.n];
    refuse(m, "takes a value that is not there");
    return -1;
}

/* The value on top, which stays; NULL, with an error, if it is of another kind. */
static pickle_value *top(machine *m, pickle_kind kind, const char *fault)
{
    pickle_value *v = above_mark(m) > 0 ? &m->p->values[m->stack.at[m->stack.n - 1]] : NULL;
    if (v != NULL && v->kind == kind)
        return v;
    refuse(m, fault);
    return NULL;
}

static bool add_item(machine *m, pickle_value *to, int32_t item)
{
    pickle *p = m->p;
    void *cells = p->cells;
    if (!grow(m, &cells, p->n_cells, &p->cells_room, sizeof *p->cells))
        return false;
    p->cells = cells;
    p->cells[p->n_cells] = (pickle_cell){item, -1};
    if (to->first < 0)
        to->first = p->n_cells;
    else
        p->cells[to->last].next = p->n_cells;
    to->last = p->n_cells++;
    to->count++;
    return true;
}

/* The `count` values on top become items of the value below them. */
static bool add_items(machine *m, pickle_kind kind, int32_t count)
{
    const int32_t *items = m->stack.at + (m->stack.n - count);
    m->stack.n -= count;
    pickle_value *to =
        top(m, kind,
            kind == PICKLE_LIST ? "appends to what is no list" : "sets items of what is no dict");
    if (to != NULL && kind == PICKLE_DICT && count % 2 != 0)
        return refuse(m, "sets a key without a value");
    bool good = to != NULL;
    for (int32_t i = 0; i < count && good; i++)
        good = add_item(m, to, items[i]);
    return good;
}

/* Take the last mark away: how many values are above it; -1 with an error. */
static int32_t pop_mark(machine *m)
{
    if (m->marks.n == 0) {
        refuse(m, "takes a mark that is not there");
        return -1;
    }
    int32_t count = above_mark(m);
    m->marks.n--;
    return count;
}

static bool add_marked(machine *m, pickle_kind kind)
{
    int32_t count = pop_mark(m);
    return count >= 0 && add_items(m, kind, count);
}

static bool add_few(machine *m, pickle_kind kind, int32_t count)
{
    return above_mark(m) >= count ? add_items(m, kind, count)
                                  : refuse(m, "takes a value that is not there");
}

/* A tuple of the `count` values on top, in their place. */
static bool make_tuple(machine *m, int32_t count)
{
    if (count < 0 || above_mark(m) < count)
        return count >= 0 && refuse(m, "takes a value that is not there");
    pickle_value tuple = {.kind = PICKLE_TUPLE, .first = -1, .last = -1};
    m->stack.n -= count;
    for (int32_t i = 0; i < count; i++)
        if (!add_item(m, &tuple, m->stack.at[m->stack.n + i]))
            return false;
    return push(m, tuple);
}

static bool push_text(machine *m, int length_bytes, pickle_kind kind)
{
    uint64_t length;
    if (!take_number(m, length_bytes, &length))
        return false;
    const char *text = take(m, length);
    return text != NULL && push(m, (pickle_value){.kind = kind,
                                                  .first = -1,
                                                  .last = -1,
                                                  .count = (int32_t)length,
                                                  .number = text - m->p->bytes});
}

/* A number of some bytes in two's complement; one of more than eight is not looked into. */
static bool push_long(machine *m)
{
    uint64_t n, bits = 0;
    const char *at = take_number(m, 1, &n) ? take(m, n) : NULL;
    if (at == NULL)
        return false;
    if (n > 8)
        return push_empty(m, PICKLE_OPAQUE);
    memcpy(&bits, at, (size_t)n);
    if (n > 0 && n < 8 && bits >> (8 * n - 1) != 0)
        bits |= UINT64_MAX << 8 * n;
    return push_int(m, (int64_t)bits);
}

/* ---- the memo ---- */

static bool put(machine *m, uint64_t key)
{
    if (above_mark(m) == 0)
        return refuse(m, "takes a value that is not there");
    if (key >= PICKLE_MOST_VALUES)
        return refuse(m, "puts a value at a place beyond 4194303");
    while ((uint64_t)m->memo.n <= key)
        if (!append(m, &m->memo, -1))
            return false;
    m->memo.at[key] = m->stack.at[m->stack.n - 1];
    return true;
}

static bool get(machine *m, uint64_t key)
{
    if (key >= (uint64_t)m->memo.n || m->memo.at[key] < 0)
        return refuse(m, "gets a value that was not put");
    return append(m, &m->stack, m->memo.at[key]);
}

/* PUT and GET, whose key has so many bytes. */
static bool put_key(machine *m, int bytes)
{
    uint64_t key;
    return take_number(m, bytes, &key) && put(m, key);
}

static bool get_key(machine *m, int bytes)
{
    uint64_t key;
    return take_number(m, bytes, &key) && get(m, key);
}

/* ---- calls, none of which is made ---- */

static bool push_global(machine *m, const char *module, size_t module_length, const char *name,
                        size_t name_length)
{
    pickle_kind makes = PICKLE_GLOBAL;
    int found = m->find_global(module, module_length, name, name_length, &makes);
    if (found >= 0)
        return push(m, (pickle_value){.kind = PICKLE_GLOBAL,
                                      .first = -1,
                                      .last = -1,
                                      .count = (int32_t)makes,
                                      .number = found});
    file_error(ITO_ERR_FORMAT, m->p->path,
               "its pickle calls %.*s.%.*s, which was not executed: of a pickle only tensors, "
               "dicts, lists, numbers and text are read",
               (int)(module_length < 80 ? module_length : 80), module,
               (int)(name_length < 80 ? name_length : 80), name);
    return false;
}

/* A line, without its end; NULL with an error. */
static const char *take_line(machine *m, size_t *length)
{
    const char *at = m->p->bytes + m->next;
    const char *end = memchr(at, '\n', (size_t)(m->p->size - m->next));
    if (end == NULL) {
        refuse(m, "ends within an instruction");
        return NULL;
    }
    *length = (size_t)(end - at);
    m->next += (int64_t)*length + 1;
    return at;
}

static bool global_in_lines(machine *m)
{
    size_t module_length, name_length;
    const char *module = take_line(m, &module_length);
    const char *name = module == NULL ? NULL : take_line(m, &name_length);
    return name != NULL && push_global(m, module, module_length, name, name_length);
}

static bool global_on_stack(machine *m)
{
    int32_t name = pop(m), module = name < 0 ? -1 : pop(m);
    if (module < 0)
        return false;
    const pickle_value *n = &m->p->values[name], *o = &m->p->values[module];
    if (n->kind != PICKLE_TEXT || o->kind != PICKLE_TEXT)
        return refuse(m, "names a global by what is no text");
    return push_global(m, m->p->bytes + o->number, (size_t)o->count, m->p->bytes + n->number,
                       (size_t)n->count);
}

static bool reduce(machine *m)
{
    int32_t arguments = pop(m), callee = arguments < 0 ? -1 : pop(m);
    if (callee < 0)
        return false;
    pickle_value f = m->p->values[callee], a = m->p->values[arguments];
    if (f.kind != PICKLE_GLOBAL || a.kind != PICKLE_TUPLE || f.count == PICKLE_GLOBAL)
        return refuse(m, "calls what is no function");
    if (f.count == PICKLE_DICT && a.count > 0)
        return refuse(m, "makes a dict of arguments");
    return push(m, (pickle_value){.kind = (pickle_kind)f.count,
                                  .first = a.first,
                                  .last = a.last,
                                  .count = a.count,
                                  .number = f.number});
}

/* The state of an object, which is taken off: what PyTorch says of versions in a state dict. */
static bool build(machine *m)
{
    if (pop(m) < 0)
        return false;
    const pickle_value *v = above_mark(m) > 0 ? &m->p->values[m->stack.at[m->stack.n - 1]] : NULL;
    return (v != NULL && (v->kind == PICKLE_DICT || v->kind == PICKLE_CALL)) ||
           refuse(m, "sets the state of what is neither a dict nor a tensor");
}

static bool persistent(machine *m)
{
    if (!make_tuple(m, 1))
        return false;
    m->p->values[m->p->n_values - 1].kind = PICKLE_PERSISTENT;
    return true;
}

/* ---- instructions ---- */

static bool protocol(machine *m)
{
    uint64_t version;
    if (!take_number(m, 1, &version))
        return false;
    return version <= 5 || refuse(m, "is of a protocol above 5");
}

static bool fixed_int(machine *m, int bytes)
{
    uint64_t bits;
    return take_number(m, bytes, &bits) && push_int(m, bytes == 4 ? (int32_t)bits : (int64_t)bits);
}

static bool skip(machine *m, uint64_t bytes)
{
    return take(m, bytes) != NULL;
}

static bool stop(machine *m)
{
    m->p->root = pop(m);
    m->stopped = m->p->root >= 0;
    return m->stopped;
}

static bool unknown(machine *m, unsigned char code)
{
    char fault[80];
    if (names[code] == NULL)
        snprintf(fault, sizeof fault, "has the byte 0x%02x, which is no instruction", code);
    else
        snprintf(fault, sizeof fault, "has the instruction %s, which was not executed",
                 names[code]);
    return refuse(m, fault);
}

static bool step(machine *m)
{
    m->instruction = m->next;
    const char *at = take(m, 1);
    if (at == NULL)
        return false;
    /* clang-format off */
    switch ((unsigned char)*at) {
    case 0x80: return protocol(m);
    case 0x95: return skip(m, 8); /* FRAME */
    case '.': return stop(m);
    case '(': return append(m, &m->marks, m->stack.n);
    case 'N': return push_empty(m, PICKLE_OPAQUE);
    case 0x88: return push_int(m, 1); /* NEWTRUE */
    case 0x89: return push_int(m, 0); /* NEWFALSE */
    case 'J': return fixed_int(m, 4);
    case 'K': return fixed_int(m, 1);
    case 'M': return fixed_int(m, 2);
    case 0x8a: return push_long(m); /* LONG1 */
    case 'G': return skip(m, 8) && push_empty(m, PICKLE_OPAQUE); /* BINFLOAT */
    case 'X': return push_text(m, 4, PICKLE_TEXT);
    case 0x8c: return push_text(m, 1, PICKLE_TEXT); /* SHORT_BINUNICODE */
    case 'B': return push_text(m, 4, PICKLE_OPAQUE); /* BINBYTES */
    case 'C': return push_text(m, 1, PICKLE_OPAQUE); /* SHORT_BINBYTES */
    case ']': return push_empty(m, PICKLE_LIST);
    case '}': return push_empty(m, PICKLE_DICT);
    case ')': return push_empty(m, PICKLE_TUPLE);
    case 't': return make_tuple(m, pop_mark(m));
    case 0x85: return make_tuple(m, 1);
    case 0x86: return make_tuple(m, 2);
    case 0x87: return make_tuple(m, 3);
    case 'a': return add_few(m, PICKLE_LIST, 1);
    case 'e': return add_marked(m, PICKLE_LIST);
    case 's': return add_few(m, PICKLE_DICT, 2);
    case 'u': return add_marked(m, PICKLE_DICT);
    case 'q': return put_key(m, 1);
    case 'r': return put_key(m, 4);
    case 0x94: return put(m, (uint64_t)m->memo.n); /* MEMOIZE */
    case 'h': return get_key(m, 1);
    case 'j': return get_key(m, 4);
    case 'c': return global_in_lines(m);
    case 0x93: return global_on_stack(m); /* STACK_GLOBAL */
    case 'R': return reduce(m);
    case 'b': return build(m);
    case 'Q': return persistent(m);
    default: return unknown(m, (unsigned char)*at);
    }
    /* clang-format on */
}

ito_status pickle_read(pickle *p, const char *path, const char *bytes, int64_t size,
                       pickle_find_global *find_global)
{
    *p = (pickle){.path = path, .bytes = bytes, .size = size};
    machine m = {.p = p, .find_global = find_global};
    bool good = true;
    while (good && !m.stopped)
        good = step(&m);
    mem_free(m.stack.at);
    mem_free(m.marks.at);
    mem_free(m.memo.at);
    if (good)
        return ITO_OK;
    pickle_free(p);
    return ito_error_code();
}

void pickle_free(pickle *p)
{
    mem_free(p->values);
    mem_free(p->cells);
    *p = (pickle){0};
}

int32_t pickle_item(const pickle *p, const pickle_value *of, int32_t i)
{
    int32_t cell = of->first;
    for (; i > 0; i--)
        cell = p->cells[cell].next;
    return p->cells[cell].value;
}
