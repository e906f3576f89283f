/* Plans of element-wise loops, and the loop itself: blocks of rows, each with one writer. */
#include "tensor/iterate.h"

enum { BLOCK = 1 << 14 }; /* elements that a thread takes at a time */

static void swap(int64_t *a, int64_t *b)
{
    int64_t old = *a;
    *a = *b;
    *b = old;
}

static void swap_axes(iterate_plan *p, int i, int j)
{
    swap(&p->size[i], &p->size[j]);
    for (int k = 0; k < p->operands; k++)
        swap(&p->stride[k][i], &p->stride[k][j]);
}

void iterate_plan_sort(iterate_plan *p, int by)
{
    const int64_t *stride = p->stride[by];
    for (int i = 1; i < p->ndim; i++)
        for (int j = i; j > 0 && stride[j - 1] < stride[j]; j--)
            swap_axes(p, j - 1, j);
}

/* Whether axis i steps over exactly what axis i + 1 runs through, in every operand. */
static bool runs_on(const iterate_plan *p, int i)
{
    for (int k = 0; k < p->operands; k++)
        if (p->stride[k][i] != p->size[i + 1] * p->stride[k][i + 1])
            return false;
    return true;
}

void iterate_plan_merge(iterate_plan *p)
{
    for (int i = p->ndim - 2; i >= 0; i--) {
        if (!runs_on(p, i))
            continue;
        p->size[i + 1] *= p->size[i];
        for (int j = i; j + 1 < p->ndim; j++)
            swap_axes(p, j, j + 1);
        p->ndim--;
    }
}

/* Whether the operands are one row as they are: dense, of one layout. */
static bool is_one_row(ito_tensor *const *t, int operands)
{
    for (int k = 1; k < operands; k++)
        if (!tensor_same_layout(t[k], t[0]))
            return false;
    return tensor_is_dense(t[0]);
}

static void plan_one_row(iterate_plan *p, int64_t n)
{
    p->ndim = 1;
    p->size[0] = n;
    for (int k = 0; k < p->operands; k++)
        p->stride[k][0] = 1;
}

static void plan_axes(iterate_plan *p, ito_tensor *const *t)
{
    int ndim = t[0]->ndim;
    p->ndim = 0;
    for (int i = 0; i < ndim; i++) {
        if (t[0]->shape[i] == 1)
            continue;
        p->size[p->ndim] = t[0]->shape[i];
        for (int k = 0; k < p->operands; k++) {
            int j = i - (ndim - t[k]->ndim); /* the same axis of operand k, which may lack it */
            p->stride[k][p->ndim] = j < 0 || t[k]->shape[j] == 1 ? 0 : t[k]->stride[j];
        }
        p->ndim++;
    }
    iterate_plan_sort(p, 0);
    iterate_plan_merge(p);
    if (p->ndim == 0)
        plan_one_row(p, 1);
}

/* What is not needed stays uninitialised: a plan is larger than small work. */
static void plan_make(iterate_plan *p, ito_tensor *const *t, int operands)
{
    p->operands = operands;
    for (int k = 0; k < operands; k++) {
        p->data[k] = tensor_data(t[k]);
        p->element[k] = ito_dtype_size(t[k]->dtype);
    }
    if (is_one_row(t, operands))
        plan_one_row(p, ito_numel(t[0]));
    else
        plan_axes(p, t);
}

/* Rows first .. first + rows of the plan, whole ones, or elements start .. start + n of one. */
static void run_block(const iterate_plan *p, iterate_row *row, const void *context, int64_t first,
                      int64_t rows, int64_t start, int64_t n)
{
    int inner = p->ndim - 1;
    int64_t index[ITO_MAX_DIMS], stride[ITERATE_OPERANDS];
    char *data[ITERATE_OPERANDS];
    for (int k = 0; k < p->operands; k++) {
        stride[k] = p->stride[k][inner];
        data[k] = p->data[k] + start * stride[k] * (int64_t)p->element[k];
    }
    for (int i = inner - 1; i >= 0; i--) {
        index[i] = first % p->size[i];
        first /= p->size[i];
        for (int k = 0; k < p->operands; k++)
            data[k] += index[i] * p->stride[k][i] * (int64_t)p->element[k];
    }
    for (int64_t r = 0; r < rows; r++) {
        row(context, data, stride, n);
        for (int i = inner - 1; i >= 0; i--) { /* the next row, as an odometer turns */
            int64_t step = ++index[i] < p->size[i] ? 1 : 1 - p->size[i];
            index[i] = step == 1 ? index[i] : 0;
            for (int k = 0; k < p->operands; k++)
                data[k] += step * p->stride[k][i] * (int64_t)p->element[k];
            if (step == 1)
                break;
        }
    }
}

void iterate(ito_tensor *const *t, int operands, iterate_row *row, const void *context,
             int64_t cost)
{
    iterate_plan p;
    plan_make(&p, t, operands);
    int64_t n = p.size[p.ndim - 1], rows = 1;
    for (int i = 0; i < p.ndim - 1; i++)
        rows *= p.size[i];
    if (rows == 0 || n == 0)
        return;
    int threads = threads_for(rows * n * cost);
    if (threads == 1) {
        run_block(&p, row, context, 0, rows, 0, n);
        return;
    }
    int64_t pieces = (n + BLOCK - 1) / BLOCK; /* of a long row; 1 if rows are taken whole */
    int64_t group = pieces > 1 ? 1 : (BLOCK + n - 1) / n;
    int64_t blocks = (rows + group - 1) / group * pieces;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t b = 0; b < blocks; b++) {
        int64_t first = b / pieces * group, start = b % pieces * BLOCK;
        int64_t count = rows - first < group ? rows - first : group;
        int64_t length = pieces == 1 ? n : n - start < BLOCK ? n - start : BLOCK;
        run_block(&p, row, context, first, count, start, length);
    }
}

ito_tensor *tensor_empty_ordered(ito_shape shape, const int64_t *stride, ito_dtype dtype)
{
    ito_tensor *y = tensor_empty(shape, dtype);
    if (y == NULL)
        return NULL;
    int order[ITO_MAX_DIMS] = {0, 1, 2, 3, 4, 5, 6, 7};
    for (int i = 1; i < shape.ndim; i++)
        for (int j = i; j > 0 && stride[order[j - 1]] < stride[order[j]]; j--) {
            int later = order[j];
            order[j] = order[j - 1];
            order[j - 1] = later;
        }
    int64_t step = 1;
    for (int k = shape.ndim - 1; k >= 0; k--) {
        y->stride[order[k]] = step;
        step *= shape.dim[order[k]];
    }
    return y;
}

ito_tensor *tensor_empty_for(ito_shape shape, ito_tensor *const *t, int n, ito_dtype dtype)
{
    for (int i = 0; i < n; i++)
        if (tensor_has_shape(t[i], &shape) && tensor_is_dense(t[i]))
            return tensor_empty_as(t[i], dtype);
    for (int i = 0; i < n; i++)
        if (tensor_has_shape(t[i], &shape))
            return tensor_empty_ordered(shape, t[i]->stride, dtype);
    return tensor_empty(shape, dtype);
}
