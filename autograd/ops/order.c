/* Orders along an axis: sort, topk, kthvalue, median, mode, quantile, unique.
 *
 * Every number becomes a key of 64 bits in the same order, NaN last; falling orders negate the key.
 * So one sort serves all dtypes, and equal keys keep their order. What is here makes places, as
 * discrete operations; values are gathered from there, and gradients follow. */
#include "autograd/ops.h"
#include "autograd/ops/index.h"
#include "autograd/ops/lines.h"
#include "autograd/ops/params.h"

#include <math.h>
#include <string.h>

/* ---- keys ------------------------------------------------------------------------------------ */

static const uint64_t top_bit = UINT64_C(1) << 63, nan_key = UINT64_MAX;

static uint64_t double_key(double v)
{
    uint64_t bits;
    if (isnan(v))
        return nan_key;
    v = v == 0 ? 0 : v; /* -0 equals 0 */
    memcpy(&bits, &v, sizeof bits);
    return (bits & top_bit) != 0 ? ~bits : bits | top_bit;
}

static uint64_t int64_t_key(int64_t v)
{
    return (uint64_t)v ^ top_bit;
}

typedef void line_keys(uint64_t *key, const void *x, int64_t stride, int64_t n);
#define KEYS(id, type, name, wide, value)                                                          \
    static void keys_##name(uint64_t *key, const void *x, int64_t stride, int64_t n)               \
    {                                                                                              \
        for (int64_t i = 0; i < n; i++)                                                            \
            key[i] = wide##_key(value(((const type *)x)[i * stride]));                             \
    }
LINE_NUMBERS(KEYS)

#define KEYS_ENTRY(id, type, name, wide, value) [id] = keys_##name,
static line_keys *const keys_of[ITO_DTYPES] = {LINE_NUMBERS(KEYS_ENTRY)};

/* ---- a line ---------------------------------------------------------------------------------- */

typedef struct item {
    uint64_t key;
    int64_t place;
} item;

/* Few items, stably. */
static void insertion_sort(item *x, int64_t n)
{
    for (int64_t i = 1; i < n; i++) {
        item own = x[i];
        int64_t j = i;
        for (; j > 0 && x[j - 1].key > own.key; j--)
            x[j] = x[j - 1];
        x[j] = own;
    }
}

/* By rising keys, stably: byte by byte from the lowest, those that all items share left out. */
static void sort_items(item *x, item *spare, int64_t n)
{
    enum { FEW = 48 };
    if (n <= FEW) {
        insertion_sort(x, n);
        return;
    }
    item *from = x, *to = spare;
    for (int shift = 0; shift < 64; shift += 8) {
        int64_t place[256] = {0};
        for (int64_t i = 0; i < n; i++)
            place[from[i].key >> shift & 255]++;
        if (place[from[0].key >> shift & 255] == n)
            continue;
        for (int64_t b = 0, at = 0; b < 256; b++) {
            int64_t count = place[b];
            place[b] = at;
            at += count;
        }
        for (int64_t i = 0; i < n; i++)
            to[place[from[i].key >> shift & 255]++] = from[i];
        item *swap = from;
        from = to;
        to = swap;
    }
    if (from != x)
        memcpy(x, from, (size_t)n * sizeof *x);
}

/* The key of rank k, from 0 on: its bytes are found from the highest. */
static uint64_t key_of_rank(const uint64_t *key, int64_t n, int64_t k)
{
    uint64_t found = 0, mask = 0;
    for (int shift = 56; shift >= 0; shift -= 8) {
        int64_t count[256] = {0};
        for (int64_t i = 0; i < n; i++)
            if ((key[i] & mask) == found)
                count[key[i] >> shift & 255]++;
        uint64_t byte = 0;
        while (k >= count[byte])
            k -= count[byte++];
        found |= byte << shift;
        mask |= UINT64_C(255) << shift;
    }
    return found;
}

static int64_t first_with(const uint64_t *key, uint64_t wanted)
{
    int64_t i = 0;
    while (key[i] != wanted)
        i++;
    return i;
}

