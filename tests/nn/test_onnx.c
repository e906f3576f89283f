/* ONNX files: what is in them, what grows with the batch, and that none is left by a failure. What
 * they compute is checked with onnxruntime, tests/reference/onnx_check.py. */
#include "ito.h"
#include "tests/nn/nn_check.h"
#include "tests/nn/onnx_reader.h"

#include <math.h>

typedef struct net {
    ito_module base;
    ito_conv2d_layer *conv;
    ito_dropout_layer *drop;
    ito_linear_layer *head;
} net;

static net *create_net(void)
{
    net *m = ito_module_create(NULL, "net", sizeof *m);
    ito_generator g = ito_generator_make(3, 0);
    m->conv = ito_conv2d_create(&m->base, "conv", 1, 4, 3, .padding = 1, .generator = &g);
    m->drop = ito_dropout_create(&m->base, "drop", 0.5, g);
    m->head = ito_linear_create(&m->base, "head", 64, 10, .generator = &g);
    cr_assert(m->conv != NULL && m->drop != NULL && m->head != NULL, "%s", ito_error());
    return m;
}

static ito_tensor *net_forward(ito_tensor *const *x, int64_t n, void *context)
{
    net *m = context;
    (void)n;
    ito_tensor *h = ito_dropout_forward(m->drop, ito_relu(ito_conv2d_forward(m->conv, x[0])));
    return ito_linear_forward(m->head, ito_flatten(h, 1, -1));
}

static const char *path;
static ito_tensor *image;

static void begin(void)
{
    path = in_directory(temporary_directory(), "net.onnx");
    ito_scope_begin();
    image = ramp(ITO_SHAPE(2, 1, 4, 4), 0.25);
}

static void end(void)
{
    ito_scope_end();
    char directory[512];
    snprintf(directory, sizeof directory, "%s", path);
    *strrchr(directory, '/') = '\0';
    remove_tree(directory);
}

TestSuite(onnx, .init = begin, .fini = end);

static read_model *saved(ito_status status)
{
    cr_assert_eq(status, ITO_OK, "%s", ito_error());
    read_model *m = onnx_open(path);
    onnx_check_order(m);
    return m;
}

/* ---- what is in a file -------------------------------------------------------------------------
 */

static void expect_parameter(const read_model *m, const char *name, ito_tensor *t)
{
    const read_tensor *r = onnx_constant(m, name);
    cr_assert_not_null(r, "%s", name);
    ito_shape shape = ito_shape_of(t);
    cr_assert_eq(r->ndim, shape.ndim);
    for (int i = 0; i < shape.ndim; i++)
        cr_expect_eq(r->dim[i], shape.dim[i]);
    cr_expect_eq(r->dtype, 1);
    cr_assert_eq(r->bytes, (size_t)ito_numel(t) * 4);
    for (int64_t i = 0; i < ito_numel(t); i++) {
        float value;
        memcpy(&value, r->data + 4 * i, 4);
        cr_expect_eq(value, (float)element(t, i), "%s, element %" PRId64, name, i);
    }
}

Test(onnx, has_operators_parameters_by_name_and_the_batch)
{
    net *m = create_net();
    read_model *f = saved(ito_onnx_save(path, net_forward, m, &image, 1, .module = &m->base));
    cr_expect_eq(f->ir_version, 8);
    cr_expect_eq(f->opset, 17);
    cr_expect_str_eq(f->producer, "ito");
    cr_expect_str_eq(f->version, ito_version());
    cr_expect_str_eq(onnx_types(f), "Shape Conv Relu Reshape Gemm");
    cr_expect_eq(f->tensors, 5);
    expect_parameter(f, "conv.weight", m->conv->weight); /* which lies channels-last in memory */
    expect_parameter(f, "conv.bias", m->conv->bias);
    expect_parameter(f, "head.weight", m->head->weight);
    expect_parameter(f, "head.bias", m->head->bias);
    cr_assert(f->inputs == 1 && f->outputs == 1);
    cr_expect_str_eq(f->input[0].name, "input");
    cr_expect(f->input[0].ndim == 4 && f->input[0].dim[0] == -1 && f->input[0].dim[3] == 4);
    cr_expect_str_eq(f->output[0].name, "output");
    cr_expect(f->output[0].ndim == 2 && f->output[0].dim[0] == -1 && f->output[0].dim[1] == 10);
    onnx_close(f);
    ito_module_free(&m->base);
}

