/* What the tests of models/gpt share: a network of a few hundred numbers in f64, and tokens. */
#ifndef TESTS_GPT_CHECK_H
#define TESTS_GPT_CHECK_H

#include "autograd/ops.h"
#include "autograd/ops_reduce.h"
#include "models/gpt/gpt.h"
#include "tests/expect.h"

enum { VOCABULARY = 7, BLOCK = 8, LAYERS = 2 };

/* Weights ten times those of GPT-2, so that the logits of different tokens differ. */
static inline ito_gpt *small_gpt(bool rotary, double dropout)
{
    ito_generator g = ito_generator_make(5, 0);
    ito_gpt *gpt =
        ito_gpt_create(VOCABULARY, BLOCK, .n_layer = LAYERS, .n_head = 2, .n_embd = 8,
                       .rotary = rotary, .dropout = dropout, .generator = &g, .dtype = ITO_F64);
    cr_assert_not_null(gpt, "%s", ito_error());
    ito_named_tensors *p = ito_module_parameters(&gpt->base);
    ITO_NO_GRAD
    {
        for (int64_t i = 0; i < p->n; i++)
            if (ito_ndim(p->tensors[i]) > 1)
                ito_mul_scalar_(p->tensors[i], 10);
    }
    ito_named_tensors_free(p);
    ito_module_train(&gpt->base, false);
    return gpt;
}

static inline ito_tensor *random_tokens(uint64_t stream, int64_t n, int64_t t)
{
    ito_generator g = ito_generator_make(9, stream);
    return ito_randint(&g, 0, VOCABULARY, ITO_SHAPE(n, t), ITO_I64);
}

static inline double largest_difference(ito_tensor *a, ito_tensor *b)
{
    cr_assert(a != NULL && b != NULL, "%s", ito_error());
    return ito_item(ito_max(ito_abs(ito_sub(a, b))));
}

static inline bool same_tokens(ito_tensor *a, ito_tensor *b)
{
    cr_assert(a != NULL && b != NULL, "%s", ito_error());
    a = ito_contiguous(a);
    b = ito_contiguous(b);
    return ito_numel(a) == ito_numel(b) &&
           memcmp(ito_const_data(a), ito_const_data(b), 8 * (size_t)ito_numel(a)) == 0;
}

#endif
