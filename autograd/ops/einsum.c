/* einsum: an equation of letters, and operands contracted from left to right. Axes that are summed
 * over and those that both operands have become the axes of a stack of matrix products; where no
 * axis is summed the product is element by element. */
#include "autograd/ops.h"
#include "autograd/ops/composite.h"

#include <string.h>

/* Labels: 0..51 are letters in the order of the alphabet, capitals first; the last ones are the
 * axes of "...", counted from the right. */
enum { LETTERS = 52, LABELS = LETTERS + ITO_MAX_DIMS };

typedef struct term {
    int n; /* labels, "..." as none yet */
    int label[ITO_MAX_DIMS];
    int dots; /* before which label "..." stands, or -1 */
} term;

/* A tensor and the label of each of its axes. */
typedef struct operand {
    ito_tensor *t;
    int label[ITO_MAX_DIMS];
} operand;

static int label_of(char c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' : c >= 'a' && c <= 'z' ? c - 'a' + 26 : -1;
}

static char letter_of(int label)
{
    return (char)(label < 26 ? 'A' + label : 'a' + label - 26);
}

/* One term up to ',' or '-' or the end; where it ended, or NULL with an error. */
static const char *parse_term(const char *equation, const char *at, term *out)
{
    *out = (term){.dots = -1};
    for (; *at != '\0' && *at != ',' && *at != '-'; at++) {
        int label = label_of(*at);
        if (*at == ' ')
            continue;
        if (strncmp(at, "...", 3) == 0 && out->dots < 0) {
            out->dots = out->n;
            at += 2;
        } else if (label < 0) {
            return error_null(ITO_ERR_ARGUMENT, "einsum: \"%s\" has '%c' where a letter should be",
                              equation, *at);
        } else if (out->n == ITO_MAX_DIMS) {
            return error_null(ITO_ERR_ARGUMENT, "einsum: \"%s\" has a term of more than 8 letters",
                              equation);
        } else {
            out->label[out->n++] = label;
        }
    }
    return at;
}

/* The axes that the term's "..." stands for get labels; false with an error. */
static bool label_axes(const char *equation, int64_t i, const term *letters, ito_tensor *t,
                       operand *out)
{
    int dots = t->ndim - letters->n;
    if (dots < 0 || (letters->dots < 0 && dots > 0))
        return error_false(ITO_ERR_SHAPE,
                           "einsum: operand %" PRId64 " of \"%s\" has %d letters and shape %s", i,
                           equation, letters->n, tensor_shape_str(t));
    int before = letters->dots < 0 ? letters->n : letters->dots, n = 0;
    for (int k = 0; k < before; k++)
        out->label[n++] = letters->label[k];
    for (int k = dots; k > 0; k--)
        out->label[n++] = LABELS - k;
    for (int k = before; k < letters->n; k++)
        out->label[n++] = letters->label[k];
    out->t = t;
    return true;
}

static int find(const operand *o, int label)
{
    for (int i = 0; i < o->t->ndim; i++)
        if (o->label[i] == label)
            return i;
    return -1;
}

/* ---- one operand -------------------------------------------------------------------------------
 */

/* The operand with its axes in the order of these labels. */
static bool arrange(operand *o, const int *labels, int n)
{
    ito_shape axes = {.ndim = n};
    for (int i = 0; i < n; i++)
        axes.dim[i] = find(o, labels[i]);
    o->t = ito_permute_to(o->t, axes);
    memcpy(o->label, labels, (size_t)n * sizeof *labels);
    return o->t != NULL;
}