/* ---- lines ----------------------------------------------------------------------------------- */

/* What a thread works in: keys, items and spare ones of a line. */
typedef struct workspace {
    uint64_t *key;
    item *item, *spare;
} workspace;

static void write_items(int64_t *y, int64_t stride, const item *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i * stride] = x[i].place;
}

/* The places of the k lowest keys: those below the k-th, and of those that equal it the first. */
static int64_t lowest(const workspace *w, int64_t n, int64_t k)
{
    uint64_t kth = key_of_rank(w->key, n, k - 1);
    int64_t below = 0, found = 0;
    for (int64_t i = 0; i < n; i++)
        below += w->key[i] < kth;
    for (int64_t i = 0, equal = k - below; i < n; i++)
        if (w->key[i] < kth || (w->key[i] == kth && equal-- > 0))
            w->item[found++] = (item){w->key[i], i};
    return found;
}

static void in_order(const order_params *p, const workspace *w, int64_t n, int64_t *y,
                     int64_t stride)
{
    if (p->k == 0)
        return;
    int64_t count = p->k;
    if (p->k < n)
        count = lowest(w, n, p->k);
    else
        for (int64_t i = 0; i < n; i++)
            w->item[i] = (item){w->key[i], i};
    if (p->sorted)
        sort_items(w->item, w->spare, count);
    write_items(y, stride, w->item, count);
}

/* The last place of the most frequent key, of several the lowest. */
static int64_t most_frequent(const workspace *w, int64_t n)
{
    int64_t best = 0, most = 0;
    for (int64_t i = 0; i < n; i++)
        w->item[i] = (item){w->key[i], i};
    sort_items(w->item, w->spare, n);
    for (int64_t i = 0, run = 0; i < n; i++) {
        run = i > 0 && w->item[i].key == w->item[i - 1].key ? run + 1 : 1;
        if (run >= most && (run > most || w->item[i].key == w->item[best].key)) {
            most = run;
            best = i;
        }
    }
    return w->item[best].place;
}

static int64_t numbers_in(const uint64_t *key, int64_t n)
{
    int64_t numbers = 0;
    for (int64_t i = 0; i < n; i++)
        numbers += key[i] != nan_key;
    return numbers;
}

/* The first place of the lower median among all elements, or among those that are not NaN. */
static int64_t median_place(const uint64_t *key, int64_t n, bool without_nan)
{
    int64_t numbers = numbers_in(key, n);
    if (numbers == 0 || (numbers < n && !without_nan))
        return first_with(key, nan_key);
    return first_with(key, key_of_rank(key, n, (numbers - 1) / 2));
}

static void one_line(const order_params *p, const workspace *w, int64_t n, int64_t *y,
                     int64_t stride)
{
    switch (p->choice) {
    case ORDER_ALL:
        in_order(p, w, n, y, stride);
        break;
    case ORDER_KTH:
        *y = first_with(w->key, key_of_rank(w->key, n, p->k - 1));
        break;
    case ORDER_MEDIAN:
    case ORDER_NANMEDIAN:
        *y = median_place(w->key, n, p->choice == ORDER_NANMEDIAN);
        break;
    case ORDER_MODE:
        *y = most_frequent(w, n);
        break;
    }
}

/* Lines part, part + parts, ...: the work of one thread. */
static void some_lines(const op_call *c, ito_tensor *y, char *memory, int64_t part, int64_t parts)
{
    const order_params *p = c->params;
    const ito_tensor *x = c->in[0];
    int64_t n = x->shape[p->axis], lines = line_count(&x->sizes, p->axis);
    workspace w = {.item = (item *)memory};
    w.spare = w.item + n;
    w.key = (uint64_t *)(w.spare + n);
    for (int64_t r = part; r < lines; r += parts) {
        const char *from = (const char *)tensor_data(x) +
                           line_begin(x, &x->sizes, p->axis, r) * (int64_t)ito_dtype_size(x->dtype);
        keys_of[x->dtype](w.key, from, x->stride[p->axis], n);
        for (int64_t i = 0; p->descending && i < n; i++)
            w.key[i] = ~w.key[i];
        one_line(p, &w, n, (int64_t *)tensor_data(y) + line_begin(y, &x->sizes, p->axis, r),
                 y->stride[p->axis]);
    }
}

