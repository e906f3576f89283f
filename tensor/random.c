/* Random tensors. Element i comes from block i / 4 (f32) or i / 2 (f64) after the generator's
 * offset, so chunks can be filled in any order by any thread. */
#include "tensor/internal.h"
#include "tensor/kernels/kernels.h"
#include "tensor/profile.h"

ito_generator ito_generator_make(uint64_t seed, uint64_t stream)
{
    return (ito_generator){.seed = seed, .stream = stream};
}

void ito_philox(uint64_t seed, uint64_t stream, uint64_t block, uint32_t out[4])
{
    kernels(ITO_F32)->philox(out, seed, stream, block, 1);
}

double ito_uniform(ito_generator *g)
{
    uint32_t u[4];
    ito_philox(g->seed, g->stream, g->offset++, u);
    return (double)(((uint64_t)u[1] << 32 | u[0]) >> 11) * 0x1p-53;
}

/* Lemire 2019: the high half of a product, refusing the few low halves that would bias it. */
uint64_t ito_uniform_int(ito_generator *g, uint64_t n)
{
    if (n < 2)
        return 0;
    uint64_t threshold = -n % n;
    for (;;) {
        uint32_t u[4];
        ito_philox(g->seed, g->stream, g->offset++, u);
        for (int i = 0; i < 4; i += 2) {
            unsigned __int128 product = (unsigned __int128)((uint64_t)u[i + 1] << 32 | u[i]) * n;
            if ((uint64_t)product >= threshold)
                return (uint64_t)(product >> 64);
        }
    }
}

static bool check_generator(const char *op, const ito_generator *g, ito_dtype dtype)
{
    if (g == NULL)
        ito_error_set(ITO_ERR_ARGUMENT, "%s: no generator", op);
    else if (dtype != ITO_F32 && dtype != ITO_F64)
        ito_error_set(ITO_ERR_DTYPE, "%s: draws f32 or f64, not %s", op, ito_dtype_name(dtype));
    else
        return true;
    return false;
}

typedef void fill_fn(void *y, const uint32_t *bits, int64_t n);

enum { CHUNK_BLOCKS = 256 };

/* n elements of y from the generator's next blocks, through fill; advances the generator. */
static void fill(ito_generator *g, ito_tensor *y, fill_fn *fill_chunk)
{
    const kernel_table *k = kernels(y->dtype);
    int64_t n = ito_numel(y), per_block = y->dtype == ITO_F64 ? 2 : 4, size = 16 / per_block;
    int64_t blocks = (n + per_block - 1) / per_block;
    char *data = tensor_data(y);
    profile_frame frame;
    profile_begin(&frame);
#pragma omp parallel for num_threads(threads_for(8 * n)) schedule(static)
    for (int64_t b = 0; b < blocks; b += CHUNK_BLOCKS) {
        uint32_t bits[4 * CHUNK_BLOCKS];
        int64_t count = blocks - b < CHUNK_BLOCKS ? blocks - b : CHUNK_BLOCKS;
        int64_t first = b * per_block;
        k->philox(bits, g->seed, g->stream, g->offset + (uint64_t)b, count);
        fill_chunk(data + first * size, bits,
                   n - first < count * per_block ? n - first : count * per_block);
    }
    g->offset += (uint64_t)blocks;
    static profile_row row = PROFILE_ROW("random numbers");
    profile_end(&frame, &row);
}

ito_tensor *ito_rand(ito_generator *g, ito_shape shape, ito_dtype dtype)
{
    if (!check_generator("rand", g, dtype))
        return NULL;
    ito_tensor *y = tensor_empty(shape, dtype);
    if (y != NULL)
        fill(g, y, kernels(dtype)->uniform);
    return y;
}

ito_tensor *ito_randn(ito_generator *g, ito_shape shape, ito_dtype dtype)
{
    if (!check_generator("randn", g, dtype))
        return NULL;
    ito_tensor *y = tensor_empty(shape, dtype);
    if (y != NULL)
        fill(g, y, kernels(dtype)->normal);
    return y;
}

/* Integers are drawn one by one, so they may be read before they are converted to dtype. */
static ito_tensor *from_i64(ito_tensor *values, ito_dtype dtype)
{
    if (values == NULL || dtype == ITO_I64)
        return values;
    ito_tensor *y = tensor_empty(ito_shape_of(values), dtype);
    if (y != NULL)
        tensor_copy(y, values);
    return y;
}

ito_tensor *ito_randint(ito_generator *g, int64_t low, int64_t high, ito_shape shape,
                        ito_dtype dtype)
{
    if (!check_generator("randint", g, ITO_F32))
        return NULL;
    if (dtype != ITO_I32 && dtype != ITO_I64 && dtype != ITO_U8)
        return error_null(ITO_ERR_DTYPE, "randint: draws i32, i64 or u8, not %s",
                          ito_dtype_name(dtype));
    if (low >= high)
        return error_null(ITO_ERR_ARGUMENT,
                          "randint: no integer from %" PRId64 " up to but not including %" PRId64,
                          low, high);
    ito_tensor *values = tensor_empty(shape, ITO_I64);
    if (values == NULL)
        return NULL;
    int64_t *v = tensor_data(values), n = ito_numel(values);
    for (int64_t i = 0; i < n; i++)
        v[i] = (int64_t)((uint64_t)low + ito_uniform_int(g, (uint64_t)high - (uint64_t)low));
    return from_i64(values, dtype);
}

/* Fisher and Yates, as Durstenfeld 1964 has it. */
ito_tensor *ito_randperm(ito_generator *g, int64_t n)
{
    if (!check_generator("randperm", g, ITO_F32))
        return NULL;
    ito_tensor *order = tensor_empty(ITO_SHAPE(n), ITO_I64);
    if (order == NULL)
        return NULL;
    int64_t *v = tensor_data(order);
    for (int64_t i = 0; i < n; i++)
        v[i] = i;
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = (int64_t)ito_uniform_int(g, (uint64_t)i + 1), swap = v[i];
        v[i] = v[j];
        v[j] = swap;
    }
    return order;
}

ito_tensor *ito_bernoulli(ito_generator *g, double p, ito_shape shape, ito_dtype dtype)
{
    if (!(p >= 0 && p <= 1))
        return error_null(ITO_ERR_RANGE, "bernoulli: probability %g is not in [0, 1]", p);
    ito_tensor *u = ito_rand(g, shape, ITO_F32);
    ito_tensor *y = u == NULL ? NULL : tensor_empty(shape, ITO_U8);
    if (y == NULL)
        return NULL;
    const float *from = tensor_data(u);
    uint8_t *to = tensor_data(y);
    for (int64_t i = 0, n = ito_numel(y); i < n; i++)
        to[i] = (double)from[i] < p;
    if (dtype == ITO_U8)
        return y;
    ito_tensor *z = tensor_empty(shape, dtype);
    if (z != NULL)
        tensor_copy(z, y);
    return z;
}
