/* Directories that diffusers wrote (tests/reference/make_diffusers_fixture.py): the networks
 * compute what it computes, and its scheduler's sampler makes its images. */
#include "tests/models/ddpm/diffusers/diffusers_check.h"

TestSuite(diffusers_reference, .init = check_enter, .fini = check_leave);

/* Float32 rounding of both, of the largest output; measured: 4e-7. An image of five steps: 1e-6. */
static const double output_tolerance = 1e-5, image_tolerance = 1e-4;

static const char *fixture(const char *name)
{
    static char path[4][500];
    static int next;
    const char *source = getenv("ITO_SOURCE");
    snprintf(path[++next % 4], sizeof path[0], "%s/tests/reference/diffusers/%s",
             source != NULL ? source : ".", name);
    return path[next % 4];
}

static ito_tensor *expected(const char *name)
{
    ito_safetensors *f = ito_safetensors_open(fixture("expected.safetensors"));
    ito_tensor *x = ito_safetensors_read(f, name);
    cr_assert_not_null(x, "%s", ito_error());
    ito_safetensors_close(f);
    return x;
}

static ito_ddpm *loaded(const char *path)
{
    ito_ddpm *m = ito_ddpm_load(path);
    cr_assert_not_null(m, "%s", ito_error());
    return m;
}

/* The network's output is that of diffusers. */
static void computes(ito_ddpm *m, const char *name)
{
    ito_tensor *y = expected(name);
    double off = largest_difference(ito_unet_forward(m->unet, expected("x"), expected("t")), y);
    cr_expect_lt(off, output_tolerance * ito_item(ito_max(ito_abs(y))), "%s: %g", name, off);
}

Test(diffusers_reference, a_pipeline_of_its_defaults)
{
    ito_ddpm *m = loaded(fixture("pipeline"));
    cr_expect_null(m->notes);
    computes(m, "pipeline");
    ito_tensor *x = ito_diffusion_sample_from(m->diffusion, m->network, expected("x"),
                                              .sampler = m->sampling.sampler,
                                              .spacing = m->sampling.spacing, .steps = 5);
    cr_expect_lt(largest_difference(x, expected("image")), image_tolerance);
    ito_ddpm_free(m);
}

Test(diffusers_reference, files_in_the_root_a_pickle_and_old_names)
{
    ito_ddpm *m = loaded(fixture("root"));
    cr_expect_eq(m->diffusion->variance, &ito_variance_fixedlarge);
    cr_expect_eq(m->sampling.sampler, &ito_sampler_ddpm);
    cr_expect_not_null(m->notes);
    cr_expect_not_null(strstr(m->notes, "/root/diffusion_pytorch_model.bin: its tensors have the "
                                        "names of "),
                       "%s", m->notes);
    computes(m, "root");
    ito_ddpm_free(m);
}

/* ---- several files ---- */

/* The pipeline's weights in two files, and their index; of the second file in the index is
 * `second`. */
static void write_shards(const char *second)
{
    ito_safetensors *f =
        ito_safetensors_open(fixture("pipeline/unet/diffusion_pytorch_model.safetensors"));
    int64_t n = ito_safetensors_count(f), half = n / 2;
    const char **names = calloc((size_t)n, sizeof *names);
    ito_tensor **tensors = calloc((size_t)n, sizeof *tensors);
    cJSON *index = cJSON_CreateObject(), *map = cJSON_AddObjectToObject(index, "weight_map");
    cJSON_AddNumberToObject(cJSON_AddObjectToObject(index, "metadata"), "total_size", 1.0);
    for (int64_t i = 0; i < n; i++) {
        names[i] = ito_safetensors_name(f, i);
        tensors[i] = ito_safetensors_read(f, names[i]);
        cJSON_AddStringToObject(map, names[i], i < half ? "a.safetensors" : second);
    }
    char command[1200];
    snprintf(command, sizeof command, "mkdir d && cp %s d", fixture("pipeline/unet/config.json"));
    cr_assert_eq(system(command), 0);
    cr_assert_eq(ito_safetensors_save("d/a.safetensors", half, names, tensors, 0, NULL, NULL), 0);
    cr_assert_eq(ito_safetensors_save("d/b.safetensors", n - half, names + half, tensors + half, 0,
                                      NULL, NULL),
                 0);
    char *text = cJSON_Print(index);
    write_text("d/diffusion_pytorch_model.safetensors.index.json", text);
    free(text);
    cJSON_Delete(index);
    ito_safetensors_close(f);
    free(names);
    free(tensors);
}

Test(diffusers_reference, weights_in_several_files)
{
    write_shards("b.safetensors");
    ito_ddpm *m = loaded("d");
    computes(m, "pipeline");
    ito_ddpm_free(m);
}

Test(diffusers_reference, a_file_of_several_that_is_missing)
{
    write_shards("c.safetensors");
    ito_ddpm *m = ito_ddpm_load("d");
    cr_expect_null(m);
    expect_error(ITO_ERR_IO,
                 "d/diffusion_pytorch_model.safetensors.index.json: the file c.safetensors "
                 "that it names: cannot open: No such file or directory");
}

Test(diffusers_reference, weights_of_another_network)
{
    char command[1200];
    snprintf(command, sizeof command,
             "cp -r %s d && sed -i 's/\"layers_per_block\": 1/\"layers_per_block\": 2/' "
             "d/unet/config.json",
             fixture("pipeline"));
    cr_assert_eq(system(command), 0);
    ito_ddpm *m = ito_ddpm_load("d");
    cr_expect_null(m);
    expect_error(ITO_ERR_FORMAT, "d/unet/diffusion_pytorch_model.safetensors: lacks "
                                 "down_blocks.0.resnets.1.norm1.weight of the model");
}