static ito_tensor *order_forward(const op_call *c)
{
    const order_params *p = c->params;
    const ito_tensor *x = c->in[0];
    ito_shape shape = x->sizes;
    shape.dim[p->axis] = p->choice == ORDER_ALL ? p->k : 1;
    ito_tensor *y = tensor_empty(shape, ITO_I64);
    int64_t n = x->shape[p->axis], lines = line_count(&x->sizes, p->axis), parts = ito_threads();
    if (y == NULL || lines == 0 || n == 0)
        return y;
    parts = parts < lines ? parts : lines;
    int64_t room = checked_mul(n, 2 * sizeof(item) + sizeof(uint64_t));
    int64_t bytes = checked_mul(room, parts);
    if (bytes < 0)
        return error_null(ITO_ERR_MEMORY, "%s: axis %d of %s is too long", c->info->name, p->axis,
                          tensor_shape_str(x));
    char *memory = mem_alloc((size_t)bytes);
    if (memory == NULL)
        return NULL;
    PARALLEL_FOR(i, parts, lines * n * 8, some_lines(c, y, memory + i * room, i, parts));
    mem_free(memory);
    return y;
}

ito_tensor *op_argsort_forward(op_call *c)
{
    return order_forward(c);
}

ito_tensor *op_topk_forward(op_call *c)
{
    return order_forward(c);
}

ito_tensor *op_kthvalue_forward(op_call *c)
{
    return order_forward(c);
}

static ito_tensor *order(op_id id, ito_tensor *x, const order_params *p)
{
    return op_apply(id, &x, 1, p, sizeof *p);
}

/* ---- sort and topk --------------------------------------------------------------------------- */

/* The k best along the axis, in x's shape where that is a number. */
static ito_tensor *best(const char *op, op_id id, ito_tensor *x, int dim, order_params p,
                        ito_tensor **indices)
{
    ito_tensor *y = NULL, *at = NULL;
    ito_scope_begin();
    ito_tensor *line = along(op, x, dim, &p.axis);
    if (line != NULL && p.k < 0)
        p.k = line->shape[p.axis];
    if (line != NULL && p.k > line->shape[p.axis])
        line = error_null(ITO_ERR_RANGE, "%s: k is %" PRId64 ", and axis %d of %s has fewer", op,
                          p.k, p.axis, tensor_shape_str(x));
    at = line == NULL ? NULL : order(id, line, &p);
    y = at == NULL ? NULL : index_gather(line, p.axis, at);
    if (y != NULL && x->ndim == 0 && p.k == 1) {
        y = ito_reshape_to(y, ITO_SHAPE());
        at = ito_reshape_to(at, ITO_SHAPE());
    }
    y = keep_both(y, at, indices);
    ito_scope_end();
    return y;
}

ito_tensor *ito_sort_with(ito_tensor *x, ito_tensor **indices, ito_sort_options options)
{
    order_params p = {.descending = options.descending, .sorted = true, .k = -1};
    return best("sort", OP_argsort, x, options.dim, p, indices);
}

ito_tensor *ito_argsort_with(ito_tensor *x, ito_sort_options options)
{
    order_params p = {.descending = options.descending, .sorted = true};
    ito_scope_begin();
    ito_tensor *line = along("argsort", x, options.dim, &p.axis), *y = NULL;
    if (line != NULL) {
        p.k = line->shape[p.axis];
        y = along_back(order(OP_argsort, line, &p), x);
    }
    y = ito_keep(y);
    ito_scope_end();
    return y;
}

