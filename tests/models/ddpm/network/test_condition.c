/* Class labels around a network: each example is given its own, training drops some, and labels
 * that do not fit are refused. */
#include "models/ddpm/network/condition.h"

#include "tests/models/ddpm/network/network_check.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

enum { CLASSES = 5, BATCH = 64 };

static ito_class_condition *condition(ito_network *network)
{
    ito_class_condition *c = ito_class_condition_create(network, CLASSES);
    cr_assert_not_null(c, "%s", ito_error());
    return c;
}

Test(condition, each_example_is_given_its_label)
{
    recorder r = recorder_make(CLASSES);
    ito_class_condition *c = condition(&r.base);
    assert_two(evaluate_two(&c->base, 1.0, 7.0), 5.5, 5.5); /* no labels: none */
    c->labels = labels_of(2, (const int64_t[]){1, 4});
    assert_two(evaluate_two(&c->base, 1.0, 7.0), 1.5, 4.5);
    c->labels = labels_of(2, (const int64_t[]){0, CLASSES}); /* may be set at any time */
    assert_two(evaluate_two(&c->base, 1.0, 7.0), 0.5, 5.5);
    cr_assert_eq(r.evaluations, 3);
    ito_network_free(&c->base);
}

Test(condition, labels_may_be_a_view)
{
    recorder r = recorder_make(CLASSES);
    ito_class_condition *c = condition(&r.base);
    c->labels = ito_select(ito_reshape(labels_of(4, (const int64_t[]){0, 3, 0, 2}), 2, 2), 1, 1);
    assert_two(evaluate_two(&c->base, 1.0, 7.0), 3.5, 2.5);
    ito_network_free(&c->base);
}

/* ---- training ---- */

/* How many of a batch of labels 1 are dropped. */
static int dropped(ito_class_condition *c, const recorder *r)
{
    ito_tensor *x = ito_zeros(ITO_SHAPE(BATCH, 1, 1, 1), ITO_F64);
    ito_tensor *t = ito_zeros(ITO_SHAPE(BATCH), ITO_F64);
    ito_network_input in = {.x = x, .t = t, .x_t = x, .time = t};
    cr_assert_not_null(ito_network_evaluate(&c->base, &in), "%s", ito_error());
    int n = 0;
    for (int i = 0; i < BATCH; i++) {
        cr_assert(r->labels[i] == 1 || r->labels[i] == CLASSES);
        n += r->labels[i] == CLASSES;
    }
    return n;
}

Test(condition, training_drops_labels_at_its_rate)
{
    recorder r = recorder_make(CLASSES);
    ito_generator g = ito_generator_make(4, 4);
    ito_class_condition *c = condition(&r.base);
    c->labels = ito_full(ITO_SHAPE(BATCH), 1, ITO_I64);
    c->generator = &g;
    c->drop = 0.25;
    int n = 0;
    for (int k = 0; k < 20; k++)
        n += dropped(c, &r);
    cr_assert_eq(r.evaluations, 20);
    cr_assert(abs(n - 320) < 5 * sqrt(1280 * 0.25 * 0.75), "%d", n);
    c->drop = 0.0;
    cr_assert_eq(dropped(c, &r), 0);
    c->drop = 1.0;
    cr_assert_eq(dropped(c, &r), BATCH);
    ito_network_free(&c->base);
}

/* Samples on the way of a training that drops labels keep theirs. */
Test(condition, without_a_generator_no_label_is_dropped)
{
    recorder r = recorder_make(CLASSES);
    ito_class_condition *c = condition(&r.base);
    c->labels = ito_full(ITO_SHAPE(BATCH), 1, ITO_I64);
    c->drop = 0.9;
    cr_assert_eq(dropped(c, &r), 0);
    ito_network_free(&c->base);
}

/* ---- what is refused ---- */

Test(condition, one_of_no_network_or_no_classes_is_refused)
{
    recorder r = recorder_make(0.0);
    assert_refused(ito_class_condition_create(NULL, 10), ITO_ERR_ARGUMENT,
                   "class_condition: the network is NULL");
    assert_refused(ito_class_condition_create(&r.base, 0), ITO_ERR_RANGE,
                   "class_condition: 0 classes; at least 1 is needed");
}

static void assert_labels_refused(ito_tensor *labels, ito_status code, const char *message)
{
    recorder r = recorder_make(3.0);
    ito_class_condition *c = ito_class_condition_create(&r.base, 3);
    c->labels = labels;
    assert_refused(evaluate_two(&c->base, 0.0, 1.0), code, message);
    cr_assert_eq(r.evaluations, 0);
    ito_network_free(&c->base);
}

Test(condition, labels_of_no_class_are_refused)
{
    assert_labels_refused(labels_of(2, (const int64_t[]){0, 4}), ITO_ERR_RANGE,
                          "class_condition: the label of example 1 is 4; there are 0 to 2, and 3 "
                          "for none");
    assert_labels_refused(labels_of(2, (const int64_t[]){-1, 0}), ITO_ERR_RANGE,
                          "class_condition: the label of example 0 is -1; there are 0 to 2, and 3 "
                          "for none");
}

Test(condition, labels_that_are_not_one_i64_an_example_are_refused)
{
    assert_labels_refused(
        labels_of(3, (const int64_t[]){0, 1, 1}), ITO_ERR_SHAPE,
        "class_condition: the labels are [3] of i64; data [2, 1, 1, 1] need one i64 each");
    assert_labels_refused(
        ito_zeros(ITO_SHAPE(2), ITO_F32), ITO_ERR_SHAPE,
        "class_condition: the labels are [2] of f32; data [2, 1, 1, 1] need one i64 each");
}
