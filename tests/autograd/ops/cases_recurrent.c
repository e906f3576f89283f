/* Recurrent networks: all outputs of layers in two directions, against single cells. */
#include "autograd/ops.h"
#include "tests/autograd/op_check.h"

#include <criterion/criterion.h>

enum { T = 3, N = 2, I = 3, H = 2, MOST = 16 };

static const double EXACT = 1e-14; /* sums of five products, each in another order */

/* Weights of so many layers in two directions, with biases, cut from one list. */
static int64_t cut_weights(ito_tensor *all, int64_t layers, int64_t gates, int64_t inputs,
                           int64_t hidden, ito_tensor **weights)
{
    int64_t at = 0, rows = gates * hidden;
    for (int64_t i = 0; i < layers * 2; i++) {
        int64_t columns[] = {i < 2 ? inputs : 2 * hidden, hidden, 0, 0};
        for (int64_t k = 0; k < 4; k++) {
            int64_t size = rows * (k < 2 ? columns[k] : 1);
            ito_tensor *w = ito_narrow(all, 0, at, size);
            weights[4 * i + k] = k < 2 ? ito_reshape(w, rows, columns[k]) : w;
            at += size;
        }
    }
    return 8 * layers;
}

static int64_t list_length(int64_t layers, int64_t gates, int64_t inputs, int64_t hidden)
{
    int64_t first = inputs + hidden + 2, second = layers == 2 ? 3 * hidden + 2 : 0;
    return 2 * gates * hidden * (first + second);
}

/* Outputs and final states, side by side, of x, weights, h_0 and c_0. */
static ito_tensor *lstm(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n, (void)context;
    ito_tensor *weights[MOST], *h_n = NULL, *c_n = NULL;
    int64_t count = cut_weights(in[1], 1, 4, ito_size(in[0], 2), ito_size(in[2], 2), weights);
    ito_tensor *y = ito_lstm(in[0], weights, count, .bidirectional = true, .h_0 = in[2],
                             .c_0 = in[3], .h_n = &h_n, .c_n = &c_n);
    return ito_cat(ITO_TENSORS(ito_reshape(y, -1), ito_reshape(h_n, -1), ito_reshape(c_n, -1)), 0);
}

static ito_tensor *gru(ito_tensor *const *in, int64_t n, void *context)
{
    (void)n, (void)context;
    ito_tensor *weights[MOST], *h_n = NULL;
    int64_t count = cut_weights(in[1], 1, 3, ito_size(in[0], 2), ito_size(in[2], 2), weights);
    ito_tensor *y =
        ito_gru(in[0], weights, count, .bidirectional = true, .h_0 = in[2], .h_n = &h_n);
    return ito_cat(ITO_TENSORS(ito_reshape(y, -1), ito_reshape(h_n, -1)), 0);
}

void case_recurrent(void)
{
    ito_shape states = ITO_SHAPE(2, N, H), large = ITO_SHAPE(2, 40, 16);
    op_check_run((op_check){
        .what = "lstm",
        .f = lstm,
        .n = 4,
        .shape = {ITO_SHAPE(T, N, I), ITO_SHAPE(list_length(1, 4, I, H)), states, states},
        .large = {ITO_SHAPE(5, 40, 24), ITO_SHAPE(list_length(1, 4, 24, 16)), large, large},
        .low = -1,
        .high = 1,
        .parameter = {false, true},
        .roundings = T + 1, /* gates and states */
        .gradient_roundings = 2 * (T + 1)});
    op_check_run(
        (op_check){.what = "gru",
                   .f = gru,
                   .n = 3,
                   .shape = {ITO_SHAPE(T, N, I), ITO_SHAPE(list_length(1, 3, I, H)), states},
                   .large = {ITO_SHAPE(5, 40, 24), ITO_SHAPE(list_length(1, 3, 24, 16)), large},
                   .low = -1,
                   .high = 1,
                   .parameter = {false, true},
                   .roundings = T + 1,
                   .gradient_roundings = 2 * (T + 1)});
}