ito_tensor *ito_topk_with(ito_tensor *x, int64_t k, ito_tensor **indices, ito_topk_options options)
{
    order_params p = {.descending = options.largest, .sorted = options.sorted, .k = k};
    if (k < 0) {
        if (indices != NULL)
            *indices = NULL;
        return error_null(ITO_ERR_RANGE, "topk: k is %" PRId64, k);
    }
    return best("topk", OP_topk, x, options.dim, p, indices);
}

/* ---- one of a line --------------------------------------------------------------------------- */

static ito_tensor *one_of(const char *op, ito_tensor *x, int dim, bool keepdim, order_params p,
                          ito_tensor **indices)
{
    ito_scope_begin();
    ito_tensor *line = along(op, x, dim, &p.axis), *places = NULL;
    bool fine = line != NULL && takes_numbers(op, line) && has_elements(op, line, p.axis);
    if (fine && p.choice == ORDER_KTH && (p.k < 1 || p.k > line->shape[p.axis]))
        ito_error_set(ITO_ERR_RANGE,
                      "%s: k is %" PRId64 ", not 1 to the %" PRId64 " elements along axis %d", op,
                      p.k, line->shape[p.axis], p.axis);
    else if (fine)
        places = order(OP_kthvalue, line, &p);
    ito_tensor *y = chosen_along(line, p.axis, places, x, dim, keepdim, indices);
    ito_scope_end();
    return y;
}

ito_tensor *ito_kthvalue_with(ito_tensor *x, int64_t k, ito_tensor **indices,
                              ito_along_options options)
{
    order_params p = {.choice = ORDER_KTH, .k = k};
    return one_of("kthvalue", x, options.dim, options.keepdim, p, indices);
}

ito_tensor *ito_median_with(ito_tensor *x, ito_tensor **indices, ito_arg_options options)
{
    order_params p = {.choice = ORDER_MEDIAN};
    return one_of("median", x, options.dim, options.keepdim, p, indices);
}

ito_tensor *ito_nanmedian_with(ito_tensor *x, ito_tensor **indices, ito_arg_options options)
{
    order_params p = {.choice = ORDER_NANMEDIAN};
    return one_of("nanmedian", x, options.dim, options.keepdim, p, indices);
}

ito_tensor *ito_mode_with(ito_tensor *x, ito_tensor **indices, ito_along_options options)
{
    order_params p = {.choice = ORDER_MODE};
    return one_of("mode", x, options.dim, options.keepdim, p, indices);
}

/* ---- quantile -------------------------------------------------------------------------------- */

/* Where q lies among n elements in order: between place low and low + 1, at `weight`. */
static int64_t quantile_place(double q, int64_t n, ito_interpolation how, double *weight)
{
    double at = q * (double)(n - 1), low = floor(at);
    *weight = at - low;
    switch (how) {
    case ITO_INTERPOLATION_LOWER:
        *weight = 0;
        break;
    case ITO_INTERPOLATION_HIGHER:
        *weight = *weight > 0;
        break;
    case ITO_INTERPOLATION_MIDPOINT:
        *weight = *weight > 0 ? 0.5 : 0;
        break;
    case ITO_INTERPOLATION_NEAREST:
        *weight = nearbyint(at) - low;
        break;
    default:
        break;
    }
    return (int64_t)low;
}

static ito_tensor *quantile(ito_tensor *line, int axis, double q, ito_interpolation how)
{
    double weight;
    int64_t n = line->shape[axis], low = quantile_place(q, n, how, &weight);
    ito_tensor *sorted = ito_sort(line, NULL, .dim = axis);
    ito_tensor *last = ito_narrow(sorted, axis, n - 1, 1); /* NaN if there is one */
    ito_tensor *y = ito_narrow(sorted, axis, weight == 1 ? low + 1 : low, 1);
    if (weight > 0 && weight < 1)
        y = ito_lerp(y, ito_narrow(sorted, axis, low + 1, 1), weight);
    return last == NULL ? NULL : ito_where(ito_eq(last, last), y, last);
}

