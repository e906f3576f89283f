/* Assignment of columns to rows by shortest augmenting paths.
 * Invariant: the reduced costs, cost[i][j] - u[i] - v[j], are not negative, and are 0 where column
 * j is row i's; so the assignment of the rows that have one is the best for these. */
#include "models/ddpm/process/pairing.h"

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "tensor/internal.h"

#include <math.h>

typedef struct assignment {
    const double *cost; /* [n, n] */
    int64_t n;
    double *u, *v;    /* [n] prices of rows and columns */
    double *distance; /* [n] of a column from the row that is searched from */
    int64_t *row;     /* [n] of each column, or -1 */
    int64_t *column;  /* [n] of each row, or -1 */
    int64_t *before;  /* [n] the row that a column is reached from */
    int64_t *order;   /* [n] columns: the open ones, then those whose distance is final */
} assignment;

/* Relax the distances of the open columns by row i, which is `length` away: where in the order the
 * nearest of them is. */
static int64_t relax(assignment *a, int64_t i, double length, int64_t open)
{
    const double *cost = a->cost + i * a->n;
    double base = length - a->u[i], least = (double)INFINITY;
    int64_t nearest = 0;
    for (int64_t k = 0; k < open; k++) {
        int64_t j = a->order[k];
        double d = base + cost[j] - a->v[j];
        if (d < a->distance[j]) {
            a->distance[j] = d;
            a->before[j] = i;
        }
        if (a->distance[j] < least) {
            least = a->distance[j];
            nearest = k;
        }
    }
    return nearest;
}

/* Give row `start` a column, and other rows on the shortest path to a free one other columns:
 * Dijkstra's search over reduced costs. */
static void assign_row(assignment *a, int64_t start)
{
    int64_t open = a->n, i = start, j;
    double length = 0.0;
    for (int64_t k = 0; k < a->n; k++) {
        a->distance[k] = (double)INFINITY;
        a->order[k] = k;
    }
    do {
        int64_t nearest = relax(a, i, length, open--);
        j = a->order[nearest];
        a->order[nearest] = a->order[open];
        a->order[open] = j;
        length = a->distance[j];
        i = a->row[j];
    } while (i >= 0);
    a->u[start] += length;
    for (int64_t k = open + 1; k < a->n; k++) {
        int64_t passed = a->order[k];
        a->u[a->row[passed]] += length - a->distance[passed];
        a->v[passed] -= length - a->distance[passed];
    }
    do {
        i = a->before[j];
        int64_t next = a->column[i];
        a->row[j] = i;
        a->column[i] = j;
        j = next;
    } while (i != start);
}

static bool check_cost(const ito_tensor *cost)
{
    if (cost == NULL)
        return error_missing("linear_assignment", "the cost"), false;
    if (cost->ndim != 2 || cost->shape[0] != cost->shape[1])
        return error_false(ITO_ERR_SHAPE, "linear_assignment: the costs are %s, not [N, N]",
                           tensor_shape_str(cost));
    if (cost->dtype != ITO_F32 && cost->dtype != ITO_F64)
        return error_false(ITO_ERR_DTYPE, "linear_assignment: costs are f32 or f64, not %s",
                           ito_dtype_name(cost->dtype));
    return true;
}

static bool check_finite(const double *cost, int64_t n)
{
    for (int64_t k = 0; k < n * n; k++)
        if (!isfinite(cost[k]))
            return error_false(ITO_ERR_NUMERIC,
                               "linear_assignment: the cost of row %" PRId64 " and column %" PRId64
                               " is %g",
                               k / n, k % n, cost[k]);
    return true;
}

/* Rows get their columns one after the other. */
static void assign_all(const double *cost, double *room, int64_t *indices, int64_t *column,
                       int64_t n)
{
    assignment a = {cost,    n,      room,        room + n,       room + 2 * n,
                    indices, column, indices + n, indices + 2 * n};
    for (int64_t k = 0; k < n; k++) {
        a.u[k] = a.v[k] = 0.0;
        a.row[k] = a.column[k] = -1;
    }
    for (int64_t i = 0; i < n; i++)
        assign_row(&a, i);
}

ito_tensor *ito_linear_assignment(const ito_tensor *cost)
{
    if (!check_cost(cost))
        return NULL;
    int64_t n = cost->shape[0];
    ito_scope_begin();
    ito_tensor *costs = tensor_empty(ito_shape_of(cost), ITO_F64);
    ito_tensor *room = tensor_empty(ITO_SHAPE(3, n), ITO_F64);
    ito_tensor *indices = tensor_empty(ITO_SHAPE(3, n), ITO_I64), *column = NULL;
    bool good = costs != NULL && room != NULL && indices != NULL;
    if (good) {
        tensor_copy(costs, cost);
        good = check_finite(tensor_data(costs), n);
    }
    if (good)
        column = tensor_empty(ITO_SHAPE(n), ITO_I64);
    if (column != NULL)
        assign_all(tensor_data(costs), tensor_data(room), tensor_data(indices), tensor_data(column),
                   n);
    column = ito_keep(column);
    ito_scope_end();
    return column;
}

/* |x - e|^2 = |x|^2 + |e|^2 - 2 x e, whose squares every assignment has alike: the cost is -x e. */
ito_tensor *ito_ot_pairing(ito_tensor *x_0, ito_tensor *noise)
{
    if (x_0 == NULL || noise == NULL)
        return error_missing("ot_pairing", x_0 == NULL ? "x_0" : "the noise"), NULL;
    if (x_0->ndim < 1 || !shape_equal(ito_shape_of(x_0), ito_shape_of(noise)))
        return error_null(ITO_ERR_SHAPE,
                          "ot_pairing: data are %s and the noise %s; both must be one [N, ...]",
                          tensor_shape_str(x_0), tensor_shape_str(noise));
    if (x_0->dtype != noise->dtype || (x_0->dtype != ITO_F32 && x_0->dtype != ITO_F64))
        return error_null(ITO_ERR_DTYPE,
                          "ot_pairing: data are %s and the noise %s; both must be f32 or f64",
                          ito_dtype_name(x_0->dtype), ito_dtype_name(noise->dtype));
    int64_t n = x_0->shape[0];
    ito_shape rows = ITO_SHAPE(n, n == 0 ? 0 : ito_numel(x_0) / n);
    ito_scope_begin();
    ito_no_grad_begin();
    ito_tensor *x = ito_cast(ito_reshape_to(x_0, rows), ITO_F64);
    ito_tensor *e = ito_cast(ito_reshape_to(noise, rows), ITO_F64);
    ito_tensor *products = ito_matmul(x, ito_transpose(e, 0, 1));
    ito_tensor *index = ito_linear_assignment(ito_neg(products));
    ito_no_grad_end();
    index = ito_keep(index);
    ito_scope_end();
    return index;
}
