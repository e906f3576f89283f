/* Summaries: a forward pass is observed, and each operation is put down to the module whose
 * parameters it reads, or to its kind.
 * Invariant: a line's module is known by the place of its parameters in memory, so views of them
 * count, and so do tensors that are made of one module's parameters alone. */
#include "nn/summary.h"
#include "autograd/observe.h"
#include "nn/registry.h"
#include "tensor/internal.h"

#include <stdlib.h>
#include <string.h>

typedef struct line {
    const ito_module *module; /* NULL: a kind of operation */
    char name[120];
    char operation[32];
    char shape[80];
    int64_t parameters, calls, bytes;
    double flops;
    int64_t order; /* of its first use; 0: not used */
} line;

/* A parameter or buffer of a line's module, or what was made of these alone. */
typedef struct place {
    int64_t line;
    ito_tensor *tensor; /* a reference */
} place;

typedef struct summary {
    op_observer base;
    const ito_module *root;
    line *lines; /* [n_lines]: modules, then kinds of operations */
    int64_t n_modules, n_lines, max_lines;
    place *places; /* [n_places] */
    int64_t n_places, max_places;
    int64_t order;
    ito_summary_totals totals;
    bool failed;
} summary;

/* ---- what belongs to whom ----------------------------------------------------------------------
 */

/* Room for one more of `size` bytes behind n; false without memory. */
static bool grow(void **array, int64_t n, int64_t *max, size_t size)
{
    if (n < *max)
        return true;
    int64_t more = 2 * *max + 16;
    void *larger = struct_alloc((size_t)more * size);
    if (larger == NULL)
        return false;
    if (n > 0)
        memcpy(larger, *array, (size_t)n * size);
    free(*array);
    *array = larger;
    *max = more;
    return true;
}

static line *add_line(summary *s)
{
    void *lines = s->lines;
    bool good = grow(&lines, s->n_lines, &s->max_lines, sizeof *s->lines);
    s->lines = lines;
    return good ? &s->lines[s->n_lines++] : NULL;
}

static bool add_place(summary *s, int64_t to, ito_tensor *t)
{
    void *places = s->places;
    bool good = grow(&places, s->n_places, &s->max_places, sizeof *s->places);
    s->places = places;
    if (good)
        s->places[s->n_places++] = (place){to, ito_retain(t)};
    return good;
}

/* The line that t belongs to, as a parameter, a view of one, or made of them; or -1. */
static int64_t owner(const summary *s, const ito_tensor *t)
{
    for (int64_t i = s->n_places - 1; t != NULL && i >= 0; i--) {
        const ito_tensor *p = s->places[i].tensor;
        if (p->storage == t->storage && t->offset >= p->offset &&
            t->offset < p->offset + (ito_numel(p) > 0 ? ito_numel(p) : 1))
            return s->places[i].line;
    }
    return -1;
}

static int64_t line_of_kind(summary *s, const char *name)
{
    for (int64_t i = s->n_modules; i < s->n_lines; i++)
        if (strcmp(s->lines[i].operation, name) == 0)
            return i;
    line *l = add_line(s);
    if (l == NULL)
        return -1;
    snprintf(l->operation, sizeof l->operation, "%s", name);
    return s->n_lines - 1;
}

/* ---- one operation -----------------------------------------------------------------------------
 */

static void see(op_observer *base, const op_call *c, ito_tensor *out)
{
    summary *s = (summary *)base;
    int64_t at = -1;
    bool alone = true; /* made of a module's own tensors alone */
    for (int64_t i = 0; i < c->n; i++) {
        int64_t of = owner(s, c->in[i]);
        alone = alone && (c->in[i] == NULL || of >= 0);
        at = at >= 0 ? at : of;
    }
    double flops = op_flops(c, out);
    int64_t bytes = op_new_bytes(c, out);
    if (at < 0 && flops <= 0)
        return; /* a view */
    alone = alone && at >= 0;
    if (at < 0)
        at = line_of_kind(s, c->info->name);
    if (at < 0 || (alone && !add_place(s, at, out))) {
        s->failed = true;
        return;
    }
    line *l = &s->lines[at];
    l->flops += flops;
    l->bytes += bytes;
    s->totals.flops += flops;
    s->totals.result_bytes += bytes;
    if (alone)
        return;
    l->order = l->order != 0 ? l->order : ++s->order;
    l->calls++;
    if (l->module != NULL) {
        snprintf(l->operation, sizeof l->operation, "%s", c->info->name);
        snprintf(l->shape, sizeof l->shape, "%s", tensor_shape_str(out));
    }
}

/* ---- the modules -------------------------------------------------------------------------------
 */

static bool count_module(const ito_module *m, ito_module_entry *e, void *context)
{
    (void)e;
    summary *s = context;
    if (s->n_lines > 0 && s->lines[s->n_lines - 1].module == m)
        return true;
    line *l = add_line(s);
    if (l == NULL)
        return false;
    l->module = m;
    s->n_modules = s->n_lines;
    return true;
}

