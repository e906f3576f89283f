/* What the tests of diffusers' directories share: models made of settings, and files of JSON. */
#ifndef ITO_TESTS_DIFFUSERS_CHECK_H
#define ITO_TESTS_DIFFUSERS_CHECK_H

#include "models/ddpm/diffusers/diffusers.h"
#include "models/ddpm/sampler/sampler.h"
#include "tensor/internal.h"
#include "tensor/io/whole_file.h"
#include "tests/expect.h"
#include "tests/models/ddpm/ddpm_check.h"
#include "tests/temporary.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *check_directory;

static inline void check_enter(void)
{
    check_directory = temporary_directory();
    cr_assert_eq(chdir(check_directory), 0);
    ito_scope_begin();
}

static inline void check_leave(void)
{
    ito_scope_end();
    cr_assert_eq(chdir("/"), 0);
    remove_tree(check_directory);
}

static inline bool is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

static inline void write_text(const char *path, const char *text)
{
    cr_assert_eq(ito_file_write(path, text, strlen(text)), ITO_OK, "%s", ito_error());
}

static inline char *read_text(const char *path)
{
    char *text = ito_file_read(path, 1 << 20, NULL);
    cr_assert_not_null(text, "%s", ito_error());
    return text;
}

/* A network of these settings with random weights, as it is loaded from Ito's own file; `more` are
 * members behind "model" and "diffusion". */
static inline ito_ddpm *model_with(ito_ddpm_settings s, const char *more)
{
    char *text = ito_ddpm_settings_format(&s), *all = NULL;
    cr_assert_not_null(text, "%s", ito_error());
    *strrchr(text, '}') = '\0';
    cr_assert_gt(asprintf(&all, "%s%s}", text, more), 0);
    ito_generator g = ito_generator_make(3, 0);
    ito_unet *unet = ito_unet_create(&s.model, &g);
    cr_assert_not_null(unet, "%s", ito_error());
    const char *key = "ito_ddpm_settings", *value = all;
    cr_assert_eq(ito_module_save(&unet->base, "model.safetensors", .metadata_keys = &key,
                                 .metadata_values = &value, .n_metadata = 1),
                 ITO_OK, "%s", ito_error());
    ito_module_free(&unet->base);
    free(text);
    free(all);
    ito_ddpm *m = ito_ddpm_load("model.safetensors");
    cr_assert_not_null(m, "%s", ito_error());
    return m;
}

/* The tiny U-Net and this diffusion. */
static inline ito_ddpm_settings tiny_settings(ito_diffusion_options diffusion)
{
    ito_ddpm_settings s = {.model = tiny_unet_config(1), .diffusion = diffusion};
    if (diffusion.variance != NULL && diffusion.variance->learned)
        s.model.out_channels = 2;
    return s;
}

/* What is saved as a directory of diffusers and loaded again; the directory stays. */
static inline ito_ddpm *through(ito_ddpm *m, const char *dir)
{
    cr_assert_eq(ito_ddpm_save_diffusers(m, dir), ITO_OK, "%s", ito_error());
    ito_ddpm *back = ito_ddpm_load(dir);
    cr_assert_not_null(back, "%s", ito_error());
    cr_assert_eq(ito_error_code(), ITO_OK);
    return back;
}

#endif
