/* What tests/reference/diffusers_both_ways.py has Ito do; arrays travel as .npy files:
 *
 *     diffusers_driver evaluate MODEL X T LABELS|none OUT
 *     diffusers_driver sample MODEL NOISE STEPS OUT
 *     diffusers_driver save MODEL DIR
 *
 * The first gives the network's output; the second samples by the model's own settings from NOISE
 * [k, N, C, H, W], which is x_T and then the noise of each step; the third a directory of
 * diffusers. MODEL is what ito_ddpm_load takes, or fashion-mnist, the network that comes with Ito.
 * Errors and notes go to stderr; the exit code of an error is 1. */
#include <inttypes.h>
#include <ito/ito.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failed(void)
{
    fprintf(stderr, "%s\n", ito_error());
    return 1;
}

static ito_tensor *labels_of(const char *path)
{
    return strcmp(path, "none") == 0 ? NULL : ito_npy_load(path);
}

static int evaluate(ito_ddpm *m, char **arguments)
{
    ito_tensor *x = ito_npy_load(arguments[0]), *t = ito_npy_load(arguments[1]);
    ito_tensor *y = ito_unet_forward_class(m->unet, x, t, labels_of(arguments[2]));
    return y != NULL && ito_npy_save(arguments[3], y) == ITO_OK ? 0 : failed();
}

typedef struct noise_list {
    ito_tensor *all;
    int64_t next;
} noise_list;

static ito_tensor *next_noise(const ito_sampler_state *s, void *context)
{
    noise_list *list = context;
    (void)s;
    return ito_select(list->all, 0, list->next++);
}

static int sample(ito_ddpm *m, char **arguments)
{
    noise_list list = {.all = ito_npy_load(arguments[0]), .next = 1};
    const ito_ddpm_sampling *s = &m->sampling;
    ito_tensor *x = ito_diffusion_sample_from(
        m->diffusion, m->network, ito_select(list.all, 0, 0), .sampler = s->sampler,
        .spacing = s->spacing, .no_clip = s->no_clip, .threshold = s->threshold,
        .end_at_first = s->end_at_first, .steps = strtoll(arguments[1], NULL, 10),
        .noise = next_noise, .noise_context = &list);
    return x != NULL && ito_npy_save(arguments[2], x) == ITO_OK ? 0 : failed();
}

static int save(ito_ddpm *m, char **arguments)
{
    char *notes = NULL;
    if (ito_ddpm_save_diffusers(m, arguments[0], .notes = &notes) != ITO_OK)
        return failed();
    if (notes != NULL)
        fputs(notes, stderr);
    free(notes);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int arguments;
        int (*run)(ito_ddpm *m, char **arguments);
    } commands[] = {{"evaluate", 4, evaluate}, {"sample", 3, sample}, {"save", 1, save}};
    for (size_t i = 0; argc > 2 && i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(argv[1], commands[i].name) != 0 || argc != commands[i].arguments + 3)
            continue;
        ito_scope_begin();
        bool built_in = strcmp(argv[2], "fashion-mnist") == 0;
        ito_ddpm *m = built_in ? ito_ddpm_fashion_mnist() : ito_ddpm_load(argv[2]);
        if (m != NULL && m->notes != NULL)
            fputs(m->notes, stderr);
        int code = m != NULL ? commands[i].run(m, argv + 3) : failed();
        ito_ddpm_free(m);
        ito_scope_end();
        return code;
    }
    fputs("usage: see the beginning of driver.c\n", stderr);
    return 2;
}
