/* Diagonals and triangles of matrices. A diagonal is every (M + 1)-th element of a row-major matrix
 * of M columns; the others are masks of where a column is, counted from the diagonal. */
#include "autograd/op.h"
#include "autograd/ops.h"

/* ---- triangles ------------------------------------------------------------------------------- */

/* Where column - row is in [low, high]: bool [rows, columns]. */
static ito_tensor *band(int64_t rows, int64_t columns, int64_t low, int64_t high)
{
    ito_tensor *mask = tensor_empty(ITO_SHAPE(rows, columns), ITO_BOOL);
    if (mask == NULL)
        return NULL;
    bool *m = tensor_data(mask);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
            m[i * columns + j] = j - i >= low && j - i <= high;
    return mask;
}

static ito_tensor *triangle(const char *op, ito_tensor *x, int64_t low, int64_t high)
{
    if (x == NULL)
        return NULL;
    if (x->ndim < 2)
        return error_null(ITO_ERR_SHAPE, "%s: %s is no matrix", op, tensor_shape_str(x));
    ito_scope_begin();
    ito_tensor *mask = band(x->shape[x->ndim - 2], x->shape[x->ndim - 1], low, high);
    ito_tensor *y = ito_keep(ito_where(mask, x, ito_scalar(0, x->dtype)));
    ito_scope_end();
    return y;
}

ito_tensor *ito_tril_with(ito_tensor *x, ito_tri_options options)
{
    return triangle("tril", x, INT64_MIN, options.diagonal);
}

ito_tensor *ito_triu_with(ito_tensor *x, ito_tri_options options)
{
    return triangle("triu", x, options.diagonal, INT64_MAX);
}

/* Row and column of each element of the band, row by row. */
static ito_tensor *band_indices(const char *op, int64_t rows, int64_t columns, int64_t low,
                                int64_t high)
{
    if (rows < 0 || columns < 0)
        return error_null(ITO_ERR_ARGUMENT, "%s: no matrix has the shape %s", op,
                          shape_str(ITO_SHAPE(rows, columns)));
    ito_scope_begin();
    ito_tensor *mask = band(rows, columns, low, high);
    ito_tensor *y = mask == NULL ? NULL : ito_transpose(ito_nonzero(mask), 0, 1);
    y = ito_keep(y == NULL ? NULL : ito_contiguous(y));
    ito_scope_end();
    return y;
}

ito_tensor *ito_tril_indices(int64_t rows, int64_t columns, int64_t offset)
{
    return band_indices("tril_indices", rows, columns, INT64_MIN, offset);
}

ito_tensor *ito_triu_indices(int64_t rows, int64_t columns, int64_t offset)
{
    return band_indices("triu_indices", rows, columns, offset, INT64_MAX);
}

/* ---- diagonals ------------------------------------------------------------------------------- */

/* The matrices of x whose diagonal is meant: which axes, and where it begins. */
typedef struct plane {
    int row, column; /* axes */
    int64_t rows, columns, offset, count;
} plane;

/* Two different axes of so many, non-negative; false with an error. */
static bool two_axes(const char *op, int dim1, int dim2, int ndim, int *row, int *column)
{
    *row = axis_normalize(op, dim1, ndim);
    *column = *row < 0 ? -1 : axis_normalize(op, dim2, ndim);
    if (*column >= 0 && *row == *column)
        return error_false(ITO_ERR_ARGUMENT, "%s: axis %d cannot be both rows and columns", op,
                           *row);
    return *column >= 0;
}

static bool plane_of(const char *op, const ito_tensor *x, const ito_diagonal_options *options,
                     plane *p)
{
    if (!two_axes(op, options->dim1, options->dim2, x->ndim, &p->row, &p->column))
        return false;
    p->rows = x->shape[p->row];
    p->columns = x->shape[p->column];
    p->offset = options->offset > p->columns ? p->columns
                : options->offset < -p->rows ? -p->rows
                                             : options->offset;
    int64_t down = p->rows + (p->offset < 0 ? p->offset : 0);
    int64_t right = p->columns - (p->offset > 0 ? p->offset : 0);
    p->count = down < right ? down : right;
    return true;
}

/* x as [.., rows, columns]. */
static ito_tensor *plane_last(ito_tensor *x, int row, int column)
{
    return ito_movedim(x, ITO_DIMS(row, column), ITO_DIMS(-2, -1));
}

/* The contrary. */
static ito_tensor *plane_back(ito_tensor *x, int row, int column)
{
    return ito_movedim(x, ITO_DIMS(-2, -1), ITO_DIMS(row, column));
}

