/* U-Nets under the names of other programs: what guided-diffusion's and DDIM's networks compute
 * (make_unet_names_fixture.py, float64), and what is said of files that are none of them. */
#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "models/ddpm/network/unet_weights.h"
#include "tests/expect.h"
#include "tests/reference/formula.h"
#include "tests/temporary.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static ito_safetensors *fixture;
static const char *dir;

static void begin(void)
{
    char path[4096];
    const char *source = getenv("ITO_SOURCE");
    snprintf(path, sizeof path, "%s/tests/reference/unet_names.safetensors",
             source != NULL ? source : ".");
    fixture = ito_safetensors_open(path);
    cr_assert_not_null(fixture, "%s", ito_error());
    dir = temporary_directory();
}

static void end(void)
{
    ito_safetensors_close(fixture);
    remove_tree(dir);
}

TestSuite(unet_weights, .init = begin, .fini = end);

/* ---- files of a case ---- */

enum { MOST = 300 };

/* Tensors by the lines "name size size ...", in the order of their names, by the formula. */
typedef struct tensors {
    int64_t n;
    const char *names[MOST];
    ito_tensor *values[MOST];
    char text[1 << 15];
} tensors;

static tensors list;

static void read_case(const char *name)
{
    char key[64];
    snprintf(key, sizeof key, "%s/parameters", name);
    ito_tensor *lines = ito_safetensors_read(fixture, key);
    cr_assert(lines != NULL && ito_numel(lines) < (int64_t)sizeof list.text, "%s", ito_error());
    list.n = 0;
    memcpy(list.text, ito_const_data(lines), (size_t)ito_numel(lines));
    list.text[ito_numel(lines)] = '\0';
    char *rest = NULL;
    for (char *line = strtok_r(list.text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        ito_shape shape = {0};
        char *at = strchr(line, ' ');
        *at = '\0';
        for (char *next = at + 1; *next != '\0'; next += *next == ' ')
            shape.dim[shape.ndim++] = strtoll(next, &next, 10);
        ito_tensor *t = ito_empty(shape, ITO_F32);
        float *values = ito_data(t);
        for (int64_t k = 0; k < ito_numel(t); k++)
            values[k] = formula_parameter(list.n, line, shape.ndim, shape.dim, (uint32_t)k);
        list.names[list.n] = line;
        list.values[list.n++] = t;
    }
}

/* The list with something around its names, in a file that is open. */
static ito_weights *write_case(const char *prefix, const char *suffix)
{
    static char names[MOST][200];
    const char *pointers[MOST];
    static char path[600];
    snprintf(path, sizeof path, "%.400s/weights.safetensors", dir);
    for (int64_t i = 0; i < list.n; i++) {
        snprintf(names[i], sizeof names[i], "%s%.120s%s", prefix, list.names[i], suffix);
        pointers[i] = names[i];
    }
    cr_assert_eq(ito_safetensors_save(path, list.n, pointers, list.values, 0, NULL, NULL), ITO_OK,
                 "%s", ito_error());
    ito_weights *w = ito_weights_open(path);
    cr_assert_not_null(w, "%s", ito_error());
    return w;
}

/* One more tensor. */
static void add_tensor(const char *name, ito_tensor *t)
{
    list.names[list.n] = name;
    list.values[list.n++] = t;
}

/* ---- what a network computes ---- */

typedef struct names_case {
    const char *name, *prefix, *suffix;
    ito_unet_names names;
    int64_t heads, head_channels;
    bool new_attention_order, labels;
} names_case;

static const names_case cases[] = {
    {.name = "guided",
     .prefix = "",
     .suffix = "",
     ITO_UNET_NAMES_GUIDED,
     .head_channels = 16,
     .labels = true},
    {.name = "guided_new_order",
     .prefix = "module.",
     .suffix = "",
     ITO_UNET_NAMES_GUIDED,
     .head_channels = 8,
     .new_attention_order = true},
    {.name = "improved",
     .prefix = "state_dict.model.",
     .suffix = "",
     ITO_UNET_NAMES_GUIDED,
     .heads = 4},
    {.name = "ddim", .prefix = "module.", .suffix = "", ITO_UNET_NAMES_DDIM},
    {.name = "tensorflow", .prefix = "model/", .suffix = "", ITO_UNET_NAMES_TENSORFLOW},
    {.name = "tensorflow",
     .prefix = "model/",
     .suffix = "/ExponentialMovingAverage",
     ITO_UNET_NAMES_TENSORFLOW},
    {.name = "tensorflow", .prefix = "", .suffix = ":0", ITO_UNET_NAMES_TENSORFLOW},
};
enum { CASES = sizeof cases / sizeof *cases };

static ito_unet_config config_of(const ito_weights *w, const names_case *c)
{
    ito_unet_config config;
    cr_assert_eq(ito_unet_config_of(w, &config, .height = 8, .width = 8, .heads = c->heads,
                                    .head_channels = c->head_channels),
                 ITO_OK, "%s: %s", c->name, ito_error());
    return config;
}

/* The largest difference from the fixture's output, as a part of its largest value. */
static double error_of(ito_unet *unet, const names_case *c)
{
    float x[2 * 3 * 8 * 8];
    char key[64];
    for (uint32_t i = 0; i < sizeof x / sizeof *x; i++)
        x[i] = formula_x_0(0, i);
    snprintf(key, sizeof key, "%s/output", c->name);
    ito_tensor *expected = ito_safetensors_read(fixture, key), *y = NULL;
    ito_tensor *t = ito_from_data((int64_t[]){7, 412}, ITO_SHAPE(2), ITO_I64);
    ito_tensor *labels = ito_from_data((int64_t[]){4, 0}, ITO_SHAPE(2), ITO_I64);
    ito_tensor *images = ito_cast(ito_from_data(x, ITO_SHAPE(2, 3, 8, 8), ITO_F32), ITO_F64);
    ito_module_train(&unet->base, false);
    ITO_NO_GRAD
    {
        y = c->labels ? ito_unet_forward_class(unet, images, t, labels)
                      : ito_unet_forward(unet, images, t);
        y = ito_div(ito_max(ito_abs(ito_sub(y, expected))), ito_max(ito_abs(expected)));
    }
    cr_assert_not_null(y, "%s: %s", c->name, ito_error());
    return ito_item(y);
}

/* Both compute in f64 what takes some hundred sums of a few thousand products. */
static const double close_in_f64 = 1e-12;

Test(unet_weights, networks_of_other_programs_compute_what_they_did)
{
    for (int i = 0; i < CASES; i++) {
        const names_case *c = &cases[i];
        ito_scope_begin();
        read_case(c->name);
        ito_weights *w = write_case(c->prefix, c->suffix);
        ito_unet_config config = config_of(w, c);
        config.dtype = ITO_F64;
        ito_unet *unet = ito_unet_create(&config, NULL);
        cr_assert_not_null(unet, "%s: %s", c->name, ito_error());
        ito_unet_load_report report;
        cr_assert_eq(ito_unet_load(unet, w, .new_attention_order = c->new_attention_order,
                                   .report = &report),
                     ITO_OK, "%s: %s", c->name, ito_error());
        double error = error_of(unet, c);
        cr_expect_lt(error, close_in_f64, "%s: %g", c->name, error);
        cr_expect(report.names == c->names && report.unused == 0);
        cr_expect_str_eq(report.prefix, c->prefix);
        cr_expect_str_eq(report.suffix, c->suffix);
        /* The other order of a fused qkv is another network. */
        if (c->names == ITO_UNET_NAMES_GUIDED) {
            cr_assert_eq(ito_unet_load(unet, w, .new_attention_order = !c->new_attention_order),
                         ITO_OK, "%s", ito_error());
            cr_expect_gt(error_of(unet, c), 1e-3, "%s", c->name);
        }
        ito_module_free(&unet->base);
        ito_weights_close(w);
        ito_scope_end();
    }
}

Test(unet_weights, settings_are_seen_in_names_and_shapes)
{
    read_case("guided");
    ito_weights *w = write_case("", "");
    ito_unet_config c = config_of(w, &cases[0]);
    cr_expect(c.in_channels == 3 && c.out_channels == 6 && c.channels == 32 && c.blocks == 1);
    cr_expect(c.levels == 2 && c.multipliers[0] == 1 && c.multipliers[1] == 2);
    cr_expect(c.attention[0] && c.attention[1] && c.head_channels == 16 && c.groups == 32);
    cr_expect(c.classes == 5 && c.class_kind == ITO_UNET_CLASS_ALWAYS && c.scale_shift);
    cr_expect(c.down_resnet[0] && !c.down_resnet[1] && c.up_resnet[1] && !c.up_resnet[0]);
    cr_expect(c.norm_eps == 1e-5 && c.downsample_padding == 1 && c.flip_sin_to_cos);
    cr_expect(c.freq_divisor == 16 && c.middle_attention_groups == 32);
    ito_weights_close(w);
    read_case("tensorflow");
    w = write_case("model/", "");
    c = config_of(w, &cases[4]);
    cr_expect(c.in_channels == 3 && c.out_channels == 3 && c.channels == 32 && c.blocks == 1);
    cr_expect(c.levels == 3 && c.multipliers[1] == 1 && c.multipliers[2] == 2);
    cr_expect(!c.attention[0] && c.attention[1] && !c.attention[2] && c.classes == 0);
    cr_expect(c.norm_eps == 0 && c.downsample_padding == 0 && !c.flip_sin_to_cos);
    ito_weights_close(w);
}

/* ---- one network under several names ---- */

static ito_unet *small_unet(void)
{
    ito_generator g = ito_generator_make(3, 0);
    ito_unet_config c = {.in_channels = 3,
                         .height = 8,
                         .width = 8,
                         .channels = 8,
                         .levels = 2,
                         .multipliers = {1, 2},
                         .attention = {false, true},
                         .blocks = 1};
    ito_unet *unet = ito_unet_create(&c, &g);
    cr_assert_not_null(unet, "%s", ito_error());
    return unet;
}

/* The list becomes the state of the network, which lives on, under the older names if `old`. */
static void list_state(const ito_unet *unet, bool old)
{
    static const char *const here[] = {".to_q.", ".to_k.", ".to_v.", ".to_out.0."},
                             *const before[] = {".query.", ".key.", ".value.", ".proj_attn."};
    ito_named_tensors *state = ito_module_state(&unet->base);
    char *out = list.text;
    list.n = 0;
    for (int64_t i = 0; i < state->n; i++) {
        const char *name = state->names[i], *at = NULL;
        int k = 0;
        while (k < 4 && (at = strstr(name, here[k])) == NULL)
            k++;
        int n = old && at != NULL ? sprintf(out, "%.*s%s%s", (int)(at - name), name, before[k],
                                            at + strlen(here[k]))
                                  : sprintf(out, "%s", name);
        add_tensor(out, state->tensors[i]);
        out += n + 1;
    }
    ito_named_tensors_free(state);
}

Test(unet_weights, names_of_diffusers_old_and_new_are_read)
{
    for (int old = 0; old < 2; old++) {
        ito_unet *unet = small_unet(), *other = small_unet();
        ito_unet_load_report report;
        list_state(unet, old != 0);
        ito_weights *w = write_case("unet.", "");
        ito_named_tensors *state = ito_module_state(&other->base);
        ITO_NO_GRAD
        {
            for (int64_t i = 0; i < state->n; i++)
                ito_fill_(state->tensors[i], 0);
        }
        cr_assert_eq(ito_unet_load(other, w, .report = &report), ITO_OK, "%s", ito_error());
        for (int64_t i = 0; i < state->n; i++)
            cr_expect_eq(ito_item(ito_max(ito_abs(
                             ito_sub(ito_detach(state->tensors[i]), ito_detach(list.values[i]))))),
                         0, "%s", state->names[i]);
        cr_expect_eq(report.names, old ? ITO_UNET_NAMES_OLD_DIFFUSERS : ITO_UNET_NAMES_DIFFUSERS);
        cr_expect_str_eq(report.prefix, "unet.");
        cr_expect_eq(report.loaded, state->n);
        ito_unet_config config;
        cr_expect_eq(ito_unet_config_of(w, &config, .height = 8, .width = 8), ITO_ERR_FORMAT);
        expect_error_with(ITO_ERR_FORMAT,
                          "weights.safetensors: has the names of diffusers, whose settings its "
                          "shapes do not show: they are in the config.json beside it");
        ito_named_tensors_free(state);
        ito_module_free(&unet->base);
        ito_module_free(&other->base);
        ito_weights_close(w);
    }
    cr_expect_str_eq(ito_unet_names_text(ITO_UNET_NAMES_GUIDED), "guided-diffusion");
    cr_expect_null(ito_unet_names_text(ITO_UNET_NAMES));
}

/* ---- refusals ---- */

static void expect_refused_load(const char *prefix, const char *suffix, const char *given,
                                const char *sentence)
{
    ito_weights *w = write_case(prefix, suffix);
    ito_unet *unet = small_unet();
    cr_expect_eq(ito_unet_load(unet, w, .prefix = given), ito_error_code());
    expect_error_with(ITO_ERR_FORMAT, sentence);
    ito_module_free(&unet->base);
    ito_weights_close(w);
}

Test(unet_weights, files_that_are_no_network_are_refused)
{
    list.n = 0;
    add_tensor("a.weight", ito_ones(ITO_SHAPE(2), ITO_F32));
    expect_refused_load("", "", NULL,
                        "weights.safetensors: has no U-Net of diffusers, guided-diffusion, DDIM or "
                        "TensorFlow by its names");
    ito_unet *unet = small_unet();
    list_state(unet, false);
    expect_refused_load("unet.", "", "ema.",
                        "weights.safetensors: has no U-Net of diffusers, guided-diffusion, DDIM or "
                        "TensorFlow under ema. by its names");
    add_tensor("mid_block.more.weight", ito_ones(ITO_SHAPE(2), ITO_F32));
    expect_refused_load("", "", NULL,
                        "weights.safetensors: holds mid_block.more.weight, which the network does "
                        "not have");
    list.n -= 2;
    expect_refused_load("", "", NULL, "weights.safetensors: lacks conv_out.bias of the model");
    ito_module_free(&unet->base);
    ito_unet_config config;
    cr_expect_eq(ito_unet_config_of(NULL, &config, .height = 8), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "unet_config_of: the file is NULL");
    cr_expect_eq(ito_unet_load(NULL, NULL), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "unet_load: the network is NULL");
}

Test(unet_weights, a_network_under_two_prefixes_is_refused_and_one_can_be_named)
{
    ito_unet *unet = small_unet();
    list_state(unet, false);
    static char names[MOST][120];
    int64_t n = list.n;
    for (int64_t i = 0; i < n; i++) {
        snprintf(names[i], sizeof names[i], "ema.%.100s", list.names[i]);
        add_tensor(names[i], list.values[i]);
    }
    expect_refused_load("", "", NULL,
                        "weights.safetensors: holds a network under \"\" and one under \"ema.\": "
                        "say which by a prefix");
    ito_weights *w = write_case("", "");
    ito_unet_load_report report;
    cr_expect_eq(ito_unet_load(unet, w, .prefix = "ema.", .report = &report), ITO_OK, "%s",
                 ito_error());
    cr_expect(report.loaded == n && report.unused == n);
    ito_weights_close(w);
    ito_module_free(&unet->base);
}

/* Variables, their averages, and what the optimiser keeps of them. */
Test(unet_weights, of_tensorflow_s_variables_the_averages_are_taken)
{
    read_case("tensorflow");
    const int64_t n = list.n;
    static const char *pointers[3 * MOST];
    static ito_tensor *values[3 * MOST];
    static char more[3 * MOST][200];
    static const char *const ends[] = {"", "/ExponentialMovingAverage", "/Adam"};
    for (int64_t i = 0; i < 3 * n; i++) {
        snprintf(more[i], sizeof more[i], "model/%.100s%s", list.names[i % n], ends[i / n]);
        pointers[i] = more[i];
        values[i] = i / n == 1 ? list.values[i % n] : ito_zeros_like(list.values[i % n]);
    }
    char path[600];
    snprintf(path, sizeof path, "%.400s/all.safetensors", dir);
    cr_assert_eq(ito_safetensors_save(path, 3 * n, pointers, values, 0, NULL, NULL), ITO_OK, "%s",
                 ito_error());
    ito_weights *w = ito_weights_open(path);
    ito_unet_config config = config_of(w, &cases[4]);
    config.dtype = ITO_F64;
    ito_unet *unet = ito_unet_create(&config, NULL);
    ito_unet_load_report report;
    cr_assert_eq(ito_unet_load(unet, w, .report = &report), ITO_OK, "%s", ito_error());
    cr_expect_str_eq(report.suffix, "/ExponentialMovingAverage");
    cr_expect(report.loaded == n && report.unused == 2 * n);
    cr_expect_lt(error_of(unet, &cases[4]), close_in_f64);
    ito_module_free(&unet->base);
    ito_weights_close(w);
}

Test(unet_weights, heads_of_two_widths_are_refused)
{
    read_case("guided");
    ito_weights *w = write_case("", "");
    ito_unet_config config;
    cr_expect_eq(ito_unet_config_of(w, &config, .height = 8, .width = 8, .heads = 4),
                 ITO_ERR_ARGUMENT);
    expect_error_with(ITO_ERR_ARGUMENT,
                      "weights.safetensors: 4 heads of 32 channels have other widths than those of "
                      "64: a U-Net here has heads of one width");
    cr_expect_eq(ito_unet_config_of(w, &config, .height = 7, .width = 8), ITO_ERR_SHAPE);
    expect_error(ITO_ERR_SHAPE,
                 "unet: images of 7x8 cannot be halved 1 times; 2 levels need sides that are "
                 "multiples of 2");
    ito_weights_close(w);
}

static ito_status load_again(void *unet)
{
    char path[600];
    snprintf(path, sizeof path, "%.400s/weights.safetensors", dir);
    ito_weights *w = ito_weights_open(path);
    ito_status status = w == NULL ? ito_error_code() : ito_unet_load((ito_unet *)unet, w);
    ito_weights_close(w);
    return status;
}

Test(unet_weights, every_failing_allocation_is_an_error)
{
    read_case("improved");
    ito_weights *w = write_case("", "");
    ito_unet_config config = config_of(w, &cases[2]);
    ito_unet *unet = ito_unet_create(&config, NULL);
    cr_assert_not_null(unet, "%s", ito_error());
    ito_weights_close(w);
    ito_scope_clear();
    cr_expect_gt(count_failed_allocations(load_again, unet), 100);
    ito_module_free(&unet->base);
}