/* A label that the operand has twice is its diagonal; false with an error. */
static bool take_diagonals(int64_t number, operand *o)
{
    for (int i = 0; i < o->t->ndim; i++)
        for (int j = i + 1; j < o->t->ndim; j++) {
            if (o->label[i] != o->label[j])
                continue;
            if (o->t->shape[i] != o->t->shape[j])
                return error_false(ITO_ERR_SHAPE,
                                   "einsum: operand %" PRId64 " has '%c' for axes of %" PRId64
                                   " and %" PRId64,
                                   number, letter_of(o->label[i]), o->t->shape[i], o->t->shape[j]);
            ito_shape axes = {0};
            int label[ITO_MAX_DIMS] = {0}, n = 0;
            for (int k = 0; k < o->t->ndim; k++)
                if (k != i && k != j) {
                    label[n++] = o->label[k];
                    axes.dim[axes.ndim++] = k;
                }
            label[n++] = o->label[i];
            axes.dim[axes.ndim++] = i;
            axes.dim[axes.ndim++] = j;
            o->t = ito_diagonal(ito_permute_to(o->t, axes), .dim1 = -2, .dim2 = -1);
            if (o->t == NULL)
                return false;
            memcpy(o->label, label, sizeof label);
            i = -1; /* from the start: another label may occur twice */
            break;
        }
    return true;
}

/* Axes of labels that nobody else needs are summed over. */
static bool sum_away(operand *o, const bool *needed)
{
    ito_shape dims = {0};
    int label[ITO_MAX_DIMS] = {0}, n = 0;
    for (int i = 0; i < o->t->ndim; i++)
        if (needed[o->label[i]])
            label[n++] = o->label[i];
        else
            dims.dim[dims.ndim++] = i;
    if (dims.ndim > 0)
        o->t = ito_sum(o->t, .dims = dims);
    memcpy(o->label, label, sizeof label);
    return o->t != NULL;
}

/* ---- two operands ------------------------------------------------------------------------------
 */

/* Axes of size 1 whose label the other has as well go: the other's broadcasts. */
static bool drop_ones(operand *o, const operand *other)
{
    ito_shape shape = {0};
    int label[ITO_MAX_DIMS] = {0};
    for (int i = 0; i < o->t->ndim; i++)
        if (o->t->shape[i] != 1 || find(other, o->label[i]) < 0) {
            label[shape.ndim] = o->label[i];
            shape.dim[shape.ndim++] = o->t->shape[i];
        }
    o->t = ito_reshape_to(o->t, shape);
    memcpy(o->label, label, sizeof label);
    return o->t != NULL;
}

/* Labels in the order batch, free of one operand, summed: what a stack of matrices is made of. */
typedef struct order {
    int n;
    int label[2 * ITO_MAX_DIMS];
} order;

static void append(order *to, const operand *o, const operand *other, bool shared,
                   const bool *needed, bool kept)
{
    for (int i = 0; i < o->t->ndim; i++)
        if ((find(other, o->label[i]) >= 0) == shared && needed[o->label[i]] == kept)
            to->label[to->n++] = o->label[i];
}

static int64_t product_of(const ito_tensor *t, int first, int end)
{
    int64_t n = 1;
    for (int i = first; i < end; i++)
        n *= t->shape[i];
    return n;
}

static ito_tensor *element_by_element(operand *a, operand *b, const order *out, int batch)
{
    int free_a = a->t->ndim - batch, free_b = b->t->ndim - batch;
    ito_shape left = ito_shape_of(a->t), right = {.ndim = out->n};
    left.ndim = out->n;
    for (int i = 0; i < batch; i++)
        right.dim[i] = b->t->shape[i];
    for (int i = 0; i < free_a; i++)
        right.dim[batch + i] = 1;
    for (int i = 0; i < free_b; i++) {
        left.dim[batch + free_a + i] = 1;
        right.dim[batch + free_a + i] = b->t->shape[batch + i];
    }
    return ito_mul(ito_reshape_to(a->t, left), ito_reshape_to(b->t, right));
}

/* Axes of labels that neither the result, a later operand nor the other one needs are summed over.
 */
static bool sum_own(operand *o, const operand *other, const bool *needed)
{
    bool kept[LABELS];
    for (int label = 0; label < LABELS; label++)
        kept[label] = needed[label] || find(other, label) >= 0;
    return sum_away(o, kept);
}

