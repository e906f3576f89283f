/* Philox against its authors' test vectors; distributions; independence of threads and splits. */
#include "tensor/internal.h"
#include "tests/isas.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* kat_vectors of Random123 1.14: counter = (block, stream), key = seed. */
Test(random, philox_gives_the_published_numbers)
{
    static const struct {
        uint64_t seed, stream, block;
        uint32_t want[4];
    } known[] = {
        {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x299f31d0a4093822,
         0x0370734413198a2e,
         0x85a308d3243f6a88,
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < 3; i++) {
        uint32_t out[4];
        ito_philox(known[i].seed, known[i].stream, known[i].block, out);
        cr_assert_eq(memcmp(out, known[i].want, sizeof out), 0, "vector %zu", i);
    }
}

static void moments(const ito_tensor *t, double *mean, double *var, double *skew, double *kurtosis)
{
    int64_t n = ito_numel(t);
    double *v = malloc((size_t)n * sizeof *v), m = 0, m2 = 0, m3 = 0, m4 = 0;
    ito_to_data(t, v, ITO_F64);
    for (int64_t i = 0; i < n; i++)
        m += v[i] / (double)n;
    for (int64_t i = 0; i < n; i++) {
        double d = v[i] - m;
        m2 += d * d / (double)n;
        m3 += d * d * d / (double)n;
        m4 += d * d * d * d / (double)n;
    }
    *mean = m, *var = m2, *skew = m3 / pow(m2, 1.5), *kurtosis = m4 / (m2 * m2);
    free(v);
}

/* Four standard errors of each moment for n = 10^6 samples. */
Test(random, normals_have_the_moments_of_one)
{
    for (ito_dtype dtype = ITO_F32; dtype <= ITO_F64; dtype++) {
        ito_generator g = ito_generator_make(1, 2);
        double mean, var, skew, kurtosis;
        moments(ito_randn(&g, ITO_SHAPE(1000000), dtype), &mean, &var, &skew, &kurtosis);
        cr_assert_lt(fabs(mean), 4e-3);
        cr_assert_lt(fabs(var - 1), 4 * sqrt(2) * 1e-3);
        cr_assert_lt(fabs(skew), 4 * sqrt(6) * 1e-3);
        cr_assert_lt(fabs(kurtosis - 3), 4 * sqrt(24) * 1e-3);
    }
}

Test(random, uniforms_fill_the_unit_interval)
{
    ito_generator g = ito_generator_make(3, 0);
    ito_tensor *t = ito_rand(&g, ITO_SHAPE(1000000), ITO_F32);
    const float *v = tensor_data(t);
    int64_t bin[10] = {0};
    for (int64_t i = 0; i < 1000000; i++) {
        cr_assert(v[i] >= 0 && v[i] < 1);
        bin[(int)(v[i] * 10)]++;
    }
    for (int i = 0; i < 10; i++) /* four standard deviations of a binomial */
        cr_assert_lt(llabs(bin[i] - 100000), 1200);
}

Test(random, threads_do_not_change_a_bit)
{
    ito_set_threads(1);
    ito_generator a = ito_generator_make(5, 6), b = a;
    ito_tensor *x = ito_randn(&a, ITO_SHAPE(300001), ITO_F32);
    ito_set_threads(5);
    ito_tensor *y = ito_randn(&b, ITO_SHAPE(300001), ITO_F32);
    cr_assert_eq(memcmp(tensor_data(x), tensor_data(y), 300001 * sizeof(float)), 0);
    cr_assert_eq(a.offset, b.offset);
}

Test(random, a_draw_may_be_split_at_any_block)
{
    ito_generator a = ito_generator_make(7, 0), b = a;
    ito_tensor *whole = ito_randn(&a, ITO_SHAPE(64), ITO_F32);
    ito_tensor *first = ito_randn(&b, ITO_SHAPE(24), ITO_F32),
               *rest = ito_randn(&b, ITO_SHAPE(40), ITO_F32);
    cr_assert_eq(memcmp(tensor_data(whole), tensor_data(first), 24 * sizeof(float)), 0);
    cr_assert_eq(memcmp((float *)tensor_data(whole) + 24, tensor_data(rest), 40 * sizeof(float)),
                 0);
}

Test(random, an_odd_number_of_normals_is_a_prefix)
{
    for (int64_t n = 1; n < 70; n += 3) {
        ito_generator a = ito_generator_make(9, 0), b = a;
        ito_tensor *some = ito_randn(&a, ITO_SHAPE(n), ITO_F64),
                   *all = ito_randn(&b, ITO_SHAPE(80), ITO_F64);
        cr_assert_eq(memcmp(tensor_data(some), tensor_data(all), (size_t)n * sizeof(double)), 0);
    }
}

Test(random, instruction_sets_differ_by_rounding_only)
{
    char before[16];
    strcpy(before, ito_isa());
    ito_generator a = ito_generator_make(11, 0), b = a;
    ito_tensor *best = ito_randn(&a, ITO_SHAPE(10000), ITO_F32);
    isa_use("base");
    ito_tensor *base = ito_randn(&b, ITO_SHAPE(10000), ITO_F32);
    isa_use(before);
    const float *x = tensor_data(best), *y = tensor_data(base);
    for (int i = 0; i < 10000; i++) /* a few units in the last place of values up to 6 */
        cr_assert_lt(fabsf(x[i] - y[i]), 2e-6f);
}

/* Each step of the formula is off by a few units in the last place: 1e-6 of a normal below 6. */
Test(random, normals_are_what_box_and_muller_say)
{
    enum { N = 1 << 16 };
    for (int k = 0; k < ISAS; k++) {
        if (!isa_use(isas[k]))
            continue;
        ito_generator g = ito_generator_make(7, 3);
        const float *y = ito_const_data(ito_randn(&g, ITO_SHAPE(N), ITO_F32));
        for (int i = 0; i < N; i += 2) {
            uint32_t words[4];
            ito_philox(7, 3, (uint64_t)i / 4, words);
            double u = (words[i % 4] >> 8) * 0x1p-24, v = (words[i % 4 + 1] >> 8) * 0x1p-24;
            double r = sqrt(-2 * log(1 - u)), angle = 2 * 3.14159265358979323846 * v;
            cr_assert_lt(fabs((double)y[i] - r * cos(angle)), 1e-6 + 2e-7 * r, "%s, %d", isas[k],
                         i);
            cr_assert_lt(fabs((double)y[i + 1] - r * sin(angle)), 1e-6 + 2e-7 * r, "%s, %d",
                         isas[k], i);
        }
    }
}

Test(random, integers_are_unbiased_and_in_range)
{
    ito_generator g = ito_generator_make(13, 0);
    ito_tensor *t = ito_randint(&g, -2, 5, ITO_SHAPE(70000), ITO_I32);
    const int32_t *v = tensor_data(t);
    int64_t count[7] = {0};
    for (int i = 0; i < 70000; i++) {
        cr_assert(v[i] >= -2 && v[i] < 5);
        count[v[i] + 2]++;
    }
    for (int i = 0; i < 7; i++)
        cr_assert_lt(llabs(count[i] - 10000), 4 * 93);
}

Test(random, a_permutation_holds_every_index_once)
{
    ito_generator g = ito_generator_make(17, 0);
    ito_tensor *t = ito_randperm(&g, 1000);
    const int64_t *v = tensor_data(t);
    bool seen[1000] = {false};
    int64_t fixed = 0;
    for (int i = 0; i < 1000; i++) {
        cr_assert(v[i] >= 0 && v[i] < 1000 && !seen[v[i]]);
        seen[v[i]] = true;
        fixed += v[i] == i;
    }
    cr_assert_lt(fixed, 10); /* one is expected */
}

Test(random, bernoulli_has_its_mean)
{
    ito_generator g = ito_generator_make(19, 0);
    ito_tensor *t = ito_bernoulli(&g, 0.25, ITO_SHAPE(100000), ITO_F32);
    double mean, var, skew, kurtosis;
    moments(t, &mean, &var, &skew, &kurtosis);
    cr_assert_lt(fabs(mean - 0.25), 4 * 0.433 / sqrt(1e5));
}

Test(random, bad_arguments_are_named)
{
    ito_generator g = ito_generator_make(0, 0);
    cr_assert_null(ito_rand(NULL, ITO_SHAPE(1), ITO_F32));
    cr_assert_str_eq(ito_error_message(), "rand: no generator");
    ito_error_clear();
    cr_assert_null(ito_randn(&g, ITO_SHAPE(1), ITO_I32));
    cr_assert_str_eq(ito_error_message(), "randn: draws f32 or f64, not i32");
    ito_error_clear();
    cr_assert_null(ito_randint(&g, 5, 5, ITO_SHAPE(1), ITO_I64));
    cr_assert_str_eq(ito_error_message(), "randint: no integer from 5 up to but not including 5");
    ito_error_clear();
    cr_assert_null(ito_randint(&g, 0, 5, ITO_SHAPE(1), ITO_F32));
    cr_assert_str_eq(ito_error_message(), "randint: draws i32, i64 or u8, not f32");
    ito_error_clear();
    cr_assert_null(ito_bernoulli(&g, 1.5, ITO_SHAPE(1), ITO_F32));
    cr_assert_str_eq(ito_error_message(), "bernoulli: probability 1.5 is not in [0, 1]");
    cr_assert_eq(g.offset, 0);
}