static bool add_entry(const ito_module *m, ito_module_entry *e, void *context)
{
    summary *s = context;
    int64_t at = 0;
    while (s->lines[at].module != m)
        at++;
    line *l = &s->lines[at];
    snprintf(l->name, sizeof l->name, "(root)");
    if (m != s->root) {
        char name[400];
        size_t size = registry_name_size(s->root, m, e);
        if (size <= sizeof name) {
            registry_name_write(s->root, m, e, name);
            name[size - 1 - strlen(e->name) - 1] = '\0';
            snprintf(l->name, sizeof l->name, "%.119s", name);
        }
    }
    if (owner(s, e->tensor) >= 0)
        return true; /* shared: counted where it came first */
    if (e->kind == ENTRY_PARAMETER) {
        const ito_tensor *p = e->tensor;
        l->parameters += ito_numel(p);
        s->totals.parameters += ito_numel(p);
        s->totals.trainable += ito_has_grad_path(p) ? ito_numel(p) : 0;
        s->totals.parameter_bytes += ito_numel(p) * (int64_t)ito_dtype_size(p->dtype);
    }
    return add_place(s, at, e->tensor);
}

static bool see_modules(summary *s)
{
    int kinds = ENTRY_PARAMETER | ENTRY_BUFFER;
    return registry_walk(s->root, kinds, count_module, s) &&
           registry_walk(s->root, kinds, add_entry, s);
}

/* ---- the forward pass --------------------------------------------------------------------------
 */

static ito_status run(summary *s, ito_module *m, ito_tensor *x, const ito_summary_options *o)
{
    bool *modes = module_modes_evaluate(m);
    if (modes == NULL)
        return ITO_ERR_MEMORY;
    ito_scope_begin();
    ito_no_grad_begin();
    op_observer *before = op_observe(&s->base);
    ito_tensor *y = o->forward != NULL ? o->forward(m, x, o->context) : ito_module_forward(m, x);
    op_observe(before);
    ito_no_grad_end();
    ito_scope_end();
    module_modes_restore(m, modes);
    if (y == NULL)
        return error_missing("module_summary", "the result");
    return s->failed ? ITO_ERR_MEMORY : ITO_OK;
}

/* ---- writing -----------------------------------------------------------------------------------
 */

/* "1.23 M" */
typedef struct amount {
    char text[24];
} amount;

static amount amount_of(double value, double unit, const char *const *prefix)
{
    amount a;
    int k = 0;
    while (value >= unit && k < 4) {
        value /= unit;
        k++;
    }
    snprintf(a.text, sizeof a.text, value >= 100 || k == 0 ? "%.0f %s" : "%.1f %s", value,
             prefix[k]);
    return a;
}

static amount flops_of(double value)
{
    static const char *const prefix[] = {"", "k", "M", "G", "T"};
    return amount_of(value, 1000, prefix);
}

static amount bytes_of(double value)
{
    static const char *const prefix[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    return amount_of(value, 1024, prefix);
}

static int by_order(const void *a, const void *b)
{
    const line *p = a, *q = b;
    bool p_used = p->order != 0, q_used = q->order != 0;
    if (p_used != q_used)
        return p_used ? -1 : 1;
    return p->order < q->order ? -1 : p->order > q->order;
}

static int widest_name(const summary *s)
{
    int width = 5;
    for (int64_t i = 0; i < s->n_lines; i++) {
        int n = (int)strlen(s->lines[i].name);
        width = n > width ? n : width;
    }
    return width;
}

static void write_row(FILE *to, int width, const line *l)
{
    char operation[64];
    snprintf(operation, sizeof operation, l->calls > 1 ? "%s x %" PRId64 : "%s", l->operation,
             l->calls);
    fprintf(to, "%-*s  %-26s  %-20s", width, l->name, l->order != 0 ? operation : "not used",
            l->shape);
    if (l->module != NULL)
        fprintf(to, "  %12" PRId64, l->parameters);
    else
        fprintf(to, "  %12s", "");
    fprintf(to, "  %10s  %12s\n", flops_of(l->flops).text, bytes_of((double)l->bytes).text);
}

static ito_status write_all(summary *s, FILE *to)
{
    const ito_summary_totals *t = &s->totals;
    qsort(s->lines, (size_t)s->n_modules, sizeof *s->lines, by_order);
    int width = widest_name(s);
    fprintf(to, "%-*s  %-26s  %-20s  %12s  %10s  %12s\n", width, "layer", "operation", "result",
            "parameters", "FLOPs", "memory");
    for (int64_t i = 0; i < s->n_lines; i++)
        write_row(to, width, &s->lines[i]);
    fprintf(to, "%-*s  %-26s  %-20s  %12" PRId64 "  %10s  %12s\n", width, "total", "", "",
            t->parameters, flops_of(t->flops).text, bytes_of((double)t->result_bytes).text);
    fprintf(to, "trainable: %" PRId64 "; parameters take %s\n", t->trainable,
            bytes_of((double)t->parameter_bytes).text);
    return fflush(to) == 0 && !ferror(to)
               ? ITO_OK
               : ito_error_set(ITO_ERR_IO, "module_summary: it cannot be written");
}

static void summary_free(summary *s)
{
    for (int64_t i = 0; i < s->n_places; i++)
        ito_release(s->places[i].tensor);
    free(s->places);
    free(s->lines);
}

ito_status ito_module_summary_with(ito_module *m, ito_tensor *x, FILE *to,
                                   ito_summary_options options)
{
    if (m == NULL || (x == NULL && options.forward == NULL))
        return error_missing("module_summary", m == NULL ? "the module" : "x");
    summary s = {.base = {see, NULL}, .root = m};
    ito_status status = see_modules(&s) ? run(&s, m, x, &options) : ITO_ERR_MEMORY;
    if (status == ITO_OK && to != NULL)
        status = write_all(&s, to);
    if (status == ITO_OK && options.totals != NULL)
        *options.totals = s.totals;
    summary_free(&s);
    return status;
}
