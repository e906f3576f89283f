/* The loss by time: bins against sums by a plain loop, for every kind of process. */
#include "examples/ddpm/loss_bins.h"

#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

/* The member of a line, read back. */
static cJSON *taken(loss_bins *b, int64_t step)
{
    char text[256], line[300];
    snprintf(line, sizeof line, "{\"step\": 1%s}", loss_bins_take(b, step, text));
    cJSON *root = cJSON_Parse(line);
    cr_assert_not_null(root, "%s", line);
    cr_assert_eq(cJSON_GetArraySize(cJSON_GetObjectItem(root, "loss_by_t")), LOG_BINS);
    return root;
}

/* Losses of 200 times in two batches. An image is in bin i if its time is from edges[i] on and
 * below edges[i + 1]. */
static void check(const ito_process *p, ito_tensor *t, const double *edges)
{
    loss_bins b = {.since = 0};
    ito_generator g = ito_generator_make(2, 2);
    ito_tensor *losses = ito_rand(&g, ITO_SHAPE(200), ITO_F32);
    cr_assert(loss_bins_add(&b, p, ito_narrow(t, 0, 0, 120), ito_narrow(losses, 0, 0, 120)));
    cr_assert(loss_bins_add(&b, p, ito_narrow(t, 0, 120, 80), ito_narrow(losses, 0, 120, 80)));
    cJSON *root = taken(&b, 7);
    for (int i = 0; i < LOG_BINS; i++) {
        double sum = 0.0;
        int count = 0;
        for (int k = 0; k < 200; k++) {
            double time = ito_item(ito_narrow(t, 0, k, 1));
            if (time >= edges[i] && time < edges[i + 1]) {
                sum += ito_item(ito_narrow(losses, 0, k, 1));
                count++;
            }
        }
        cr_assert_gt(count, 0);
        double mean = cJSON_GetArrayItem(cJSON_GetObjectItem(root, "loss_by_t"), i)->valuedouble;
        cr_expect_float_eq(mean, sum / count, 1e-4 * mean, "bin %d", i);
    }
    cJSON_Delete(root);
}

/* Step t of 1000 is in bin t / 100; of 15, bins have one step or two. */
Test(loss_bins, of_a_process_in_steps)
{
    ito_generator g = ito_generator_make(1, 1);
    double edges[LOG_BINS + 1];
    ito_process *p = ito_process_create(&ito_schedule_cosine, .steps = 1000);
    for (int i = 0; i <= LOG_BINS; i++) {
        edges[i] = 100.0 * i;
        cr_expect_float_eq(loss_bin_edge(p, i), edges[i], 1e-9);
    }
    check(p, ito_randint(&g, 0, 1000, ITO_SHAPE(200), ITO_I64), edges);
    ito_process_free(p);
    p = ito_process_create(&ito_schedule_linear, .steps = 15);
    static const double of_15[] = {0, 1, 3, 4, 6, 7, 9, 10, 12, 13, 15};
    check(p, ito_randint(&g, 0, 15, ITO_SHAPE(200), ITO_I64), of_15);
    ito_process_free(p);
}

Test(loss_bins, of_a_process_in_continuous_time)
{
    ito_generator g = ito_generator_make(1, 1);
    double edges[LOG_BINS + 1];
    ito_process *p = ito_process_create(&ito_schedule_flow, .steps = 0);
    for (int i = 0; i <= LOG_BINS; i++)
        edges[i] = p->t_min + (p->t_max - p->t_min) * i / 10.0;
    check(p, ito_add_scalar(ito_mul_scalar(ito_rand(&g, ITO_SHAPE(200), ITO_F64), 0.9), 0.05),
          edges);
    cr_expect(!loss_bins_logarithmic(p));
    ito_process_free(p);
}

/* Where time is sigma, from 0.01 to 100, on a logarithmic scale. */
Test(loss_bins, of_sigmas)
{
    ito_generator g = ito_generator_make(1, 1);
    double edges[LOG_BINS + 1];
    ito_process *p =
        ito_process_create(&ito_schedule_edm, .steps = 0, .sigma_min = 0.01, .sigma_max = 100.0);
    for (int i = 0; i <= LOG_BINS; i++) {
        edges[i] = pow(10.0, -2.0 + 0.4 * i);
        cr_expect_float_eq(loss_bin_edge(p, i), edges[i], 1e-9 * edges[i]);
    }
    ito_tensor *powers = ito_mul_scalar(ito_add_scalar(ito_rand(&g, ITO_SHAPE(200), ITO_F64), -0.5),
                                        3.99 * log(10.0));
    check(p, ito_exp(powers), edges);
    cr_expect(loss_bins_logarithmic(p));
    ito_process_free(p);
}

/* Bins without images, or with losses that are not finite alone, have none; taking them begins
 * anew. */
Test(loss_bins, what_is_missing_is_null)
{
    loss_bins b = {.since = 0};
    ito_process *p = ito_process_create(&ito_schedule_linear, .steps = 10);
    const int64_t times[] = {2, 2, 5, 9};
    const double values[] = {1.0, 2.0, (double)NAN, (double)INFINITY};
    cr_assert(loss_bins_add(&b, p, ito_from_data(times, ITO_SHAPE(4), ITO_I64),
                            ito_from_data(values, ITO_SHAPE(4), ITO_F64)));
    cJSON *root = taken(&b, 7);
    const cJSON *list = cJSON_GetObjectItem(root, "loss_by_t");
    for (int i = 0; i < LOG_BINS; i++)
        cr_expect(i == 2 ? cJSON_GetArrayItem(list, i)->valuedouble == 1.5
                         : cJSON_IsNull(cJSON_GetArrayItem(list, i)),
                  "bin %d", i);
    cJSON_Delete(root);
    root = taken(&b, 8);
    cr_expect(cJSON_IsNull(cJSON_GetArrayItem(cJSON_GetObjectItem(root, "loss_by_t"), 2)));
    cJSON_Delete(root);
    ito_process_free(p);
}

Test(loss_bins, lines_have_them_after_fifty_steps)
{
    loss_bins b = {.since = 0};
    cr_expect(!loss_bins_due(&b, 1) && !loss_bins_due(&b, 49));
    cr_expect(loss_bins_due(&b, 50) && loss_bins_due(&b, 60));
    char text[256];
    loss_bins_take(&b, 60, text);
    cr_expect(!loss_bins_due(&b, 61) && loss_bins_due(&b, 100));
}

Test(loss_bins, losses_that_are_none_are_refused)
{
    loss_bins b = {.since = 0};
    ito_process *p = ito_process_create(&ito_schedule_linear, .steps = 10);
    cr_expect(!loss_bins_add(&b, p, NULL, NULL));
    ito_error_clear();
    ito_process_free(p);
}
