/* Sliced score matching: against its closed form for linear scores, its expectation for normal
 * data, whose minimum is the true score; and the mixture's samples and score against each other. */
#include "examples/physics/score.h"
#include "tests/expect.h"

#include <math.h>

/* ---- the loss ---- */

enum { N = 6 };
/* s = A x + b. */
static const double matrix[2][2] = {{-1.5, 0.4}, {0.9, -0.7}}, shift[2] = {0.3, -0.2};

typedef struct linear {
    ito_tensor *weight, *bias;
} linear;

static ito_tensor *linear_score(ito_tensor *const *x, int64_t n, void *context)
{
    (void)n;
    linear *l = context;
    return ito_linear(x[0], l->weight, l->bias);
}

static linear linear_of(const double w[2][2], const double b[2])
{
    return (linear){ito_from_data(w, ITO_SHAPE(2, 2), ITO_F64),
                    ito_from_data(b, ITO_SHAPE(2), ITO_F64)};
}

/* v' A v + (v' (A x + b))^2 / 2, or |A x + b|^2 / 2, example by example. */
Test(sliced_score, is_its_closed_form_for_a_linear_score)
{
    ito_generator g = ito_generator_make(3, 0);
    ito_tensor *x = ito_randn(&g, ITO_SHAPE(N, 2), ITO_F64);
    ito_tensor *v = ito_randn(&g, ITO_SHAPE(N, 2), ITO_F64);
    const double *px = ito_const_data(x), *pv = ito_const_data(v);
    double want[2] = {0, 0};
    for (int i = 0; i < N; i++) {
        double trace = 0, along = 0, square = 0;
        for (int j = 0; j < 2; j++) {
            double s = shift[j], av = 0;
            for (int k = 0; k < 2; k++) {
                s += matrix[j][k] * px[2 * i + k];
                av += matrix[j][k] * pv[2 * i + k];
            }
            trace += pv[2 * i + j] * av;
            along += pv[2 * i + j] * s;
            square += s * s;
        }
        want[0] += (trace + along * along / 2) / N;
        want[1] += (trace + square / 2) / N;
    }
    linear l = linear_of(matrix, shift);
    for (int reduced = 0; reduced < 2; reduced++)
        cr_expect_float_eq(ito_item(sliced_score_loss(linear_score, &l, x, v, reduced != 0)),
                           want[reduced], 1e-13);
}

/* Normal data of this mean and covariance L L'. The points mean +- sqrt(2) L e_i have both moments,
 * and the four signs all that v needs: together they give expectations of quadratic functions
 * exactly. */
static const double mean[2] = {0.4, -0.6}, root[2][2] = {{0.8, 0}, {-0.3, 0.5}};

static double expected_loss(linear *l, bool reduced, ito_tensor **loss)
{
    double x[16][2], v[16][2];
    for (int i = 0; i < 16; i++) {
        int axis = i / 4 % 2, side = i / 8 == 0 ? 1 : -1;
        for (int j = 0; j < 2; j++)
            x[i][j] = mean[j] + side * sqrt(2) * root[j][axis];
        v[i][0] = i % 2 == 0 ? 1 : -1;
        v[i][1] = i / 2 % 2 == 0 ? 1 : -1;
    }
    *loss = sliced_score_loss(linear_score, l, ito_from_data(x, ITO_SHAPE(16, 2), ITO_F64),
                              ito_from_data(v, ITO_SHAPE(16, 2), ITO_F64), reduced);
    cr_assert_not_null(*loss, "%s", ito_error());
    return ito_item(*loss);
}

/* tr A + tr(A S A') / 2 + |A mean + b|^2 / 2, S = L L'. */
Test(sliced_score, has_the_expectation_of_hyvarinens_objective)
{
    double want = matrix[0][0] + matrix[1][1];
    for (int i = 0; i < 2; i++) {
        double s = shift[i];
        for (int k = 0; k < 2; k++) {
            double al = matrix[i][0] * root[0][k] + matrix[i][1] * root[1][k];
            want += al * al / 2;
            s += matrix[i][k] * mean[k];
        }
        want += s * s / 2;
    }
    linear l = linear_of(matrix, shift);
    ito_tensor *loss;
    cr_expect_float_eq(expected_loss(&l, true, &loss), want, 1e-13);
    cr_expect_float_eq(expected_loss(&l, false, &loss), want, 1e-13);
}