Test(ops_recurrent, a_sequence_is_its_steps_and_ends_in_its_states)
{
    ito_tensor *x = random_tensor(ITO_SHAPE(T, N, I), -1, 1, 1), *weights[MOST];
    cut_weights(random_tensor(ITO_SHAPE(list_length(2, 4, I, H)), -1, 1, 2), 2, 4, I, H, weights);
    ito_tensor *h = random_tensor(ITO_SHAPE(N, H), -1, 1, 3),
               *c = random_tensor(ITO_SHAPE(N, H), -1, 1, 4);
    ito_tensor *h_n = NULL, *c_n = NULL;
    ito_tensor *y = ito_lstm(x, weights, 4, .h_0 = ito_unsqueeze(h, 0), .c_0 = ito_unsqueeze(c, 0),
                             .h_n = &h_n, .c_n = &c_n);
    for (int64_t t = 0; t < T; t++) {
        h = ito_lstm_cell(ito_select(x, 0, t), h, c, weights[0], weights[1], weights[2], weights[3],
                          &c);
        assert_close(ito_select(y, 0, t), h, EXACT, "h");
    }
    assert_close(h_n, ito_unsqueeze(h, 0), EXACT, "h_n");
    assert_close(c_n, ito_unsqueeze(c, 0), EXACT, "c_n");
}

Test(ops_recurrent, the_second_direction_is_the_flipped_sequence)
{
    ito_tensor *x = random_tensor(ITO_SHAPE(T, N, I), -1, 1, 1), *w[MOST], *h_n = NULL,
               *back = NULL;
    cut_weights(random_tensor(ITO_SHAPE(list_length(2, 4, I, H)), -1, 1, 2), 2, 4, I, H, w);
    ito_tensor *y = ito_lstm(x, w, 8, .bidirectional = true, .h_n = &h_n);
    ito_tensor *flipped = ito_lstm(ito_flip(x, 0), w + 4, 4, .h_n = &back);
    assert_close(ito_narrow(y, 2, H, H), ito_flip(flipped, 0), EXACT, "backward");
    assert_close(ito_narrow(h_n, 0, 1, 1), back, EXACT, "h_n");
    assert_close(ito_narrow(y, 2, 0, H), ito_lstm(x, w, 4), EXACT, "forward");
}

Test(ops_recurrent, layers_follow_one_another_and_dropout_lies_between_them)
{
    ito_tensor *x = random_tensor(ITO_SHAPE(T, N, I), -1, 1, 1), *w[MOST];
    cut_weights(random_tensor(ITO_SHAPE(list_length(2, 3, I, H)), -1, 1, 2), 2, 3, I, H, w);
    ito_generator g = ito_generator_make(5, 6), same = g;
    ito_tensor *y =
        ito_gru(x, w, 16, .num_layers = 2, .bidirectional = true, .dropout = 0.5, .generator = &g);
    ito_tensor *first = ito_dropout(ito_gru(x, w, 8, .bidirectional = true), 0.5, &same);
    assert_close(y, ito_gru(first, w + 8, 8, .bidirectional = true), EXACT, "two layers");
    cr_assert_eq(g.offset, same.offset);
    assert_close(ito_gru(x, w, 4, .dropout = 0.5), ito_gru(x, w, 4), 0, "one layer drops nothing");
}

Test(ops_recurrent, an_lstm_cell_that_fails_gives_no_c)
{
    ito_tensor *x = ito_ones(ITO_SHAPE(N, I), ITO_F64), *c = x;
    cr_assert_null(ito_lstm_cell(x, x, x, x, x, NULL, NULL, &c));
    cr_assert_null(c);
    assert_error(ITO_ERR_SHAPE, "lstm_cell: weight_ih is [2, 3], not [12, 3]");
}