Test(onnx, is_written_in_evaluation_mode_which_is_undone)
{
    net *m = create_net();
    m->drop->base.training = false;
    ito_module_train(&m->base, true);
    m->conv->base.training = false;
    onnx_close(saved(ito_onnx_save(path, net_forward, m, &image, 1, .module = &m->base)));
    cr_expect(m->base.training && m->drop->base.training && !m->conv->base.training);
    ito_module_free(&m->base);
}

Test(onnx, has_the_same_bytes_each_time)
{
    net *m = create_net();
    read_model *a = saved(ito_onnx_save(path, net_forward, m, &image, 1, .module = &m->base));
    read_model *b = saved(ito_onnx_save(path, net_forward, m, &image, 1, .module = &m->base));
    cr_assert_eq(a->size, b->size);
    cr_expect_eq(memcmp(a->bytes, b->bytes, a->size), 0);
    onnx_close(a);
    onnx_close(b);
    ito_module_free(&m->base);
}

Test(onnx, takes_the_forward_of_a_module_and_names)
{
    ito_module *m = ito_sequential_create(NULL, "");
    ito_linear_create(m, "0", 4, 3);
    ito_activation_create(m, "1", ito_tanh);
    const char *names[] = {"points"};
    read_model *f = saved(ito_onnx_save(path, NULL, NULL, &image, 1, .module = m,
                                        .input_names = names, .output_name = "u"));
    cr_expect_str_eq(f->input[0].name, "points");
    cr_expect_str_eq(f->output[0].name, "u");
    cr_expect_str_eq(f->node[f->nodes - 1].output[0], "u");
    onnx_close(f);
    ito_tensor *two[] = {image, image};
    cr_expect_eq(ito_onnx_save(path, NULL, NULL, two, 2, .module = m), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT,
                 "onnx_save: a module's forward takes one input, not 2: give a function");
    ito_module_free(m);
}