/* a = a times b, summed over what neither the result nor a later operand needs. */
static bool multiply(operand *a, operand *b, const bool *needed)
{
    if (!drop_ones(a, b) || !drop_ones(b, a) || !sum_own(a, b, needed) || !sum_own(b, a, needed))
        return false;
    order batch = {0}, left, right, out;
    append(&batch, a, b, true, needed, true);
    left = right = out = batch;
    append(&left, a, b, false, needed, true);
    append(&out, a, b, false, needed, true);
    append(&out, b, a, false, needed, true);
    int free_a = left.n - batch.n, summed = a->t->ndim - left.n;
    append(&left, a, b, true, needed, false);
    append(&right, a, b, true, needed, false);
    append(&right, b, a, false, needed, true);
    if (out.n > ITO_MAX_DIMS)
        return error_false(ITO_ERR_SHAPE, "einsum: a product on the way has %d axes, more than 8",
                           out.n);
    if (!arrange(a, left.label, left.n) || !arrange(b, right.label, right.n))
        return false;
    ito_shape shape = {.ndim = out.n};
    for (int i = 0; i < out.n; i++) {
        const operand *o = i < batch.n + free_a ? a : b;
        shape.dim[i] = o->t->shape[find(o, out.label[i])];
    }
    if (summed == 0) {
        a->t = element_by_element(a, b, &out, batch.n);
    } else {
        int64_t stack = product_of(a->t, 0, batch.n);
        int64_t rows = product_of(a->t, batch.n, batch.n + free_a);
        int64_t k = product_of(a->t, batch.n + free_a, a->t->ndim);
        int64_t columns = product_of(b->t, batch.n + summed, b->t->ndim);
        ito_tensor *matrices = OP2(bmm, ito_reshape_to(a->t, ITO_SHAPE(stack, rows, k)),
                                   ito_reshape_to(b->t, ITO_SHAPE(stack, k, columns)));
        a->t = ito_reshape_to(matrices, shape);
    }
    memcpy(a->label, out.label, (size_t)out.n * sizeof *out.label);
    return a->t != NULL;
}

/* ---- the equation ------------------------------------------------------------------------------
 */

/* Axes of one letter have one size, or 1; false with an error. */
static bool check_sizes(const operand *o, int64_t *size)
{
    for (int i = 0; i < o->t->ndim; i++) {
        int label = o->label[i];
        int64_t n = o->t->shape[i];
        if (size[label] == 1)
            size[label] = n;
        else if (n != 1 && n != size[label] && label < LETTERS)
            return error_false(ITO_ERR_SHAPE, "einsum: '%c' is %" PRId64 " and %" PRId64,
                               letter_of(label), size[label], n);
        else if (n != 1 && n != size[label])
            return error_false(ITO_ERR_SHAPE,
                               "einsum: an axis of \"...\" is %" PRId64 " and %" PRId64,
                               size[label], n);
    }
    return true;
}

static bool push_label(const char *equation, int label, operand *out, int *n)
{
    if (*n == ITO_MAX_DIMS)
        return error_false(ITO_ERR_SHAPE, "einsum: the result of \"%s\" has more than 8 axes",
                           equation);
    out->label[(*n)++] = label;
    return true;
}

static bool push_dots(const char *equation, const int *count, operand *out, int *n)
{
    for (int label = LETTERS; label < LABELS; label++)
        if (count[label] > 0 && !push_label(equation, label, out, n))
            return false;
    return true;
}

static bool push_letter(const char *equation, int label, const int *count, operand *out, int *n)
{
    bool twice = false;
    for (int i = 0; i < *n; i++)
        twice = twice || out->label[i] == label;
    if (count[label] == 0 || twice)
        return error_false(ITO_ERR_ARGUMENT, "einsum: the result of \"%s\" has '%c' %s", equation,
                           letter_of(label), twice ? "twice" : "from nowhere");
    return push_label(equation, label, out, n);
}