static ito_tensor *diagonal(ito_tensor *x, const plane *p)
{
    ito_tensor *flat = ito_flatten(plane_last(x, p->row, p->column), -2, -1);
    int64_t start = p->offset < 0 ? -p->offset * p->columns : p->offset;
    int64_t end = p->count == 0 ? start : start + (p->count - 1) * (p->columns + 1) + 1;
    return ito_slice(flat, -1, start, end, p->columns + 1);
}

ito_tensor *ito_diagonal_with(ito_tensor *x, ito_diagonal_options options)
{
    plane p;
    if (x == NULL || !plane_of("diagonal", x, &options, &p))
        return NULL;
    ito_scope_begin();
    ito_tensor *y = ito_keep(diagonal(x, &p));
    ito_scope_end();
    return y;
}

/* src in rows of its own lines up with the diagonal: what stands in row i of it is entry
 * i - max(-offset, 0) of src. */
static ito_tensor *diagonal_scatter(ito_tensor *x, ito_tensor *src, const plane *p)
{
    int64_t above = p->offset < 0 ? -p->offset : 0;
    ito_tensor *rows = ito_pad_with(src, 0, ITO_SHAPE(above, p->rows - above - p->count));
    ito_tensor *mask = band(p->rows, p->columns, p->offset, p->offset);
    ito_tensor *y = ito_where(mask, ito_unsqueeze(rows, -1), plane_last(x, p->row, p->column));
    return plane_back(y, p->row, p->column);
}

ito_tensor *ito_diagonal_scatter_with(ito_tensor *x, ito_tensor *src, ito_diagonal_options options)
{
    plane p;
    if (x == NULL || src == NULL || !plane_of("diagonal_scatter", x, &options, &p))
        return NULL;
    ito_shape wanted = {0};
    for (int i = 0; i < x->ndim; i++)
        if (i != p.row && i != p.column)
            wanted.dim[wanted.ndim++] = x->shape[i];
    wanted.dim[wanted.ndim++] = p.count;
    if (!shape_equal(wanted, src->sizes))
        return error_null(ITO_ERR_SHAPE, "diagonal_scatter: %s is not the diagonal %s of %s",
                          tensor_shape_str(src), shape_str(wanted), tensor_shape_str(x));
    if (src->dtype != x->dtype)
        return error_null(ITO_ERR_DTYPE,
                          "diagonal_scatter: %s %s and %s %s do not mix (see ito_cast)",
                          ito_dtype_name(x->dtype), tensor_shape_str(x), ito_dtype_name(src->dtype),
                          tensor_shape_str(src));
    ito_scope_begin();
    ito_tensor *y = ito_keep(diagonal_scatter(x, src, &p));
    ito_scope_end();
    return y;
}

/* n zeros behind each element make rows of n + 1, and these, written on, have the elements on the
 * diagonal of an n x n matrix. */
static ito_tensor *embed(ito_tensor *x, int64_t offset, int64_t n)
{
    int64_t k = x->shape[x->ndim - 1], start = offset < 0 ? -offset * n : offset;
    ito_tensor *rows = ito_pad_with(ito_unsqueeze(x, -1), 0, ITO_SHAPE(0, n));
    ito_tensor *flat = ito_flatten(rows, -2, -1);
    flat = ito_pad_with(flat, 0, ITO_SHAPE(start, n * n - start - k * (n + 1)));
    return ito_unflatten(flat, -1, ITO_SHAPE(n, n));
}

ito_tensor *ito_diag_embed_with(ito_tensor *x, ito_diag_embed_options options)
{
    int row, column;
    if (x == NULL)
        return NULL;
    if (x->ndim == 0 || x->ndim == ITO_MAX_DIMS)
        return error_null(ITO_ERR_SHAPE, "diag_embed: %s has %d axes, not 1 to 7",
                          tensor_shape_str(x), x->ndim);
    if (!two_axes("diag_embed", options.dim1, options.dim2, x->ndim + 1, &row, &column))
        return NULL;
    int64_t k = x->shape[x->ndim - 1], away = options.offset, n;
    if (away == INT64_MIN || __builtin_add_overflow(k, away < 0 ? -away : away, &n) ||
        checked_mul(n + 1, n + 1) < 0)
        return error_null(ITO_ERR_SHAPE, "diag_embed: offset %" PRId64 " is too far for %s", away,
                          tensor_shape_str(x));
    ito_scope_begin();
    ito_tensor *y = ito_keep(plane_back(embed(x, away, n), row, column));
    ito_scope_end();
    return y;
}

ito_tensor *ito_diag_with(ito_tensor *x, ito_tri_options options)
{
    if (x == NULL)
        return NULL;
    if (x->ndim != 1 && x->ndim != 2)
        return error_null(ITO_ERR_SHAPE, "diag: %s is neither a list nor a matrix",
                          tensor_shape_str(x));
    return x->ndim == 1 ? ito_diag_embed(x, .offset = options.diagonal)
                        : ito_diagonal(x, .offset = options.diagonal);
}