/* A function of tensors by an expression of x[0], x[1], ... */
#define FUNCTION(name, result)                                                                     \
    enum { line_of_##name = __LINE__ };                                                            \
    static ito_tensor *name(ito_tensor *const *x, int64_t n, void *context)                        \
    {                                                                                              \
        (void)x, (void)n, (void)context;                                                           \
        return result;                                                                             \
    }

FUNCTION(conv1d, ito_conv1d_forward(context, x[0]))

/* It is an image of height 1 here. */
Test(onnx, keeps_the_name_of_a_parameter_seen_in_another_shape)
{
    ito_module *m = ito_module_create(NULL, "", sizeof *m);
    ito_conv1d_layer *conv = ito_conv1d_create(m, "conv", 2, 3, 5);
    ito_tensor *x = ramp(ITO_SHAPE(2, 2, 9), 1);
    read_model *f = saved(ito_onnx_save(path, conv1d, conv, &x, 1, .module = m));
    const read_tensor *w = onnx_constant(f, "conv.weight");
    cr_assert_not_null(w);
    cr_expect(w->ndim == 4 && w->dim[0] == 3 && w->dim[1] == 2 && w->dim[2] == 1 && w->dim[3] == 5);
    onnx_close(f);
    ito_module_free(m);
}

FUNCTION(first_input, x[0])
FUNCTION(constant, ito_full(ITO_SHAPE(3), 2, ITO_F32))

Test(onnx, of_an_input_or_a_constant_is_an_identity)
{
    read_model *f = saved(ito_onnx_save(path, first_input, NULL, &image, 1));
    cr_expect_str_eq(onnx_types(f), "Shape Identity");
    onnx_close(f);
    f = saved(ito_onnx_save(path, constant, NULL, &image, 1));
    cr_expect_str_eq(onnx_types(f), "Shape Identity");
    cr_expect(f->output[0].ndim == 1 && f->output[0].dim[0] == 3);
    onnx_close(f);
}

/* ---- the batch ---------------------------------------------------------------------------------
 */

FUNCTION(added_zeros, ito_add(x[0], ito_zeros(ito_shape_of(x[0]), ITO_F32)))
FUNCTION(halved, ito_reshape(x[0], 2 * ito_size(x[0], 0), 2, 4))
FUNCTION(spread, ito_expand(ito_mean(x[0], .dims = ITO_DIMS(1, 2, 3), .keepdim = true),
                            ito_size(x[0], 0), 5, 4, 4))
FUNCTION(mean_of_all, ito_mean(x[0]))

Test(onnx, constants_as_large_as_the_batch_are_repeated)
{
    read_model *f = saved(ito_onnx_save(path, added_zeros, NULL, &image, 1));
    cr_expect_str_eq(onnx_types(f), "Shape Concat Expand Add");
    onnx_close(f);
}

Test(onnx, sizes_are_multiples_of_the_batch)
{
    read_model *f = saved(ito_onnx_save(path, halved, NULL, &image, 1));
    cr_expect_str_eq(onnx_types(f), "Shape Reshape");
    cr_expect_eq(f->output[0].dim[0], -2);
    onnx_close(f);
    f = saved(ito_onnx_save(path, spread, NULL, &image, 1));
    cr_expect_str_eq(onnx_types(f), "Shape Concat ReduceMean Expand");
    onnx_close(f);
}

Test(onnx, a_mean_over_the_batch_is_one_for_any_batch)
{
    read_model *f = saved(ito_onnx_save(path, mean_of_all, NULL, &image, 1));
    cr_expect_str_eq(onnx_types(f), "Shape ReduceMean");
    onnx_close(f);
}

FUNCTION(table, ito_matmul(x[0], ito_add_scalar(x[1], 1)))

Test(onnx, batch_axes_say_what_has_a_batch)
{
    ito_tensor *x[] = {ramp(ITO_SHAPE(3, 2), 1), ramp(ITO_SHAPE(2, 5), 1)};
    const int axes[] = {-2, ITO_NO_AXIS};
    read_model *f = saved(ito_onnx_save(path, table, NULL, x, 2, .batch_axes = axes));
    cr_expect(f->input[0].dim[0] == -1 && f->input[0].dim[1] == 2);
    cr_expect(f->input[1].dim[0] == 2 && f->input[1].dim[1] == 5);
    onnx_close(f);
    f = saved(ito_onnx_save(path, table, NULL, x, 2, .dynamic_batch = false));
    cr_expect(f->input[0].dim[0] == 3 && f->output[0].dim[0] == 3);
    cr_expect_str_eq(onnx_types(f), "Add Reshape Reshape MatMul Reshape");
    onnx_close(f);
}

/* ---- how values are followed -------------------------------------------------------------------
 */

static _Thread_local ito_tensor *h;

static ito_tensor *through_view(ito_tensor *x)
{
    ito_tensor *y = ito_exp(x);
    ito_copy_(ito_narrow(y, 3, 0, 2), ito_narrow(x, 3, 0, 2));
    return y;
}

static ito_tensor *by_its_elements(ito_tensor *x)
{
    ito_tensor *y = ito_exp(x);
    ((float *)ito_data(y))[3] = 1;
    return y;
}

static ito_tensor *in_place(ito_tensor *const *x, int64_t n, void *context)
{
    (void)n, (void)context;
    ito_tensor *sum = ito_clone(x[0]);
    ito_mul_scalar_(ito_add_(sum, x[0], 3), 2);
    ito_tensor *y = ito_exp(ito_detach(sum));
    ito_fill_(sum, 7);
    return ito_add(y, sum);
}

Test(onnx, changes_in_place_become_operators)
{
    read_model *f = saved(ito_onnx_save(path, in_place, NULL, &image, 1));
    cr_expect_str_eq(onnx_types(f), "Shape Concat Expand Mul Add Mul Exp Add");
    onnx_close(f);
}

FUNCTION(through_a_view, (h = through_view(x[0]), ito_neg(h)))
FUNCTION(by_elements, (h = by_its_elements(x[0]), ito_neg(h)))
FUNCTION(detached, (h = by_its_elements(x[0]), h = ito_detach(h), ito_neg(h)))

FUNCTION(by_hand, ito_add_scalar(x[0], ito_item(ito_sum(x[0]))))
FUNCTION(branch, ito_item(ito_mean(x[0])) > 3.75 ? ito_exp(x[0]) : ito_tanh(x[0]))
FUNCTION(drawn, ito_add(x[0], ito_randn(context, ITO_SHAPE(4), ITO_F32)))
FUNCTION(inverse, ito_linalg_inv(x[0]))
FUNCTION(unused_inverse, (ito_linalg_inv(x[0]), ito_neg(x[0])))
FUNCTION(by_batch, ito_mul_scalar(x[0], 1.0 / (double)ito_size(x[0], 0)))
FUNCTION(less_than_batch, ito_narrow(x[0], 3, 0, ito_size(x[0], 0) - 1))
FUNCTION(nothing, NULL)
FUNCTION(dropped, ito_dropout(x[0], 0.5, context))

/* The sentence, with the place of the call in front of %s. */
static void expect_refusal(ito_function *f, void *context, const char *op, int line,
                           const char *rest)
{
    char sentence[700];
    snprintf(sentence, sizeof sentence, "onnx_save: %s at %s:%d%s", op, __FILE__, line, rest);
    cr_expect_eq(ito_onnx_save(path, f, context, &image, 1), ITO_ERR_ARGUMENT, "%s", sentence);
    expect_error(ITO_ERR_ARGUMENT, sentence);
    cr_expect(!path_exists(path));
}

Test(onnx, what_has_no_form_is_named_with_its_place)
{
    expect_refusal(inverse, NULL, "linalg_inv", line_of_inverse,
                   " has no form in ONNX: ONNX has no inverse");
    ito_generator g = ito_generator_make(1, 0);
    expect_refusal(
        dropped, &g, "dropout", line_of_dropped,
        " has no form in ONNX: it draws random numbers; in evaluation mode there is none "
        "(see ito_module_train)");
    static const char changed[] =
        " has no form in ONNX: an input of it was changed in place through "
        "another view or by its elements";
    expect_refusal(through_a_view, NULL, "neg", line_of_through_a_view, changed);
    expect_refusal(by_elements, NULL, "neg", line_of_by_elements, changed);
    expect_refusal(detached, NULL, "detach", line_of_detached, changed);
}

Test(onnx, what_the_result_does_not_depend_on_needs_no_form)
{
    onnx_close(saved(ito_onnx_save(path, unused_inverse, NULL, &image, 1)));
}

static const char outside[] = ": a constant %s differs between two runs: it is drawn at random, or "
                              "computed from the inputs without operations of the library";

Test(onnx, what_is_the_same_for_some_inputs_alone_is_refused)
{
    char sentence[300];
    ito_generator g = ito_generator_make(1, 0);
    snprintf(sentence, sizeof sentence, outside, "[4]");
    expect_refusal(drawn, &g, "add", line_of_drawn, sentence);
    const char *batches =
        " is neither the same nor a multiple of the batch in runs with batches of "
        "2 and 3 and other values; .dynamic_batch = false writes a graph for one "
        "batch";
    snprintf(sentence, sizeof sentence, ": a number%s", batches);
    expect_refusal(by_hand, NULL, "scale_shift", line_of_by_hand, sentence);
    expect_refusal(by_batch, NULL, "scale_shift", line_of_by_batch, sentence);
    snprintf(sentence, sizeof sentence, ": a size%s", batches);
    expect_refusal(less_than_batch, NULL, "slice", line_of_less_than_batch, sentence);
    /* Its mean is 4; of the last image twice and the first, times 0.75, it is 3.5. */
    snprintf(sentence, sizeof sentence, ": which operations run%s", batches);
    expect_refusal(branch, NULL, "exp", line_of_branch, sentence);
}

Test(onnx, without_a_batch_values_alone_make_the_difference)
{
    char sentence[700];
    snprintf(sentence, sizeof sentence,
             "onnx_save: scale_shift at %s:%d: a number depends on the values of the inputs, and a "
             "graph is the same for all of them",
             __FILE__, line_of_by_hand);
    cr_expect_eq(ito_onnx_save(path, by_hand, NULL, &image, 1, .dynamic_batch = false),
                 ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, sentence);
    onnx_close(saved(ito_onnx_save(path, by_batch, NULL, &image, 1, .dynamic_batch = false)));
}

Test(onnx, a_function_that_fails_says_why_itself)
{
    cr_expect_eq(ito_onnx_save(path, nothing, NULL, &image, 1), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "onnx_save: the function gave no result");
    ito_tensor *x[] = {image, ramp(ITO_SHAPE(5, 3), 1)};
    cr_expect_eq(ito_onnx_save(path, table, NULL, x, 2), ITO_ERR_SHAPE);
    expect_error_with(ITO_ERR_SHAPE, "matmul: ");
}

/* ---- operations of the program's own -----------------------------------------------------------
 */

static ito_tensor *by_a_loop(ito_tensor *const *x, int64_t n, const void *params)
{
    (void)n, (void)params;
    ito_tensor *y = ito_clone(x[0]);
    float *value = ito_data(y);
    for (int64_t i = 0; i < ito_numel(y); i++)
        value[i] = value[i] * value[i] * value[i];
    return y;
}

static ito_tensor *by_operations(ito_tensor *const *x, int64_t n, const void *params)
{
    (void)n, (void)params;
    return ito_pow_scalar(x[0], 3);
}

static const ito_custom_op cube = {.name = "cube", .forward = by_a_loop};
static const ito_custom_op composed_cube = {
    .name = "cube", .forward = by_a_loop, .composed = by_operations};
static const ito_custom_op cube_of_operations = {.name = "cube", .forward = by_operations};
FUNCTION(custom, ito_custom(context, x, 1, NULL))

Test(onnx, an_operation_of_the_program_is_refused_unless_made_of_others)
{
    read_model *f = saved(ito_onnx_save(path, custom, (void *)&composed_cube, &image, 1));
    cr_expect_str_eq(onnx_types(f), "Shape Pow");
    onnx_close(f);
    f = saved(ito_onnx_save(path, custom, (void *)&cube_of_operations, &image, 1));
    cr_expect_str_eq(onnx_types(f), "Shape Pow");
    onnx_close(f);
    remove(path);
    expect_refusal(custom, (void *)&cube, "cube", line_of_custom,
                   " has no form in ONNX: it is an operation of the program's own that is not made "
                   "of operations of the library (see ito_custom_op.composed)");
}

/* ---- arguments ---------------------------------------------------------------------------------
 */

Test(onnx, arguments_are_checked)
{
    ito_tensor *empty = ito_zeros(ITO_SHAPE(0, 3), ITO_F32);
    cr_expect_eq(ito_onnx_save(path, first_input, NULL, &empty, 1), ITO_ERR_SHAPE);
    expect_error(ITO_ERR_SHAPE, "onnx_save: input 0 [0, 3] has an empty batch");
    cr_expect_eq(ito_onnx_save(path, NULL, NULL, &image, 1), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "onnx_save: it takes a path, a function and inputs");
    ito_tensor *missing = NULL;
    cr_expect_eq(ito_onnx_save(path, first_input, NULL, &missing, 1), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "onnx_save: an input is NULL");
    const int axes[] = {4};
    cr_expect_eq(ito_onnx_save(path, first_input, NULL, &image, 1, .batch_axes = axes),
                 ITO_ERR_RANGE);
    expect_error(ITO_ERR_RANGE, "onnx_save: axis 4 of a tensor of 4 axes");
}

Test(onnx, names_are_not_taken_twice)
{
    net *m = create_net();
    const char *const bad[] = {"", "/x", "conv.bias", "output"};
    for (int i = 0; i < 4; i++) {
        char sentence[200];
        snprintf(sentence, sizeof sentence,
                 "onnx_save: the name \"%s\" is empty, begins with a slash, or is that of a "
                 "parameter or of another input",
                 bad[i]);
        cr_expect_eq(ito_onnx_save(path, net_forward, m, &image, 1, .module = &m->base,
                                   .input_names = &bad[i]),
                     ITO_ERR_ARGUMENT, "%s", bad[i]);
        expect_error(ITO_ERR_ARGUMENT, sentence);
    }
    ito_module_free(&m->base);
}

/* ---- the file ----------------------------------------------------------------------------------
 */

Test(onnx, large_tensors_go_into_a_file_beside)
{
    net *m = create_net();
    read_model *f =
        saved(ito_onnx_save(path, net_forward, m, &image, 1, .module = &m->base, .external = true));
    const read_tensor *w = onnx_constant(f, "head.weight"), *b = onnx_constant(f, "head.bias");
    cr_assert(w != NULL && b != NULL);
    cr_expect_null(w->data);
    cr_expect_str_eq(w->location, "net.onnx.data");
    cr_expect_eq(w->offset % 64, 0);
    cr_expect_eq(w->length, 640 * 4);
    cr_expect_eq(b->bytes, 40);
    char beside[600];
    float *value = malloc(640 * sizeof *value);
    snprintf(beside, sizeof beside, "%s.data", path);
    FILE *data = fopen(beside, "rb");
    cr_assert_not_null(data);
    fseek(data, (long)w->offset, SEEK_SET);
    cr_assert_eq(fread(value, 4, 640, data), 640);
    for (int64_t i = 0; i < 640; i++)
        cr_expect_eq(value[i], (float)element(m->head->weight, i));
    cr_expect_eq(fgetc(data), EOF);
    fclose(data);
    free(value);
    onnx_close(f);
    ito_module_free(&m->base);
}

FUNCTION(from_table,
         ito_gather(context, 0, ito_cast(ito_gt(x[0], ito_scalar(0, ITO_F32)), ITO_I64)))

/* 4 GiB that lie in four bytes. */
Test(onnx, a_file_above_2_GiB_wants_external)
{
    ito_tensor *huge = ito_expand(ito_zeros(ITO_SHAPE(1, 1), ITO_F32), 1 << 15, 1 << 15);
    ito_tensor *x = ramp(ITO_SHAPE(2, 1), 1);
    char sentence[700];
    cr_expect_eq(ito_onnx_save(path, from_table, huge, &x, 1), ITO_ERR_ARGUMENT);
    snprintf(sentence, sizeof sentence, "onnx_save: %s would have ", path);
    cr_expect_eq(strncmp(ito_error_message(), sentence, strlen(sentence)), 0, "%s", ito_error());
    expect_error_with(ITO_ERR_ARGUMENT, " bytes, and a reader of protocol buffers takes at most "
                                        "2147483647: give .external = true");
    cr_expect(!path_exists(path));
}

Test(onnx, a_failure_leaves_no_file)
{
    net *m = create_net();
    char beside[600];
    snprintf(beside, sizeof beside, "%s.data", path);
    cr_assert_eq(mkdir(beside, 0777), 0); /* where the elements would go */
    cr_expect_eq(
        ito_onnx_save(path, net_forward, m, &image, 1, .module = &m->base, .external = true),
        ITO_ERR_IO);
    ito_error_clear();
    cr_expect(!path_exists(path));
    cr_assert_eq(rmdir(beside), 0);
    cr_assert_eq(mkdir(path, 0777), 0);
    cr_expect_eq(
        ito_onnx_save(path, net_forward, m, &image, 1, .module = &m->base, .external = true),
        ITO_ERR_IO);
    ito_error_clear();
    cr_expect(!path_exists(beside));
    ito_module_free(&m->base);
}

static ito_status save_net(void *context)
{
    net *m = context;
    ito_status status = ito_onnx_save(path, net_forward, m, &image, 1, .module = &m->base);
    cr_expect_eq(path_exists(path), status == ITO_OK);
    return status;
}

Test(onnx, memory_that_runs_out_leaves_no_file)
{
    net *m = create_net();
    cr_expect_geq(count_failed_allocations(save_net, m), 60);
    ito_module_free(&m->base);
}