/* The n labels of the result. `rest` is what follows the operands: nothing, or "->" and a term. */
static bool result_labels(const char *equation, const char *rest, const int *count, operand *out,
                          int *n)
{
    *n = 0;
    if (*rest == '\0') {
        if (!push_dots(equation, count, out, n))
            return false;
        for (int label = 0; label < LETTERS; label++)
            if (count[label] == 1 && !push_label(equation, label, out, n))
                return false;
        return true;
    }
    term t;
    const char *end = rest[0] == '-' && rest[1] == '>' ? parse_term(equation, rest + 2, &t) : rest;
    if (end != NULL && *end != '\0')
        return error_false(ITO_ERR_ARGUMENT, "einsum: \"%s\" does not end in one \"->\" and a term",
                           equation);
    for (int k = 0; end != NULL && k <= t.n; k++) {
        if (k == t.dots && !push_dots(equation, count, out, n))
            return false;
        if (k < t.n && !push_letter(equation, t.label[k], count, out, n))
            return false;
    }
    return end != NULL;
}

enum { MOST_OPERANDS = 32 };

/* The operands with a label for each axis; what follows them in the equation, or NULL. */
static const char *read_operands(const char *equation, ito_tensor *const *tensors, int64_t n,
                                 operand *o, int *count)
{
    const char *at = equation;
    int64_t size[LABELS], i = 0;
    for (int label = 0; label < LABELS; label++)
        size[label] = 1;
    for (;; i++, at++) {
        term t;
        at = parse_term(equation, at, &t);
        if (at == NULL)
            return NULL;
        if (i < n && (!label_axes(equation, i, &t, tensors[i], &o[i]) || !check_sizes(&o[i], size)))
            return NULL;
        for (int k = 0; i < n && k < o[i].t->ndim; k++)
            count[o[i].label[k]]++;
        if (*at != ',')
            break;
    }
    if (i + 1 != n)
        return error_null(ITO_ERR_ARGUMENT,
                          "einsum: \"%s\" has %" PRId64 " operands, and %" PRId64
                          " tensors are given",
                          equation, i + 1, n);
    return at;
}

static ito_tensor *einsum(const char *equation, ito_tensor *const *tensors, int64_t n)
{
    operand o[MOST_OPERANDS], result;
    int count[LABELS] = {0}; /* how often a label occurs */
    const char *rest = read_operands(equation, tensors, n, o, count);
    int axes;
    if (rest == NULL || !result_labels(equation, rest, count, &result, &axes))
        return NULL;
    int wanted[LABELS] = {0}; /* by how many later operands and the result */
    for (int k = 0; k < axes; k++)
        wanted[result.label[k]]++;
    for (int64_t i = 0; i < n; i++) {
        if (!take_diagonals(i, &o[i]))
            return NULL;
        for (int k = 0; k < o[i].t->ndim; k++)
            wanted[o[i].label[k]]++;
    }
    for (int64_t i = 0; i < n; i++) {
        bool needed[LABELS];
        for (int k = 0; k < o[i].t->ndim; k++)
            wanted[o[i].label[k]]--;
        for (int label = 0; label < LABELS; label++)
            needed[label] = wanted[label] > 0;
        if (i == 0 ? n == 1 && !sum_away(&o[0], needed) : !multiply(&o[0], &o[i], needed))
            return NULL;
    }
    return arrange(&o[0], result.label, axes) ? o[0].t : NULL;
}

ito_tensor *ito_einsum(const char *equation, ito_tensor *const *tensors, int64_t n)
{
    if (equation == NULL || tensors == NULL)
        return error_null(ITO_ERR_ARGUMENT, "einsum: no %s",
                          equation == NULL ? "equation" : "tensors");
    if (n < 1 || n > MOST_OPERANDS)
        return error_null(ITO_ERR_ARGUMENT, "einsum: %" PRId64 " operands; there can be 1 to %d", n,
                          MOST_OPERANDS);
    for (int64_t i = 0; i < n; i++)
        if (tensors[i] == NULL)
            return error_null(ITO_ERR_ARGUMENT, "einsum: input %" PRId64 " is NULL", i);
    return COMPOSITE(einsum(equation, tensors, n));
}