/* At A = -S^-1, b = S^-1 mean the gradient vanishes, and the loss is -E|s|^2 / 2 = tr(A) / 2. */
Test(sliced_score, is_least_at_the_true_score)
{
    double s00 = root[0][0] * root[0][0], s01 = root[0][0] * root[1][0];
    double s11 = root[1][0] * root[1][0] + root[1][1] * root[1][1], det = s00 * s11 - s01 * s01;
    double w[2][2] = {{-s11 / det, s01 / det}, {s01 / det, -s00 / det}}, b[2];
    for (int i = 0; i < 2; i++)
        b[i] = -(w[i][0] * mean[0] + w[i][1] * mean[1]);
    for (int reduced = 0; reduced < 2; reduced++) {
        linear l = linear_of(w, b);
        ito_requires_grad(l.weight, true);
        ito_requires_grad(l.bias, true);
        ito_tensor *loss;
        cr_expect_float_eq(expected_loss(&l, reduced != 0, &loss), (w[0][0] + w[1][1]) / 2, 1e-12);
        cr_assert_eq(ito_backward(loss), ITO_OK, "%s", ito_error());
        cr_expect_lt(ito_item(ito_max(ito_abs(ito_grad_of(l.weight)))), 1e-12);
        cr_expect_lt(ito_item(ito_max(ito_abs(ito_grad_of(l.bias)))), 1e-12);
    }
}

/* ---- the mixture ---- */

/* For any density E[s] = 0 and E[s_i x_j] = -1 where i = j, else 0: by parts. Within five
 * deviations of the mean, which are estimated from the same numbers. */
Test(mixture, the_score_is_that_of_the_samples)
{
    enum { DRAWS = 200000 };
    ito_generator g = ito_generator_make(2, 0);
    ito_tensor *x = mixture_samples(&g, DRAWS), *s = mixture_score(x);
    cr_assert(x != NULL && s != NULL, "%s", ito_error());
    const float *px = ito_const_data(x);
    const double *ps = ito_const_data(s);
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 3; j++) {
            double sum = 0, squares = 0, want = i == j ? -1 : 0;
            for (int k = 0; k < DRAWS; k++) {
                double v = ps[2 * k + i] * (j == 2 ? 1 : (double)px[2 * k + j]);
                sum += v;
                squares += v * v;
            }
            double deviation = sqrt(squares / DRAWS / DRAWS);
            cr_expect_lt(fabs(sum / DRAWS - want), 5 * deviation, "%d, %d: %g", i, j, sum / DRAWS);
            cr_expect_lt(deviation, 0.03);
        }
}

/* A score is a gradient: its Jacobian is symmetric. */
Test(mixture, the_score_has_no_curl)
{
    const double h = 1e-5;
    ito_generator g = ito_generator_make(2, 1);
    ito_tensor *x = ito_cast(mixture_samples(&g, 100), ITO_F64);
    double by[2][200];
    for (int axis = 0; axis < 2; axis++) {
        double step[2] = {axis == 0 ? h : 0, axis == 1 ? h : 0};
        ito_tensor *dx = ito_from_data(step, ITO_SHAPE(1, 2), ITO_F64);
        ito_tensor *change = ito_sub(mixture_score(ito_add(x, dx)), mixture_score(ito_sub(x, dx)));
        cr_assert_eq(ito_to_data(ito_mul_scalar(change, 0.5 / h), by[axis], ITO_F64), ITO_OK);
    }
    for (int i = 0; i < 100; i++)
        cr_expect_float_eq(by[0][2 * i + 1], by[1][2 * i], 1e-4 * (1 + fabs(by[1][2 * i])));
}
