/* The network against nanoGPT's, written again in PyTorch: logits, loss and gradients in f64,
 * loaded under nanoGPT's names (tests/reference/make_gpt_fixture.py). */
#include "autograd/ops_activation.h"
#include "tests/models/gpt/gpt_check.h"

#include <stdio.h>
#include <stdlib.h>

/* Sums of at most a few hundred products of magnitude 4, each rounded to 2^-53 on either side in an
 * order of its own: below 10^-12. */
static const double tolerance = 1e-12;

static ito_safetensors *fixture;

static void open_fixture(void)
{
    char path[4096];
    const char *source = getenv("ITO_SOURCE");
    snprintf(path, sizeof path, "%s/tests/reference/gpt.safetensors",
             source != NULL ? source : ".");
    fixture = ito_safetensors_open(path);
    cr_assert_not_null(fixture, "%s", ito_error());
}

static void close_fixture(void)
{
    ito_safetensors_close(fixture);
}

TestSuite(gpt_reference, .init = open_fixture, .fini = close_fixture);

static ito_tensor *get(const char *name, const char *what)
{
    char full[64];
    snprintf(full, sizeof full, "%s/%s", name, what);
    ito_tensor *t = ito_safetensors_read(fixture, full);
    cr_assert_not_null(t, "%s", ito_error());
    return t;
}

/* Parameters, or gradients in their place. */
static void load(ito_gpt *gpt, const char *name, const char *what)
{
    char prefix[64];
    snprintf(prefix, sizeof prefix, "%s/%s/", name, what);
    cr_assert_eq(ito_module_load_file(&gpt->base, fixture, .prefix = prefix,
                                      .renames = ito_gpt_renames, .n_renames = ITO_GPT_RENAMES),
                 ITO_OK, "%s", ito_error());
}

static void agrees(const char *name, ito_gpt *gpt, ito_gpt *grads)
{
    cr_assert(gpt != NULL && grads != NULL, "%s", ito_error());
    load(gpt, name, "state");
    load(grads, name, "grad");
    ito_tensor *tokens = get(name, "tokens"), *targets = get(name, "targets");
    cr_expect_lt(largest_difference(ito_gpt_forward(gpt, tokens), get(name, "logits")), tolerance);
    ito_tensor *loss = ito_gpt_loss(gpt, tokens, targets);
    cr_expect_lt(largest_difference(loss, get(name, "loss")), tolerance);
    cr_assert_eq(ito_backward(loss), ITO_OK, "%s", ito_error());
    ito_named_tensors *p = ito_module_parameters(&gpt->base);
    ito_named_tensors *want = ito_module_parameters(&grads->base);
    cr_assert_eq(p->n, want->n);
    for (int64_t i = 0; i < p->n; i++)
        cr_expect_lt(largest_difference(ito_grad_of(p->tensors[i]), want->tensors[i]), tolerance,
                     "%s", p->names[i]);
    ito_named_tensors_free(p);
    ito_named_tensors_free(want);
    ito_module_free(&gpt->base);
    ito_module_free(&grads->base);
}

enum { WORDS = 7, LONGEST = 6 };
#define BOTH(name, ...)                                                                            \
    agrees(name, ito_gpt_create(WORDS, LONGEST, .n_layer = 2, .dtype = ITO_F64, __VA_ARGS__),      \
           ito_gpt_create(WORDS, LONGEST, .n_layer = 2, .dtype = ITO_F64, __VA_ARGS__))

Test(gpt_reference, tied_weights_and_biases)
{
    BOTH("gpt", .n_embd = 6, .n_head = 3);
}

Test(gpt_reference, no_biases_another_head_and_activation)
{
    BOTH("plain", .n_embd = 4, .n_head = 2, .bias = false, .tie_weights = false,
         .activation = (ito_silu));
}

Test(gpt_reference, rotary_positions)
{
    BOTH("rotary", .n_embd = 8, .n_head = 2, .rotary = true);
}