ito_tensor *ito_quantile_with(ito_tensor *x, double q, ito_quantile_options options)
{
    int axis;
    if (x == NULL || !takes_reals("quantile", x))
        return NULL;
    if (!(q >= 0 && q <= 1))
        return error_null(ITO_ERR_RANGE, "quantile: q is %g, not in [0, 1]", q);
    if ((unsigned)options.interpolation > ITO_INTERPOLATION_NEAREST)
        return error_null(ITO_ERR_ARGUMENT, "quantile: %d is no interpolation",
                          (int)options.interpolation);
    ito_scope_begin();
    ito_tensor *line = along("quantile", x, options.dim, &axis), *y = NULL;
    if (line != NULL && has_elements("quantile", line, axis))
        y = quantile(line, axis, q, options.interpolation);
    y = ito_keep(along_reduced(y, x, options.dim, options.keepdim));
    ito_scope_end();
    return y;
}

/* ---- unique ---------------------------------------------------------------------------------- */

/* The elements of x in order, and how many are different; NULL with an error. */
static item *sorted_items(const ito_tensor *list, int64_t n, bool *first, int64_t *different)
{
    item *x = mem_alloc((size_t)n * 2 * sizeof *x); /* no overflow: the list exists */
    uint64_t *key = x == NULL ? NULL : mem_alloc((size_t)n * sizeof *key);
    if (key == NULL) {
        mem_free(x);
        return NULL;
    }
    keys_of[list->dtype](key, tensor_data(list), 1, n);
    for (int64_t i = 0; i < n; i++)
        x[i] = (item){key[i], i};
    mem_free(key);
    sort_items(x, x + n, n);
    bool floats = ito_dtype_is_float(list->dtype);
    *different = 0;
    for (int64_t i = 0; i < n; i++) {
        first[i] = i == 0 || x[i].key != x[i - 1].key || (floats && x[i].key == nan_key);
        *different += first[i];
    }
    return x;
}

/* Fills what is not NULL. */
static void describe(const item *x, const bool *first, int64_t n, int64_t *place, int64_t *inverse,
                     int64_t *count)
{
    for (int64_t i = 0, at = -1; i < n; i++) {
        at += first[i];
        if (first[i]) {
            place[at] = x[i].place;
            count[at] = 0;
        }
        inverse[x[i].place] = at;
        count[at]++;
    }
}

static ito_tensor *unique(ito_tensor *x, const ito_tensor *list, ito_tensor **inverse,
                          ito_tensor **counts)
{
    int64_t n = ito_numel(list), different;
    ito_tensor *first = tensor_empty(ITO_SHAPE(n), ITO_BOOL);
    item *items = first == NULL ? NULL : sorted_items(list, n, tensor_data(first), &different);
    if (items == NULL)
        return NULL;
    ito_tensor *place = tensor_empty(ITO_SHAPE(different), ITO_I64);
    *counts = tensor_empty(ITO_SHAPE(different), ITO_I64);
    *inverse = tensor_empty(x->sizes, ITO_I64);
    bool fine = place != NULL && *counts != NULL && *inverse != NULL;
    if (fine)
        describe(items, tensor_data(first), n, tensor_data(place), tensor_data(*inverse),
                 tensor_data(*counts));
    mem_free(items);
    return fine ? index_select_entries(ito_detach(ito_flatten(x, 0, -1)), 0, place) : NULL;
}

ito_tensor *ito_unique(ito_tensor *x, ito_tensor **inverse, ito_tensor **counts)
{
    ito_tensor *y = NULL, *places = NULL, *numbers = NULL;
    ito_scope_begin();
    const ito_tensor *list = x != NULL && takes_numbers("unique", x) ? tensor_contiguous(x) : NULL;
    y = list == NULL ? NULL : unique(x, list, &places, &numbers);
    y = keep_both(y, places, inverse);
    if (counts != NULL)
        *counts = y == NULL ? NULL : ito_keep(numbers);
    ito_scope_end();
    return y;
}
