/* ito-ddpm export: a trained network as one self-contained file, as diffusers' directory, or as an
 * ONNX file. */
#include "examples/common/messages.h"
#include "examples/common/outputs.h"
#include "examples/ddpm/commands/commands.h"
#include "examples/ddpm/inference.h"
#include "examples/ddpm/onnx.h"

#include <inttypes.h>
#include <ito/ito.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct export_options {
    const char *model, *out, *format, *weights, *dtype;
    bool force;
} export_options;

#define AT(field) offsetof(export_options, field)

static const option_row rows[] = {
    MODEL_ROW,
    TEXT_ROW("out", out, "FILE.safetensors|FILE.onnx|DIR", NULL, "Where the network goes"),
    WORDS_ROW(
        "format", format, "ito|diffusers|onnx", "ito",
        "One file for ito-ddpm, a new directory for DDPMPipeline.from_pretrained, or the graph "
        "for ONNX runtimes"),
    WEIGHTS_ROW,
    WORDS_ROW("dtype", dtype, "bf16|f32", NULL,
              "In half the bytes, rounded to 8 bits of precision, or exactly (bf16; diffusers and "
              "onnx f32)"),
    FORCE_ROW,
    END_ROW,
};

static const char doc[] =
    "Write a trained network with its settings to one safetensors file, which every --model takes, "
    "to a directory that diffusers reads, or as an ONNX file, which runtimes take."
    "\v"
    "Examples:\n"
    "  ito-ddpm export --model run --out clothes.safetensors\n"
    "  ito-ddpm sample --model clothes.safetensors --out grid.png\n"
    "  ito-ddpm export --model run --format diffusers clothes\n"
    "  ito-ddpm export --model run --format onnx clothes.onnx\n\n"
    "The tensors of the file have the names and shapes of diffusers' UNet2DModel, but its default "
    "settings compute something else with them: it needs attention_head_dim None, "
    "downsample_padding "
    "0, flip_sin_to_cos False, freq_shift 1 and norm_eps 1e-6, and says nothing if they are wrong. "
    "--format diffusers writes them beside the weights.\n\n"
    "--format onnx writes the network alone, for batches of any size: sample, timestep and "
    "class_labels, if it takes these, to out_sample.\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage.";

static void parse(export_options *o, int argc, char **argv)
{
    command_line c = {
        .command = "export", .arguments = "[OUT]", .doc = doc, .options = rows, .values = o};
    options_parse(&c, argc, argv);
    options_require(&c, "model", "the network to write");
    if (c.argument != NULL)
        options_refuse_given(&c, "out", "where the network goes is said twice");
    else
        options_require(&c, "out", "the file or directory to write it to");
    o->out = c.argument != NULL ? c.argument : o->out;
    if (strcmp(o->format, "onnx") == 0)
        options_refuse_given(&c, "dtype", "an ONNX file has the network's own");
    if (o->dtype == NULL)
        o->dtype = strcmp(o->format, "diffusers") == 0 ? "f32" : "bf16";
    if (strcmp(o->format, "diffusers") == 0)
        options_refuse_given(&c, "force", "a directory is never written over");
}

static bool write_file(const ito_ddpm *model, const export_options *o, bool bf16)
{
    struct stat info;
    if (ito_ddpm_save(model, o->out, .bf16 = bf16) != ITO_OK)
        return false;
    if (stat(o->out, &info) == 0)
        note("step %" PRId64 " of %s: %" PRId64 " bytes in %s\n", model->step, model->path,
             (int64_t)info.st_size, o->out);
    return true;
}

static bool write_directory(const ito_ddpm *model, const export_options *o, bool bf16)
{
    char *notes = NULL;
    if (ito_ddpm_save_diffusers(model, o->out, .bf16 = bf16, .notes = &notes) != ITO_OK)
        return false;
    note("step %" PRId64 " of %s: for diffusers, in %s\n%s", model->step, model->path, o->out,
         notes != NULL ? notes : "");
    free(notes);
    return true;
}

static bool write_onnx(const ito_ddpm *model, const export_options *o, bool bf16)
{
    (void)bf16;
    return onnx_export(model, o->out);
}

/* A format: how it is written, and the kind of its file, or FILE_KINDS for a directory. */
typedef struct format {
    const char *name;
    bool (*write)(const ito_ddpm *model, const export_options *o, bool bf16);
    file_kind kind;
} format;

static const format formats[] = {
    {"ito", write_file, FILE_SAFETENSORS},
    {"diffusers", write_directory, FILE_KINDS},
    {"onnx", write_onnx, FILE_ONNX},
};

static bool export_model(const export_options *o)
{
    bool plain = strcmp(o->weights, "model") == 0, bf16 = strcmp(o->dtype, "bf16") == 0;
    const format *f = formats;
    while (strcmp(f->name, o->format) != 0)
        f++;
    if (f->kind != FILE_KINDS && !output_can_write((output){"out", o->out, f->kind}, o->force))
        return false;
    ito_ddpm *model = model_load(o->model, ITO_OPTIONS(ito_ddpm_load_options, .plain = plain));
    bool good = model != NULL && f->write(model, o, bf16);
    ito_ddpm_free(model);
    return good;
}

int command_export(int argc, char **argv)
{
    export_options o;
    parse(&o, argc, argv);
    ito_scope_begin();
    int code = export_model(&o) ? 0 : options_report("export");
    ito_scope_end();
    return code;
}
