/* What the tests of nn/ share: small tensors and paths. */
#ifndef TESTS_NN_CHECK_H
#define TESTS_NN_CHECK_H

#include "nn/module.h"
#include "tests/expect.h"
#include "tests/temporary.h"

#include <sys/stat.h>

/* "DIR/NAME" in one of a few rotating buffers. */
static inline const char *in_directory(const char *dir, const char *name)
{
    static char path[8][512];
    static int next;
    char *p = path[next++ % 8];
    snprintf(p, sizeof path[0], "%.250s/%.250s", dir, name);
    return p;
}

static inline bool path_exists(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0;
}

/* 0.5, 1.5, ... scaled: different values everywhere, exact in f32. */
static inline ito_tensor *ramp(ito_shape shape, double scale)
{
    float value[4096];
    int64_t n = 1;
    for (int i = 0; i < shape.ndim; i++)
        n *= shape.dim[i];
    cr_assert(n <= 4096);
    for (int64_t i = 0; i < n; i++)
        value[i] = (float)(((double)i + 0.5) * scale);
    return ito_from_data(value, shape, ITO_F32);
}

/* Element i in row-major order. */
static inline double element(const ito_tensor *t, int64_t i)
{
    static double value[1 << 16];
    cr_assert(ito_numel(t) <= 1 << 16);
    cr_assert_eq(ito_to_data(t, value, ITO_F64), ITO_OK);
    return value[i];
}

static inline void fill_gradient(ito_tensor *parameter, const float *values)
{
    ito_tensor *g = ito_grad_of(parameter);
    cr_assert_not_null(g);
    memcpy(ito_data(g), values, (size_t)ito_numel(g) * sizeof *values);
}

#endif
